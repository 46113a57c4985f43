package server_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/seed38700745/pkg/repo/server"
)

// TestImages uses the client library of crane.
func TestImages(t *testing.T) {
	c := server.Config{Data: t.TempDir()}
	open(&c)
	base, stop := start(t, c)
	host := strings.TrimPrefix(base, "http://")
	ref := func(text string) name.Reference {
		t.Helper()
		r, err := name.ParseReference(host + "/" + text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	image, err := random.Image(100<<10, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref("team/app:1.0"), image); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(ref("team/app:1.0"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Get(ref("team/app@" + digest.String())); err != nil {
		t.Error(err)
	}

	// Another repository takes the layers over.
	if err := remote.Write(ref("team/other:2.0"), got); err != nil {
		t.Error(err)
	}
	index, err := random.Index(1000, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref("multi:1"), index); err != nil {
		t.Fatal(err)
	}
	stop() // what was acknowledged is there after a restart
	base, _ = start(t, c)
	host = strings.TrimPrefix(base, "http://")
	if back, err := remote.Index(ref("multi:1")); err != nil {
		t.Error(err)
	} else if err := validate.Index(back); err != nil {
		t.Error(err)
	}
	if tags, err := remote.List(ref("team/app").Context()); err != nil || !slices.Equal(tags, []string{"1.0"}) {
		t.Error(tags, err)
	}
	registry, err := name.NewRegistry(host)
	if err != nil {
		t.Fatal(err)
	}
	names, err := remote.Catalog(t.Context(), registry)
	if want := []string{"multi", "team/app", "team/other"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("catalog %v, want %v (%v)", names, want, err)
	}
	if w, body := ask(t, "GET", base+"/index.yaml", nil); strings.Contains(body, "multi") {
		t.Error("an image is in the chart index", w.Status)
	}
}

// TestRegistryProtocol looks at what client libraries do not: chunks, wrong digests,
// missing parts, names.
func TestRegistryProtocol(t *testing.T) {
	c := server.Config{Data: t.TempDir()}
	open(&c)
	base, _ := start(t, c)
	sum := func(text string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))) }
	w, body := ask(t, "POST", base+"/v2/a/b/blobs/uploads/", nil)
	wantStatus(t, w, body, http.StatusAccepted)
	at := base + w.Header.Get("Location")
	w, body = ask(t, "PATCH", at, []byte("hello "), "Content-Range", "0-5")
	wantStatus(t, w, body, http.StatusAccepted)
	w, body = ask(t, "PATCH", at, []byte("x"), "Content-Range", "3-3")
	wantStatus(t, w, body, http.StatusRequestedRangeNotSatisfiable)
	w, body = ask(t, "GET", at, nil)
	wantStatus(t, w, body, http.StatusNoContent)
	if got := w.Header.Get("Range"); got != "0-5" {
		t.Errorf("range %s", got)
	}
	w, body = ask(t, "PUT", at+"?digest="+sum("hello world"), []byte("world"))
	wantStatus(t, w, body, http.StatusCreated)
	w, body = ask(t, "GET", base+"/v2/a/b/blobs/"+sum("hello world"), nil, "Range", "bytes=6-")
	wantStatus(t, w, body, http.StatusPartialContent)
	if body != "world" {
		t.Errorf("blob %q", body)
	}

	manifest := func(digest string) string {
		return fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"a/b","digest":%q,"size":11},"layers":[]}`, digest)
	}
	const kind = "application/vnd.oci.image.manifest.v1+json"
	hello := manifest(sum("hello world"))
	subject := strings.Replace(hello, `"layers":[]`, fmt.Sprintf(`"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":%d}`, kind, sum(hello), len(hello)), 1)
	steps := []struct {
		method, path, body, kind string
		status                   int
		answer                   string
	}{
		{"GET", "/v2/", "", "", 200, "{}"},
		{"POST", "/v2/a/b/blobs/uploads/?digest=" + sum("x"), "not x", "", 400, "DIGEST_INVALID"},
		{"POST", "/v2/a/b/blobs/uploads/?digest=md5:00", "x", "", 400, "DIGEST_INVALID"},
		{"POST", "/v2/a/b/blobs/uploads/?digest=" + sum("x"), "x", "", 201, ""},
		{"GET", "/v2/other/blobs/" + sum("x"), "", "", 404, "BLOB_UNKNOWN"}, // blobs are of a repository
		{"POST", "/v2/other/blobs/uploads/?mount=" + sum("x") + "&from=a/b", "", "", 201, ""},
		{"GET", "/v2/other/blobs/" + sum("x"), "", "", 200, "x"},
		{"PUT", "/v2/a/b/manifests/1", "no json", kind, 400, "MANIFEST_INVALID"},
		{"PUT", "/v2/a/b/manifests/1", manifest(sum("missing")), kind, 404, "MANIFEST_BLOB_UNKNOWN"},
		{"PUT", "/v2/a/b/manifests/1", hello, "other/type", 400, "MANIFEST_INVALID"},
		{"PUT", "/v2/a/b/manifests/" + sum("x"), hello, kind, 400, "DIGEST_INVALID"},
		{"PUT", "/v2/a/b/manifests/-bad", hello, kind, 400, "TAG_INVALID"},
		{"PUT", "/v2/a/b/manifests/1", hello, kind, 201, ""},
		{"GET", "/v2/a/b/manifests/1", "", "", 200, hello},
		{"GET", "/v2/a/b/manifests/2", "", "", 404, "MANIFEST_UNKNOWN"},
		{"PUT", "/v2/a/b/manifests/sig", subject, kind, 201, ""},
		{"GET", "/v2/a/b/referrers/" + sum(hello), "", "", 200, sum(subject)},
		{"GET", "/v2/a/b/referrers/" + sum(hello) + "?artifactType=x/y", "", "", 200, `"manifests":[]`},
		{"GET", "/v2/a/b/tags/list?n=1", "", "", 200, `["1"]`},
		{"GET", "/v2/a/b/tags/list?last=1", "", "", 200, `["sig"]`},
		{"GET", "/v2/A/b/tags/list", "", "", 400, "NAME_INVALID"},
		{"GET", "/v2/_tmp/tags/list", "", "", 400, "NAME_INVALID"},
		{"GET", "/v2/a/b/nothing", "", "", 404, "NAME_UNKNOWN"},
		{"DELETE", "/v2/a/b/manifests/1", "", "", 401, "UNAUTHORIZED"},
	}
	for _, s := range steps {
		w, body := ask(t, s.method, base+s.path, []byte(s.body), "Content-Type", s.kind)
		if w.StatusCode != s.status || !strings.Contains(body, s.answer) {
			t.Errorf("%s %s: %s, want %d %q: %s", s.method, s.path, w.Status, s.status, s.answer, body)
		}
	}
}

func helm(t testing.TB) func(args ...string) string {
	t.Helper()
	path := tool(t, "helm")
	dir := t.TempDir()
	return func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+dir+"/cache", "HELM_CONFIG_HOME="+dir+"/config", "HELM_DATA_HOME="+dir+"/data")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out.String())
		}
		return out.String()
	}
}

// TestHelm pushes and pulls both ways with the real helm.
func TestHelm(t *testing.T) {
	run := helm(t)
	c := server.Config{Data: t.TempDir()}
	open(&c)
	base, _ := start(t, c)
	host := strings.TrimPrefix(base, "http://")
	files := t.TempDir()
	write := func(version string) string {
		t.Helper()
		file := filepath.Join(files, "shop-"+version+".tgz")
		if err := os.WriteFile(file, pack(t, "shop", version, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	want := func(out, text string) {
		t.Helper()
		if !strings.Contains(out, text) {
			t.Errorf("no %q in:\n%s", text, out)
		}
	}
	w, body := ask(t, "POST", base+"/api/team/charts", nil)
	wantStatus(t, w, body, http.StatusBadRequest)
	one, err := os.ReadFile(write("1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	w, body = ask(t, "POST", base+"/api/team/charts", one)
	wantStatus(t, w, body, http.StatusCreated)
	run("push", write("1.1.0+b"), "oci://"+host+"/team", "--plain-http")

	run("repo", "add", "team", base+"/team")
	run("repo", "update")
	out := run("search", "repo", "team/shop", "--versions")
	want(out, "1.1.0+b")
	want(out, "1.0.0")
	for _, version := range []string{"1.0.0", "1.1.0+b"} {
		run("pull", "team/shop", "--version", version)
		run("pull", "oci://"+host+"/team/shop", "--version", version, "--plain-http")
		want(run("template", "x", "oci://"+host+"/team/charts/shop", "--version", version, "--plain-http"), "kind: ConfigMap")
	}
	want(run("template", "x", "team/shop"), "kind: ConfigMap")
	want(run("show", "chart", "oci://"+host+"/team/shop", "--version", "^1.0.0", "--plain-http"), "name: shop")
}
