package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/seed38700745/pkg/bundle"
	"github.com/seed38700745/pkg/chart"
)

// writeBundle makes a bundle with one image, and returns its file and the image's digest.
func writeBundle(t *testing.T, version string, values map[string]any) (file, digest string) {
	t.Helper()
	c, err := chart.LoadFS(fstest.MapFS{
		"Chart.yaml":  {Data: []byte("apiVersion: v2\nname: web\nversion: " + version + "\n")},
		"values.yaml": {Data: []byte("image: nginx:1.22\nport: 80\n")},
		"templates/all.yaml": {Data: []byte(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {port: {{ .Values.port | quote }}}}
    spec: {containers: [{name: web, image: {{ .Values.image | quote }}}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {helm.sh/hook: post-delete}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: web, image: docker.io/library/nginx:1.22}]}}}
`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config.OS, config.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	p, err := layout.Write(folder, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Create(t.Context(), bundle.Input{Chart: c, Values: values, Platform: "linux/amd64", Creator: "test", Folder: folder,
		Images: []bundle.Image{{Name: "docker.io/library/nginx:1.22", Digest: h.String()}}})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "web.bundle.tar")
	if err := writeFileWhole(file, func(w io.Writer) error { return b.Write(t.Context(), w) }); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("beside the file: %v, %v", left, err)
	}
	return file, h.String()
}

// TestBundleOnKubernetes: nodes that pull for themselves get the images through a
// registry, and manifests and hooks name them there.
func TestBundleOnKubernetes(t *testing.T) {
	c := startTestCluster(t)
	file, digest := writeBundle(t, "1.0.0", map[string]any{"port": int64(8080)})
	_, talk := c.mustRun(t, exitFailed, "bundle", "install", file)
	wantIn(t, "without --images-to", talk, "take images from registries only", "docker.io/library/nginx:1.22", "--images-to HOST/PATH", "--no-images")
	if out, _ := c.mustRun(t, 0, "list", "-q"); strings.TrimSpace(out) != "" {
		t.Errorf("installed all the same: %s", out)
	}
	host := memoryRegistry(t)
	at := host + "/apps/docker.io/library/nginx:1.22"
	_, talk = c.mustRun(t, 0, "bundle", "install", file, "--images-to", host+"/apps", "--no-wait")
	wantIn(t, "install", talk, "pushing "+at, "installing release web to web 1.0.0 of the bundle")
	ref, err := name.ParseReference(at)
	if err != nil {
		t.Fatal(err)
	}
	var there *v1.Descriptor
	if there, err = remote.Head(ref); err != nil || there.Digest.String() != digest {
		t.Errorf("the registry has %v, %v; want %s", there, err, digest)
	}
	manifest, _ := c.mustRun(t, 0, "get", "manifest", "web")
	wantIn(t, "manifest", manifest, "image: "+at, `port: "8080"`)
	hooks, _ := c.mustRun(t, 0, "get", "hooks", "web")
	wantIn(t, "hooks", hooks, "image: "+at)

	// The newer bundle has another port; the replica's image was given by hand before.
	newer, _ := writeBundle(t, "1.1.0", map[string]any{"port": int64(9090)})
	c.mustRun(t, 0, "bundle", "install", file, "--no-images", "--no-wait", "--set", "image=other:1")
	_, talk = c.mustRun(t, 0, "bundle", "install", newer, "--no-images", "--no-wait")
	wantIn(t, "upgrade", talk, "upgrading release web from 1.0.0 to web 1.1.0 of the bundle", "image docker.io/library/other:1 is not in the bundle")
	var values map[string]any
	out, _ := c.mustRun(t, 0, "get", "values", "web", "-o", "json")
	if err := json.Unmarshal([]byte(out), &values); err != nil {
		t.Fatal(err)
	}
	if values["image"] != "other:1" || values["port"] != 9090.0 {
		t.Errorf("values after the upgrade: %v", values)
	}
	c.mustRun(t, 0, "bundle", "install", newer, "--no-images", "--no-wait", "--reset-values")
	if out, _ := c.mustRun(t, 0, "get", "values", "web", "-o", "json"); strings.Contains(out, "other:1") {
		t.Errorf("--reset-values kept %s", out)
	}
	_, talk = c.mustRun(t, 0, "upgrade", "web", "--set", "port=1", "--no-wait")
	wantIn(t, "upgrade without a chart", talk, "chart: bundle:"+newer)

	_, talk = c.mustRun(t, exitFailed, "install", file)
	wantIn(t, "pkg install", talk, file+" is a bundle", "pkg bundle install "+file)
	out, _ = c.mustRun(t, 0, "template", "bundle:"+file, "--set", "port=7")
	wantIn(t, "pkg template", out, `port: "7"`)
	for _, wrong := range [][]string{
		{"bundle", "install", file, "--images-to", host, "--no-images"},
		{"bundle", "push", file},
		{"bundle", "push", file, "oci://" + host + "/a", "--images-to", host},
		{"bundle", "pull", file},
		{"bundle", "create", "stable/nginx", "--sign"},
		{"bundle", "install"},
	} {
		c.mustRun(t, exitUsage, wrong...)
	}
}

// TestBundlePushSpares: a chart that has the reference is not replaced by a bundle.
func TestBundlePushSpares(t *testing.T) {
	c := startTestCluster(t)
	file, _ := writeBundle(t, "1.0.0", nil)
	below := "oci://" + memoryRegistry(t) + "/charts"
	dir := t.TempDir()
	c.mustRun(t, 0, "create", filepath.Join(dir, "web"))
	c.mustRun(t, 0, "package", filepath.Join(dir, "web"), "--version", "1.0.0", "-d", dir)
	c.mustRun(t, 0, "push", filepath.Join(dir, "web-1.0.0.tgz"), below)
	_, talk := c.mustRun(t, exitFailed, "bundle", "push", file, below+"/web")
	wantIn(t, "push over a chart", talk, "is there and is no bundle")
	for range 2 { // a bundle it replaces
		c.mustRun(t, 0, "bundle", "push", file, below+"/web-bundle")
	}
	out, _ := c.mustRun(t, 0, "bundle", "inspect", below+"/web-bundle:1.0.0")
	wantIn(t, "inspect", out, "CHART: web 1.0.0", "SIGNATURE: none", "docker.io/library/nginx:1.22")
	_, talk = c.mustRun(t, exitFailed, "bundle", "install", below+"/web:1.0.0")
	wantIn(t, "a chart", talk, "it is no bundle", "pkg install installs charts")
	_, talk = c.mustRun(t, exitUsage, "bundle", "install", below+"/web")
	wantIn(t, "no tag", talk, "which bundle?")
}
