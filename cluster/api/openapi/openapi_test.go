package openapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func load(t *testing.T) *Documents {
	t.Helper()
	d, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func get(d *Documents, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

// index returns the URLs of the v3 documents.
func index(t *testing.T, d *Documents) map[string]string {
	t.Helper()
	var list struct {
		Paths map[string]struct {
			URL string `json:"serverRelativeURL"`
		}
	}
	if err := json.Unmarshal(get(d, "/openapi/v3").Body.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	urls := map[string]string{}
	for path, e := range list.Paths {
		urls[path] = e.URL
	}
	return urls
}

// Every document of the index is there, has the hash that the index says, and
// offers what kubectl looks for.
func TestDocuments(t *testing.T) {
	d := load(t)
	urls := index(t, d)
	if urls["api/v1"] == "" || urls["apis/apps/v1"] == "" {
		t.Fatalf("index %v", urls)
	}
	for path, url := range urls {
		w := get(d, url)
		sum := sha512.Sum512(w.Body.Bytes())
		if want := strings.ToUpper(hex.EncodeToString(sum[:])); w.Code != http.StatusOK || !strings.HasSuffix(url, "?hash="+want) {
			t.Errorf("%s: status %d, URL %s, content's hash %s", path, w.Code, url, want)
		}
		if w.Header().Get("ETag") == "" || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: headers %v", path, w.Header())
		}
	}
	if pods := get(d, urls["api/v1"]).Body.String(); !strings.Contains(pods, "fieldValidation") || !strings.Contains(pods, "io.k8s.api.core.v1.PodSpec") {
		t.Error("api/v1 knows no fieldValidation or no PodSpec")
	}
}

func TestCompressedAndUnchanged(t *testing.T) {
	d := load(t)
	url := index(t, d)["apis/batch/v1"]
	plain := get(d, url)
	packed := get(d, url, "Accept-Encoding", "gzip")
	r, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(r); err != nil || !bytes.Equal(data, plain.Body.Bytes()) {
		t.Errorf("the compressed answer is another one (%v)", err)
	}
	if w := get(d, url, "If-None-Match", plain.Header().Get("ETag")); w.Code != http.StatusNotModified {
		t.Errorf("with the current ETag: status %d", w.Code)
	}
	old := strings.Replace(url, "hash=", "hash=0", 1)
	if w := get(d, old); w.Code != http.StatusMovedPermanently || w.Header().Get("Location") != url {
		t.Errorf("an old hash: status %d to %q", w.Code, w.Header().Get("Location"))
	}
}

func TestVersion2(t *testing.T) {
	d := load(t)
	if w := get(d, "/openapi/v2"); !strings.HasPrefix(w.Body.String(), `{"swagger":"2.0"`) {
		t.Errorf("JSON: %.40s", w.Body)
	}
	w := get(d, "/openapi/v2", "Accept", protoV2)
	if w.Header().Get("Content-Type") != protoV2Dt || bytes.HasPrefix(w.Body.Bytes(), []byte("{")) {
		t.Errorf("protobuf: type %q, %.10q", w.Header().Get("Content-Type"), w.Body)
	}
}

func TestSetAndRemove(t *testing.T) {
	d := load(t)
	const path = "apis/example.com/v1"
	if err := d.Set(path, []byte(`{"openapi":"3.0.0"}`)); err != nil {
		t.Fatal(err)
	}
	if w := get(d, index(t, d)[path]); w.Body.String() != `{"openapi":"3.0.0"}` {
		t.Errorf("got %s", w.Body)
	}
	d.Remove(path)
	if url := index(t, d)[path]; url != "" {
		t.Errorf("still listed: %s", url)
	}
	if w := get(d, "/openapi/v3/"+path); w.Code != http.StatusNotFound {
		t.Errorf("still served: status %d", w.Code)
	}
}
