package chart_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	helm "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"

	"github.com/seed38700745/pkg/chart"
)

// The tests here compare our types and our reading of folders with Helm's.

// picker makes random metadata, half of it as it should be.
type picker struct{ *rand.Rand }

func (p picker) pick(texts ...string) string { return texts[p.IntN(len(texts))] }

func (p picker) text() string {
	return p.pick("", "web", "a b", "tab\there", "line\nbreak", "zero\u200bwidth", "nbsp\u00a0x", "é", "bad\xffbyte", "\x00", "ünïcödé ✓", "\u2028")
}

func (p picker) texts() []string {
	var out []string
	for range p.IntN(3) {
		out = append(out, p.text())
	}
	return out
}

// oneIn is true once in n times.
func (p picker) oneIn(n int) bool { return p.IntN(n) == 0 }

func (p picker) dependency() *chart.Dependency {
	if p.oneIn(20) {
		return nil
	}
	d := &chart.Dependency{
		Name: p.pick("db", "cache", "queue", "d\tb", ""), Version: p.text(), Repository: p.text(), Condition: p.text(), Tags: p.texts(), Enabled: p.oneIn(2),
		Alias: p.pick("", "", "", "first", "second", "A_1-b", "no dots.", "é", "a/b", "x\n"),
	}
	if p.oneIn(3) {
		d.ImportValues = []any{"data", map[string]any{"child": "a.b", "parent": "."}, 1.5, nil}
	}
	return d
}

func (p picker) metadata() *chart.Metadata {
	md := &chart.Metadata{
		Name: p.pick("web", "web", "web", "web", "a b", "w\teb", "", ".", "..", "a/b", "/", "a/", "w\u200b"),
		Home: p.text(), Sources: p.texts(), Description: p.text(), Keywords: p.texts(), Icon: p.text(), Condition: p.text(), Tags: p.text(), AppVersion: p.text(), KubeVersion: p.text(),
		Version:    p.pick("1.2.3", "1.2.3", "v1.2", "1", "1.2.3-rc.1+build", "01.2.3", "1.2.3-01", "1.2.3.4", "one", "", " 1.2.3", "1.2.3\n", "99999999999999999999.0.0", "9999999999.0.0", "0.0.0"),
		APIVersion: p.pick("v1", "v2", "v2", "v2", "v3", ""),
		Deprecated: p.oneIn(2),
		Type:       p.pick("", "application", "library", "other", "Library"),
	}
	if p.oneIn(2) {
		md.Annotations = map[string]string{p.text(): p.text(), "a": p.text()}
	}
	for range p.IntN(3) {
		if p.oneIn(20) {
			md.Maintainers = append(md.Maintainers, nil)
			continue
		}
		md.Maintainers = append(md.Maintainers, &chart.Maintainer{Name: p.text(), Email: p.text(), URL: p.text()})
	}
	for range p.IntN(4) {
		md.Dependencies = append(md.Dependencies, p.dependency())
	}
	return md
}

func (p picker) files() []*chart.File {
	var out []*chart.File
	for range p.IntN(4) {
		out = append(out, &chart.File{Name: p.pick("templates/a.yaml", "crds/a.yaml", "crds/b.YML", "crds/sub/c.Json", "crds/../d.yaml", "crds/readme.md", "a.yaml", "crdsx/e.yaml"), Data: []byte(p.text())})
	}
	return out
}

// chart makes a random chart with subcharts.
func (p picker) chart(depth int) *chart.Chart {
	c := &chart.Chart{Metadata: p.metadata(), Raw: p.files(), Templates: p.files(), Files: p.files()}
	if p.oneIn(10) {
		c.Metadata = nil
	}
	if p.oneIn(2) {
		c.Values = map[string]any{"a": p.text(), "b": []any{1.0, nil, true}}
	}
	if p.oneIn(2) {
		c.Schema = []byte(p.text())
	}
	if p.oneIn(2) {
		c.Lock = &chart.Lock{Generated: time.Date(2026, 1, 2, 3, 4, 5, p.IntN(9), time.UTC), Digest: p.text(), Dependencies: []*chart.Dependency{p.dependency()}}
	}
	for range p.IntN(3) {
		if depth > 0 {
			c.AddDependency(p.chart(depth - 1))
		}
	}
	return c
}

// inHelm makes the same chart of Helm's type, by way of JSON, which keeps neither Raw nor
// subcharts, and replaces bytes that are no text.
func inHelm(t *testing.T, c *chart.Chart) *helm.Chart {
	t.Helper()
	out := &helm.Chart{}
	if err := json.Unmarshal(toJSON(t, c), out); err != nil {
		t.Fatal(err)
	}
	for _, f := range c.Raw {
		out.Raw = append(out.Raw, &helm.File{Name: f.Name, Data: f.Data})
	}
	for _, sub := range c.Dependencies() {
		out.AddDependency(inHelm(t, sub))
	}
	return out
}

func toJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestJSONIsHelms: what either program has written is, read and written again by the
// other one, the same.
func TestJSONIsHelms(t *testing.T) {
	p := picker{rand.New(rand.NewPCG(1, 2))}
	for range 500 {
		c := &chart.Chart{}
		if err := json.Unmarshal(toJSON(t, p.chart(1)), c); err != nil { // bytes that are no text are gone now
			t.Fatal(err)
		}
		text := toJSON(t, inHelm(t, c))
		if diff := cmp.Diff(string(text), string(toJSON(t, c))); diff != "" {
			t.Fatalf("written by Helm (-) and by us (+):\n%s", diff)
		}
		back := &chart.Chart{}
		if err := json.Unmarshal(text, back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(text), string(toJSON(t, back))); diff != "" {
			t.Fatalf("read and written again:\n%s", diff)
		}
	}
	if diff := cmp.Diff(string(toJSON(t, &helm.Chart{Metadata: &helm.Metadata{}})), string(toJSON(t, &chart.Chart{Metadata: &chart.Metadata{}}))); diff != "" {
		t.Error(diff)
	}
}

// TestValidateIsHelms: the same refusals, and the same cleaned texts.
func TestValidateIsHelms(t *testing.T) {
	p := picker{rand.New(rand.NewPCG(3, 4))}
	messages := map[string]int{}
	for range 10000 {
		md := p.metadata()
		theirs := &helm.Metadata{}
		copyOver(md, theirs)
		err, want := md.Validate(), theirs.Validate()
		if fmt.Sprint(err) != fmt.Sprint(want) {
			t.Fatalf("%+v: %v, Helm says %v", md, err, want)
		}
		if err == nil {
			if diff := cmp.Diff(theirs, inHelm(t, &chart.Chart{Metadata: md}).Metadata); diff != "" {
				t.Fatal(diff)
			}
		}
		messages[regexp.MustCompile(`".*"`).ReplaceAllString(fmt.Sprint(err), "X")]++
	}
	if len(messages) != 12 {
		t.Errorf("%d kinds of answers: %v", len(messages), messages)
	}
	if diff := cmp.Diff((*helm.Metadata)(nil).Validate().Error(), (&chart.Chart{}).Validate().Error()); diff != "" {
		t.Error(diff)
	}
}

// copyOver copies metadata byte by byte, which JSON does not when there is no text in it.
func copyOver(md *chart.Metadata, into *helm.Metadata) {
	*into = helm.Metadata{
		Name: md.Name, Home: md.Home, Sources: append([]string(nil), md.Sources...), Version: md.Version, Description: md.Description, Keywords: append([]string(nil), md.Keywords...),
		Icon: md.Icon, APIVersion: md.APIVersion, Condition: md.Condition, Tags: md.Tags, AppVersion: md.AppVersion, Deprecated: md.Deprecated, KubeVersion: md.KubeVersion, Type: md.Type,
	}
	for key, value := range md.Annotations { // JSON makes texts of them, Validate does not
		if into.Annotations == nil {
			into.Annotations = map[string]string{}
		}
		into.Annotations[strings.ToValidUTF8(key, "\ufffd")] = strings.ToValidUTF8(value, "\ufffd")
	}
	for _, m := range md.Maintainers {
		if m == nil {
			into.Maintainers = append(into.Maintainers, nil)
			continue
		}
		into.Maintainers = append(into.Maintainers, &helm.Maintainer{Name: m.Name, Email: m.Email, URL: m.URL})
	}
	for _, d := range md.Dependencies {
		if d == nil {
			into.Dependencies = append(into.Dependencies, nil)
			continue
		}
		into.Dependencies = append(into.Dependencies, &helm.Dependency{
			Name: d.Name, Version: d.Version, Repository: d.Repository, Condition: d.Condition, Tags: append([]string(nil), d.Tags...),
			Enabled: d.Enabled, ImportValues: d.ImportValues, Alias: d.Alias,
		})
	}
}

func TestPathsAndCRDsAreHelms(t *testing.T) {
	p := picker{rand.New(rand.NewPCG(5, 6))}
	var compare func(ours *chart.Chart, theirs *helm.Chart) int
	compare = func(ours *chart.Chart, theirs *helm.Chart) int {
		var got, want []string
		for _, crd := range ours.CRDObjects() {
			got = append(got, crd.Name+" "+crd.Filename+" "+crd.File.Name)
		}
		for _, crd := range theirs.CRDObjects() {
			want = append(want, crd.Name+" "+crd.Filename+" "+crd.File.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		if ours.Name() != theirs.Name() || ours.ChartFullPath() != theirs.ChartFullPath() || ours.IsRoot() != theirs.IsRoot() {
			t.Fatalf("%s is %s, Helm has %s", ours.Name(), ours.ChartFullPath(), theirs.ChartFullPath())
		}
		n := len(got)
		for i, sub := range ours.Dependencies() {
			n += compare(sub, theirs.Dependencies()[i])
		}
		return n
	}
	crds := 0
	for range 300 {
		c := p.chart(2)
		crds += compare(c, inHelm(t, c))
	}
	if crds < 100 {
		t.Errorf("only %d CRDs compared", crds)
	}
}

// loadBoth loads a folder as we do and as Helm does, and what each says meanwhile.
func loadBoth(t *testing.T, dir string) (ours *chart.Chart, theirs *helm.Chart, talk, helmTalk string, err, helmErr error) {
	t.Helper()
	var said bytes.Buffer
	log.SetOutput(&said)
	flags := log.Flags()
	log.SetFlags(0)
	defer log.SetOutput(os.Stderr)
	defer log.SetFlags(flags)
	ours, err = chart.Load(dir)
	talk = said.String()
	said.Reset()
	theirs, helmErr = loader.LoadDir(dir)
	return ours, theirs, talk, said.String(), err, helmErr
}

// describe lists what was read from a folder, with the subcharts' in the order of Helm's,
// which is that of a map.
func describe(raw []*chart.File) string {
	var b strings.Builder
	for _, f := range raw {
		fmt.Fprintf(&b, "%s: %q\n", f.Name, f.Data)
	}
	return b.String()
}

// links writes files, and symbolic links where the text begins with "-> ".
func links(t *testing.T, dir string, texts map[string]string) {
	t.Helper()
	for name, text := range texts {
		name = filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		if err == nil {
			if target, isLink := strings.CutPrefix(text, "-> "); isLink {
				err = os.Symlink(target, name)
			} else {
				err = os.WriteFile(name, []byte(text), 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestLinksInFolders(t *testing.T) {
	const sub = "apiVersion: v2\nname: db\nversion: 1.0.0\n"
	for name, texts := range map[string]map[string]string{
		"files": {
			"web/values.yaml": "-> ../shared/values.yaml", "shared/values.yaml": "a: 1\n", "web/templates/a.yaml": "-> b.yaml", "web/templates/b.yaml": "b",
			"web/templates/c.yaml": "-> a.yaml",
		},
		"folders":            {"web/templates/shared": "-> ../../shared/templates", "shared/templates/x.yaml": "x", "shared/templates/deep/y.yaml": "y", "shared/templates/l.yaml": "-> x.yaml", "web/files": "-> templates"},
		"subchart":           {"web/charts/db": "-> ../../db", "db/Chart.yaml": sub, "db/templates/a.yaml": "a", "db/values.yaml": "-> ../shared.yaml", "shared.yaml": "b: 1\n"},
		"two names":          {"web/charts/db": "-> ../../db", "web/charts/other": "-> db", "db/Chart.yaml": sub},
		"ignored":            {"web/.helmignore": "secret/\n*.bak\n", "web/secret": "-> ../shared", "shared/x": "x", "web/y.bak": "-> Chart.yaml", "web/docs": "-> ../shared"},
		"the chart":          {"chart/Chart.yaml": sub, "chart/a": "-> Chart.yaml", "web": "-> chart"},
		".helmignore":        {"web/.helmignore": "-> ../rules", "rules": "*.txt\n", "web/a.txt": "", "web/b": "b"},
		"twice, no cycle":    {"web/a/x": "-> ../b", "web/a/y": "-> ../b", "web/b/z": "z"},
		"broken":             {"web/gone": "-> nowhere"},
		"broken and ignored": {"web/.helmignore": "gone\n", "web/gone": "-> nowhere"},
		"itself":             {"web/self": "-> self"},
		"device":             {"web/null": "-> /dev/null"},
		"device, ignored":    {"web/.helmignore": "null\n", "web/null": "-> /dev/null"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			links(t, dir, texts)
			if name != "the chart" {
				links(t, dir, map[string]string{"web/Chart.yaml": chartfile})
			}
			ours, theirs, talk, helmTalk, err, helmErr := loadBoth(t, filepath.Join(dir, "web"))
			if fmt.Sprint(err) != fmt.Sprint(helmErr) {
				t.Fatalf("error %v, Helm's is %v", err, helmErr)
			}
			if diff := cmp.Diff(helmTalk, talk); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(talk, "found symbolic link in path: ") && !strings.Contains(fmt.Sprint(err), "error evaluating symlink") {
				t.Errorf("said %q", talk)
			}
			if err != nil {
				return
			}
			var raw []*chart.File
			for _, f := range theirs.Raw {
				raw = append(raw, &chart.File{Name: f.Name, Data: f.Data})
			}
			if diff := cmp.Diff(describe(raw), describe(ours.Raw)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(string(toJSON(t, theirs)), string(toJSON(t, ours))); diff != "" {
				t.Error(diff)
			}
			if len(ours.Dependencies()) != len(theirs.Dependencies()) {
				t.Errorf("%d subcharts, Helm has %d", len(ours.Dependencies()), len(theirs.Dependencies()))
			}
		})
	}
}

// TestLinksWithoutEnd: Helm reads such folders over and over, until the kernel has
// enough of the path, or the memory ends.
func TestLinksWithoutEnd(t *testing.T) {
	log.SetOutput(&bytes.Buffer{})
	defer log.SetOutput(os.Stderr)
	for _, tt := range []struct {
		name  string
		texts map[string]string
		want  string // of the error, in which the chart's folder is called TOP
	}{
		{"to the chart", map[string]string{"web/templates/up": "-> .."}, "symbolic link TOP/templates/up leads back to TOP, which it is in: remove the link, or name it in .helmignore"},
		{"to its folder", map[string]string{"web/a/b/here": "-> ."}, "symbolic link TOP/a/b/here leads back to TOP/a/b, which it is in"},
		{"in turns", map[string]string{"web/a/x": "-> ../../b", "b/y": "-> ../web/a"}, "symbolic link TOP/a/x/y leads back to TOP/a, which it is in"},
		{"from outside", map[string]string{"web/all": "-> .."}, "symbolic link TOP/all/web/all leads back to TOP/all, which it is in"},
		{"ignored", map[string]string{"web/templates/up": "-> ..", "web/.helmignore": "up/\n"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			top := filepath.Join(dir, "web")
			links(t, dir, tt.texts)
			links(t, dir, map[string]string{"web/Chart.yaml": chartfile})
			_, err := chart.Load(top)
			if tt.want == "" && err == nil {
				return
			}
			if tt.want == "" || err == nil || !strings.HasPrefix(err.Error(), strings.ReplaceAll(tt.want, "TOP", top)) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("tenfold", func(t *testing.T) {
		dir := t.TempDir()
		links(t, dir, map[string]string{"Chart.yaml": chartfile, "4/end": ""})
		for level := range 4 {
			for n := range 10 {
				links(t, dir, map[string]string{fmt.Sprintf("%d/%d", level, n): fmt.Sprintf("-> ../%d", level+1)})
			}
		}
		if _, err := chart.Load(dir); err == nil || !strings.HasPrefix(err.Error(), "more than 10000 symbolic links (at "+dir) {
			t.Errorf("got %v", err)
		}
	})
}
