package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/seed38700745/pkg/cluster/cri"
)

// TestExport: the blobs of an image are in the folder, checked, and the store does not
// know it; where no registry answers it is told.
func TestExport(t *testing.T) {
	host := serve(t, nil)
	push(t, host+"/team/app:1", imageWith(t, v1.Config{}, layerOf(t, regular("a", "a"))))
	s := open(t, Config{ConnectTimeout: time.Second, Proxy: func(r *http.Request) (*url.URL, error) {
		if !strings.HasPrefix(r.URL.Host, "127.0.0.1") {
			return nil, fmt.Errorf("no way to %s", r.URL.Host)
		}
		return nil, nil
	}})
	got, err := s.Export(t.Context(), host+"/team/app:1", ExportOptions{}, func(cri.ImageProgress) {})
	if err != nil || got.Name != host+"/team/app:1" || got.Origin != "pulled from "+host+"/team/app:1" {
		t.Fatalf("%+v, %v", got, err)
	}
	found, err := os.ReadDir(s.path("blobs", "sha256"))
	if err != nil || len(found) != 3 {
		t.Errorf("blobs %v, %v; want manifest, configuration and layer", found, err)
	}
	if _, err := os.Stat(s.path("blobs", "sha256", hexOf(got.Digest))); err != nil {
		t.Error(err)
	}
	if all, err := s.List(); err != nil || len(all) > 0 {
		t.Errorf("the store lists %v, %v", all, err)
	}
	same := open(t, Config{})
	if again, err := same.Export(t.Context(), host+"/team/app:1", ExportOptions{Known: got.Digest}, func(cri.ImageProgress) {}); err != nil || again != got {
		t.Errorf("known: %+v, %v", again, err)
	}
	if found, _ := os.ReadDir(same.path("blobs", "sha256")); len(found) > 0 {
		t.Errorf("blobs of a known image: %v", found)
	}
	if _, err := s.Export(t.Context(), "nowhere:1", ExportOptions{}, func(cri.ImageProgress) {}); err == nil || !strings.Contains(err.Error(), "image nowhere:1: ") {
		t.Errorf("no registry: %v", err)
	}
	if _, err := s.Export(t.Context(), "UPPER", ExportOptions{}, func(cri.ImageProgress) {}); !errors.Is(err, ErrInvalidName) {
		t.Errorf("no name: %v", err)
	}
}

// TestExportWhole: an image of two platforms comes with its index.
func TestExportWhole(t *testing.T) {
	host := serve(t, nil)
	one, two := imageWith(t, v1.Config{}, layerOf(t, regular("a", "a"))), imageWith(t, v1.Config{}, layerOf(t, regular("b", "b")))
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: one, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: two, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}})
	ref, err := name.NewTag(host + "/both:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	want, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for whole, blobs := range map[bool]int{false: 3, true: 7} {
		s := open(t, Config{Arch: "amd64"})
		got, err := s.Export(t.Context(), ref.Name(), ExportOptions{Whole: whole}, func(cri.ImageProgress) {})
		if err != nil || (got.Digest == want.String()) != whole {
			t.Errorf("whole %v: %+v, %v", whole, got, err)
		}
		if found, err := os.ReadDir(s.path("blobs", "sha256")); err != nil || len(found) != blobs {
			t.Errorf("whole %v: %d blobs, %v; want %d", whole, len(found), err, blobs)
		}
	}
}

// TestLoadAllOrNothing: an archive whose second image is damaged leaves nothing of the
// first, and a name that it moved stands for what it stood for.
func TestLoadAllOrNothing(t *testing.T) {
	s, other := open(t, Config{}), open(t, Config{})
	before := addTo(t, s, "docker.io/library/a:1", imageWith(t, v1.Config{}, layerOf(t, regular("a", "old"))))
	addTo(t, other, "docker.io/library/a:1", imageWith(t, v1.Config{}, layerOf(t, regular("a", "new"))))
	addTo(t, other, "docker.io/library/b:1", imageWith(t, v1.Config{}, layerOf(t, regular("b", "b"))))
	var saved bytes.Buffer
	if err := other.Save(t.Context(), []string{"a:1", "b:1"}, &saved); err != nil {
		t.Fatal(err)
	}
	damaged := damageLastLayer(t, &saved)
	blobs, _ := os.ReadDir(s.path("blobs", "sha256"))
	if got, err := s.Load(t.Context(), damaged); err == nil {
		t.Fatalf("loaded %v", got)
	}
	all, err := s.List()
	if err != nil || len(all) != 1 || all[0].ID != before.ID || all[0].Name != "docker.io/library/a:1" {
		t.Errorf("after it %+v, %v", all, err)
	}
	if now, _ := os.ReadDir(s.path("blobs", "sha256")); len(now) != len(blobs) {
		t.Errorf("%d blobs, before %d", len(now), len(blobs))
	}
}

// damageLastLayer returns what Save wrote as an OCI layout in whose last layer a byte is
// another.
func damageLastLayer(t *testing.T, archive io.Reader) io.Reader {
	t.Helper()
	type entry struct {
		h    tar.Header
		data []byte
	}
	var all []entry
	last := -1
	for in := tar.NewReader(archive); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name == "manifest.json" {
			continue
		}
		if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
			last = len(all)
		}
		all = append(all, entry{*h, data})
	}
	all[last].data[len(all[last].data)/2] ^= 1
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range all {
		if err := w.WriteHeader(&e.h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &out
}
