package registry_test

import (
	"errors"
	"fmt"
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
	h := hosted{dir: charts.StatePath("registry")}
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
