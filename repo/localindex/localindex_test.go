package localindex_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/repo"
	"github.com/seed38700745/pkg/repo/localindex"
)

// build makes the local index of an index.yaml, and opens it.
func build(tb testing.TB, text string) (*localindex.Index, string, error) {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "index.local")
	f, err := os.Create(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	if err := localindex.Build(f, strings.NewReader(text), localindex.Header{URL: "http://example.com"}); err != nil {
		return nil, name, err
	}
	x, err := localindex.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { x.Close() })
	return x, name, nil
}

// content is what a local index says, in the words of an index.
func content(tb testing.TB, x *localindex.Index) map[string][]localindex.Entry {
	tb.Helper()
	out := map[string][]localindex.Entry{}
	err := x.Range(func(name string, versions []localindex.Entry) error {
		out[name] = slices.Clone(versions)
		one, err := x.Chart(name)
		if diff := cmp.Diff(versions, one); err != nil || diff != "" {
			tb.Errorf("chart %s alone: %v\n%s", name, err, diff)
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// compare fails unless the local index says the same as the whole index read at once.
func compare(tb testing.TB, text string) {
	tb.Helper()
	want, wantErr := repo.ParseIndex([]byte(text))
	x, _, err := build(tb, text)
	if (err == nil) != (wantErr == nil) {
		tb.Fatalf("streamed: %v; at once: %v\n%s", err, wantErr, text)
	}
	if err != nil {
		return
	}
	got := content(tb, x)
	if diff := cmp.Diff(want.Names(), x.Names(), cmp.Transformer("nil", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
		tb.Fatalf("names (-whole +local):\n%s\n%s", diff, text)
	}
	for _, name := range want.Names() {
		var list []localindex.Entry
		for i, e := range want.Entries[name] {
			one := localindex.Entry{Version: e.Version, AppVersion: e.AppVersion, Description: e.Description, Keywords: append([]string{}, e.Keywords...), Digest: e.Digest, Deprecated: e.Deprecated}
			if len(e.URLs) > 0 {
				one.URL = e.URLs[0]
			}
			if e.Created.After(time.Unix(1, 0)) {
				one.Created = time.Unix(e.Created.Unix(), 0).UTC()
			}
			if i < len(got[name]) {
				one.Release, one.Positive, one.PositiveDevel = got[name][i].Release, got[name][i].Positive, got[name][i].PositiveDevel
			}
			list = append(list, one)
		}
		if diff := cmp.Diff(list, got[name]); diff != "" {
			tb.Fatalf("chart %s (-whole +local):\n%s\n%s", name, diff, text)
		}
	}
}

// layouts are indexes as different programs write them, and worse.
var layouts = map[string]string{
	"helm":        "apiVersion: v1\nentries:\n  web:\n  - apiVersion: v2\n    name: web\n    version: 1.0.0\n    description: |\n      text\n\n      - with a list\n      web:\n    urls:\n    - web-1.0.0.tgz\n    keywords: [a, b]\n  - name: web\n    version: 1.10.0\n    appVersion: \"1.10\"\n    urls: [x]\n    created: \"2026-01-02T03:04:05.6Z\"\n  zed:\n  - {name: zed, version: 0.1.0, urls: [y], digest: abc, deprecated: true}\ngenerated: \"2026-01-02T03:04:05Z\"\n",
	"indented":    "---\n# made by hand\nentries:\n    web:\n        # the first\n        - name: web\n          version: \"1.0.0\"\n          urls:\n              - a\n\n        -\n          name: web\n          version: 2.0.0-rc.1\n          urls: [b]\napiVersion: v1\n",
	"quoted":      "apiVersion: v1\nentries:\n  \"web\":\n  - name: web\n    version: 1.0.0\n  'a: b': []\n  none: []\n",
	"anchors":     "apiVersion: v1\nentries:\n  web:\n  - &one\n    name: web\n    version: 1.0.0\n    urls: [a]\n  - <<: *one\n    version: 1.1.0\n",
	"flow":        "{apiVersion: v1, entries: {web: [{name: web, version: 1.0.0, urls: [a]}]}}\n",
	"json":        `{"apiVersion":"v1","entries":{"web":[{"name":"web","version":"1.0.0","urls":["a"]},null,{"name":"web"}]},"generated":"2026-01-02T03:04:05Z"}`,
	"breaks":      "apiVersion: v1\nentries:\n  web:\n  - name:\r\r t\n    description: a\u2028b: c\n",
	"bad key":     "apiVersion: v1\nentries:\n  \"w\"be:\n  - name: web\n    version: 1.0.0\n  'a: b':\n",
	"bad comment": "apiVersion: v1\nentries:\n  web:\n  # abo\x00t\n  - name:",
	"bad time":    `{"apiVersion":"v1","entries":{},"generated":"x"}`,
	"bad time 2":  "apiVersion: v1\nentries:\n  web:\n  - name: web\n    version: 1.0.0\ngenerated: soon\n",
	"bad time 3":  "{apiVersion: v1, entries: {}, generated: soon}\n",
	"json, null":  `{"entries":null,"apiVersion":"v1"}`,
	"crlf":        "apiVersion: v1\r\nentries:\r\n  web:\r\n  - name: web\r\n    version: 1.0.0\r\n    urls:\r\n    - a\r\n",
	"bad ones":    "apiVersion: v1\nentries:\n  web:\n  - name: web\n    version: no\n  - name: ../web\n    version: 1.0.0\n  - version: 1.0.0\n  - null\n  - name: web\n    version: 1.0.0\n    type: nonsense\n  - name: web\n    version: 1.0.0\n    dependencies: [{name: x, alias: \"a b\"}]\n  - name: web\n    version: 3.0.0\n    maintainers: [{name: me}]\n",
	"folded":      "apiVersion: v1\nentries:\n  web:\n  - name: web\n    version: 1.0.0\n    description: a text that goes on\n      in the next line\n    home: \"quoted\n\n      too\"\n",
	"no version":  "entries:\n  web:\n  - name: web\n    version: 1.0.0\n",
	"twice":       "apiVersion: v1\nentries:\n  web:\n  - name: web\n    version: 1.0.0\n  web:\n  - name: web\n    version: 2.0.0\n",
	"names":       "apiVersion: v1\nentries:\n  yes:\n  - name: web\n    version: 1.0.0\n  2048:\n  - name: web\n    version: 1.0.0\n  k8s.x_y-z: []\n",
	"emptied":     "apiVersion: v1\nentries:\n  web:\n  - name: web\n    version: 1.0.0\n  web: []\n",
	"nameless":    "apiVersion: v1\nentries:\n  : []\n",
	"no entries":  "apiVersion: v1\nentries: {}\n",
	"web page":    "<!DOCTYPE html>\n<html><body>not here</body></html>\n",
	"empty":       "",
	"tabs":        "apiVersion: v1\nentries:\n\tweb: []\n",
	"two":         "apiVersion: v1\nentries: {}\n---\nmore: 1\n",
	"number":      "apiVersion: v1\nentries:\n  web:\n  - name: web\n    version: 1.0.0\n    appVersion: 1.10\n",
	"comment":     "apiVersion: v1\nentries:\n  web:\n  # about it\n  - name: web # the name\n    # and\n    version: 1.0.0\n    description: >-\n      # no comment\n       x\n",
}

func TestBuildReadsWhatTheWholeParserReads(t *testing.T) {
	for name, text := range layouts {
		t.Run(name, func(t *testing.T) { compare(t, text) })
	}
}

func FuzzBuild(f *testing.F) {
	for _, text := range layouts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) < 1<<12 {
			compare(t, text)
		}
	})
}

func TestVersionsAreSortedAndMarked(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nentries:\n  web:\n")
	for _, v := range []string{"0.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1", "1.10.0+b"} {
		fmt.Fprintf(&b, "  - name: web\n    version: %s\n", v)
	}
	x, _, err := build(t, b.String())
	if err != nil {
		t.Fatal(err)
	}
	list, err := x.Chart("web")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range list {
		got = append(got, fmt.Sprintf("%s %t%t%t", v.Version, v.Release, v.Positive, v.PositiveDevel))
	}
	want := []string{"2.0.0-rc.1 falsefalsetrue", "1.10.0 truetruetrue", "1.10.0+b truetruetrue", "1.2.0 truetruetrue", "0.0.0 truefalsetrue"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if none, err := x.Chart("nope"); err != nil || none != nil {
		t.Errorf("a chart that is not there: %v, %v", none, err)
	}
}

// TestDamageIsFound changes and cuts the file at many places: either reading says so
// or it reads the same as before.
func TestDamageIsFound(t *testing.T) {
	x, name, err := build(t, layouts["helm"])
	if err != nil {
		t.Fatal(err)
	}
	want := content(t, x)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	read := func(data []byte) error {
		if err := os.WriteFile(name+".bad", data, 0o644); err != nil {
			t.Fatal(err)
		}
		bad, err := localindex.Open(name + ".bad")
		if err != nil {
			return err
		}
		defer bad.Close()
		if err := bad.Check(); err != nil {
			return err
		}
		if diff := cmp.Diff(want, content(t, bad)); diff != "" {
			t.Errorf("damage was not found:\n%s", diff)
		}
		return nil
	}
	found := 0
	random := rand.New(rand.NewPCG(1, 2))
	for at := range data {
		changed := bytes.Clone(data)
		changed[at] ^= byte(1 + random.IntN(255))
		for _, damaged := range [][]byte{changed, data[:at]} {
			if err := read(damaged); errors.Is(err, localindex.ErrDamaged) {
				found++
			} else if err != nil {
				t.Errorf("at %d: %v", at, err)
			}
		}
	}
	if found < 2*len(data)*9/10 {
		t.Errorf("%d of %d damages were found", found, 2*len(data))
	}
}

func BenchmarkBuild(b *testing.B) {
	var text strings.Builder
	text.WriteString("apiVersion: v1\nentries:\n")
	for n := range 1000 {
		fmt.Fprintf(&text, "  app-%d:\n", n)
		for v := range 20 {
			fmt.Fprintf(&text, "  - annotations:\n      changes: |\n        - one\n        - two\n      category: Database\n    apiVersion: v2\n    appVersion: 1.2.%[2]d\n    created: \"2026-03-04T05:06:07.123456789Z\"\n    dependencies:\n    - name: common\n      repository: oci://registry.example.com/charts\n      version: 2.x.x\n    description: Application %[1]d, which serves requests and\n      keeps what it was told.\n    digest: a%063[1]d\n    keywords:\n    - database\n    maintainers:\n    - email: team@example.com\n      name: The team\n    name: app-%[1]d\n    urls:\n    - charts/app-%[1]d-1.%[2]d.0.tgz\n    version: 1.%[2]d.0\n", n, v)
		}
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		f, err := os.Create(filepath.Join(b.TempDir(), "index.local"))
		if err != nil {
			b.Fatal(err)
		}
		if err := localindex.Build(f, strings.NewReader(text.String()), localindex.Header{}); err != nil {
			b.Fatal(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
