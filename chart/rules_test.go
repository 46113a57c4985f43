package chart_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/chart"
)

// files makes a tree of texts.
func files(pairs ...string) fstest.MapFS {
	tree := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		tree[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return tree
}

// names lists a chart's subcharts as they are known, with theirs.
func names(c *chart.Chart) []string {
	var out []string
	for _, sub := range c.Dependencies() {
		out = append(out, sub.ChartFullPath())
		out = append(out, names(sub)...)
	}
	return out
}

func TestChartsV1(t *testing.T) {
	c := load(t, files(
		"Chart.yaml", "name: old\nversion: 0.1.0\n", // no apiVersion: v1
		"requirements.yaml", "dependencies:\n- {name: db, version: 1.x.x, alias: one}\n- {name: db, version: 1.x.x, alias: two, condition: two.on}\n",
		"requirements.lock", "dependencies: []\ndigest: sha256:0\n",
		"charts/db/Chart.yaml", "apiVersion: v1\nname: db\nversion: 1.2.0\n",
	))
	if c.Metadata.APIVersion != "v1" || c.Lock == nil || len(c.Metadata.Dependencies) != 2 {
		t.Fatalf("%+v, lock %v", c.Metadata, c.Lock)
	}
	var kept []string // both files remain among .Files
	for _, f := range c.Files {
		kept = append(kept, f.Name)
	}
	if diff := cmp.Diff([]string{"requirements.lock", "requirements.yaml"}, kept); diff != "" {
		t.Error(diff)
	}
	if _, err := chart.ProcessDependencies(c, map[string]any{"two": map[string]any{"on": false}}, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"old/charts/one"}, names(c)); diff != "" {
		t.Error(diff)
	}
}

func TestTagsConditionsAndAliases(t *testing.T) {
	tree := files(
		"Chart.yaml", `apiVersion: v2
name: top
version: 1.0.0
dependencies:
- {name: a, version: 1.x, tags: [front]}
- {name: b, version: 1.x, tags: [front, back], condition: "none.use,b.use"}
- {name: c, version: 1.x, alias: first}
- {name: c, version: 1.x, alias: second, condition: second.use}
- {name: d, version: ">9"}
`,
		"values.yaml", "tags: {front: false}\nsecond: {use: false}\n",
		"charts/unmentioned/Chart.yaml", "apiVersion: v2\nname: unmentioned\nversion: 1.0.0\n",
	)
	for _, name := range []string{"a", "b", "c", "d"} {
		tree["charts/"+name+"/Chart.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: v2\nname: " + name + "\nversion: 1.0.0\n")}
	}
	for _, tt := range []struct{ name, values, want string }{
		{"a false tag turns off, an alias renames, a version that does not fit makes a chart unmentioned", "", "d unmentioned first"},
		{"one true tag is enough", "tags: {back: true}", "d unmentioned b first"},
		{"a condition is stronger than tags", "b: {use: true}", "d unmentioned b first"},
		{"the user's values count", "tags: {front: true}\nb: {use: false}\nsecond: {use: true}", "d unmentioned a first second"},
		{"what is no bool does not count", "tags: {front: 'yes'}\nsecond: {use: 1}", "d unmentioned a b first second"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := chart.Clone(load(t, tree))
			if _, err := chart.ProcessDependencies(c, vals(t, tt.values), nil); err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(strings.Join(names(c), " "), "top/charts/", "")
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestImportValues(t *testing.T) {
	c := load(t, files(
		"Chart.yaml", `apiVersion: v2
name: top
version: 1.0.0
dependencies:
- name: sub
  version: 1.x
  import-values: [data, {child: inner.deep, parent: taken.here}, gone, {child: scalar, parent: x}]
`,
		"values.yaml", "mine: parent\n",
		"charts/sub/Chart.yaml", "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
		"charts/sub/values.yaml", "exports: {data: {mine: child, new: 1}}\ninner: {deep: {k: v}}\nscalar: 1\n",
	))
	var warned []string
	_, err := chart.ProcessDependencies(c, nil, func(format string, args ...any) { warned = append(warned, fmt.Sprintf(format, args...)) })
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"mine": "parent", "new": 1.0, "taken": map[string]any{"here": map[string]any{"k": "v"}}}
	delete(c.Values, "sub")
	if diff := cmp.Diff(want, c.Values); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{
		`Warning: ImportValues missing table: "gone" is not a table`,
		`Warning: ImportValues missing table from chart sub: "scalar" is not a table`,
	}, warned); diff != "" {
		t.Error(diff)
	}
}

// TestImportedTablesAreNotMixed imports two tables to one place, the first one empty: the
// other's keys must not get into it.
func TestImportedTablesAreNotMixed(t *testing.T) {
	c := load(t, files(
		"Chart.yaml", `apiVersion: v2
name: top
version: 1.0.0
dependencies:
- {name: a, version: 1.x, import-values: [{child: empty, parent: here}]}
- {name: b, version: 1.x, import-values: [{child: full, parent: here}]}
`,
		"charts/a/Chart.yaml", "apiVersion: v2\nname: a\nversion: 1.0.0\n",
		"charts/a/values.yaml", "empty: {}\n",
		"charts/b/Chart.yaml", "apiVersion: v2\nname: b\nversion: 1.0.0\n",
		"charts/b/values.yaml", "full: {k: v}\n",
	))
	vals, err := chart.ProcessDependencies(c, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	global := map[string]any{}
	want := map[string]any{
		"a":    map[string]any{"empty": map[string]any{}, "global": global},
		"b":    map[string]any{"full": map[string]any{"k": "v"}, "global": global},
		"here": map[string]any{"k": "v"},
	}
	if diff := cmp.Diff(want, vals); diff != "" {
		t.Error(diff)
	}
}

// TestNestedAliasMeetsDefaults has an alias deep down that a chart above has a value for,
// which is no table: Helm takes the defaults of the charts above for the top's.
func TestNestedAliasMeetsDefaults(t *testing.T) {
	c := load(t, files(
		"Chart.yaml", "apiVersion: v2\nname: top\nversion: 1.0.0\ndependencies: [{name: a, version: 1.x}]\n",
		"charts/a/Chart.yaml", "apiVersion: v2\nname: a\nversion: 1.0.0\ndependencies: [{name: b, version: 1.x}]\n",
		"charts/a/values.yaml", "other: 1\n",
		"charts/a/charts/b/Chart.yaml", "apiVersion: v2\nname: b\nversion: 1.0.0\ndependencies: [{name: c, version: 1.x, alias: other}]\n",
		"charts/a/charts/b/charts/c/Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n",
	))
	_, err := chart.ProcessDependencies(c, nil, nil)
	if want := "type mismatch on other: %!t(float64=1)"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// TestHelmignoreRules is Helm's reading of .helmignore, which is not git's.
func TestHelmignoreRules(t *testing.T) {
	all := []string{"README.md", "docs/README.md", "docs/a.txt", "a.txt", "deep/er/a.txt", "templates/x.yaml"}
	for _, tt := range []struct {
		rules, gone string
		fails       bool
	}{
		{rules: "# comment\n\n*.md", gone: "README.md docs/README.md"},
		{rules: "/README.md", gone: "README.md"},
		{rules: "docs/", gone: "docs/README.md docs/a.txt"},
		{rules: "docs/a.txt", gone: "docs/a.txt"},
		{rules: "a.txt", gone: "docs/a.txt a.txt deep/er/a.txt"},
		{rules: "/deep/*/a.txt", gone: "deep/er/a.txt"},
		{rules: "?.txt\n[R]EADME.md", gone: "README.md docs/README.md docs/a.txt a.txt deep/er/a.txt"},
		{rules: "**/a.txt", fails: true},
		{rules: "[", fails: true},
	} {
		dir := t.TempDir()
		for _, name := range append([]string{"Chart.yaml", ".helmignore"}, all...) {
			text := map[string]string{"Chart.yaml": chartfile, ".helmignore": tt.rules}[name]
			file := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		c, err := chart.Load(dir)
		if (err != nil) != tt.fails {
			t.Errorf("%q: %v", tt.rules, err)
		}
		if err != nil {
			continue
		}
		there := map[string]bool{}
		for _, f := range c.Raw {
			there[f.Name] = true
		}
		var gone []string
		for _, name := range all {
			if !there[name] {
				gone = append(gone, name)
			}
		}
		if got := strings.Join(gone, " "); got != tt.gone {
			t.Errorf("%q ignores %q, want %q", tt.rules, got, tt.gone)
		}
	}
}

// TestVendoredArchives: charts in charts/ may be archives, whose entries obey the
// same rules; signatures and hidden things there are no charts.
func TestVendoredArchives(t *testing.T) {
	inner := archive(t, entry{name: "db/Chart.yaml", data: "apiVersion: v2\nname: db\nversion: 1.0.0\n"}, entry{name: "db/values.yaml", data: "a: 1\n"})
	tree := files("Chart.yaml", chartfile, "charts/db-1.0.0.tgz", string(inner), "charts/db-1.0.0.tgz.prov", "signed",
		"charts/_off/Chart.yaml", "no", "charts/.off/Chart.yaml", "no")
	if diff := cmp.Diff([]string{"web/charts/db"}, names(load(t, tree))); diff != "" {
		t.Error(diff)
	}
	for name, data := range map[string][]byte{
		"no archive":  []byte("text"),
		"a traversal": archive(t, entry{name: "db/Chart.yaml", data: chartfile}, entry{name: "db/../../x", data: "x"}),
		"a symlink":   archive(t, entry{name: "db/Chart.yaml", data: chartfile}, entry{name: "db/x", data: "/etc/passwd", kind: tar.TypeSymlink}),
		"a bad chart": archive(t, entry{name: "db/Chart.yaml", data: "name: [\n"}),
	} {
		tree["charts/db-1.0.0.tgz"] = &fstest.MapFile{Data: data}
		if _, err := chart.LoadFS(tree); err == nil || !strings.Contains(err.Error(), "error unpacking subchart db-1.0.0.tgz in web") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTooManyFiles(t *testing.T) {
	entries := []entry{{name: "web/Chart.yaml", data: chartfile}}
	for i := range chart.MaxArchiveFiles {
		entries = append(entries, entry{name: fmt.Sprintf("web/f/%d", i)})
	}
	_, err := chart.LoadArchive(bytes.NewReader(archive(t, entries...)))
	if !errors.Is(err, chart.ErrBadArchive) || !strings.Contains(err.Error(), fmt.Sprintf("more than %d files", chart.MaxArchiveFiles)) {
		t.Errorf("got %v", err)
	}
}
