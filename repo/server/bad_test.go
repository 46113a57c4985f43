package server_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/seed38700745/pkg/repo/server"
)

// contents is all files below a folder with the sums of what they have, but the caches and
// sessions of the server.
func contents(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if name := filepath.Base(path); err == nil && name != "index.log" && name != "lock" {
			all = append(all, fmt.Sprintf("%s %x", path, sha256.Sum256(data)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// chartUpload is a manifest for the registry with its parts.
type chartUpload struct {
	config, archive []byte
	change          func(manifest string) string
}

// TestBadPushes wants manifests that are not what they say refused with a code of the
// specification, and no chart stored.
func TestBadPushes(t *testing.T) {
	c := server.Config{Data: t.TempDir()}
	open(&c)
	c.Charts.MaxUpload = 300 << 10
	base, _ := start(t, c)
	push(t, base, pack(t, "good", "1.0.0", nil))
	good := pack(t, "good", "2.0.0", nil)
	config := []byte(`{"name":"good","version":"2.0.0","apiVersion":"v2"}`)
	sum := func(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }
	replace := func(from, to string) func(string) string {
		return func(m string) string { return strings.Replace(m, from, to, 1) }
	}
	cases := []struct {
		name, at string // repository and tag
		upload   chartUpload
		status   int
		code     string
	}{
		{"another chart's name", "charts/other/manifests/2.0.0", chartUpload{config, good, nil}, 400, "MANIFEST_INVALID"},
		{"another version", "charts/good/manifests/3.0.0", chartUpload{config, good, nil}, 400, "MANIFEST_INVALID"},
		{"a version that is there", "charts/good/manifests/1.0.0", chartUpload{config, pack(t, "good", "1.0.0", map[string]string{"a": "b"}), nil}, 409, "DENIED"},
		{"no chart", "charts/good/manifests/2.0.0", chartUpload{config, []byte("no archive"), nil}, 400, "MANIFEST_INVALID"},
		{"half a chart", "charts/good/manifests/2.0.0", chartUpload{config, good[:len(good)/2], nil}, 400, "MANIFEST_INVALID"},
		{"too large", "charts/good/manifests/2.0.0", chartUpload{config, noisy(t, "good", 400<<10), nil}, 413, "SIZE_INVALID"},
		{"path in the chart's name", "charts/good/manifests/2.0.0", chartUpload{config, packFiles(t, "x", map[string]string{"Chart.yaml": "apiVersion: v2\nname: ../../good\nversion: 2.0.0\n"}), nil}, 400, "MANIFEST_INVALID"},
		{"version is no SemVer", "charts/good/manifests/2", chartUpload{config, packFiles(t, "x", map[string]string{"Chart.yaml": "apiVersion: v2\nname: good\nversion: two\n"}), nil}, 400, "MANIFEST_INVALID"},
		{"a digest that was not sent", "charts/good/manifests/2.0.0", chartUpload{config, good, replace(sum(good), sum([]byte("other")))}, 404, "MANIFEST_BLOB_UNKNOWN"},
		{"no digest", "charts/good/manifests/2.0.0", chartUpload{config, good, replace(sum(good), "../../../etc/passwd")}, 400, "DIGEST_INVALID"},
		{"a tag with a path", "charts/good/manifests/..%2f..%2fx", chartUpload{config, good, nil}, 400, ""},
		{"a tenant with a path", "..%2fx/good/manifests/2.0.0", chartUpload{config, good, nil}, 400, ""},
		{"a tenant that is hidden", ".pkg/good/manifests/2.0.0", chartUpload{config, good, nil}, 400, "NAME_INVALID"},
		{"a tenant that has a meaning", "api/good/manifests/2.0.0", chartUpload{config, good, nil}, 400, "MANIFEST_INVALID"},
		{"a tenant that is deep", "a/b/c/d/e/good/manifests/2.0.0", chartUpload{config, good, nil}, 400, "MANIFEST_INVALID"},
		{"huge", "charts/good/manifests/2.0.0", chartUpload{config, good, func(m string) string { return m + strings.Repeat(" ", 5<<20) }}, 413, "SIZE_INVALID"},
		{"deep JSON", "charts/good/manifests/2.0.0", chartUpload{config, good, func(string) string { return strings.Repeat("[", 100_000) }}, 400, "MANIFEST_INVALID"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			repository, _, _ := strings.Cut(tc.at, "/manifests/")
			for _, part := range [][]byte{tc.upload.config, tc.upload.archive} {
				ask(t, "POST", base+"/v2/"+repository+"/blobs/uploads/?digest="+sum(part), part)
			}
			before := contents(t, c.Data)
			m := string(chartManifest(tc.upload.config, tc.upload.archive))
			if tc.upload.change != nil {
				m = tc.upload.change(m)
			}
			w, body := ask(t, "PUT", base+"/v2/"+tc.at, []byte(m), "Content-Type", "application/vnd.oci.image.manifest.v1+json")
			if w.StatusCode != tc.status || !strings.Contains(body, tc.code) || !json.Valid([]byte(body)) {
				t.Errorf("%s: %s, want %d %s", w.Status, body, tc.status, tc.code)
			}
			if strings.Contains(body, c.Data) {
				t.Errorf("the answer tells a path of the server: %s", body)
			}
			if after := contents(t, c.Data); !slices.Equal(before, after) {
				t.Errorf("stored: %v", slices.DeleteFunc(after, func(s string) bool { return slices.Contains(before, s) }))
			}
		})
	}
	if got := versions(readIndex(t, base), "good"); got != "1.0.0" {
		t.Errorf("versions %s", got)
	}
}

// TestHalfUploads breaks connections in the middle of uploads, and sends more than is
// allowed without saying how much it is.
func TestHalfUploads(t *testing.T) {
	c := server.Config{Data: t.TempDir()}
	open(&c)
	c.Charts.MaxUpload = 300 << 10
	base, _ := start(t, c)
	archive := noisy(t, "half", 200<<10)
	huge := append(slices.Clone(archive), make([]byte, 2<<20)...)
	form := func(data []byte) []byte {
		t.Helper()
		var out bytes.Buffer
		f := multipart.NewWriter(&out)
		if err := f.SetBoundary("edge"); err != nil {
			t.Fatal(err)
		}
		w, err := f.CreateFormFile("chart", "half.tgz")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	const formKind = "multipart/form-data; boundary=edge"
	before := contents(t, c.Data)
	for _, u := range []struct {
		path, kind string
		body, huge []byte
	}{
		{"/api/charts", "", archive, huge},
		{"/api/charts", formKind, form(archive), form(huge)},
		{"/api/org/team/charts", "", archive, huge},
		{"/v2/team/half/blobs/uploads/?digest=" + fmt.Sprintf("sha256:%x", sha256.Sum256(archive)), "", archive, huge},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", u.path, u.kind, len(u.body))
		if _, err := conn.Write(u.body[:len(u.body)/2]); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := http.Post(base+u.path, u.kind, &dripping{parts: [][]byte{u.huge}}) // without a length
		if err != nil {
			continue // refused in the middle
		}
		_ = r.Body.Close()
		if r.StatusCode < 400 || r.StatusCode > 499 {
			t.Errorf("%s with more than is allowed: %s", u.path, r.Status)
		}
	}
	// The server notices the broken connections on its own.
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		after := contents(t, c.Data)
		if slices.Equal(before, after) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("left behind: %v", after)
		}
	}
	if x := readIndex(t, base); len(x.Entries) != 0 {
		t.Errorf("stored: %v", x)
	}
}

// TestRegistryRights wants the rights of the rules kept in the registry, too: pulls, pushes,
// mounts from where one may not read, lists, deletions; and written down.
func TestRegistryRights(t *testing.T) {
	dir := t.TempDir()
	c := server.Config{AuditLog: filepath.Join(dir, "audit")}
	c.Access.Htpasswd, c.Access.Rules = filepath.Join(dir, "users"), filepath.Join(dir, "rules")
	writeUsers(t, c.Access.Htpasswd, map[string]string{"ann": "secret", "bob": "geheim"})
	const rules = `
- {who: ann, repository: "a", can: [pull, push, delete]}
- {who: bob, repository: "b", can: [pull, push]}
- {who: "*", repository: "open", can: [pull]}
`
	if err := os.WriteFile(c.Access.Rules, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	base, _ := start(t, c)
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("{}")))
	manifest := fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"a/b","digest":%q,"size":2},"layers":[]}`, digest)
	steps := []struct {
		method, path, user, body string
		status                   int
		answer                   string
	}{
		{"GET", "/v2/", "", "", 401, "UNAUTHORIZED"},
		{"GET", "/v2/", "ann", "", 200, ""},
		{"POST", "/v2/a/app/blobs/uploads/?digest=" + digest, "ann", "{}", 201, ""},
		{"PUT", "/v2/a/app/manifests/1", "ann", manifest, 201, ""},
		{"GET", "/v2/a/app/manifests/1", "bob", "", 403, "DENIED"},
		{"GET", "/v2/a/app/blobs/" + digest, "bob", "", 403, "DENIED"},
		{"GET", "/v2/a/app/tags/list", "", "", 401, "UNAUTHORIZED"},
		{"PUT", "/v2/a/app/manifests/2", "bob", manifest, 403, "DENIED"},
		// The blob is there, but bob may not know: he is to upload it.
		{"POST", "/v2/b/app/blobs/uploads/?mount=" + digest + "&from=a/app", "bob", "", 202, ""},
		{"POST", "/v2/b/app/blobs/uploads/?digest=" + digest, "bob", "{}", 201, ""},
		{"PUT", "/v2/b/app/manifests/1", "bob", manifest, 201, ""},
		{"DELETE", "/v2/b/app/manifests/1", "bob", "", 403, "DENIED"},
		{"GET", "/v2/_catalog", "bob", "", 200, `{"repositories":["b/app"]}`},
		{"GET", "/v2/_catalog", "ann", "", 200, `{"repositories":["a/app"]}`},
		{"GET", "/v2/open/app/tags/list", "bob", "", 404, "NAME_UNKNOWN"},
		{"DELETE", "/v2/a/app/manifests/1", "ann", "", 202, ""},
	}
	passwords := map[string]string{"ann": "secret", "bob": "geheim"}
	for _, s := range steps {
		w, body := askAs(t, s.method, base+s.path, s.user, passwords[s.user], []byte(s.body))
		if w.StatusCode != s.status || !strings.Contains(body, s.answer) {
			t.Errorf("%s %s as %q: %s, want %d %s: %s", s.method, s.path, s.user, w.Status, s.status, s.answer, body)
		}
	}
	// By a token, too, which the registry's clients get for the password.
	registry, err := name.NewRegistry(strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	names, err := remote.Catalog(t.Context(), registry, remote.WithAuth(&authn.Basic{Username: "bob", Password: "geheim"}))
	if err != nil || !slices.Equal(names, []string{"b/app"}) {
		t.Errorf("bob's catalog %v (%v)", names, err)
	}
	for path, want := range map[string]string{"/v2/a/app/tags/list": `Bearer realm="` + base + `/token"`, "/a/index.yaml": "Basic ", "/api/a/charts": "Basic "} {
		if w, _ := ask(t, "GET", base+path, nil); !strings.HasPrefix(w.Header.Get("WWW-Authenticate"), want) {
			t.Errorf("%s: %s asks for %q, want %q", path, w.Status, w.Header.Get("WWW-Authenticate"), want)
		}
	}
	if w, body := ask(t, "POST", base+"/token", nil); w.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /token: %s %s", w.Status, body)
	}
	log, err := os.ReadFile(c.AuditLog)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"user":"ann","remote":"127.0.0.1:`, `"action":"push","repository":"a","name":"a/app/manifests/1","digest":"sha256:`, `"action":"delete","repository":"a","name":"a/app/manifests/1","status":202`} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the audit log lacks %s:\n%s", want, log)
		}
	}
}
