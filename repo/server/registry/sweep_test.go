package registry_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/seed38700745/pkg/repo/server/depot"
	"github.com/seed38700745/pkg/repo/server/registry"
)

// hosted is a registry without rights before it.
type hosted struct {
	*registry.Registry
	charts    *depot.Depot
	dir, host string
}

func host(t testing.TB) hosted {
	t.Helper()
	charts, err := depot.Open(depot.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := charts.Close(); err != nil {
			t.Error(err)
		}
	})
	h := hosted{charts: charts, dir: charts.StatePath("registry")}
	if h.Registry, err = registry.Open(h.dir, charts, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(h)
	t.Cleanup(web.Close)
	h.host = strings.TrimPrefix(web.URL, "http://")
	return h
}

func (h hosted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, err := registry.Parse(strings.Trim(strings.TrimPrefix(r.URL.Path, "/v2"), "/"))
	if err == nil {
		err = h.Serve(w, r, q, func(string) bool { return true })
	}
	if err != nil {
		registry.WriteError(w, err)
	}
}

func (h hosted) ref(t testing.TB, text string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(h.host + "/" + text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// blobs are the files of all blobs.
func (h hosted) blobs(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(h.dir, "*", "_blobs", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func image(t testing.TB, layers int64) v1.Image {
	t.Helper()
	i, err := random.Image(1<<10, layers)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestSweep(t *testing.T) {
	h := host(t)
	kept, gone := image(t, 2), image(t, 3)
	for ref, i := range map[string]v1.Image{"app:kept": kept, "app:gone": gone, "other:kept": gone} {
		if err := remote.Write(h.ref(t, ref), i); err != nil {
			t.Fatal(err)
		}
	}
	digest, err := gone.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Delete(h.ref(t, "app@"+digest.String())); err != nil {
		t.Fatal(err)
	}
	sweep := func(before time.Time, want int) {
		t.Helper()
		swept, err := h.Sweep(t.Context(), before)
		if err != nil || swept.Blobs != want {
			t.Errorf("swept %+v (%v), want %d blobs", swept, err, want)
		}
	}
	sweep(time.Now().Add(-time.Hour), 0) // they may be part of a push
	sweep(time.Now().Add(time.Hour), 4)  // three layers and the config
	for _, ref := range []string{"app:kept", "other:kept"} {
		i, err := remote.Image(h.ref(t, ref))
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(i); err != nil {
			t.Error(err)
		}
	}
	// A manifest that cannot be read may name anything.
	files, err := filepath.Glob(filepath.Join(h.dir, "app", "_manifests", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := len(h.blobs(t))
	if _, err := h.Sweep(t.Context(), time.Now().Add(time.Hour)); err == nil {
		t.Error("swept beside a manifest that cannot be read")
	}
	if after := len(h.blobs(t)); after != before {
		t.Errorf("%d blobs, %d before", after, before)
	}
}

// send sends a request with a body and wants it taken.
func (h hosted) send(t testing.TB, method, path string, body []byte) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+h.host+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	if text, _ := io.ReadAll(w.Body); w.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s %s", method, path, w.Status, text)
	}
}

// TestSweepDeletedChart deletes a chart in the depot that was pushed to the registry.
func TestSweepDeletedChart(t *testing.T) {
	h := host(t)
	var archive bytes.Buffer
	zipped := gzip.NewWriter(&archive)
	packed := tar.NewWriter(zipped)
	const text = "apiVersion: v2\nname: web\nversion: 1.0.0\n"
	err := packed.WriteHeader(&tar.Header{Name: "web/Chart.yaml", Mode: 0o644, Size: int64(len(text))})
	_, werr := io.WriteString(packed, text)
	if err := errors.Join(err, werr, packed.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	config := []byte(`{"name":"web","version":"1.0.0"}`)
	for _, blob := range [][]byte{config, archive.Bytes()} {
		h.send(t, http.MethodPost, fmt.Sprintf("/v2/team/web/blobs/uploads/?digest=sha256:%x", sha256.Sum256(blob)), blob)
	}
	h.send(t, http.MethodPut, "/v2/team/web/manifests/1.0.0", fmt.Appendf(nil,
		`{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"sha256:%x","size":1},`+
			`"layers":[{"mediaType":"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":"sha256:%x","size":1}]}`,
		sha256.Sum256(config), sha256.Sum256(archive.Bytes())))
	for _, want := range []registry.Swept{{}, {Tags: 1, Blobs: 2, Bytes: int64(len(config) + archive.Len())}, {}} {
		got, err := h.Sweep(t.Context(), time.Now().Add(time.Hour))
		if err != nil || got != want {
			t.Errorf("swept %+v (%v), want %+v", got, err, want)
		}
		if want == (registry.Swept{}) {
			_ = h.charts.Delete("team", "web", "1.0.0") // the first time
		}
	}
}

// TestSweepBesidePushes pushes images of layers that are there, old and of no use, while
// sweeps run: whatever is acknowledged is whole.
func TestSweepBesidePushes(t *testing.T) {
	h := host(t)
	base := image(t, 4)
	var clock sync.RWMutex // held to let two days go by; not in the middle of a push
	var pushes sync.WaitGroup
	stop := make(chan struct{})
	swept := 0
	var sweeps sync.WaitGroup
	sweeps.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			s, err := h.Sweep(t.Context(), time.Now().Add(-24*time.Hour))
			if err != nil {
				t.Error(err)
				return
			}
			swept += s.Blobs
		}
	})
	for n := range 4 {
		pushes.Go(func() {
			for i := range 10 {
				ref := h.ref(t, fmt.Sprintf("app:%d-%d", n, i))
				own, err := mutate.Config(base, v1.Config{Env: []string{ref.Identifier()}})
				if err != nil {
					t.Error(err)
					return
				}
				clock.RLock()
				err = remote.Write(ref, own)
				clock.RUnlock()
				if err != nil {
					t.Error(err)
					return
				}
				back, err := remote.Image(ref)
				if err == nil {
					err = validate.Image(back)
				}
				digest, derr := own.Digest()
				if err := errors.Join(err, derr); err != nil {
					t.Error(err)
					return
				}
				if err := remote.Delete(h.ref(t, "app@"+digest.String())); err != nil {
					t.Error(err)
				}
				clock.Lock()
				old := time.Now().Add(-48 * time.Hour)
				for _, file := range h.blobs(t) {
					_ = os.Chtimes(file, old, old) // it may be gone
				}
				clock.Unlock()
			}
		})
	}
	pushes.Wait()
	close(stop)
	sweeps.Wait()
	if swept == 0 {
		t.Error("nothing was swept")
	}
	t.Logf("%d blobs were swept during 40 pushes", swept)
}

func TestNamedBlobStays(t *testing.T) {
	h := host(t)
	i := image(t, 1)
	if err := remote.Write(h.ref(t, "app:1"), i); err != nil {
		t.Fatal(err)
	}
	layers, err := i.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	remove := func() int {
		t.Helper()
		r, err := http.NewRequest(http.MethodDelete, "http://"+h.host+"/v2/app/blobs/"+digest.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		w, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = w.Body.Close()
		return w.StatusCode
	}
	if status := remove(); status != http.StatusConflict {
		t.Errorf("a blob that is named: %d", status)
	}
	whole, err := i.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Delete(h.ref(t, "app@"+whole.String())); err != nil {
		t.Fatal(err)
	}
	if status := remove(); status != http.StatusAccepted {
		t.Errorf("a blob that nobody names: %d", status)
	}
}
