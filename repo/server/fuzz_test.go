package server_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seed38700745/pkg/repo/server"
)

// stored is what may lie in a folder: charts and provenances of tenants, and the server's own.
var stored = regexp.MustCompile(`^([a-z0-9][a-z0-9._-]*/)*[A-Za-z0-9][A-Za-z0-9._+-]*\.tgz(\.prov)?$|^\.pkg/`)

// FuzzRequest sends requests of any kind to a server whose every path may be written to.
// Whatever they are, the server has an answer, tells nothing of its folders, and keeps only
// files with names that it gives, inside its folder.
func FuzzRequest(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "data")
	c := server.Config{Data: dir, Log: slog.New(slog.DiscardHandler)}
	open(&c)
	s, err := server.Open(c)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := s.Close(); err != nil {
			f.Error(err)
		}
	})
	handler := s.Handler()
	chart := pack(f, "a", "1.0.0", nil)
	config := []byte(`{"name":"a","version":"1.0.0","apiVersion":"v2"}`)
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(chart))
	form := []byte("--x\r\nContent-Disposition: form-data; name=\"chart\"; filename=\"a\"\r\n\r\n" + string(chart) + "\r\n--x--\r\n")
	prov := fmt.Appendf(nil, "-----BEGIN PGP SIGNED MESSAGE-----\n\nfiles:\n  a-1.0.0.tgz: %s\n", digest)
	f.Add("POST", "/api/charts", "", "", chart)
	f.Add("POST", "/api/org/team/charts", "force", "multipart/form-data; boundary=x", form)
	f.Add("POST", "/api/prov", "", "", prov)
	f.Add("POST", "/v2/charts/a/blobs/uploads/", "digest="+digest, "", chart)
	f.Add("POST", "/v2/charts/a/blobs/uploads/", "mount="+digest+"&from=charts/b", "", []byte{})
	f.Add("PUT", "/v2/charts/a/manifests/1.0.0", "", "application/vnd.oci.image.manifest.v1+json", chartManifest(config, chart))
	f.Add("GET", "/v2/charts/a/tags/list", "n=1&last=0", "", []byte{})
	f.Add("GET", "/api/charts", "offset=1&limit=-1", "", []byte{})
	f.Add("GET", "/charts/../.pkg/lock", "", "", []byte{})
	f.Add("GET", "/index.yaml", "", "", []byte{})
	f.Fuzz(func(t *testing.T, method, path, query, kind string, body []byte) {
		r := httptest.NewRequest(http.MethodGet, "/", bytes.NewReader(body))
		r.Method, r.URL = method, &url.URL{Path: path, RawQuery: query}
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %q: %d: %s", method, path, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), dir) {
			t.Errorf("%s %q tells the server's folder: %s", method, path, w.Body)
		}
		if method == http.MethodGet || method == http.MethodHead {
			return
		}
		err := filepath.WalkDir(filepath.Dir(dir), func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel(dir, file)
			if err == nil && !stored.MatchString(filepath.ToSlash(name)) {
				t.Errorf("%s %q stored %q", method, path, name)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// FuzzManifest pushes manifests of any kind over blobs that are there. What is taken comes back
// as it was.
func FuzzManifest(f *testing.F) {
	c := server.Config{Data: f.TempDir(), Log: slog.New(slog.DiscardHandler)}
	open(&c)
	s, err := server.Open(c)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := s.Close(); err != nil {
			f.Error(err)
		}
	})
	handler := s.Handler()
	send := func(method, path string, body []byte) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(method, path, bytes.NewReader(body)))
		return w
	}
	chart := pack(f, "a", "1.0.0", nil)
	config := []byte(`{"name":"a","version":"1.0.0","apiVersion":"v2"}`)
	for _, blob := range [][]byte{chart, config} {
		if w := send("POST", fmt.Sprintf("/v2/charts/a/blobs/uploads/?digest=sha256:%x", sha256.Sum256(blob)), blob); w.Code != http.StatusCreated {
			f.Fatal(w.Code, w.Body)
		}
	}
	m := string(chartManifest(config, chart))
	f.Add([]byte(m))
	f.Add([]byte(strings.Replace(m, `"layers"`, `"subject":{"digest":"sha256:00"},"layers"`, 1)))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[]}`))
	f.Add([]byte(`{"schemaVersion":2,"config":{},"layers":[{"mediaType":"application/vnd.foreign"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := send("PUT", "/v2/charts/a/manifests/1.0.0", data)
		switch {
		case w.Code >= 500:
			t.Errorf("%d: %s", w.Code, w.Body)
		case w.Code == http.StatusCreated:
			back := send("GET", "/v2/charts/a/manifests/"+w.Header().Get("Docker-Content-Digest"), nil)
			if back.Code != http.StatusOK || !bytes.Equal(back.Body.Bytes(), data) {
				t.Errorf("%q comes back as %d %q", data, back.Code, back.Body)
			}
		}
		if w := send("GET", "/v2/charts/a/tags/list", nil); w.Code >= 500 {
			t.Errorf("tags: %d %s", w.Code, w.Body)
		}
		if w := send("GET", "/index.yaml", nil); w.Code != http.StatusOK {
			t.Errorf("index: %d %s", w.Code, w.Body)
		}
	})
}
