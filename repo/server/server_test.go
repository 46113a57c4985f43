package server_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/repo/server"
)

// pack makes a chart's archive with these files besides Chart.yaml.
func pack(t testing.TB, name, version string, files map[string]string) []byte {
	t.Helper()
	all := map[string]string{
		"Chart.yaml":          fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\ndescription: about %[1]s\n", name, version),
		"values.yaml":         "# how many\nreplicas: 1\nimage: {repository: example.org/app, tag: \"1\"}\n",
		"templates/some.yaml": "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n",
	}
	for file, text := range files {
		all[file] = text
	}
	return packFiles(t, "chart", all)
}

func packFiles(t testing.TB, dir string, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	for file, text := range files {
		err := archive.WriteHeader(&tar.Header{Name: dir + "/" + file, Mode: 0o644, Size: int64(len(text))})
		if _, werr := io.WriteString(archive, text); err != nil || werr != nil {
			t.Fatal(err, werr)
		}
	}
	if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// start serves a folder until the test ends and returns its URL. The function stops
// it earlier.
func start(t testing.TB, c server.Config) (string, func()) {
	t.Helper()
	if c.Data == "" {
		c.Data = t.TempDir()
	}
	c.Listen = "127.0.0.1:0"
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	}
	s, err := server.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return s.Scheme() + "://" + l.Addr().String(), stop
}

func open(c *server.Config) { c.Access.AnonymousPush = true }

// ask sends a request and returns the answer with its body.
func ask(t testing.TB, method, url string, body []byte, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	data, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w, string(data)
}

func wantStatus(t testing.TB, w *http.Response, body string, want int) {
	t.Helper()
	if w.StatusCode != want {
		t.Fatalf("%s %s: %s, want %d: %s", w.Request.Method, w.Request.URL, w.Status, want, body)
	}
}

func push(t testing.TB, base string, archive []byte) {
	t.Helper()
	w, body := ask(t, "POST", base+"/api/charts", archive)
	wantStatus(t, w, body, http.StatusCreated)
}

type indexFile struct {
	Entries map[string][]struct {
		Version, Digest string
		URLs            []string
	}
}

// fetchIndex reads an index as YAML.
func fetchIndex(t testing.TB, base string) indexFile {
	t.Helper()
	w, body := ask(t, "GET", base+"/index.yaml", nil)
	wantStatus(t, w, body, http.StatusOK)
	var x indexFile
	if err := yaml.Unmarshal([]byte(body), &x); err != nil {
		t.Fatalf("index: %v\n%s", err, body)
	}
	return x
}

// readIndex checks that every chart in the index can be had.
func readIndex(t testing.TB, base string) indexFile {
	t.Helper()
	x := fetchIndex(t, base)
	for _, list := range x.Entries {
		for _, e := range list {
			w, data := ask(t, "GET", base+"/"+e.URLs[0], nil)
			wantStatus(t, w, data, http.StatusOK)
			if sum := sha256.Sum256([]byte(data)); hex.EncodeToString(sum[:]) != e.Digest {
				t.Fatalf("%s is not what the index says", e.URLs[0])
			}
		}
	}
	return x
}

func versions(x indexFile, name string) string {
	var list []string
	for _, e := range x.Entries[name] {
		list = append(list, e.Version)
	}
	return strings.Join(list, " ")
}

func TestRepository(t *testing.T) {
	data := t.TempDir()
	c := server.Config{Data: data}
	open(&c)
	base, stop := start(t, c)
	for _, v := range []string{"1.9.0", "1.10.0", "1.10.0-rc.1", "2.0.0+build"} {
		push(t, base, pack(t, "mysql", v, nil))
		push(t, base, pack(t, "zoo-"+strings.Split(v, ".")[0], v, nil))
	}
	x := readIndex(t, base)
	if got, want := versions(x, "mysql"), "2.0.0+build 1.10.0 1.10.0-rc.1 1.9.0"; got != want {
		t.Errorf("versions %s, want %s", got, want)
	}

	// The gzip form is one member of the same text, and the tag answers questions.
	plain, text := ask(t, "GET", base+"/index.yaml", nil, "Accept-Encoding", "identity")
	zipped, packed := ask(t, "GET", base+"/index.yaml", nil, "Accept-Encoding", "gzip")
	if zipped.Header.Get("Content-Encoding") != "gzip" || zipped.Header.Get("ETag") != plain.Header.Get("ETag") {
		t.Errorf("headers %v", zipped.Header)
	}
	r, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	r.Multistream(false)
	if unpacked, err := io.ReadAll(r); err != nil || string(unpacked) != text {
		t.Errorf("gzip gives another text (%v)", err)
	}
	w, _ := ask(t, "GET", base+"/index.yaml", nil, "If-None-Match", plain.Header.Get("ETag"))
	wantStatus(t, w, "", http.StatusNotModified)

	// Parts of a chart.
	whole := pack(t, "parts", "1.0.0", nil)
	push(t, base, whole)
	w, part := ask(t, "GET", base+"/charts/parts-1.0.0.tgz", nil, "Range", "bytes=3-9")
	wantStatus(t, w, part, http.StatusPartialContent)
	if part != string(whole[3:10]) {
		t.Error("range is not that part")
	}

	// The same charts have the same index after a restart, from the log of what was
	// read and without it.
	w, _ = ask(t, "GET", base+"/index.yaml", nil)
	stop()
	for range 2 {
		base, stop = start(t, c)
		again, _ := ask(t, "GET", base+"/index.yaml", nil)
		if again.Header.Get("ETag") != w.Header.Get("ETag") {
			t.Error("another index after a restart")
		}
		stop()
		if err := os.Remove(filepath.Join(data, ".pkg", "index.log")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAPI(t *testing.T) {
	c := server.Config{}
	open(&c)
	c.Access.Rules = filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(c.Access.Rules, []byte(`[{who: anonymous, repository: "**", can: [pull, push, delete]}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	base, _ := start(t, c)
	archive := pack(t, "web", "1.0.0", nil)
	sum := sha256.Sum256(archive)
	prov := fmt.Sprintf("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: web\n...\nfiles:\n  web-1.0.0.tgz: sha256:%x\n-----BEGIN PGP SIGNATURE-----\n", sum)
	form := func(fields map[string]string) ([]byte, string) {
		var out bytes.Buffer
		f := multipart.NewWriter(&out)
		for name, text := range fields {
			w, err := f.CreateFormFile(name, name)
			if _, werr := io.WriteString(w, text); err != nil || werr != nil {
				t.Fatal(err, werr)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes(), f.FormDataContentType()
	}
	both, kind := form(map[string]string{"chart": string(archive), "prov": prov})
	steps := []struct {
		method, path, kind string
		body               []byte
		status             int
		answer             string
	}{
		{"POST", "/api/prov", "", []byte(prov), 404, "not found"}, // of no chart
		{"POST", "/api/org/repo/charts", kind, both, 201, `"saved":true`},
		{"GET", "/org/repo/charts/web-1.0.0.tgz.prov", "", nil, 200, prov},
		{"POST", "/api/org/repo/charts", "", archive, 409, "already exists"},
		{"POST", "/api/org/repo/charts?force", "", archive, 201, "saved"},
		{"GET", "/org/repo/charts/web-1.0.0.tgz.prov", "", nil, 404, "not found"}, // the new one has no signature
		{"POST", "/api/org/repo/prov", "", []byte(prov), 201, "saved"},
		{"POST", "/api/org/repo/prov", "", []byte(prov), 409, "already exists"},
		{"GET", "/api/org/repo/charts", "", nil, 200, `{"web":[`},
		{"GET", "/api/org/repo/charts?offset=1", "", nil, 200, `{}`},
		{"GET", "/api/org/repo/charts?limit=x", "", nil, 400, `limit`},
		{"GET", "/api/org/repo/charts/web", "", nil, 200, `"version":"1.0.0"`},
		{"HEAD", "/api/org/repo/charts/web/1.0.0", "", nil, 200, ""},
		{"GET", "/api/org/repo/charts/web/2.0.0", "", nil, 404, "not found"},
		{"GET", "/api/org/repo/charts/web/1.0.0/values", "", nil, 200, "# how many"},
		{"GET", "/api/org/repo/charts/web/1.0.0/templates", "", nil, 200, `"templates":[`},
		{"GET", "/api/charts", "", nil, 200, "{}"}, // another tenant
		{"GET", "/api/org/repo/charts/web/latest", "", nil, 200, `"version":"1.0.0"`},
		{"DELETE", "/api/org/repo/charts/web/latest", "", nil, 404, "not found"},
		{"DELETE", "/api/org/repo/charts/web/1.0.0", "", nil, 200, `"deleted":true`},
		{"DELETE", "/api/org/repo/charts/web/1.0.0", "", nil, 404, "not found"},
		{"GET", "/org/repo/charts/web-1.0.0.tgz", "", nil, 404, "not found"},
		{"GET", "/health", "", nil, 200, `"healthy":true`},
		{"GET", "/metrics", "", nil, 200, "chartmuseum_charts_served_total 0"},
		{"PUT", "/api/charts", "", archive, 405, "error"},
	}
	for _, s := range steps {
		w, body := ask(t, s.method, base+s.path, s.body, "Content-Type", s.kind)
		if w.StatusCode != s.status || !strings.Contains(body, s.answer) {
			t.Errorf("%s %s: %s, want %d %q: %s", s.method, s.path, w.Status, s.status, s.answer, body)
		}
	}
}

// TestBadInput wants a 4xx in JSON and nothing stored.
func TestBadInput(t *testing.T) {
	c := server.Config{Data: t.TempDir()}
	open(&c)
	c.Charts.MaxUpload = 100 << 10
	base, _ := start(t, c)
	good := pack(t, "good", "1.0.0", nil)
	chartfile := func(text string) []byte { return packFiles(t, "chart", map[string]string{"Chart.yaml": text}) }
	meta := func(name, version string) []byte {
		return chartfile(fmt.Sprintf("apiVersion: v2\nname: %q\nversion: %q\n", name, version))
	}
	noise := make([]byte, 200<<10)
	for i := range noise {
		noise[i] = byte(i * i >> 3)
	}
	cases := []struct {
		name, path string
		body       []byte
		kind       string
	}{
		{"empty", "/api/charts", nil, ""},
		{"text", "/api/charts", []byte("hello"), ""},
		{"half", "/api/charts", good[:len(good)/2], ""},
		{"gzip of nothing", "/api/charts", packFiles(t, "x", nil), ""},
		{"no Chart.yaml", "/api/charts", packFiles(t, "x", map[string]string{"values.yaml": "a: 1"}), ""},
		{"Chart.yaml is no YAML", "/api/charts", chartfile("\x00{{"), ""},
		{"no name", "/api/charts", meta("", "1.0.0"), ""},
		{"name goes up", "/api/charts", meta("../../evil", "1.0.0"), ""},
		{"name is a path", "/api/charts", meta("a/b", "1.0.0"), ""},
		{"name is hidden", "/api/charts", meta(".pkg", "1.0.0"), ""},
		{"name has a quote", "/api/charts", meta(`a"b`, "1.0.0"), ""},
		{"version is a path", "/api/charts", meta("a", "1.0.0/../../x"), ""},
		{"version is a word", "/api/charts", meta("a", "latest"), ""},
		{"no version", "/api/charts", meta("a", ""), ""},
		{"entry goes up", "/api/charts", packFiles(t, "..", map[string]string{"Chart.yaml": "apiVersion: v2\nname: a\nversion: 1.0.0\n"}), ""},
		{"too large", "/api/charts", noise, ""},
		{"tenant goes up", "/api/../../x/charts", good, ""},
		{"tenant is hidden", "/api/.pkg/charts", good, ""},
		{"tenant is deep", "/api/a/b/c/d/e/charts", good, ""},
		{"form without boundary", "/api/charts", good, "multipart/form-data"},
		{"form that is none", "/api/charts", good, "multipart/form-data; boundary=x"},
		{"prov that is none", "/api/prov", good, ""},
	}
	before := contents(t, c.Data)
	for _, tc := range cases {
		w, body := ask(t, "POST", base+tc.path, tc.body, "Content-Type", tc.kind)
		var answer struct{ Error string }
		if err := json.Unmarshal([]byte(body), &answer); w.StatusCode < 400 || w.StatusCode > 499 || err != nil || answer.Error == "" {
			t.Errorf("%s: %s: %s", tc.name, w.Status, body)
		}
		if strings.Contains(body, c.Data) {
			t.Errorf("%s: the answer tells a path of the server: %s", tc.name, body)
		}
	}
	for _, path := range []string{"/charts/../.pkg/index.log", "/charts/%2e%2e/%2e%2e/etc/passwd", "/charts/..%2f..%2fetc%2fpasswd", "/.pkg/charts/lock", "/charts/.pkg"} {
		if w, body := ask(t, "GET", base+path, nil); w.StatusCode < 400 {
			t.Errorf("%s: %s: %s", path, w.Status, body)
		}
	}
	if x := readIndex(t, base); len(x.Entries) != 0 {
		t.Errorf("stored: %v", x)
	}
	if after := contents(t, c.Data); !slices.Equal(before, after) {
		t.Errorf("left behind: %v", after)
	}
}

// TestByHand wants files that people put into the folder, change and remove there.
func TestByHand(t *testing.T) {
	c := server.Config{Data: t.TempDir()}
	base, _ := start(t, c)
	until := func(tenant, name, want string) {
		t.Helper()
		var got string
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if got = versions(fetchIndex(t, base+tenant), name); got == want {
				return
			}
		}
		t.Fatalf("%s%s has versions %q, want %q", tenant, name, got, want)
	}
	write := func(file string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(c.Data, file), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("whatever.tgz", pack(t, "hand", "1.0.0", nil))
	write("broken.tgz", []byte("no chart"))
	until("", "hand", "1.0.0")
	write("whatever.tgz", pack(t, "hand", "2.0.0", nil))
	until("", "hand", "2.0.0")
	write("copy.tgz", pack(t, "hand", "2.0.0", nil)) // the same version twice
	write("other.tgz", pack(t, "hand", "1.5.0", nil))
	until("", "hand", "2.0.0 1.5.0")
	if err := os.Remove(filepath.Join(c.Data, "copy.tgz")); err != nil {
		t.Fatal(err)
	}
	until("", "hand", "2.0.0 1.5.0") // the other file comes forward
	if err := os.MkdirAll(filepath.Join(c.Data, "org", "repo"), 0o755); err != nil {
		t.Fatal(err)
	}
	write("org/repo/x.tgz", pack(t, "deep", "1.0.0", nil))
	until("/org/repo", "deep", "1.0.0")
	if err := os.RemoveAll(filepath.Join(c.Data, "org")); err != nil {
		t.Fatal(err)
	}
	until("/org/repo", "deep", "")
	write(".hidden.tgz", pack(t, "hidden", "1.0.0", nil))
	write("last.tgz", pack(t, "last", "1.0.0", nil))
	until("", "last", "1.0.0")
	until("", "hidden", "")
	readIndex(t, base)
}
