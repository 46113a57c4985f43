package syntax

import (
	"html"
	"regexp"
	"strings"
	"testing"
)

func TestYAML(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"a: 1 # c", `<span class="k">a</span>: <span class="n">1</span> <span class="c"># c</span>`},
		{"  # only", `  <span class="c"># only</span>`},
		{"- name: \"x: y\"", `- <span class="k">name</span>: <span class="s">&#34;x: y&#34;</span>`},
		{"url: http://a#b", `<span class="k">url</span>: http://a#b`},
		{"a: {{ .Values.x | quote }} # <", `<span class="k">a</span>: <span class="t">{{ .Values.x | quote }}</span> <span class="c"># &lt;</span>`},
		{"{{- if .x }}", `<span class="t">{{- if .x }}</span>`},
		{"{{/* a\nb */}}c: true", "<span class=\"c\">{{/* a</span>\n<span class=\"c\">b */}}</span>c: <span class=\"n\">true</span>"},
		{"a: |\n  x: 1\n\n  {{ y }}\nb: 2", "<span class=\"k\">a</span>: |\n<span class=\"s\">  x: 1</span>\n\n<span class=\"s\">  </span><span class=\"t\">{{ y }}</span>\n<span class=\"k\">b</span>: <span class=\"n\">2</span>"},
		{"'q': [a, 'b', -1.5, v1.2]", `<span class="k">&#39;q&#39;</span>: [a, <span class="s">&#39;b&#39;</span>, <span class="n">-1.5</span>, v1.2]`},
		{"", ""},
	} {
		var lines []string
		for _, l := range YAML(c.text) {
			lines = append(lines, string(l))
		}
		if have := strings.Join(lines, "\n"); have != c.want {
			t.Errorf("%q:\nhave %s\nwant %s", c.text, have, c.want)
		}
	}
}

var span = regexp.MustCompile(`<span class="[ckstn]">|</span>`)

// The text stays as it is, and nothing but our spans is in it.
func FuzzYAML(f *testing.F) {
	f.Add("a: |\n  {{/* x\n*/}}\n- 'b\": <c>\r\n\t{{ if }}")
	f.Add(strings.Repeat("x", maxLine-1) + "<>\"'")
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.NewReplacer("\r", "", "\x00", "").Replace(text) // ends of lines, and what HTML cannot have
		lines := YAML(text)
		var out []string
		for _, l := range lines {
			if strings.Count(string(l), "<span") != strings.Count(string(l), "</span>") {
				t.Errorf("a line leaves spans open: %s", l)
			}
			plain := span.ReplaceAllString(string(l), "")
			if strings.ContainsAny(plain, "<>\"'") {
				t.Errorf("not escaped: %s", l)
			}
			out = append(out, html.UnescapeString(plain))
		}
		if have := strings.Join(out, "\n"); have != strings.TrimSuffix(text, "\n") {
			t.Errorf("%q became %q", text, have)
		}
	})
}
