package outline

import (
	"fmt"
	"strings"
	"testing"
)

// show is an outline as text: path, type, default, what is said.
func show(settings []Setting) string {
	var out strings.Builder
	for _, s := range settings {
		fmt.Fprintf(&out, "%s (%s)", s.Path, s.Type)
		for flag, is := range map[string]bool{" group": s.Group, " unset": s.Unset, " required": s.Required} {
			if is {
				out.WriteString(flag)
			}
		}
		for _, text := range []string{" = " + s.Default, " # " + s.Text, " e.g. " + s.Example, " ! " + strings.Join(s.Rules, ", ")} {
			if len(text) > 3 && text != " e.g. " {
				out.WriteString(strings.ReplaceAll(text, "\n", "⏎"))
			}
		}
		out.WriteString("\n")
	}
	return out.String()
}

func TestRead(t *testing.T) {
	for _, c := range []struct{ name, values, schema, want string }{
		{"comments", "# not of a\n\n# about a,\n# in two lines\na: 1\nb: x # beside\nc:\n  # deeper\n  d: true\n# of e\ne: 1.5\n", "",
			"a (integer) = 1 # about a, in two lines\nb (string) = x # beside\nc (object) group\nc.d (boolean) = true # deeper\ne (number) = 1.5 # of e\n"},
		{"helm-docs", "# hidden\n# -- (int) shown\n# @default -- depends\na:\n", "", "a (int) = depends # shown\n"},
		{"bitnami", "## @section One\n## @param a.b [string, nullable] About b\n## @param a.c About c\n##\na:\n  b: \"\"\n  ## see https://e.org\n  c: []\n", "",
			"a (object) group\na.b (string) = \"\" # About b\na.c (array) = [] # About c\n"},
		{"lists keep their lines", "# Either:\n# - one\n# - two\na: 1\n", "", "a (integer) = 1 # Either:⏎- one⏎- two\n"},
		{"examples", "# about a\na: {}\n  # cpu: 1\n  # memory: 2\nb: []\n# - x\n# of c\nc:\n", "",
			"a (object) = {} # about a e.g. cpu: 1⏎memory: 2\nb (array) = []\nc () = null # - x of c\n"},
		{"long defaults", "a:\n  - b: 1\n    c: 2\n\n# about d\nd: |\n  x\n    y\ne: {f: 1}\ng: [1,\n  2]\n", "",
			"a (array) = - b: 1⏎  c: 2\nd (string) = x⏎  y # about d\ne (object) group\ne.f (integer) = 1\ng (array) = [1,⏎  2]\n"},
		{"anchors and dots", "a: &x 1\nb: *x\n<<: {c: 1}\n\"d.e\": 1\n", "", "a (integer) = 1\nb () = *x\nd\\.e (integer) = 1\n"},
		{"schema", "a: 1\nb: {}\n", `{"required":["a","z"],"properties":{"a":{"type":["integer","null"],"description":"said","minimum":1,"maximum":9},
			"b":{"$ref":"#/$defs/b","description":"beside"},"z":{"enum":["x",1]},"global":{}},"$defs":{"b":{"type":"object","description":"behind","properties":{"c":{"type":"array","items":{"type":"string"},"pattern":"^a"}}}}}`,
			"a (integer or null) required = 1 # said ! at least 1, at most 9\nb (object) = {} # beside\nb.c (string list) unset ! matches ^a\nz () unset required ! one of \"x\", 1\n"},
		{"broken schema", "a: 1\n", `{"properties":[],"$ref":"#/$ref"`, "a (integer) = 1\n"},
		{"schema without end", "a: {b: 1}\n", `{"$ref":"#"}`, "a (object) group\na.b (integer) = 1\n"},
		{"comments only", "# nothing\n", "", ""},
		{"windows", "# about a\r\na: 1\r\n", "", "a (integer) = 1 # about a\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			settings, err := Read([]byte(c.values), []byte(c.schema))
			if err != nil {
				t.Fatal(err)
			}
			if have := show(settings); have != c.want {
				t.Errorf("have:\n%s\nwant:\n%s", have, c.want)
			}
		})
	}
	for _, values := range []string{"- a\n", "a: [\n", "text"} {
		if _, err := Read([]byte(values), nil); err == nil || !strings.HasPrefix(err.Error(), "values.yaml: ") {
			t.Errorf("%q: %v", values, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("\r\r?", "0")
	f.Add("# a\r? b\u2028: c\u0085", "{}")
	f.Add("# a\na: &x {b: [1, *y]}\n  # c\nd: |\n e", `{"properties":{"a":{"$ref":"#/properties/a"}}}`)
	f.Add("a:\n  - b\n# @param a x\n", `{"$ref":"#/$defs/x","$defs":{"x":{"properties":{"y":{"$ref":"#"}}}}}`)
	f.Fuzz(func(t *testing.T, values, schema string) {
		settings, err := Read([]byte(values), []byte(schema))
		if err != nil {
			return
		}
		if len(settings) > maxSettings {
			t.Errorf("%d settings", len(settings))
		}
		for _, s := range settings {
			if s.Path != s.Parent+s.Key || s.Depth > maxDepth+1 {
				t.Errorf("%+v", s)
			}
		}
	})
}
