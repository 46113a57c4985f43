package chart_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
)

type entry struct {
	name string
	data string
	kind byte // tar type flag; 0 for a regular file
}

func archive(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	zipper := gzip.NewWriter(&out)
	w := tar.NewWriter(zipper)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Size: int64(len(e.data)), Mode: 0o644}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if e.kind == tar.TypeSymlink {
			h.Linkname, h.Size = e.data, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(e.data)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipper.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const chartfile = "apiVersion: v2\nname: web\nversion: 1.2.3\n"

func TestArchivesAreRefused(t *testing.T) {
	good := entry{name: "web/Chart.yaml", data: chartfile}
	big := strings.Repeat("x", chart.MaxFileSize+1)
	tests := []struct {
		name    string
		data    []byte
		message string
	}{
		{"parent", archive(t, good, entry{name: "web/../../etc/passwd", data: "x"}), `parent directory: "web/../../etc/passwd"`},
		{"parent as base", archive(t, good, entry{name: "../evil", data: "x"}), `parent directory: "../evil"`},
		{"absolute", archive(t, good, entry{name: "/etc/passwd", data: "x"}), `absolute paths: "/etc/passwd"`},
		{"absolute below base", archive(t, good, entry{name: "web//etc/passwd", data: "x"}), `absolute paths`},
		{"drive", archive(t, good, entry{name: `web\c:\x`, data: "x"}), `illegally named`},
		{"outside", archive(t, good, entry{name: "loose", data: "x"}), `outside the base directory: "loose"`},
		{"no base", archive(t, entry{name: "Chart.yaml", data: chartfile}), `not in base directory`},
		{"symlink", archive(t, good, entry{name: "web/link", data: "/etc/passwd", kind: tar.TypeSymlink}), `"web/link" is not a regular file`},
		{"twice", archive(t, good, good), `"web/Chart.yaml" occurs twice`},
		{"large file", archive(t, good, entry{name: "web/big", data: big}), `"web/big" is larger`},
		{"empty", archive(t), "no files"},
		{"not gzip", []byte("plain"), "not a gzip stream"},
		{"truncated", archive(t, good, entry{name: "web/values.yaml", data: "a: 1"})[:60], "truncated or corrupt"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := chart.LoadArchive(bytes.NewReader(tt.data))
			if !errors.Is(err, chart.ErrBadArchive) || !strings.Contains(err.Error(), tt.message) {
				t.Errorf("got %v, want %q", err, tt.message)
			}
		})
	}
}

func TestBombStopsAtTheLimit(t *testing.T) {
	entries := []entry{{name: "web/Chart.yaml", data: chartfile}}
	zeros := strings.Repeat("\x00", chart.MaxFileSize)
	for i := range chart.MaxArchiveSize/chart.MaxFileSize + 1 {
		entries = append(entries, entry{name: fmt.Sprintf("web/f%d", i), data: zeros})
	}
	_, err := chart.LoadArchive(bytes.NewReader(archive(t, entries...)))
	if err == nil || !strings.Contains(err.Error(), "larger than the maximum size") {
		t.Errorf("got %v", err)
	}
}

func TestFileNamesTheArchiveInErrors(t *testing.T) {
	name := filepath.Join(t.TempDir(), "web.tgz")
	whole := archive(t, entry{name: "web/Chart.yaml", data: chartfile})
	if err := os.WriteFile(name, whole[:len(whole)-20], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := chart.Load(name); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
		t.Errorf("got %v", err)
	}
	// Only the checksum is missing: the files are all there, and still it is an error.
	if err := os.WriteFile(name, whole[:len(whole)-4], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := chart.Load(name); !errors.Is(err, chart.ErrBadArchive) {
		t.Errorf("without its end: %v", err)
	}
	// What is behind the gzip stream is not the archive's.
	if err := os.WriteFile(name, append(whole, "something else"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := chart.Load(name); err != nil {
		t.Errorf("with more behind it: %v", err)
	}
	yml := filepath.Join(t.TempDir(), "web.yaml")
	if err := os.WriteFile(yml, []byte("a: 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := chart.Load(yml); err == nil || !strings.Contains(err.Error(), "seems to be a YAML file") {
		t.Errorf("got %v", err)
	}
}

func tree() fstest.MapFS {
	return fstest.MapFS{
		"Chart.yaml":            {Data: []byte(chartfile + "dependencies: [{name: sub, version: 0.1.0, repository: \"\"}]\n")},
		"values.yaml":           {Data: []byte("# kept\na: 1\n")},
		"values.schema.json":    {Data: []byte(`{"type":"object","properties":{"a":{"type":"integer"}}}`)},
		"README.md":             {Data: []byte("read me")},
		"templates/a.yaml":      {Data: []byte("kind: A\n")},
		"crds/c.yaml":           {Data: []byte("kind: C\n")},
		"charts/sub/Chart.yaml": {Data: []byte("apiVersion: v2\nname: sub\nversion: 0.1.0\n")},
	}
}

func load(t *testing.T, fsys fstest.MapFS) *chart.Chart {
	t.Helper()
	c, err := chart.LoadFS(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSaveIsReproducibleAndLossless(t *testing.T) {
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		if err := chart.Save(out, load(t, tree()), time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same chart gave different bytes")
	}
	c, err := chart.LoadArchive(&first)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(chart.RawFile(c, "values.yaml")); got != "# kept\na: 1\n" {
		t.Errorf("values.yaml %q", got)
	}
	if len(c.Templates) != 1 || len(c.CRDObjects()) != 1 || len(c.Dependencies()) != 1 || c.Schema == nil {
		t.Errorf("lost something: %+v", c)
	}
	if chart.ArchiveName(c) != "web-1.2.3.tgz" || string(chart.Readme(c).Data) != "read me" {
		t.Error("name or readme")
	}
}

func TestValuesOrderDoesNotFollowTheCommandLine(t *testing.T) {
	files := map[string]string{
		"one.yaml": "a: {x: file, keep: 1}\nlist: [1, 2]\n",
		"two.yaml": "a: {x: later}\nlist: [3]\n",
		"text":     "from a file\n",
	}
	v := chart.Values{
		SetLiteral: []string{"lit=a,b={c}"},
		SetFile:    []string{"file=text"},
		SetString:  []string{"str=1,both=string"},
		Set:        []string{"num=1,zero=0123,both=set,t=TRUE,n=null,list2[1].k=v,esc=a\\,b,a.x=set"},
		JSON:       []string{`j={"k":[1]}`, `{"a":{"json":true},"both":"json"}`},
		Files:      []string{"one.yaml", "two.yaml"},
		ReadFile: func(name string) ([]byte, error) {
			data, ok := files[name]
			if !ok {
				return nil, os.ErrNotExist
			}
			return []byte(data), nil
		},
	}
	got, err := v.Merge()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"a": map[string]any{"x": "set", "keep": 1.0, "json": true}, "list": []any{3.0},
		"j": map[string]any{"k": []any{1.0}}, "both": "string",
		"num": int64(1), "zero": "0123", "t": true, "n": nil, "esc": "a,b",
		"list2": []any{nil, map[string]any{"k": "v"}},
		"str":   "1", "file": "from a file\n", "lit": "a,b={c}",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []chart.Values{
		{Set: []string{"a[99999999]=1"}},
		{Set: []string{"a"}},
		{JSON: []string{"a={"}},
		{Files: []string{"nope.yaml"}, ReadFile: v.ReadFile},
		{Files: []string{"one.yaml"}},
	} {
		if _, err := bad.Merge(); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

func vals(t *testing.T, text string) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCoalesce(t *testing.T) {
	tests := []struct{ name, defaults, user, want string }{
		{"user wins, maps merge, lists replace", "a: {x: 1, y: 2}\nl: [1]", "a: {x: 9}\nl: [2, 3]", "a: {x: 9, y: 2}\nl: [2, 3]"},
		{"null deletes a default", "a: 1\nb: {c: 1, d: 1}", "a: null\nb: {c: null}", "b: {d: 1}"},
		{"null of no default stays", "b: {}", "x: null\nb: {y: null}", "x: null\nb: {y: null}"},
		{"null default stays", "a: null\nb: {c: null}", "", "a: null\nb: {c: null}"},
		{"a table is not overwritten by a text", "a: {b: 1}", "a: text", "a: text"},
		{"a table over a text wins", "a: text", "a: {b: 1}", "a: {b: 1}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &chart.Chart{Metadata: &chart.Metadata{Name: "c"}, Values: vals(t, tt.defaults)}
			got, err := chart.Coalesce(c, vals(t, tt.user), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(vals(t, tt.want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(vals(t, tt.defaults), c.Values); diff != "" {
				t.Errorf("defaults changed:\n%s", diff)
			}
		})
	}
}

func TestCoalesceRefusesTextForASubchart(t *testing.T) {
	c := load(t, tree())
	if _, err := chart.Coalesce(c, map[string]any{"sub": "text"}, nil); err == nil || !strings.Contains(err.Error(), "type mismatch on sub") {
		t.Errorf("got %v", err)
	}
}

func TestSchemaErrorsAreHelms(t *testing.T) {
	c := load(t, tree())
	err := chart.ValidateValues(c, map[string]any{"a": "text"}, nil, nil)
	want := "values don't meet the specifications of the schema(s) in the following chart(s):\nweb:\n- at '/a': got string, want integer\n"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if err := chart.ValidateValues(c, map[string]any{"a": 1}, nil, nil); err != nil {
		t.Error(err)
	}
	if err := chart.ValidateSchema(nil, []byte(`{"$ref": "#/nowhere"}`), nil, nil); err == nil {
		t.Error("a dangling reference passed")
	}
}

func TestMissingDependencies(t *testing.T) {
	fsys := tree()
	delete(fsys, "charts/sub/Chart.yaml")
	c := load(t, fsys)
	if err := chart.CheckDependencies(c); err == nil || !strings.Contains(err.Error(), "missing in charts/ directory: sub") {
		t.Errorf("got %v", err)
	}
}

func TestHelmignore(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Chart.yaml": chartfile, ".helmignore": "*.bak\nsecret/\n", "keep": "", "x.bak": "", "secret/key": "", "templates/.hidden": "",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, err := chart.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range c.Raw {
		names = append(names, f.Name)
	}
	if diff := cmp.Diff([]string{".helmignore", "Chart.yaml", "keep"}, names); diff != "" {
		t.Error(diff)
	}
}

func FuzzLoadArchive(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = chart.LoadArchive(bytes.NewReader(data)) // must not panic
	})
}

func FuzzSet(f *testing.F) {
	f.Add("a.b[0]={x,y},c=null")
	f.Fuzz(func(_ *testing.T, expr string) {
		_, _ = chart.Values{Set: []string{expr}}.Merge() // must not panic
	})
}
