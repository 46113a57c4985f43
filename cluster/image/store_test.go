package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/seed38700745/pkg/cluster/cri"
)

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"mysql":                                         "docker.io/library/mysql:latest",
		"docker.io/library/mysql:8.0":                   "docker.io/library/mysql:8.0",
		"index.docker.io/mysql:8.0":                     "docker.io/library/mysql:8.0",
		"grafana/grafana:1":                             "docker.io/grafana/grafana:1",
		"localhost:5000/x":                              "localhost:5000/x:latest",
		"deb.internal/bookworm/bb/zz/aa/zz:1":           "deb.internal/bookworm/bb/aa/zz:1",
		"deb.internal/bookworm/g__p__p:1__p2":           "deb.internal/bookworm/g__p__p:1__p2",
		"ghcr.io/a/b@sha256:" + strings.Repeat("a", 64): "ghcr.io/a/b@sha256:" + strings.Repeat("a", 64),
	} {
		if got, err := Normalize(in); err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "UPPER", "a b", "x:y:z", "deb.internal/bookworm:1", "deb.internal/bookworm/_x:1", "sha256:abc"} {
		if got, err := Normalize(in); !errors.Is(err, ErrInvalidName) {
			t.Errorf("%q is %s, %v", in, got, err)
		}
	}
	_, err := Normalize("UPPER")
	if want := `couldn't parse image name "UPPER": invalid reference format`; !strings.Contains(err.Error(), want) {
		t.Errorf("error %v", err)
	}
}

// serve runs a registry on loopback and returns its host.
func serve(t *testing.T, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	var h http.Handler = registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		h = wrap(h)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func push(t *testing.T, to string, img v1.Image, options ...remote.Option) {
	t.Helper()
	ref, err := name.ParseReference(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img, options...); err != nil {
		t.Fatal(err)
	}
}

func TestPull(t *testing.T) {
	var requests atomic.Int64
	host := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			h.ServeHTTP(w, r)
		})
	})
	ref := host + "/app:1"
	config := v1.Config{Env: []string{"A=b"}, Entrypoint: []string{"/run"}, Cmd: []string{"x"}, User: "web", WorkingDir: "/srv",
		StopSignal: "SIGQUIT", ExposedPorts: map[string]struct{}{"80/tcp": {}}, Volumes: map[string]struct{}{"/data": {}}, Labels: map[string]string{"l": "v"}}
	push(t, ref, imageWith(t, config, layerOf(t, regular("version", "1"))))
	s := open(t, Config{})
	if _, err := s.Ensure(t.Context(), ref, cri.PullNever, nil, nil); !errors.Is(err, ErrNeverPull) ||
		err.Error() != fmt.Sprintf("Container image %q is not present with pull policy of Never", ref) {
		t.Errorf("never: %v", err)
	}
	var stages []string
	img, err := s.Ensure(t.Context(), ref, cri.PullIfNotPresent, nil, func(p cri.ImageProgress) {
		if len(stages) == 0 || stages[len(stages)-1] != p.Stage {
			stages = append(stages, p.Stage)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"resolving", "downloading", "unpacking"}, stages); diff != "" {
		t.Error(diff)
	}
	want := cri.ImageConfig{Env: config.Env, Entrypoint: config.Entrypoint, Cmd: config.Cmd, User: "web", WorkingDir: "/srv",
		StopSignal: "SIGQUIT", ExposedPorts: []string{"80/tcp"}, Volumes: []string{"/data"}, Labels: config.Labels}
	if diff := cmp.Diff(want, img.Config); diff != "" {
		t.Error(diff)
	}
	if img.Name != ref || !strings.HasPrefix(img.Digest, host+"/app@sha256:") || img.Origin != "" || read(t, img.Layers[0], "version") != "1" {
		t.Errorf("image %+v", img)
	}
	// Present ones need no registry, also by digest and in a new store.
	before := requests.Load()
	for _, n := range []string{ref, img.Digest} {
		if again, err := s.Ensure(t.Context(), n, cri.PullIfNotPresent, nil, nil); err != nil || again.ID != img.ID {
			t.Errorf("%s again: %v, %v", n, again.ID, err)
		}
	}
	if later, ok := open(t, Config{Root: s.config.Root}).Present(ref); !ok || cmp.Diff(img, later) != "" {
		t.Errorf("a new store has %+v", later)
	}
	if requests.Load() != before {
		t.Error("the registry was asked for what is present")
	}
	// Always sees the tag move.
	push(t, ref, imageWith(t, v1.Config{}, layerOf(t, regular("version", "2"))))
	moved, err := s.Ensure(t.Context(), ref, cri.PullAlways, nil, nil)
	if err != nil || read(t, moved.Layers[0], "version") != "2" {
		t.Errorf("after the move: %+v, %v", moved, err)
	}
	// The image that the tag stood for stays, by its digest, until it is pruned.
	for _, keep := range []bool{true, false} {
		if _, _, err := s.Prune(func(id string) bool { return id == moved.ID || keep && id == img.ID }); err != nil {
			t.Fatal(err)
		}
		if old, ok := open(t, Config{Root: s.config.Root}).Present(img.Digest); ok != keep || keep && (old.ID != img.ID || old.Name != img.Digest) {
			t.Errorf("kept %v: the image of the old tag is %+v, %v", keep, old, ok)
		}
	}
	_, err = s.Ensure(t.Context(), host+"/app:none", cri.PullIfNotPresent, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "the registry has no "+host+"/app:none") {
		t.Errorf("a missing tag: %v", err)
	}
}

func TestPullPlatformOfIndex(t *testing.T) {
	host := serve(t, nil)
	right := imageWith(t, v1.Config{}, layerOf(t, regular("arch", "mine")))
	wrong := imageWith(t, v1.Config{}, layerOf(t, regular("arch", "other")))
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: wrong, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}},
		mutate.IndexAddendum{Add: right, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	ref, err := name.ParseReference(host + "/multi:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	img, err := open(t, Config{Arch: "amd64"}).Ensure(t.Context(), ref.Name(), cri.PullIfNotPresent, nil, nil)
	if err != nil || read(t, img.Layers[0], "arch") != "mine" {
		t.Errorf("image %+v, %v", img, err)
	}
	if _, err := open(t, Config{Arch: "riscv64"}).Ensure(t.Context(), ref.Name(), cri.PullIfNotPresent, nil, nil); err == nil {
		t.Error("an image of another architecture was taken")
	}
}

func TestUnreachableRegistryGivesUpFast(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, Config{Substitutes: map[string]Substitute{address + "/app:1": {Image: "deb.internal/bookworm/busybox-static:1.35"}}, NoSubstitution: true})
	begin := time.Now()
	_, err = s.Ensure(t.Context(), address+"/app:1", cri.PullIfNotPresent, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "cannot reach 127.0.0.1") || !strings.Contains(err.Error(), "substitution is switched off") {
		t.Errorf("error %v", err)
	}
	// An address of the documentation's network (RFC 5737) swallows packets, or
	// is refused at once.
	_, err = s.Ensure(t.Context(), "192.0.2.1:5000/app:1", cri.PullIfNotPresent, nil, nil)
	var ce *connectError
	if !errors.As(err, &ce) {
		t.Errorf("error %v", err)
	}
	if took := time.Since(begin); took > 3*defaultConnectTimeout {
		t.Errorf("giving up took %v", took)
	}
}

func TestRefusalIsNotSubstituted(t *testing.T) {
	host := serve(t, nil)
	s := open(t, Config{Substitutes: map[string]Substitute{host + "/app:1": {Image: "deb.internal/bookworm/busybox-static:1.35"}}})
	_, err := s.Ensure(t.Context(), host+"/app:1", cri.PullIfNotPresent, nil, nil)
	if err == nil || strings.Contains(err.Error(), "substitute") {
		t.Errorf("error %v", err)
	}
}

func TestSingleFlight(t *testing.T) {
	release := make(chan struct{})
	var manifests atomic.Int64
	host := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/") {
				manifests.Add(1)
				<-release
			}
			h.ServeHTTP(w, r)
		})
	})
	push(t, host+"/app:1", imageWith(t, v1.Config{}, layerOf(t, regular("a", "a"))))
	s := open(t, Config{})
	leaving, leave := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for i := range 5 {
		ctx := t.Context()
		if i == 0 {
			ctx = leaving // the first one's leaving does not end the others' work
		}
		group.Go(func() {
			_, err := s.Ensure(ctx, host+"/app:1", cri.PullIfNotPresent, nil, nil)
			if i == 0 && !errors.Is(err, context.Canceled) || i != 0 && err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		})
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		s.flights.mu.Lock()
		callers := 0
		for _, f := range s.flights.running {
			callers = f.callers
		}
		s.flights.mu.Unlock()
		if callers == 5 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d callers", callers)
		}
		<-time.After(time.Millisecond)
	}
	leave()
	close(release)
	group.Wait()
	if n := manifests.Load(); n != 1 {
		t.Errorf("the manifest was fetched %d times", n)
	}
}

func TestSaveAndLoad(t *testing.T) {
	s := open(t, Config{})
	shared := layerOf(t, regular("shared", "s"))
	one := addTo(t, s, "docker.io/library/one:1", imageWith(t, v1.Config{Cmd: []string{"one"}}, shared, layerOf(t, regular("one", "1"))))
	two := addTo(t, s, "docker.io/library/two:2", imageWith(t, v1.Config{}, shared))
	var archive bytes.Buffer
	if err := s.Save(t.Context(), []string{"one:1", "two:2"}, &archive); err != nil {
		t.Fatal(err)
	}
	var byID bytes.Buffer
	if err := s.Save(t.Context(), []string{one.ID}, &byID); err != nil {
		t.Fatal(err)
	}
	if loaded, err := open(t, Config{}).Load(t.Context(), &byID); err != nil || len(loaded) != 1 || loaded[0].ID != one.ID {
		t.Errorf("saved by ID: %v, %v", loaded, err)
	}
	dir := t.TempDir() // the archive is an OCI layout, too
	if err := os.WriteFile(filepath.Join(dir, "a.tar"), archive.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := extractLayout(filepath.Join(dir, "a.tar"), dir); err != nil {
		t.Fatal(err)
	}
	if loaded, err := open(t, Config{}).LoadDir(t.Context(), dir); err != nil || len(loaded) != 2 || loaded[0].Name != one.Name || loaded[1].ID != two.ID {
		t.Errorf("as a layout: %v, %v", loaded, err)
	}
	if err := s.Save(t.Context(), []string{"three"}, io.Discard); !errors.Is(err, ErrNotFound) {
		t.Errorf("save of nothing: %v", err)
	}
	var compressed bytes.Buffer
	z := gzip.NewWriter(&compressed)
	if _, err := z.Write(archive.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for what, content := range map[string][]byte{"plain": archive.Bytes(), "compressed": compressed.Bytes()} {
		other := open(t, Config{})
		loaded, err := other.Load(t.Context(), bytes.NewReader(content))
		if err != nil || len(loaded) != 2 {
			t.Fatalf("%s: %v, %v", what, loaded, err)
		}
		for _, want := range []cri.Image{one, two} {
			got, ok := other.Present(want.Name)
			if !ok || got.ID != want.ID || cmp.Diff(want.Config, got.Config) != "" {
				t.Errorf("%s: %s is %+v", what, want.Name, got)
			}
		}
		if left := glob(t, other.config.Root, ".load-*"); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	for what, content := range map[string]string{"garbage": "garbage", "nothing": "", "cut short": archive.String()[:2000], "cut gzip": compressed.String()[:50]} {
		if _, err := open(t, Config{}).Load(t.Context(), strings.NewReader(content)); err == nil {
			t.Errorf("%s was loaded", what)
		}
	}
}

func TestLoadLayout(t *testing.T) {
	dir := t.TempDir()
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	img := imageWith(t, v1.Config{}, layerOf(t, regular("a", "a")))
	if err := p.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "example.com/app:1"})); err != nil {
		t.Fatal(err)
	}
	loaded, err := open(t, Config{}).LoadDir(t.Context(), dir)
	if err != nil || len(loaded) != 1 || loaded[0].Name != "example.com/app:1" {
		t.Errorf("from the folder: %+v, %v", loaded, err)
	}
	loaded, err = open(t, Config{}).Load(t.Context(), tarOf(t, dir))
	if err != nil || len(loaded) != 1 || loaded[0].Name != "example.com/app:1" {
		t.Errorf("from an archive: %+v, %v", loaded, err)
	}
	if _, err := open(t, Config{}).LoadDir(t.Context(), t.TempDir()); err == nil {
		t.Error("an empty folder was loaded")
	}
}

func TestFreeStopsWhenThereIsEnough(t *testing.T) {
	s := open(t, Config{})
	var ids []string
	for _, n := range []string{"a", "b", "c"} {
		ids = append(ids, addTo(t, s, "docker.io/library/"+n+":1", imageWith(t, v1.Config{}, layerOf(t, regular(n, strings.Repeat(n, 100000))))).ID)
	}
	removed, freed, err := s.Free([]string{ids[2], ids[0], ids[1]}, 150000)
	if want := []string{"docker.io/library/c:1", "docker.io/library/a:1"}; err != nil || cmp.Diff(want, removed) != "" || freed < 150000 {
		t.Errorf("removed %v, %d bytes, %v; want %v", removed, freed, err, want)
	}
	if _, ok := s.Present("b:1"); !ok {
		t.Error("more was removed than needed")
	}
}

func TestRemoveAndPrune(t *testing.T) {
	s := open(t, Config{})
	shared := layerOf(t, regular("shared", strings.Repeat("s", 10000)))
	one := addTo(t, s, "docker.io/library/one:1", imageWith(t, v1.Config{}, shared, layerOf(t, regular("one", strings.Repeat("1", 100000)))))
	addTo(t, s, "docker.io/library/alias:1", imageWith(t, v1.Config{}, shared, layerOf(t, regular("one", strings.Repeat("1", 100000)))))
	two := addTo(t, s, "docker.io/library/two:2", imageWith(t, v1.Config{}, shared))
	if err := s.Remove("alias:1"); err != nil {
		t.Fatal(err)
	}
	if got, ok := s.Present("one:1"); !ok || read(t, got.Layers[1], "one") == "" {
		t.Error("an image with another name was removed")
	}
	removed, freed, err := s.Prune(func(id string) bool { return id == two.ID })
	if err != nil || cmp.Diff([]string{"docker.io/library/one:1"}, removed) != "" || freed < 100000 {
		t.Errorf("pruned %v, %d bytes, %v", removed, freed, err)
	}
	if _, err := os.Stat(one.Layers[1]); err == nil {
		t.Error("the pruned image's layer is still there")
	}
	if got := read(t, two.Layers[0], "shared"); len(got) != 10000 {
		t.Error("the shared layer has gone")
	}
	if err := s.Remove(two.ID); err != nil {
		t.Error(err)
	}
	if err := s.Remove("two:2"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	for _, dir := range []string{"layers", "blobs/sha256", "images", "refs"} {
		if left := glob(t, s.config.Root, dir, "*"); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

func TestImageWithoutItsLayerIsFetchedAgain(t *testing.T) {
	host := serve(t, nil)
	push(t, host+"/app:1", imageWith(t, v1.Config{}, layerOf(t, regular("a", "a"))))
	s := open(t, Config{})
	img, err := s.Ensure(t.Context(), host+"/app:1", cri.PullIfNotPresent, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Dir(img.Layers[0])); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Root: s.config.Root})
	if _, ok := s.Present(host + "/app:1"); ok {
		t.Error("it counts as present")
	}
	if img, err = s.Ensure(t.Context(), host+"/app:1", cri.PullIfNotPresent, nil, nil); err != nil || read(t, img.Layers[0], "a") != "a" {
		t.Errorf("fetched again: %v", err)
	}
}

// TestMovedNameWithoutDigest: an image that was loaded, whose name moves, stays for
// those that keep it by its ID.
func TestMovedNameWithoutDigest(t *testing.T) {
	s := open(t, Config{})
	old := addTo(t, s, "docker.io/library/app:1", imageWith(t, v1.Config{}, layerOf(t, regular("v", "1"))))
	addTo(t, s, "docker.io/library/app:1", imageWith(t, v1.Config{}, layerOf(t, regular("v", "2"))))
	for _, keep := range []bool{true, false} {
		if _, _, err := s.Prune(func(id string) bool { return keep && id == old.ID }); err != nil {
			t.Fatal(err)
		}
		img, ok := s.Present(old.ID)
		if ok != keep || keep && read(t, img.Layers[0], "v") != "1" {
			t.Errorf("kept %v: %+v, %v", keep, img, ok)
		}
	}
}
