package plain

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// check compares with the full parser whatever text this package accepts.
func check(t *testing.T, text string) bool {
	t.Helper()
	got, ok := Values(text)
	if !ok {
		return false
	}
	var want map[string]any
	if err := yaml.Unmarshal([]byte(text), &want); err != nil {
		t.Fatalf("accepted %q, but: %v", text, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%q: (-yaml +plain)\n%s", text, diff)
	}
	head, ok := Head(text, "a", "b")
	if !ok {
		t.Fatalf("%q: accepted, but not its head", text)
	}
	if diff := cmp.Diff(headOf(want), headOf(head)); diff != "" {
		t.Fatalf("%q: head (-yaml +plain)\n%s", text, diff)
	}
	return true
}

// headOf is what Head with the keys a and b has to know of a document.
func headOf(document map[string]any) map[string]any {
	head := map[string]any{}
	for _, key := range []string{"a", "b"} {
		table, ok := document[key].(map[string]any)
		if !ok {
			head[key] = document[key]
			continue
		}
		head[key] = map[string]any{"a": table["a"], "b": table["b"]}
	}
	return head
}

func TestAccepted(t *testing.T) {
	for _, text := range []string{
		"a: 1\nb: text\n",
		"---\n# comment\na:\n  b: 1 # one\n  c:\n  - x\n  - yy: 1\n    z: 2\n  -   q: 1\n      r: 2\n",
		"a:\n- - 1\n  - 2\n-\n  - 3\n-\n",
		"a: |\n  one\n   two\n\n  three\n\n\nb: |-\n  x\nc: |+\n  y\n\n",
		"a: |\n  no newline at the end",
		"a: |\n# nothing\nb: |-\n\n  \nc: >\n",
		"a:\n  b: |\n  # nothing\n  c: >-\n\n# nothing\n  d: |\n    # text\n",
		"a: >\n  one\n  two\n\n  three\n    four\n  five\n\n\n  six\n\n   seven\n\n",
		"a: >-\n\n  one\n   two\n   three\n  four\nb: >+\n  x\n  y\n\n",
		"a: :8080\nb: ::x\nc: [1]\nd:\n- :x\n",
		"# a\ttab\na:\n  #\tb\n  b: |\n    # c\td\n    e\n",
		"- x",
		"a: 'it''s'\nb: \"a\\\"b\\n\"\nc: ''\n",
		"a: 'over\n  lines\n\n  and more'\nb: \"over\n  lines\"\n",
		"a: plain over\n  lines\n\n  and more\nb: x\n",
		"a: [1, \"two\", three, {b: c, d: []}] # yes\nb: {}\nc: []\nd: {\"x\": 1, z: \"z\"}\n",
		"a: yes\nb: off\nc: ~\nd: null\ne:\nf: 1.50\ng: 0x1F\nh: 017\ni: 1_000\nj: 1e3\nk: -5\nl: +7\nm: .5\n",
		"a: 1.2.3\nb: 10m\nc: 8080:80\nd: --flag\ne: 0.5Gi\nf: 18446744073709551615\ng: 1e999\nh: 12345678901234567890123\n",
		"a: x:y\nb: x#y\nc: http://host/path?q=1#frag\nd: $(VAR)\ne: a, b\nf: \"x\" # c\n",
		"a: ä\n\"quoted key\": 1\n'b': 2\nx/y.z: 3\n",
		"a: 1\na: 2\n",
		"a:\n  - b\n  # comment\nc:\n# comment\n- d\n",
		"a: 2001-12-14\nb: 2001-99-99\n",
	} {
		if !check(t, text) && text != "- x" {
			t.Errorf("refused %q", text)
		}
	}
}

func TestFloats(t *testing.T) {
	pattern := regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	var try func(s string, more int)
	try = func(s string, more int) {
		if got, want := isFloat(s), pattern.MatchString(s); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
		for i := 0; more > 0 && i < len("+.09eEx"); i++ {
			try(s+"+.09eEx"[i:i+1], more-1)
		}
	}
	try("", 6)
	try("-", 5)
}

func TestRefused(t *testing.T) {
	for _, text := range []string{
		"", "a", "a: &x 1\nb: *x\n", "a: !!str 1\n", "a:\tb\n", "a: 1\n---\nb: 2\n", "a: b: c\n", "a: 2001-12-14 21:59:43\n",
		"a: @x\n", "1: x\n", "true: x\n", "a: .inf\n", "a: 'x\n", "a: \"\\x41\"\n", "<<: {a: 1}\n", "? a\n: b\n",
		"a: [1,\n  2]\n", "a: 1\n  b: 2\n", "a:\n    b: 1\n  c: 2\n", " a: 1\nb: 2\n", "a: x\r\n", "a: [x y]\n", "a: : b\n", "a: :\n", "a: |+\n\nb: 1\n",
		"a: 'x\n  # y\t\n  z'\n", "a: \"\n  # y\tz\"\n",
	} {
		if got, ok := Values(text); ok {
			t.Errorf("accepted %q as %v", text, got)
		}
	}
}

// TestRandom glues fragments together: whatever is accepted must read the same.
func TestRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	fragments := []string{
		"a: ", "b:", "c", "'", "\"", "- ", "-", " ", "  ", "    ", "\n", "\n", "\n", "\n  ", "|\n", "|-\n", ">\n", ">-\n", "\n  \n", "#\t", "\n\n    x\n", "\n  x\n  y", "#x", " # y", "{", "}", "[", "]", ",", ": ", ":",
		"1", "0", ".", "x", "yes", "null", "~", "---", "...", "\\n", "\\", "''", "ä", "*", "&", "!", "%", "@", "a:\n", "- b: 1\n", "  - ", "-1", "1.5", "e5", "_", "key: value\n", "  key: value\n",
	}
	accepted := 0
	for range 400000 {
		var b strings.Builder
		b.WriteString("a: ")
		for range r.IntN(12) {
			b.WriteString(fragments[r.IntN(len(fragments))])
		}
		if check(t, b.String()) {
			accepted++
		}
	}
	if accepted < 20000 {
		t.Errorf("only %d of 400000 random texts were accepted", accepted)
	}
}

func FuzzValues(f *testing.F) {
	f.Add("a: |\n  x\nb: [1, {c: d}]\n")
	f.Fuzz(func(t *testing.T, text string) { check(t, text) })
}

// TestCorpus reads the values files of real charts, where there are some.
func TestCorpus(t *testing.T) {
	corpus := os.Getenv("PKG_CORPUS")
	if corpus == "" {
		t.Skip("PKG_CORPUS names no corpus of charts")
	}
	accepted, all := 0, 0
	err := filepath.WalkDir(filepath.Join(corpus, "charts"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".yaml") || strings.Contains(path, "/templates/") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		all++
		if check(t, string(data)) {
			accepted++
		} else {
			t.Log(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d files are plain", accepted, all)
}
