package repo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/repo"
)

// newRegistry is a registry in memory; with a user it wants credentials.
func newRegistry(t *testing.T, user, password string) (host string) {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); user != "" && (u != user || p != password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func packed(t *testing.T, tree fstest.MapFS) *repo.Archive {
	t.Helper()
	c, err := chart.LoadFS(tree)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := chart.Save(&out, c, stamp); err != nil {
		t.Fatal(err)
	}
	return &repo.Archive{Name: chart.ArchiveName(c), Data: out.Bytes()}
}

func TestRegistry(t *testing.T) {
	host := newRegistry(t, "", "")
	r := newResolver(t)
	ctx := context.Background()
	for _, version := range []string{"1.0.0", "1.1.0", "1.2.0+build.5", "2.0.0-rc1"} {
		a := packed(t, chartTree("web", version))
		if version == "1.1.0" {
			a.Provenance = []byte("signed")
		}
		pushed, err := r.Push(ctx, a, "oci://"+host+"/charts", repo.Access{})
		if err != nil {
			t.Fatal(err)
		}
		if want := host + "/charts/web:" + strings.ReplaceAll(version, "+", "_"); pushed.Ref != want {
			t.Errorf("pushed as %s, want %s", pushed.Ref, want)
		}
	}
	base := "oci://" + host + "/charts/web"
	first, err := r.Pull(ctx, repo.Request{Ref: base, Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		ref, version string
		devel        bool
		want         string
	}{
		{base, "", false, "1.2.0+build.5"},
		{base, "", true, "2.0.0-rc1"},
		{base, "~1.1", false, "1.1.0"},
		{base, "1.2.0+build.5", false, "1.2.0+build.5"},
		{base + ":1.0.0", "", false, "1.0.0"},
		{base + ":1.2.0+build.5", "", false, "1.2.0+build.5"},
		{base + "@" + first.Manifest, "", false, "1.0.0"},
	} {
		res, err := r.Resolve(ctx, repo.Request{Ref: tt.ref, Version: tt.version, Devel: tt.devel})
		if err != nil {
			t.Errorf("%s %s: %v", tt.ref, tt.version, err)
		} else if got := res.Chart.Metadata.Version; got != tt.want {
			t.Errorf("%s %s: got %s, want %s", tt.ref, tt.version, got, tt.want)
		}
	}
	signed, err := r.Pull(ctx, repo.Request{Ref: base, Version: "1.1.0", Provenance: true})
	if err != nil || string(signed.Provenance) != "signed" {
		t.Errorf("provenance %q, %v", signed.Provenance, err)
	}
	for ref, want := range map[string]string{
		base + ":9.9.9":                  "MANIFEST_UNKNOWN",
		"oci://" + host + "/charts/none": "NAME_UNKNOWN",
	} {
		if _, err := r.Pull(ctx, repo.Request{Ref: ref, Version: ""}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if _, err := r.Pull(ctx, repo.Request{Ref: base, Version: "1.0.0", Provenance: true}); err == nil {
		t.Error("a chart without provenance was pulled where one is wanted")
	}
	if _, err := r.Pull(ctx, repo.Request{Ref: base, Version: ">9"}); !errors.Is(err, repo.ErrNotFound) {
		t.Errorf("no version fits: %v", err)
	}
}

func TestRegistryCredentials(t *testing.T) {
	host := newRegistry(t, "me", "secret")
	r := newResolver(t)
	r.RegistryConfig = filepath.Join(t.TempDir(), "registry", "config.json")
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	ctx := context.Background()
	push := func() error {
		_, err := r.Push(ctx, packed(t, chartTree("web", "1.0.0")), "oci://"+host, repo.Access{})
		return err
	}
	if err := push(); err == nil {
		t.Fatal("pushed without credentials")
	}
	if err := r.Login(ctx, host, repo.Access{Username: "me", Password: "wrong"}); err == nil {
		t.Fatal("logged in with a wrong password")
	}
	if err := r.Login(ctx, "oci://"+host+"/x", repo.Access{Username: "me", Password: "secret"}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(r.RegistryConfig); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("credentials file: %v, %v", info, err)
	}
	if err := push(); err != nil {
		t.Error(err)
	}
	if err := r.Logout(host); err != nil {
		t.Fatal(err)
	}
	if err := push(); err == nil {
		t.Error("pushed after logging out")
	}
}

// TestVendorFromRegistryAndAliases: several versions of one chart under aliases, one
// from a registry; nothing changes when one of them is missing.
func TestVendorFromRegistryAndAliases(t *testing.T) {
	host := newRegistry(t, "", "")
	s := newServer(t, "", "", chartTree("web", "1.0.0"), chartTree("web", "2.0.0"))
	r := newResolver(t)
	ctx := context.Background()
	if _, err := r.Push(ctx, packed(t, chartTree("db", "3.1.0+b")), "oci://"+host+"/x", repo.Access{}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	requirements := fmt.Sprintf(`apiVersion: v2
name: top
version: 1.0.0
dependencies:
- {name: web, version: 1.x, repository: %[1]s}
- {name: web, version: 2.x, repository: %[1]s, alias: second}
- {name: db, version: ^3.0.0, repository: "oci://%[2]s/x"}
`, s.URL, host)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files := func() string {
		list, err := filepath.Glob(filepath.Join(dir, "charts", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			list[i] = filepath.Base(list[i])
		}
		return strings.Join(list, " ")
	}
	write(requirements + "- {name: nope, version: 1.x, repository: " + s.URL + "}\n")
	if _, err := r.Vendor(ctx, dir, repo.VendorOptions{Now: stamp}); err == nil || files() != "" {
		t.Fatalf("error %v, files %q", err, files())
	}
	write(requirements)
	before := s.requests.Load()
	if _, err := r.Vendor(ctx, dir, repo.VendorOptions{Now: stamp}); err != nil {
		t.Fatal(err)
	}
	if n := s.requests.Load() - before; n > 3 { // the index was kept; two archives
		t.Errorf("%d requests", n)
	}
	if got, want := files(), "db-3.1.0+b.tgz web-1.0.0.tgz web-2.0.0.tgz"; got != want {
		t.Errorf("vendored %s, want %s", got, want)
	}
	// What is locked stays, though newer versions come.
	if _, err := r.Push(ctx, packed(t, chartTree("db", "3.2.0")), "oci://"+host+"/x", repo.Access{}); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "charts")); err != nil {
		t.Fatal(err)
	}
	locked, err := r.Vendor(ctx, dir, repo.VendorOptions{FromLock: true, Now: stamp})
	if err != nil {
		t.Fatal(err)
	}
	if locked[0].Version != "1.0.0" || locked[1].Version != "2.0.0" || locked[2].Version != "3.1.0+b" {
		t.Errorf("%v %v %v", locked[0], locked[1], locked[2])
	}
	// An update takes the newer one and removes the old.
	if _, err := r.Vendor(ctx, dir, repo.VendorOptions{Now: stamp}); err != nil {
		t.Fatal(err)
	}
	if got, want := files(), "db-3.2.0.tgz web-1.0.0.tgz web-2.0.0.tgz"; got != want {
		t.Errorf("vendored %s, want %s", got, want)
	}
	refused := errors.New("refused")
	_, err = r.Vendor(ctx, dir, repo.VendorOptions{Now: stamp, Verify: func(*repo.Archive) error { return refused }})
	if err == nil {
		t.Error("vendored what nobody signed")
	}
}
