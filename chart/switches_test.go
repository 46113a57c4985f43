package chart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSwitchesAreSure turns subcharts of charts made at random off beforehand, and
// compares what becomes of the chart and its values.
func TestSwitchesAreSure(t *testing.T) {
	off := 0
	for seed := range uint64(5000) {
		r := maker{rand.New(rand.NewPCG(seed, 2))}
		c := r.chart("top", 2)
		vals := r.values(c, 0)
		deps := c.Metadata.Dependencies
		for _, d := range deps {
			if r.one(4) {
				continue
			}
			asked := d.Name // mostly the subchart's own
			if r.one(3) {
				asked = deps[r.IntN(len(deps))].Name
			}
			d.Condition = asked + []string{".a", ".t.a", ".global.a", ".a,b"}[r.IntN(4)]
			if r.one(2) {
				c.Values[d.Name] = map[string]any{"a": false}
			}
		}
		s := switches{deps: deps, vals: vals, defaults: c.Values}
		bared := Clone(c)
		for _, sub := range bared.Dependencies() {
			if !s.off(sub.Metadata) {
				continue
			}
			off++
			kept := map[string]any{}
			for _, below := range sub.Dependencies() {
				if v, ok := sub.Values[below.Name()]; ok {
					kept[below.Name()] = v
				}
			}
			sub.Values = kept
		}
		process := func(c *Chart) (string, map[string]any) {
			got, err := ProcessDependencies(c, vals, nil)
			if err != nil {
				return err.Error(), nil
			}
			var names []string
			var walk func(*Chart)
			walk = func(c *Chart) {
				names = append(names, c.ChartFullPath())
				for _, sub := range c.Dependencies() {
					walk(sub)
				}
			}
			walk(c)
			return fmt.Sprint(names), got
		}
		before := describe(c, vals)
		wantCharts, want := process(Clone(c))
		gotCharts, got := process(bared)
		if diff := cmp.Diff(want, got); diff != "" || gotCharts != wantCharts {
			t.Fatalf("seed %d: %s, want %s; values (-want +got):\n%s\nof %s", seed, gotCharts, wantCharts, diff, before)
		}
	}
	if off < 500 {
		t.Errorf("only %d subcharts were off", off)
	}
	t.Logf("%d subcharts were off", off)
}

// TestLoadFor looks at what is loaded of subcharts that values turn off, from a folder and
// from an archive.
func TestLoadFor(t *testing.T) {
	files := map[string]string{
		"Chart.yaml":                             "apiVersion: v2\nname: top\nversion: 1.0.0\ndependencies:\n- {name: a, version: 1.x, condition: a.enabled}\n- {name: b, version: 1.x, condition: b.enabled}\n",
		"values.yaml":                            "a: {enabled: true}\nb: {enabled: false}\n",
		"charts/a/Chart.yaml":                    "apiVersion: v2\nname: a\nversion: 1.0.0\n",
		"charts/a/values.yaml":                   "x: 1\n",
		"charts/a/templates/a.yaml":              "a: 1\n",
		"charts/other/Chart.yaml":                "apiVersion: v2\nname: b\nversion: 1.0.0\n",
		"charts/other/values.yaml":               "x: 1\nz: 2\nc: {z: 1}\n",
		"charts/other/templates/b.yaml":          "b: 1\n",
		"charts/other/charts/c/Chart.yaml":       "apiVersion: v2\nname: c\nversion: 1.0.0\n",
		"charts/other/charts/c/values.yaml":      "z: 1\n",
		"charts/other/charts/c/templates/c.yaml": "c: 1\n",
	}
	off := map[string]any{"a": map[string]any{"enabled": false}}
	tests := []struct {
		name, file, text string // a file that is replaced
		vals             map[string]any
		want, wantErr    string
	}{
		{name: "open", want: "a: 1 templates, map[x:1]; b: 1 templates, map[c:map[z:1] x:1 z:2]; b/c: 1 templates, map[z:1]; "},
		{name: "defaults", vals: map[string]any{}, want: "a: 1 templates, map[x:1]; b: 0 templates, map[c:map[z:1]]; b/c: 0 templates, map[]; "},
		{name: "the user's", vals: off, want: "a: 0 templates, map[]; b: 0 templates, map[c:map[z:1]]; b/c: 0 templates, map[]; "},
		{name: "values out of order", vals: off, file: "charts/a/values.yaml", text: "x: [\n", wantErr: "cannot load values.yaml"},
		{name: "values below", vals: off, file: "charts/other/charts/c/values.yaml", text: "x", wantErr: "cannot load values.yaml"},
		{name: "no chart", vals: off, file: "charts/a/Chart.yaml", text: "name: a\n", wantErr: "chart.metadata.version is required"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			var packed bytes.Buffer
			zip := gzip.NewWriter(&packed)
			out := tar.NewWriter(zip)
			for _, name := range slices.Sorted(maps.Keys(files)) {
				text := files[name]
				if name == tt.file {
					text = tt.text
				}
				path := filepath.Join(dir, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
					t.Fatal(err)
				}
				if err := out.WriteHeader(&tar.Header{Name: "top/" + name, Mode: 0o644, Size: int64(len(text))}); err != nil {
					t.Fatal(err)
				}
				if _, err := out.Write([]byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(out.Close(), zip.Close()); err != nil {
				t.Fatal(err)
			}
			folder, folderErr := LoadFor(dir, tt.vals)
			archive, archiveErr := LoadArchiveFor(&packed, tt.vals)
			for _, loaded := range []struct {
				c   *Chart
				err error
			}{{folder, folderErr}, {archive, archiveErr}} {
				if tt.wantErr != "" {
					if loaded.err == nil || !strings.Contains(loaded.err.Error(), tt.wantErr) {
						t.Errorf("error %v, want %q", loaded.err, tt.wantErr)
					}
					continue
				}
				if loaded.err != nil {
					t.Fatal(loaded.err)
				}
				if got := contents(loaded.c, ""); got != tt.want {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
			}
		})
	}
}

// TestLoadForKeepsToHelmignore has the values that turn a subchart off in a file that
// .helmignore names: it is as if it were not there.
func TestLoadForKeepsToHelmignore(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		".helmignore":               "/values.yaml\n",
		"Chart.yaml":                "apiVersion: v2\nname: top\nversion: 1.0.0\ndependencies:\n- {name: a, version: 1.x, condition: a.enabled}\n",
		"values.yaml":               "a: {enabled: false}\n",
		"charts/a/Chart.yaml":       "apiVersion: v2\nname: a\nversion: 1.0.0\n",
		"charts/a/templates/a.yaml": "a: 1\n",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := LoadFor(dir, map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := contents(c, ""), "a: 1 templates, map[]; "; got != want || c.Values != nil {
		t.Errorf("%s and values %v, want %s and none", got, c.Values, want)
	}
}

// contents says what the subcharts of a chart hold.
func contents(c *Chart, path string) string {
	text := ""
	for _, sub := range c.Dependencies() {
		text += fmt.Sprintf("%s%s: %d templates, %v; ", path, sub.Name(), len(sub.Templates), sub.Values)
		text += contents(sub, path+sub.Name()+"/")
	}
	return text
}
