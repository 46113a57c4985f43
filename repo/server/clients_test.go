package server_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/image"
	"github.com/seed38700745/pkg/repo/server"
)

// tool finds a program that `make tools` builds.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if path, err = filepath.Abs("../../bin/tools/" + name); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no %s: make tools builds it", name)
		}
		t.Skipf("no %s: make tools builds it", name)
	}
	return path
}

// everybody may do everything.
func everybody(t *testing.T, c *server.Config) {
	t.Helper()
	c.Access.Rules = filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(c.Access.Rules, []byte(`[{who: anonymous, repository: "**", can: [pull, push, delete]}]`), 0o600); err != nil {
		t.Fatal(err)
	}
}

func someImage(t testing.TB, layers int64) v1.Image {
	t.Helper()
	i, err := random.Image(50<<10, layers)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestCrane uses the real crane.
func TestCrane(t *testing.T) {
	program := tool(t, "crane")
	c := server.Config{}
	everybody(t, &c)
	base, _ := start(t, c)
	host := strings.TrimPrefix(base, "http://")
	dir := t.TempDir()
	crane := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append([]string{"--insecure"}, args...)...)
		cmd.Dir = dir
		var out, talk bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &talk
		if err := cmd.Run(); err != nil {
			t.Fatalf("crane %s: %v\n%s", strings.Join(args, " "), err, talk.String())
		}
		return strings.TrimSpace(out.String())
	}
	one := someImage(t, 3)
	tag, err := name.NewTag("some/image:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(filepath.Join(dir, "image.tar"), tag, one); err != nil {
		t.Fatal(err)
	}
	at := host + "/team/app"
	crane("push", "image.tar", at+":1")
	digest, err := one.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got := crane("digest", at+":1"); got != digest.String() {
		t.Errorf("digest %s, want %s", got, digest)
	}
	crane("validate", "--remote", at+":1")
	crane("tag", at+":1", "2")
	crane("copy", at+":1", host+"/team/copy:3")
	crane("mutate", at+":1", "-t", at+":labelled", "--label", "a=b")
	if got, want := crane("ls", at), "1\n2\nlabelled"; got != want {
		t.Errorf("tags %q, want %q", got, want)
	}
	if got, want := crane("catalog", host), "team/app\nteam/copy"; got != want {
		t.Errorf("catalog %q, want %q", got, want)
	}
	if got := crane("config", at+":labelled"); !strings.Contains(got, `"Labels":{"a":"b"}`) {
		t.Errorf("config %s", got)
	}
	var m v1.Manifest
	if err := json.Unmarshal([]byte(crane("manifest", at+":1")), &m); err != nil || len(m.Layers) != 3 {
		t.Fatalf("%d layers, want 3 (%v)", len(m.Layers), err)
	}
	if got := crane("blob", at+"@"+m.Config.Digest.String()); !strings.Contains(got, `"rootfs"`) {
		t.Errorf("config blob %s", got)
	}
	crane("pull", at+":1", "back.tar")
	back, err := tarball.ImageFromPath(filepath.Join(dir, "back.tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := back.ConfigName(); err != nil || id != m.Config.Digest {
		t.Errorf("pulled %s (%v), want %s", id, err, m.Config.Digest)
	}
	crane("index", "append", "-m", at+":1", "-m", at+":labelled", "-t", at+":both")
	crane("validate", "--remote", at+":both")
	crane("delete", at+"@"+digest.String())
	if got, want := crane("ls", at), "both\nlabelled"; got != want {
		t.Errorf("tags after the deletion %q, want %q", got, want)
	}
}

// TestClusterPulls has the cluster's own store of images pull, with a user's password, by tag and
// by digest.
func TestClusterPulls(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("unpacking images needs root")
	}
	c := server.Config{}
	dir := t.TempDir()
	c.Access.Htpasswd, c.Access.Rules = filepath.Join(dir, "users"), filepath.Join(dir, "rules")
	writeUsers(t, c.Access.Htpasswd, map[string]string{"ann": "secret"})
	if err := os.WriteFile(c.Access.Rules, []byte(`[{who: ann, repository: "team", can: [pull, push]}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	base, _ := start(t, c)
	host := strings.TrimPrefix(base, "http://")
	ref, err := name.ParseReference(host + "/team/app:1")
	if err != nil {
		t.Fatal(err)
	}
	layer, err := random.Layer(20<<10, "application/vnd.oci.image.layer.v1.tar+gzip")
	if err != nil {
		t.Fatal(err)
	}
	app, err := mutate.AppendLayers(someImage(t, 1), layer)
	if err != nil {
		t.Fatal(err)
	}
	ann := &authn.Basic{Username: "ann", Password: "secret"}
	if err := remote.Write(ref, app, remote.WithAuth(ann)); err != nil {
		t.Fatal(err)
	}
	digest, err := app.Digest()
	if err != nil {
		t.Fatal(err)
	}
	store, err := image.New(image.Config{Root: t.TempDir(), NoSubstitution: true})
	if err != nil {
		t.Fatal(err)
	}
	right := cri.Credentials{{Registry: host, Username: "ann", Password: "secret"}}
	if _, err := store.Ensure(t.Context(), host+"/team/app:1", cri.PullAlways, nil, nil); err == nil {
		t.Error("pulled without credentials")
	}
	for _, text := range []string{host + "/team/app:1", host + "/team/app@" + digest.String()} {
		got, err := store.Ensure(t.Context(), text, cri.PullAlways, right, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want, err := app.ConfigName(); err != nil || got.ID != want.String() {
			t.Errorf("image %s, want %s (%v)", got.ID, want, err)
		}
	}
}

// TestPagesOfTags follows the links of a long list, and of the referrers.
func TestPagesOfTags(t *testing.T) {
	c := server.Config{}
	everybody(t, &c)
	base, _ := start(t, c)
	var want []string
	for i := range 25 {
		push(t, base, pack(t, "many", fmt.Sprintf("1.%d.0", i), nil))
		want = append(want, fmt.Sprintf("1.%d.0", i))
	}
	slices.Sort(want)
	repository, err := name.NewRepository(strings.TrimPrefix(base, "http://") + "/charts/many")
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.List(repository, remote.WithPageSize(10))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("tags %v (%v), want %v", got, err, want)
	}
	w, body := ask(t, "GET", base+"/v2/charts/many/tags/list?n=10&last=1.12.0", nil)
	var page struct{ Tags []string }
	if err := json.Unmarshal([]byte(body), &page); err != nil || !slices.Equal(page.Tags, want[5:15]) {
		t.Errorf("page %s (%v), want %v", body, err, want[5:15])
	}
	if link := w.Header.Get("Link"); link != fmt.Sprintf(`</v2/charts/many/tags/list?n=10&last=%s>; rel="next"`, want[14]) {
		t.Errorf("link %s", link)
	}

	// A signature beside a chart, as cosign and oras attach them.
	w, body = ask(t, "HEAD", base+"/v2/charts/many/manifests/1.3.0", nil)
	wantStatus(t, w, body, http.StatusOK)
	subject := w.Header.Get("Docker-Content-Digest")
	const empty = "{}"
	emptyDigest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(empty)))
	w, body = ask(t, "POST", base+"/v2/charts/many/blobs/uploads/?digest="+emptyDigest, []byte(empty))
	wantStatus(t, w, body, http.StatusCreated)
	signature := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"example/signature",`+
		`"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2},"layers":[],"annotations":{"by":"ann"},`+
		`"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":%d}}`, emptyDigest, subject, 1)
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(signature)))
	w, body = ask(t, "PUT", base+"/v2/charts/many/manifests/"+digest, []byte(signature), "Content-Type", "application/vnd.oci.image.manifest.v1+json")
	wantStatus(t, w, body, http.StatusCreated)
	if got := w.Header.Get("OCI-Subject"); got != subject {
		t.Errorf("OCI-Subject %q, want %q", got, subject)
	}
	w, body = ask(t, "GET", base+"/v2/charts/many/referrers/"+subject+"?artifactType=example/signature", nil)
	if w.Header.Get("OCI-Filters-Applied") != "artifactType" || !strings.Contains(body, digest) || !strings.Contains(body, `"by":"ann"`) {
		t.Errorf("referrers %v %s", w.Header, body)
	}
	if w, body = ask(t, "DELETE", base+"/v2/charts/many/manifests/1.3.0", nil); w.StatusCode != http.StatusAccepted {
		t.Errorf("delete: %s %s", w.Status, body)
	}
	if x := readIndex(t, base); strings.Contains(versions(x, "many"), "1.3.0") {
		t.Error("deleted in the registry, it is in the index")
	}
}

// TestChunks sends a blob as docker does: a session, chunks without a range, an empty end.
func TestChunks(t *testing.T) {
	c := server.Config{}
	open(&c)
	base, _ := start(t, c)
	blob := bytes.Repeat([]byte("0123456789"), 100_000)
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(blob))
	w, body := ask(t, "POST", base+"/v2/team/app/blobs/uploads/", nil)
	wantStatus(t, w, body, http.StatusAccepted)
	at := w.Header.Get("Location")
	for _, part := range split(blob, 7) {
		w, body = ask(t, "PATCH", base+at, part)
		wantStatus(t, w, body, http.StatusAccepted)
		at = w.Header.Get("Location")
	}
	if got, want := w.Header.Get("Range"), fmt.Sprintf("0-%d", len(blob)-1); got != want {
		t.Errorf("range %s, want %s", got, want)
	}
	w, body = ask(t, "PUT", base+at+"?digest="+digest, nil)
	wantStatus(t, w, body, http.StatusCreated)
	w, body = ask(t, "HEAD", base+"/v2/team/app/blobs/"+digest, nil)
	if w.ContentLength != int64(len(blob)) || w.Header.Get("Docker-Content-Digest") != digest {
		t.Errorf("%v %s", w.Header, body)
	}
	w, body = ask(t, "GET", base+"/v2/team/app/blobs/"+digest, nil, "Range", "bytes=-5")
	if w.StatusCode != http.StatusPartialContent || body != "56789" || w.Header.Get("Content-Range") != "bytes 999995-999999/1000000" {
		t.Errorf("%s %v %q", w.Status, w.Header, body)
	}
	w, body = ask(t, "GET", base+"/v2/team/app/blobs/"+digest, nil, "Range", "bytes=2000000-")
	wantStatus(t, w, body, http.StatusRequestedRangeNotSatisfiable)
	w, body = ask(t, "PATCH", base+at, []byte("more")) // it is over
	wantStatus(t, w, body, http.StatusNotFound)
	w, body = ask(t, "POST", base+"/v2/team/app/blobs/uploads/", nil)
	wantStatus(t, w, body, http.StatusAccepted)
	at = w.Header.Get("Location")
	w, body = ask(t, "DELETE", base+at, nil)
	if w.StatusCode != http.StatusUnauthorized { // to cancel is to delete, which takes the right
		t.Errorf("cancel: %s %s", w.Status, body)
	}
}

// TestPushPlugin sends what helm's plugin cm-push sends: a form with the chart and, signed, its
// provenance; force as a query; the repository's path between /api and /charts.
func TestPushPlugin(t *testing.T) {
	c := server.Config{}
	everybody(t, &c)
	base, _ := start(t, c)
	archive := pack(t, "web", "1.0.0", nil)
	prov := fmt.Sprintf("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: web\n...\nfiles:\n  web-1.0.0.tgz: sha256:%x\n-----BEGIN PGP SIGNATURE-----\n", sha256.Sum256(archive))
	send := func(query string) (*http.Response, string) {
		t.Helper()
		var out bytes.Buffer
		form := multipart.NewWriter(&out)
		for _, part := range []struct{ field, file, text string }{{"chart", "web-1.0.0.tgz", string(archive)}, {"prov", "web-1.0.0.tgz.prov", prov}} {
			w, err := form.CreateFormFile(part.field, part.file)
			if _, werr := io.WriteString(w, part.text); err != nil || werr != nil {
				t.Fatal(err, werr)
			}
		}
		if err := form.Close(); err != nil {
			t.Fatal(err)
		}
		return ask(t, "POST", base+"/api/org/team/charts"+query, out.Bytes(), "Content-Type", form.FormDataContentType())
	}
	for _, step := range []struct {
		query  string
		status int
	}{{"", 201}, {"", 409}, {"?force", 201}} {
		w, body := send(step.query)
		if w.StatusCode != step.status {
			t.Errorf("POST %s: %s, want %d: %s", step.query, w.Status, step.status, body)
		}
	}
	for path, want := range map[string]string{
		"/org/team/charts/web-1.0.0.tgz":      string(archive),
		"/org/team/charts/web-1.0.0.tgz.prov": prov,
	} {
		if w, body := ask(t, "GET", base+path, nil); body != want {
			t.Errorf("%s: %s, %d bytes", path, w.Status, len(body))
		}
	}
	for _, step := range []struct {
		method, path string
		status       int
	}{
		{"HEAD", "/api/org/team/charts/web/1.0.0", 200},
		{"HEAD", "/api/org/team/charts/web", 200},
		{"HEAD", "/api/org/team/charts/other", 404},
		{"DELETE", "/api/org/team/charts/web/1.0.0", 200},
		{"HEAD", "/api/org/team/charts/web/1.0.0", 404},
		{"GET", "/org/team/charts/web-1.0.0.tgz.prov", 404},
	} {
		if w, body := ask(t, step.method, base+step.path, nil); w.StatusCode != step.status {
			t.Errorf("%s %s: %s, want %d: %s", step.method, step.path, w.Status, step.status, body)
		}
	}
}

// TestDeletedChart pushes charts to the registry and deletes them each way: nothing is left
// that a client could find, nor that a sweep would keep.
func TestDeletedChart(t *testing.T) {
	for _, path := range []string{"/v2/charts/c/manifests/1.0.0", "/v2/charts/c/manifests/DIGEST", "/api/charts/c/1.0.0"} {
		c := server.Config{Data: t.TempDir()}
		everybody(t, &c)
		base, _ := start(t, c)
		u := &uploaders{base: base, client: http.DefaultClient}
		if status, body, err := u.pushOCI("c", "1.0.0", pack(t, "c", "1.0.0", nil)); err != nil || status != http.StatusCreated {
			t.Fatal(status, body, err)
		}
		w, body := ask(t, "GET", base+"/v2/charts/c/manifests/1.0.0", nil)
		wantStatus(t, w, body, http.StatusOK)
		digest := w.Header.Get("Docker-Content-Digest")
		if w, body := ask(t, "DELETE", base+strings.Replace(path, "DIGEST", digest, 1), nil); w.StatusCode/100 != 2 {
			t.Errorf("%s: %s %s", path, w.Status, body)
		}
		for _, gone := range []string{"/v2/charts/c/manifests/1.0.0", "/v2/charts/c/tags/list", "/charts/c-1.0.0.tgz", "/api/charts/c/1.0.0"} {
			if w, body := ask(t, "GET", base+gone, nil); w.StatusCode != http.StatusNotFound {
				t.Errorf("%s after %s: %s %s", gone, path, w.Status, body)
			}
		}
		if x := readIndex(t, base); len(x.Entries) != 0 {
			t.Errorf("index after %s: %v", path, x)
		}
		manifests, err := filepath.Glob(filepath.Join(c.Data, ".pkg/registry/charts/c/_manifests/*"))
		// ChartMuseum's API knows nothing of manifests: that one is for the sweep.
		if err != nil || strings.HasPrefix(path, "/v2") && len(manifests) > 0 {
			t.Errorf("left after %s: %v (%v)", path, manifests, err)
		}
	}
}
