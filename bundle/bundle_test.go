package bundle_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/seed38700745/pkg/bundle"
	"github.com/seed38700745/pkg/chart"
)

const dpkgStatus = `Package: nginx-light
Status: install ok installed
Architecture: amd64
Version: 1.22.1-9
Description: small
 web server
Depends: libc6

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u10
`

// imageIn puts an image of one layer into a folder of blobs, and returns its digest.
func imageIn(t testing.TB, folder string, files map[string]string, labels map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"etc/os-release", "var/lib/dpkg/status", "content"} {
		text, ok := files[name]
		if !ok {
			continue
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.ConfigFile(img, config(t, img, labels)); err != nil {
		t.Fatal(err)
	}
	p, err := layout.Write(filepath.Join(folder), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

func config(t testing.TB, img v1.Image, labels map[string]string) *v1.ConfigFile {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Config.Labels = "linux", "amd64", labels
	return c
}

// input is a bundle with two images and programs.
func input(t testing.TB) bundle.Input {
	t.Helper()
	folder := t.TempDir()
	c, err := chart.LoadFS(fstest.MapFS{
		"Chart.yaml":              {Data: []byte("apiVersion: v2\nname: web\nversion: 1.0.0\nappVersion: \"7\"\ndependencies: [{name: db, version: 2.0.0, repository: https://charts.example.com}]\n")},
		"templates/a.yaml":        {Data: []byte("a: {{ .Values.a }}\n")},
		"charts/db/Chart.yaml":    {Data: []byte("apiVersion: v2\nname: db\nversion: 2.0.0\n")},
		"charts/db/templates/b.y": {Data: []byte("")},
	})
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "pkg")
	if err := os.WriteFile(program, bytes.Repeat([]byte("program "), 1000), 0o755); err != nil {
		t.Fatal(err)
	}
	return bundle.Input{
		Chart: c, Source: "repo/web", Platform: "linux/amd64", Creator: "pkg 1", Folder: folder,
		Values: map[string]any{"int": int64(1000000), "float": 1000000.0, "half": 0.5, "list": []any{int64(1), "a"}, "null": nil},
		Images: []bundle.Image{
			{Name: "docker.io/library/nginx:1.22", Origin: "built from Debian packages nginx-light",
				Digest: imageIn(t, folder, map[string]string{"var/lib/dpkg/status": dpkgStatus, "etc/os-release": "ID=debian\nVERSION_CODENAME=bookworm\n"}, nil)},
			{Name: "registry.example.com:5000/busybox@sha256:" + strings.Repeat("a", 64),
				Digest: imageIn(t, folder, map[string]string{"content": "x"}, map[string]string{"pkg.internal/suite": "bookworm", "pkg.internal/packages": "busybox-static=1:1.35"})},
		},
		Programs: []string{program}, RuntimeVersion: "1",
	}
}

func create(t testing.TB, in bundle.Input) []byte {
	t.Helper()
	b, err := bundle.Create(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := b.Write(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func write(t testing.TB, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "a.bundle.tar")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func open(t testing.TB, data []byte) *bundle.File {
	t.Helper()
	f, err := bundle.Open(t.Context(), write(t, data))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestRoundTrip(t *testing.T) {
	in := input(t)
	data := create(t, in)
	if !bytes.Equal(data, create(t, in)) {
		t.Error("the same input gives other bytes")
	}
	f := open(t, data)
	if err := f.Check(t.Context()); err != nil {
		t.Error(err)
	}
	var again bytes.Buffer
	if err := f.Write(t.Context(), &again); err != nil || !bytes.Equal(data, again.Bytes()) {
		t.Errorf("written again it is %d bytes, was %d (%v)", again.Len(), len(data), err)
	}
	if diff := cmp.Diff(in.Values, f.Config.Values); diff != "" {
		t.Errorf("values (-given +read):\n%s", diff)
	}
	c, err := f.Chart(t.Context())
	if err != nil || c.Name() != "web" || len(c.Dependencies()) != 1 {
		t.Errorf("chart %v with %v: %v", c.Name(), c.Dependencies(), err)
	}
	want := []bundle.Package{
		{Name: "libc6", Version: "2.36-9+deb12u10", Architecture: "amd64", Manager: "deb", Distribution: "debian", Release: "bookworm"},
		{Name: "nginx-light", Version: "1.22.1-9", Architecture: "amd64", Manager: "deb", Distribution: "debian", Release: "bookworm"},
	}
	if diff := cmp.Diff(want, f.Config.Images[0].Packages); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	want = []bundle.Package{{Name: "busybox-static", Version: "1:1.35", Architecture: "amd64", Manager: "deb", Distribution: "debian", Release: "bookworm"}}
	if diff := cmp.Diff(want, f.Config.Images[1].Packages); diff != "" {
		t.Errorf("packages by label (-want +got):\n%s", diff)
	}
	if p := f.Config.Runtime.Programs; len(p) != 1 || p[0].Name != "pkg" || p[0].Size != 8000 {
		t.Errorf("programs %+v", p)
	}
	for i, want := range []string{"reg.example/apps/docker.io/library/nginx:1.22", "reg.example/apps/registry.example.com-5000/busybox@" + f.Config.Images[1].Digest} {
		if got := bundle.Relocated("reg.example/apps/", f.Config.Images[i]); got != want {
			t.Errorf("relocated to %s, want %s", got, want)
		}
	}
}

// TestLayout: once unpacked it is an OCI layout whose images others read by name, and
// the programs are there for who has only tar.
func TestLayout(t *testing.T) {
	dir := t.TempDir()
	unpack(t, bytes.NewReader(create(t, input(t))), dir)
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range m.Manifests[1:] {
		names = append(names, d.Annotations["org.opencontainers.image.ref.name"])
		img, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(img); err != nil {
			t.Error(err)
		}
	}
	if len(names) != 2 || names[0] != "docker.io/library/nginx:1.22" {
		t.Errorf("images %v", names)
	}
	f, err := os.Open(filepath.Join(dir, bundle.RuntimeEntry))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if h, err := tar.NewReader(z).Next(); err != nil || h.Name != "pkg" || h.Mode != 0o755 {
		t.Errorf("first program %+v, %v", h, err)
	}
}

func unpack(t *testing.T, r io.Reader, dir string) {
	t.Helper()
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, h.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeLink {
			err = os.Link(filepath.Join(dir, h.Linkname), path)
		} else {
			var content []byte
			if content, err = io.ReadAll(in); err == nil {
				err = os.WriteFile(path, content, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestContents: the SPDX document has what SPDX 2.3 requires, and lists all.
func TestContents(t *testing.T) {
	text, err := open(t, create(t, input(t))).Contents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		SPDXVersion, DataLicense, SPDXID, Name, DocumentNamespace string
		CreationInfo                                              struct{ Created string }
		Packages                                                  []struct {
			SPDXID, Name, VersionInfo, DownloadLocation string
			ExternalRefs                                []struct{ ReferenceLocator string }
		}
		Relationships []struct{ SPDXElementID, RelationshipType, RelatedSPDXElement string }
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.SPDXVersion != "SPDX-2.3" || doc.DataLicense != "CC0-1.0" || doc.SPDXID != "SPDXRef-DOCUMENT" || doc.CreationInfo.Created == "" || doc.DocumentNamespace == "" {
		t.Errorf("%+v", doc)
	}
	var got []string
	// The patterns are those of SPDX's own JSON schema.
	if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`).MatchString(doc.CreationInfo.Created) {
		t.Errorf("created %s", doc.CreationInfo.Created)
	}
	idForm := regexp.MustCompile(`^SPDXRef-[a-zA-Z0-9.-]+$`)
	ids := map[string]bool{"SPDXRef-DOCUMENT": true}
	for _, p := range doc.Packages {
		if p.DownloadLocation == "" || p.Name == "" || ids[p.SPDXID] || !idForm.MatchString(p.SPDXID) {
			t.Errorf("package %+v", p)
		}
		ids[p.SPDXID] = true
		got = append(got, p.ExternalRefs[0].ReferenceLocator)
	}
	image := open(t, create(t, input(t))).Config.Images[0].Digest
	for _, want := range []string{
		"pkg:helm/web@1.0.0", "pkg:helm/db@2.0.0", "pkg:deb/debian/nginx-light@1.22.1-9?arch=amd64&distro=bookworm",
		"pkg:deb/debian/busybox-static@1:1.35?arch=amd64&distro=bookworm", "pkg:generic/pkg@1",
		"pkg:oci/nginx@" + image + "?repository_url=docker.io%2Flibrary%2Fnginx&tag=1.22",
	} {
		if !strings.Contains(strings.Join(got, "\n")+"\n", want+"\n") {
			t.Errorf("%s is not among\n%s", want, strings.Join(got, "\n"))
		}
	}
	for _, r := range doc.Relationships {
		if !ids[r.SPDXElementID] || !ids[r.RelatedSPDXElement] {
			t.Errorf("relationship %+v names what is not there", r)
		}
	}
}

// TestDamage: a changed byte anywhere in a blob is found, and the blob named; a file
// that ends early is never taken for a whole one.
func TestDamage(t *testing.T) {
	data := create(t, input(t))
	offsets := map[string]int{}
	for in, r := bytes.NewReader(data), (*tar.Reader)(nil); ; {
		if r == nil {
			r = tar.NewReader(in)
		}
		h, err := r.Next()
		if err != nil {
			break
		}
		if h.Typeflag == tar.TypeReg && h.Name != "oci-layout" && h.Name != "index.json" {
			offsets[h.Name] = len(data) - in.Len() + int(h.Size)/2
		}
	}
	if len(offsets) < 9 {
		t.Fatalf("only %d blobs: %v", len(offsets), offsets)
	}
	for name, at := range offsets {
		bad := bytes.Clone(data)
		bad[at] ^= 1
		f, err := bundle.Open(t.Context(), write(t, bad))
		if err == nil {
			err = f.Check(t.Context())
			f.Close()
		}
		var damaged *bundle.DamagedError
		if !errors.As(err, &damaged) {
			t.Errorf("%s: %v", name, err)
		} else if name != bundle.RuntimeEntry && !strings.HasSuffix(name, strings.TrimPrefix(damaged.Digest, "sha256:")) {
			t.Errorf("%s: the error names %s", name, damaged.Digest)
		}
	}
	for n := 0; n < len(data)-1024; n += 512 * 7 {
		f, err := bundle.Open(t.Context(), write(t, data[:n]))
		if err == nil {
			err = f.Check(t.Context())
			f.Close()
		}
		if err == nil {
			t.Fatalf("%d of %d bytes are taken for all", n, len(data))
		}
	}
}

// TestMemory: neither writing nor checking holds an image in memory.
func TestMemory(t *testing.T) {
	const size, most = 128 << 20, 16 << 20
	in := input(t)
	in.Images = in.Images[:1]
	in.Images[0].Digest = imageIn(t, in.Folder, map[string]string{"content": strings.Repeat("0123456789abcdef", size/16)}, nil)
	in.Programs = nil
	// The layer compresses well; what counts is that it is read through.
	b, err := bundle.Create(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := b.Write(t.Context(), io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := b.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > most {
		t.Errorf("%d bytes were allocated for an image of %d", used, size)
	}
}

// TestOtherFiles: what is no bundle is told so.
func TestOtherFiles(t *testing.T) {
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	for name, text := range map[string]string{"index.json": `{"schemaVersion":2,"manifests":[]}`} {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for what, data := range map[string][]byte{"another layout": plain.Bytes(), "empty": {}, "text": []byte(strings.Repeat("hello ", 1000))} {
		if _, err := bundle.Open(t.Context(), write(t, data)); !errors.Is(err, bundle.ErrNoBundle) {
			t.Errorf("%s: %v", what, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if err := open(t, create(t, input(t))).Check(ctx); err == nil || err.Error() != "enough" {
		t.Errorf("cancelled: %v", err)
	}
}

// FuzzOpen: no file makes opening or checking panic, or read what is not there.
func FuzzOpen(f *testing.F) {
	data := create(f, input(f))
	f.Add(data)
	f.Add(data[:2000])
	f.Add([]byte{})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		name := filepath.Join(dir, fmt.Sprint(len(data)))
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(name)
		b, err := bundle.Open(t.Context(), name)
		if err != nil {
			return
		}
		defer b.Close()
		_ = b.Check(t.Context()) // whatever it says, it returns
	})
}
