package main

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// standIns are the images that example manifests name, which the tests load:
// busybox with testdata/standin in it, and what it runs by default.
var standIns = map[string][]string{
	"busybox":                nil,
	"busybox:1.28":           nil,
	"liveness":               nil,
	"standin:1":              nil,
	"standin:2":              nil,
	"polinux/stress":         nil,
	"k8s.gcr.io/goproxy:0.1": {"/bin/standin", "echo", "8080"},
	"nginx":                  {"/bin/standin", "serve", "80"},
	"httpd":                  {"/bin/standin", "serve", "80"},
}

// programLinks are the names under which images have the stand-in, as scripts.
var programLinks = map[string]string{
	"server":     "exec /bin/standin serve 8080",
	"bin/stress": `exec /bin/standin stress "$@"`,
}

// loadStandIns puts the stand-in images into the cluster.
func (m *machine) loadStandIns() {
	m.t.Helper()
	program := buildStandIn(m.t)
	m.apply(podManifest("source", "sleep", "1000"))
	m.kubectl("wait", "--for=condition=Ready", "pod/source", "--timeout=60s")
	files := m.kubectl("exec", "source", "--", "tar", "-cf", "-", "bin", "tmp", "etc/passwd", "etc/group")
	m.kubectl("delete", "pod", "source", "--now")
	archive := filepath.Join(m.t.TempDir(), "images.tar")
	writeStandIns(m.t, archive, []byte(files), program)
	m.pkg("image", "load", archive)
}

// buildStandIn returns the program.
func buildStandIn(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "standin")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, "./testdata/standin")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the stand-in: %v\n%s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// writeStandIns writes an archive as docker save does: of a tar file with
// busybox and of the program.
func writeStandIns(t testing.TB, path string, busybox, program []byte) {
	t.Helper()
	layers := []v1.Layer{layer(t, busybox), layer(t, programTar(t, program))}
	images := map[name.Reference]v1.Image{}
	for n, command := range standIns {
		ref, err := name.ParseReference(n)
		if err != nil {
			t.Fatal(err)
		}
		image, err := mutate.AppendLayers(empty.Image, layers...)
		if err != nil {
			t.Fatal(err)
		}
		config := v1.Config{Env: []string{"PATH=/bin", "NAME=" + n}, Entrypoint: command}
		if command == nil {
			config.Cmd = []string{"sh"}
		}
		if image, err = mutate.Config(image, config); err != nil {
			t.Fatal(err)
		}
		images[ref] = image
	}
	if err := tarball.MultiRefWriteToFile(path, images); err != nil {
		t.Fatal(err)
	}
}

func layer(t testing.TB, content []byte) v1.Layer {
	t.Helper()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func programTar(t testing.TB, program []byte) []byte {
	t.Helper()
	files := map[string]string{"bin/standin": string(program)}
	for n, script := range programLinks {
		files[n] = "#!/bin/sh\n" + script + "\n"
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for n, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: n, Mode: 0o755, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
