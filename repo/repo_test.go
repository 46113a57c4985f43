package repo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/repo"
)

// stamp is the time of everything in these tests.
var stamp = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func chartTree(name, version string) fstest.MapFS {
	return fstest.MapFS{
		"Chart.yaml":  {Data: fmt.Appendf(nil, "apiVersion: v2\nname: %s\nversion: %s\ndescription: the %s server\nkeywords: [net]\n", name, version, name)},
		"values.yaml": {Data: []byte("a: 1\n")},
	}
}

// server hosts packed charts with an index; wantAuth, when set, is needed for each
// request.
type server struct {
	*httptest.Server
	dir      string
	requests atomic.Int64
}

func newServer(t *testing.T, user, password string, charts ...fstest.MapFS) *server {
	t.Helper()
	s := &server{dir: t.TempDir()}
	for _, tree := range charts {
		c, err := chart.LoadFS(tree)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := chart.Save(&out, c, stamp); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, chart.ArchiveName(c)), out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	index, err := repo.IndexFolder(s.dir, "", stamp)
	if err != nil {
		t.Fatal(err)
	}
	if err := index.Write(filepath.Join(s.dir, "index.yaml"), false); err != nil {
		t.Fatal(err)
	}
	files := http.FileServer(http.Dir(s.dir))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		u, p, _ := r.BasicAuth()
		if u != user || p != password {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func newResolver(t *testing.T) *repo.Resolver {
	t.Helper()
	dir := t.TempDir()
	bundled := fstest.MapFS{}
	for file, data := range chartTree("mysql", "1.0.0") {
		bundled["mysql/"+file] = data
	}
	return &repo.Resolver{
		ConfigFile: filepath.Join(dir, "config", "repositories.yaml"),
		CacheDir:   filepath.Join(dir, "cache"),
		Bundled:    bundled,
	}
}

func add(t *testing.T, r *repo.Resolver, e repo.Repository) {
	t.Helper()
	err := r.ChangeConfig(stamp, func(c *repo.Config) error {
		c.Repositories = append(c.Repositories, &e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestResolveTakesTheVersionThatFits(t *testing.T) {
	s := newServer(t, "", "", chartTree("web", "1.0.0"), chartTree("web", "1.10.0"), chartTree("web", "1.9.0"), chartTree("web", "2.0.0-rc.1"))
	r := newResolver(t)
	add(t, r, repo.Repository{Name: "foo", URL: s.URL})
	for _, tt := range []struct {
		version string
		devel   bool
		want    string
	}{
		{"", false, "1.10.0"},
		{"", true, "2.0.0-rc.1"},
		{"1.9.0", false, "1.9.0"},
		{"~1.9", false, "1.9.0"},
		{"<1.10", false, "1.9.0"},
		{"2.0.0-rc.1", false, "2.0.0-rc.1"},
	} {
		res, err := r.Resolve(context.Background(), repo.Request{Ref: "foo/web", Version: tt.version, Devel: tt.devel})
		if err != nil {
			t.Errorf("%+v: %v", tt, err)
			continue
		}
		if got := res.Chart.Metadata.Version; got != tt.want || res.Source != "foo/web" {
			t.Errorf("%+v: got %s from %s", tt, got, res.Source)
		}
	}
	before := s.requests.Load()
	if _, err := r.Resolve(context.Background(), repo.Request{Ref: "foo/web"}); err != nil {
		t.Fatal(err)
	}
	if got := s.requests.Load() - before; got != 0 {
		t.Errorf("%d requests for a chart that is kept", got)
	}
	res, err := r.Resolve(context.Background(), repo.Request{Ref: "web", RepoURL: s.URL, Version: "1.0.0"})
	if err != nil || res.Chart.Metadata.Version != "1.0.0" {
		t.Errorf("--repo: %v", err)
	}
	res, err = r.Resolve(context.Background(), repo.Request{Ref: s.URL + "/web-1.9.0.tgz"})
	if err != nil || res.Chart.Metadata.Version != "1.9.0" {
		t.Errorf("URL: %v", err)
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	s := newServer(t, "", "", chartTree("web", "1.0.0"))
	r := newResolver(t)
	e := repo.Repository{Name: "foo", URL: s.URL}
	add(t, r, e)
	if _, err := r.Update(context.Background(), &e); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string][2]string{
		"foo/wep":     {"chart foo/wep: not found in repository foo (" + s.URL + "); nearest: foo/web", "pkg search repo foo/web"},
		"stable/mysq": {"chart stable/mysq: not found in repository stable (the charts that come with pkg); nearest: stable/mysql", "pkg search repo stable/mysql"},
		"mysql":       {"chart mysql: no such path, and no repository is named; nearest: stable/mysql", "use stable/mysql"},
		"bar/web":     {"chart bar/web: repository bar not found (repositories: bundled, foo, stable); nearest: foo/web", "pkg repo add bar URL"},
		"foo/web:9.9": {"chart foo/web: version 9.9 not found in repository foo (" + s.URL + ")", "pkg search repo web --versions"},
		"./not/there": {`path "./not/there" not found`, ""},
		"oci://r":     {"chart oci://r: registries are named oci://HOST/PATH", ""},
	} {
		req := repo.Request{Ref: ref}
		if i := strings.LastIndex(ref, ":9"); i > 0 {
			req.Ref, req.Version = ref[:i], ref[i+1:]
		}
		_, err := r.Resolve(context.Background(), req)
		if err == nil || err.Error() != want[0] {
			t.Errorf("%s: got  %v\nwant %s", ref, err, want[0])
			continue
		}
		var missing *repo.NotFoundError
		if want[1] != "" && (!errors.As(err, &missing) || missing.Hint() != want[1] || !errors.Is(err, repo.ErrNotFound)) {
			t.Errorf("%s: %#v, want hint %q", ref, err, want[1])
		}
	}
}

func TestStableIsBuiltInUntilAdded(t *testing.T) {
	r := newResolver(t)
	res, err := r.Resolve(context.Background(), repo.Request{Ref: "stable/mysql"})
	if err != nil || res.Note == "" {
		t.Fatalf("got %+v, %v", res, err)
	}
	s := newServer(t, "", "", chartTree("mysql", "9.0.0"))
	add(t, r, repo.Repository{Name: "stable", URL: s.URL})
	res, err = r.Resolve(context.Background(), repo.Request{Ref: "stable/mysql"})
	if err != nil || res.Chart.Metadata.Version != "9.0.0" || res.Note != "" {
		t.Errorf("after adding: %+v, %v", res, err)
	}
	res, err = r.Resolve(context.Background(), repo.Request{Ref: "bundled/mysql"})
	if err != nil || res.Chart.Metadata.Version != "1.0.0" {
		t.Errorf("bundled: %+v, %v", res, err)
	}
}

// A built-in chart brings the charts that it requires from the folders beside it.
func TestBundledDependencies(t *testing.T) {
	r := newResolver(t)
	site := chartTree("site", "1.0.0")
	bundled := r.Bundled.(fstest.MapFS)
	for file, data := range site {
		bundled["site/"+file] = data
	}
	require := func(version string) {
		bundled["site/Chart.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: v2\nname: site\nversion: 1.0.0\ndependencies:\n- {name: mysql, version: " + version + ", repository: file://../mysql}\n")}
	}
	require("^1.0")
	archive, err := r.Pull(context.Background(), repo.Request{Ref: "bundled/site"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := archive.Load()
	if err != nil {
		t.Fatal(err)
	}
	if missing := chart.MissingDependencies(c); len(missing) > 0 {
		t.Errorf("missing are %+v", missing)
	}
	require("^2.0")
	if _, err := r.Resolve(context.Background(), repo.Request{Ref: "bundled/site"}); err == nil || !strings.Contains(err.Error(), "version 1.0.0 is bundled, required is ^2.0") {
		t.Errorf("error %v", err)
	}
}

func TestDigestMustFit(t *testing.T) {
	s := newServer(t, "", "", chartTree("web", "1.0.0"))
	other := newServer(t, "", "", chartTree("web", "1.0.1"))
	data, err := os.ReadFile(filepath.Join(other.dir, "web-1.0.1.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "web-1.0.0.tgz"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = newResolver(t).Resolve(context.Background(), repo.Request{Ref: "web", RepoURL: s.URL})
	if err == nil || !strings.Contains(err.Error(), "the index says") {
		t.Errorf("got %v", err)
	}
}

func TestCredentials(t *testing.T) {
	s := newServer(t, "me", "secret", chartTree("web", "1.0.0"))
	r := newResolver(t)
	add(t, r, repo.Repository{Name: "foo", URL: s.URL})
	if _, err := r.Resolve(context.Background(), repo.Request{Ref: "foo/web"}); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("without: %v", err)
	}
	add(t, r, repo.Repository{Name: "bar", URL: s.URL, Username: "me", Password: "secret"})
	if _, err := r.Resolve(context.Background(), repo.Request{Ref: "bar/web"}); err != nil {
		t.Errorf("with: %v", err)
	}
	info, err := os.Stat(r.ConfigFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the configuration with passwords is readable by others: %v %v", info.Mode(), err)
	}
}

func TestCredentialsStayWithTheirHost(t *testing.T) {
	elsewhere := newServer(t, "", "", chartTree("web", "1.0.0"))
	s := newServer(t, "me", "secret")
	index, err := repo.IndexFolder(elsewhere.dir, elsewhere.URL, stamp)
	if err != nil {
		t.Fatal(err)
	}
	if err := index.Write(filepath.Join(s.dir, "index.yaml"), true); err != nil {
		t.Fatal(err)
	}
	req := repo.Request{Ref: "web", RepoURL: s.URL, Access: repo.Access{Username: "me", Password: "secret"}}
	if _, err := newResolver(t).Resolve(context.Background(), req); err != nil {
		t.Errorf("the other host was given credentials: %v", err) // it refuses any
	}
	req.Access.PassCredentialsAll = true
	if _, err := newResolver(t).Resolve(context.Background(), req); err == nil {
		t.Error("--pass-credentials passed none")
	}
}

func TestSearch(t *testing.T) {
	s := newServer(t, "", "", chartTree("web", "1.0.0"), chartTree("web", "1.1.0"), chartTree("cache", "0.1.0"))
	r := newResolver(t)
	e := repo.Repository{Name: "foo", URL: s.URL}
	add(t, r, e)
	if _, err := r.Update(context.Background(), &e); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		q    repo.SearchQuery
		want []string
	}{
		{repo.SearchQuery{}, []string{"foo/cache 0.1.0", "foo/web 1.1.0", "stable/mysql 1.0.0"}},
		{repo.SearchQuery{Words: []string{"WEB"}}, []string{"foo/web 1.1.0"}},
		{repo.SearchQuery{Words: []string{"web"}, Versions: true}, []string{"foo/web 1.1.0", "foo/web 1.0.0"}},
		{repo.SearchQuery{Words: []string{"web"}, Version: "<1.1"}, []string{"foo/web 1.0.0"}},
		{repo.SearchQuery{Words: []string{"^foo/c"}, Regexp: true}, []string{"foo/cache 0.1.0"}},
		{repo.SearchQuery{Words: []string{"nothing like it"}}, nil},
	} {
		hits, err := r.Search(tt.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, h := range hits {
			got = append(got, h.Name+" "+h.Version)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%+v:\n%s", tt.q, diff)
		}
	}
}

func TestCompleteAndVendor(t *testing.T) {
	s := newServer(t, "", "", chartTree("web", "1.0.0"), chartTree("web", "1.1.0"))
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("local/Chart.yaml", "apiVersion: v2\nname: local\nversion: 0.3.0\n")
	top := "apiVersion: v2\nname: top\nversion: 1.0.0\ndependencies:\n" +
		"- {name: web, version: 1.x.x, repository: " + s.URL + "}\n" +
		"- {name: local, version: 0.3.0, repository: \"file://../local\"}\n"
	write("top/Chart.yaml", top)

	r := newResolver(t)
	res, err := r.Resolve(context.Background(), repo.Request{Ref: filepath.Join(dir, "top")})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Complete(context.Background(), res.Chart, res.Dir); err != nil {
		t.Fatal(err)
	}
	if err := chart.CheckDependencies(res.Chart); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "top", "charts")); !errors.Is(err, os.ErrNotExist) {
		t.Error("completing in memory wrote files")
	}

	locked, err := r.Vendor(context.Background(), filepath.Join(dir, "top"), repo.VendorOptions{Now: stamp})
	if err != nil {
		t.Fatal(err)
	}
	if locked[0].Version != "1.1.0" {
		t.Errorf("locked %s", locked[0].Version)
	}
	c, err := chart.Load(filepath.Join(dir, "top"))
	if err != nil || chart.CheckDependencies(c) != nil || c.Lock == nil {
		t.Errorf("vendored chart: %+v, %v", c, err)
	}
	write("top/Chart.yaml", top+"- {name: more, version: 1.0.0, repository: "+s.URL+"}\n")
	if _, err := r.Vendor(context.Background(), filepath.Join(dir, "top"), repo.VendorOptions{FromLock: true, Now: stamp}); err == nil || !strings.Contains(err.Error(), "out of sync") {
		t.Errorf("stale lock: %v", err)
	}
	if _, err := r.Vendor(context.Background(), filepath.Join(dir, "top"), repo.VendorOptions{Now: stamp}); err == nil {
		t.Error("a missing chart was vendored")
	}
}

// TestVendorNothing: without dependencies there is no lock, as in Helm.
func TestVendorNothing(t *testing.T) {
	for _, fromLock := range []bool{false, true} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte("apiVersion: v2\nname: a\nversion: 1.0.0\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		r := &repo.Resolver{}
		if locked, err := r.Vendor(t.Context(), dir, repo.VendorOptions{FromLock: fromLock, Now: stamp}); err != nil || len(locked) > 0 {
			t.Errorf("locked %v, %v", locked, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "Chart.lock")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("there is a lock: %v", err)
		}
	}
}

// TestLockDigestIsHelms compares with the Chart.lock that `helm dependency update`
// (3.21.4) wrote for these requirements.
func TestLockDigestIsHelms(t *testing.T) {
	asked := []*chart.Dependency{{Name: "local", Version: "0.3.x", Repository: "file://../local", Alias: "other", Tags: []string{"t"}}}
	found := []*chart.Dependency{{Name: "local", Version: "0.3.0", Repository: "file://../local"}}
	got, err := repo.LockDigest(asked, found)
	if err != nil {
		t.Fatal(err)
	}
	if want := "sha256:3bb75a0359a4c0444e3f61d29b785508bee9abc4c3d346262e610ce58c9864ec"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestConcurrentChangesAreAllKept(t *testing.T) {
	r := newResolver(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			err := r.ChangeConfig(stamp, func(c *repo.Config) error {
				c.Repositories = append(c.Repositories, &repo.Repository{Name: fmt.Sprint("r", i), URL: "http://localhost"})
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	list, err := r.Repositories()
	if err != nil || len(list) != 20 {
		t.Errorf("%d repositories, %v", len(list), err)
	}
}

func TestSystemRepositoriesAreBelowTheUsers(t *testing.T) {
	r := newResolver(t)
	r.SystemConfig = filepath.Join(t.TempDir(), "repositories.yaml")
	text := "repositories:\n- {name: foo, url: http://system}\n- {name: sys, url: http://sys}\n"
	if err := os.WriteFile(r.SystemConfig, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	add(t, r, repo.Repository{Name: "foo", URL: "http://user"})
	list, err := r.Repositories()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].URL != "http://user" || list[1].Name != "sys" {
		t.Errorf("got %+v %+v", list[0], list[1])
	}
}

func TestRepositoryNamesAndURLs(t *testing.T) {
	for _, bad := range []repo.Repository{
		{Name: "a/b", URL: "http://x"}, {Name: "", URL: "http://x"}, {Name: "bundled", URL: "http://x"}, {Name: "a", URL: "ftp://x"}, {Name: "a", URL: "no url"},
	} {
		if repo.CheckRepository(&bad) == nil {
			t.Errorf("%+v passed", bad)
		}
	}
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nentries: {a: [{name: a, version: 1.0.0, urls: [x]}]}\n"))
	f.Add([]byte(`{"apiVersion":"v1","entries":{"a":[null,{"name":"a"}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		index, err := repo.ParseIndex(data)
		if err != nil {
			return
		}
		for _, name := range index.Names() {
			_, _ = index.Find(name, "", true) // must not panic
		}
	})
}
