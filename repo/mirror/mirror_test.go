package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/chart/provenance"
	"github.com/seed38700745/pkg/repo"
	"github.com/seed38700745/pkg/repo/mirror"
	"github.com/seed38700745/pkg/repo/server"
)

// pack makes a chart's archive.
func pack(t *testing.T, name, version, content string) []byte {
	t.Helper()
	c, err := chart.LoadFS(fstest.MapFS{
		"Chart.yaml":     {Data: []byte("apiVersion: v2\nname: " + name + "\nversion: " + version + "\n")},
		"templates/a.ym": {Data: []byte(content)},
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := chart.Save(&out, c, time.Time{}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// source is a folder with charts, served over HTTP.
type source struct {
	dir   string
	url   string
	key   *provenance.Key
	asked atomic.Int64                   // requests for archives
	stop  func(path string) (status int) // 0 lets a request through
}

func newSource(t *testing.T) *source {
	t.Helper()
	s := &source{dir: t.TempDir(), key: newKey(t)}
	s.add(t, "web", "1.0.0", "1.1.0", "2.0.0", "2.1.0-rc.1")
	s.add(t, "db", "0.1.0", "0.2.0")
	s.index(t)
	files := http.FileServer(http.Dir(s.dir))
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".tgz") {
			s.asked.Add(1)
		}
		if s.stop != nil {
			if status := s.stop(r.URL.Path); status != 0 {
				http.Error(w, "no", status)
				return
			}
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	s.url = h.URL
	return s
}

func (s *source) add(t *testing.T, name string, versions ...string) {
	t.Helper()
	for _, v := range versions {
		file, data := filepath.Join(s.dir, name+"-"+v+".tgz"), pack(t, name, v, "")
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if name != "web" { // which is signed
			continue
		}
		signed, err := provenance.Sign(filepath.Base(file), data, s.key)
		if err == nil {
			err = os.WriteFile(file+".prov", signed, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func newKey(t *testing.T) *provenance.Key {
	t.Helper()
	e, err := openpgp.NewEntity("ann", "", "ann@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "ring"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.SerializePrivate(f, nil), f.Close()); err != nil {
		t.Fatal(err)
	}
	ring, err := provenance.ReadKeyring(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	key, err := ring.Key("ann")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (s *source) index(t *testing.T) {
	t.Helper()
	x, err := repo.IndexFolder(s.dir, "", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Write(filepath.Join(s.dir, "index.yaml"), false); err != nil {
		t.Fatal(err)
	}
}

func resolver(t *testing.T) *repo.Resolver {
	return &repo.Resolver{CacheDir: t.TempDir(), ConfigFile: filepath.Join(t.TempDir(), "none"), Passing: true}
}

// serve runs this project's own server.
func serve(t *testing.T) string {
	t.Helper()
	c := server.Config{Data: t.TempDir(), Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)}
	c.Access.AnonymousPush = true
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
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// run mirrors what a selection picks.
func run(t *testing.T, r *repo.Resolver, from string, to mirror.Destination, s mirror.Selection) *mirror.Result {
	t.Helper()
	all, _, err := r.List(t.Context(), from, repo.Access{})
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.Select(all)
	if err != nil {
		t.Fatal(err)
	}
	j := mirror.Job{Resolver: r, To: to}
	out, err := j.Run(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func want(t *testing.T, what string, got *mirror.Result, copied, present int, failed ...string) {
	t.Helper()
	var names []string
	for _, f := range got.Failed {
		names = append(names, f.Chart+" "+f.Version)
	}
	if got.Copied != copied || got.Present != present || !slices.Equal(names, failed) {
		t.Errorf("%s: %d copied, %d present, failed %v; want %d, %d, %v", what, got.Copied, got.Present, got.Failed, copied, present, failed)
	}
}

// TestFolder: a folder gets archives, provenance files and an index; the second run
// fetches nothing, and a run that broke off goes on.
func TestFolder(t *testing.T) {
	s, r := newSource(t), resolver(t)
	dir := filepath.Join(t.TempDir(), "new", "folder")
	to := &mirror.Folder{Dir: dir, Now: time.Now}
	s.stop = func(path string) int {
		if strings.Contains(path, "web-2.0.0.tgz.prov") || path == "/db-0.2.0.tgz" {
			return http.StatusInternalServerError // which is not "there is none"
		}
		return 0
	}
	want(t, "first", run(t, r, s.url, to, mirror.Selection{}), 4, 0, "db 0.2.0", "web 2.0.0")
	s.stop = nil
	want(t, "second", run(t, r, s.url, to, mirror.Selection{}), 2, 4)
	before := s.asked.Load()
	want(t, "third", run(t, r, s.url, to, mirror.Selection{}), 0, 6)
	if s.asked.Load() != before {
		t.Errorf("%d archives were fetched again", s.asked.Load()-before)
	}
	for name := range map[string]bool{"web-1.0.0.tgz": true, "web-1.0.0.tgz.prov": true, "db-0.1.0.tgz": true} {
		a, errA := os.ReadFile(filepath.Join(s.dir, name))
		b, errB := os.ReadFile(filepath.Join(dir, name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs (%v, %v)", name, errA, errB)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "index.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	x, err := repo.ParseIndex(data)
	if err != nil || len(x.Entries["web"]) != 4 || len(x.Entries["db"]) != 2 {
		t.Fatalf("index %v, %v", x, err)
	}
	if at := x.Entries["db"][0].Created; at.Year() != 2026 || at.Month() != 1 {
		t.Errorf("the index says %s, the source's another time", at)
	}
	// A file that was changed here is replaced.
	if err := os.WriteFile(filepath.Join(dir, "db-0.1.0.tgz"), []byte("broken"), 0o644); err != nil {
		t.Fatal(err)
	}
	want(t, "damaged", run(t, r, s.url, to, mirror.Selection{}), 1, 5)
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestServerAndRegistry: through ChartMuseum's API and as OCI artifacts, from one to
// the other, to end with what was there at first.
func TestServerAndRegistry(t *testing.T) {
	s, r := newSource(t), resolver(t)
	first := serve(t)
	open := func(url string) mirror.Destination {
		t.Helper()
		to, err := mirror.OpenServer(t.Context(), r, url, repo.Access{})
		if err != nil {
			t.Fatal(err)
		}
		return to
	}
	want(t, "to a server", run(t, r, s.url, open(first), mirror.Selection{}), 6, 0)
	want(t, "again", run(t, r, s.url, open(first), mirror.Selection{}), 0, 6)
	tenant := first + "/team/copies"
	want(t, "to a tenant", run(t, r, first, open(tenant), mirror.Selection{Charts: []mirror.Wanted{{Name: "db"}}}), 2, 0)
	second := "oci://" + strings.TrimPrefix(serve(t), "http://") + "/charts"
	registry := &mirror.Registry{Resolver: r, Below: second}
	want(t, "to a registry", run(t, r, first, registry, mirror.Selection{}), 6, 0)
	want(t, "to a registry again", run(t, r, first, registry, mirror.Selection{}), 0, 6)
	dir := t.TempDir()
	folder := &mirror.Folder{Dir: dir, Now: time.Now}
	want(t, "from a registry", run(t, r, second, folder, mirror.Selection{}), 6, 0)
	want(t, "from a registry again", run(t, r, second, folder, mirror.Selection{}), 0, 6)
	for _, name := range []string{"web-2.0.0.tgz", "web-2.0.0.tgz.prov", "db-0.2.0.tgz"} {
		a, errA := os.ReadFile(filepath.Join(s.dir, name))
		b, errB := os.ReadFile(filepath.Join(dir, name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s is another one after three mirrors (%v, %v)", name, errA, errB)
		}
	}
	// Another content under the same version replaces what is there.
	if err := os.WriteFile(filepath.Join(s.dir, "db-0.1.0.tgz"), pack(t, "db", "0.1.0", "new"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.index(t)
	later := time.Now().Add(time.Minute) // HTTP's times are whole seconds
	if err := os.Chtimes(filepath.Join(s.dir, "index.yaml"), later, later); err != nil {
		t.Fatal(err)
	}
	want(t, "a replaced version", run(t, r, s.url, open(first), mirror.Selection{}), 1, 5)
	// The registry, by its policy, does not take another content; that is told.
	want(t, "and behind it", run(t, r, first, registry, mirror.Selection{}), 0, 5, "db 0.1.0")
}

// TestWrongContent: a server that gives another chart, or another content than its
// index says, has these named, and nothing of them arrives.
func TestWrongContent(t *testing.T) {
	s, r := newSource(t), resolver(t)
	if err := os.WriteFile(filepath.Join(s.dir, "db-0.1.0.tgz"), pack(t, "db", "0.1.0", "other"), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	got := run(t, r, s.url, &mirror.Folder{Dir: dir, Now: time.Now}, mirror.Selection{Charts: []mirror.Wanted{{Name: "db"}}})
	want(t, "another digest", got, 1, 0, "db 0.1.0")
	if _, err := os.Stat(filepath.Join(dir, "db-0.1.0.tgz")); err == nil {
		t.Error("it arrived all the same")
	}
	if len(got.Failed) == 1 && !strings.Contains(got.Failed[0].Error(), "db 0.1.0: ") {
		t.Errorf("error %v", got.Failed[0])
	}
}

// TestBreakingOff: a mirroring that is interrupted ends soon, and what has arrived
// counts for the next one.
func TestBreakingOff(t *testing.T) {
	s, r := newSource(t), resolver(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	dir := t.TempDir()
	to := &mirror.Folder{Dir: dir, Now: time.Now}
	all, _, err := r.List(ctx, s.url, repo.Access{})
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	j := mirror.Job{Resolver: r, To: to, Parallel: 1, Say: func(repo.Listed, int) { cancel(enough) }}
	if _, err := j.Run(ctx, all); !errors.Is(err, enough) {
		t.Errorf("broken off: %v", err)
	}
	want(t, "the next", run(t, r, s.url, to, mirror.Selection{}), 5, 1)
}

func TestSelect(t *testing.T) {
	s, r := newSource(t), resolver(t)
	all, _, err := r.List(t.Context(), s.url, repo.Access{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what string
		s    mirror.Selection
		want string
	}{
		{"all", mirror.Selection{}, "db 0.2.0, db 0.1.0, web 2.1.0-rc.1, web 2.0.0, web 1.1.0, web 1.0.0"},
		{"latest", mirror.Selection{Latest: 1}, "db 0.2.0, web 2.0.0"},
		{"latest with prereleases", mirror.Selection{Latest: 1, Devel: true}, "db 0.2.0, web 2.1.0-rc.1"},
		{"constraint", mirror.Selection{Charts: []mirror.Wanted{{"web", "^1"}}}, "web 1.1.0, web 1.0.0"},
		{"two of a chart", mirror.Selection{Charts: []mirror.Wanted{{"web", "^1"}, {"web", "1.1.0"}, {"web", "2.1.0-rc.1"}}}, "web 2.1.0-rc.1, web 1.1.0, web 1.0.0"},
		{"since", mirror.Selection{Since: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}, ""},
	} {
		got, err := tt.s.Select(all)
		if err != nil {
			t.Errorf("%s: %v", tt.what, err)
		}
		var names []string
		for _, l := range got {
			names = append(names, l.Chart+" "+l.Version)
		}
		if tt.what == "two of a chart" {
			slices.Sort(names)
			slices.Reverse(names)
		}
		if diff := cmp.Diff(tt.want, strings.Join(names, ", ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.what, diff)
		}
	}
	for _, bad := range []mirror.Wanted{{"nothing", ""}, {"web", "^9"}, {"web", "???"}} {
		if got, err := (mirror.Selection{Charts: []mirror.Wanted{bad}}).Select(all); err == nil || !strings.Contains(err.Error(), "chart "+bad.Name) {
			t.Errorf("%v: %v, %v", bad, got, err)
		}
	}
}

// TestHostileNames: a name that leads elsewhere is refused before anything is written.
func TestHostileNames(t *testing.T) {
	dir := t.TempDir()
	j := mirror.Job{Resolver: resolver(t), To: &mirror.Folder{Dir: filepath.Join(dir, "in"), Now: time.Now}}
	l := repo.Listed{Chart: "../out"}
	l.Version = "1.0.0"
	got, err := j.Run(t.Context(), []repo.Listed{l})
	if err != nil || len(got.Failed) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "out*")); len(found) > 0 {
		t.Error(fmt.Sprint(found))
	}
}

// TestRefusedUpload: a server's reason is in the error.
func TestRefusedUpload(t *testing.T) {
	s, r := newSource(t), resolver(t)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusInsufficientStorage)
			_, _ = io.WriteString(w, `{"error":"the disk is full"}`)
			return
		}
		_, _ = io.WriteString(w, "apiVersion: v1\nentries: {}\n")
	}))
	defer h.Close()
	to, err := mirror.OpenServer(t.Context(), r, h.URL, repo.Access{})
	if err != nil {
		t.Fatal(err)
	}
	got := run(t, r, s.url, to, mirror.Selection{Charts: []mirror.Wanted{{Name: "db"}}})
	want(t, "refused", got, 0, 0, "db 0.2.0", "db 0.1.0")
	if len(got.Failed) > 0 && !strings.Contains(got.Failed[0].Error(), "the disk is full") {
		t.Errorf("error %v", got.Failed[0])
	}
}
