package chart_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed38700745/pkg/chart"
)

// tarball packs entries NAME, CONTENT.
func tarball(entries ...string) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for i := 0; i+1 < len(entries); i += 2 {
		h := &tar.Header{Name: entries[i], Mode: 0o644, Size: int64(len(entries[i+1]))}
		if w.WriteHeader(h) != nil {
			continue
		}
		_, _ = w.Write([]byte(entries[i+1])) // a buffer takes everything
	}
	w.Close()
	z.Close()
	return out.Bytes()
}

// FuzzArchive: no archive makes loading panic, and what loads has names below its
// folder only, and can be saved and loaded again.
func FuzzArchive(f *testing.F) {
	f.Add(tarball("web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n", "web/values.yaml", "a: 1\n", "web/templates/a.yaml", "{{ . }}"))
	f.Add(tarball("web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n", "web/../../etc/passwd", "x", `web\x`, "y", "/abs", "z"))
	f.Add(tarball("web/Chart.yaml", "apiVersion: v1\nname: web\nversion: 1\n", "web/requirements.yaml", "dependencies: [{name: a}]", "web/charts/a/Chart.yaml", "name: a\nversion: 1.0.0"))
	f.Add(tarball("web/Chart.yaml", "a: b", "web/charts/b.tgz", "no"))
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := chart.LoadArchive(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, file := range c.Raw {
			if !filepath.IsLocal(file.Name) || strings.Contains(file.Name, `\`) {
				t.Errorf("file %q", file.Name)
			}
		}
		var out bytes.Buffer
		if err := chart.Save(&out, c, time.Time{}); err != nil {
			return
		}
		if _, err := chart.LoadArchive(&out); err != nil {
			t.Errorf("what was saved does not load: %v", err)
		}
	})
}

// FuzzFolder: no Chart.yaml, values.yaml, Chart.lock or .helmignore makes loading,
// processing of dependencies or merging of values panic.
func FuzzFolder(f *testing.F) {
	f.Add("apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies: [{name: a, version: 1.x, condition: a.on, tags: [t], import-values: [x]}]\n", "a: {on: true}\ntags: {t: false}\n", "digest: x", "*.md\n!x\n/a/b\n")
	f.Add("apiVersion: v1\nname: a\n", "a: &x [1]\nb: *x\n", "", "**/x")
	f.Add("null", "null", "null", "[")
	f.Add("dependencies: [null]", "[]", "dependencies: [null]", "!")
	f.Fuzz(func(t *testing.T, metadata, values, lock, ignore string) {
		dir := t.TempDir()
		for name, text := range map[string]string{"Chart.yaml": metadata, "values.yaml": values, "Chart.lock": lock, ".helmignore": ignore, "x/y": ""} {
			file := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		c, err := chart.Load(dir)
		if err != nil || c.Validate() != nil {
			return
		}
		if _, err := chart.ProcessDependencies(chart.Clone(c), map[string]any{}, nil); err == nil {
			_, _ = chart.Coalesce(c, map[string]any{"a": nil}, nil)
		}
	})
}
