package randomchart

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The words of values are few, so that what refers to a value mostly finds one.
var (
	keys      = strings.Fields("a b c d image enabled list map text")
	chartNest = 3 // how deep values nest
)

func (g *gen) key() string {
	if g.oneIn(25) {
		return pick(g, "x-y", "A", "0", "true", "with space", "ü", "a/b", "null", "1e3", "y")
	}
	return pick(g, keys...)
}

// table draws values.
func (g *gen) table(nest int) map[string]any {
	m := map[string]any{}
	for range 1 + g.IntN(5) {
		key := g.key()
		switch { // most keys keep one type, so that templates that use them work
		case g.oneIn(6):
			m[key] = g.value(nest)
		case key == "list":
			m[key] = g.list(nest)
		case key == "enabled":
			m[key] = g.oneIn(2)
		case key == "text":
			m[key] = g.text()
		case (key == "map" || key == "image" || key == "a") && nest > 0:
			m[key] = g.table(nest - 1)
		default:
			m[key] = g.scalar()
		}
	}
	return m
}

func (g *gen) value(nest int) any {
	switch n := g.IntN(10); {
	case n < 2 && nest > 0:
		return g.table(nest - 1)
	case n < 4 && nest > 0:
		return g.list(nest - 1)
	case n == 4:
		return nil
	}
	return g.scalar()
}

func (g *gen) list(nest int) []any {
	out := []any{}
	same := g.oneIn(2)
	for range g.IntN(4) {
		if same || nest == 0 {
			out = append(out, g.text())
		} else {
			out = append(out, g.value(nest-1))
		}
	}
	return out
}

func (g *gen) scalar() any {
	switch g.IntN(8) {
	case 0, 1:
		return pick[any](g, 0, 1, -1, 80, 8080, 65536, 1000000, 10000000, 1<<31, 1<<53, 9007199254740993)
	case 2:
		return pick[any](g, 0.5, 1.0, -2.25, 1e6, 1e21, 1.5e-7, 100000.0, 3.14159)
	case 3:
		return g.oneIn(2)
	}
	return g.text()
}

func (g *gen) text() string {
	if g.oneIn(4) {
		return pick(g, "", "0123", "true", "null", "1e3", "~", "0x1F", "1_000", "yes", "2024-01-01", "1.10", "-", "a: b",
			"# no comment", "two\nlines", "two\nlines\n", " lead", "trail ", "ü€😀", "it's", `say "x"`, `back\slash`, "<&>", "%d", "tab\there",
			"---", "- a", "{x}", "[y]", "*z", "&q", "!t", "|", ">", "a,b", "@at", "a\r\nb", "\u2028", "<no value>", "v1.2.3", "1.2", "YWJj")
	}
	if g.oneIn(6) {
		return pick(g, "{{ .Release.Name }}", "{{ .Values.text }}", "{{ .Values.a | toYaml }}", `{{ include "top.name" . }}`, "{{ .Chart.Name }}-x",
			"{{ $x := 1 }}{{ $x }}", `{{ define "inner" }}i{{ end }}{{ template "inner" }}`, "{{ .Template.Name }}", "a {{- /* c */ -}} b", "{{ .Values.nope }}")
	}
	return pick(g, "one", "two", "three", "nginx", "app", "web-1", "a.b.c", "Upper", "docker.io/x/y:1", "10Mi", "100m", "Always")
}

// yamlText writes values as YAML in varying style. Keys that go through templates
// stay readable; the style must not matter to who reads them.
func (g *gen) yamlText(m map[string]any) string {
	if g.oneIn(12) {
		data, err := json.MarshalIndent(m, "", "  ")
		if err != nil {
			return "{}"
		}
		return string(data) + "\n"
	}
	var b strings.Builder
	if g.oneIn(8) {
		b.WriteString("---\n")
	}
	if g.oneIn(5) {
		b.WriteString("# values\n\n")
	}
	g.block(&b, m, 0)
	if len(m) == 0 {
		b.WriteString(pick(g, "{}\n", "", "# nothing\n", "null\n"))
	}
	if g.oneIn(15) {
		fmt.Fprintf(&b, "anchored: &x {k: 1, l: [a]}\nalias: *x\nmerged:\n  <<: *x\n  k: 2\n")
	}
	if g.odd() {
		b.WriteString(pick(g, "a: b: c\n", "\tx: 1\n", "- list\n", "a: 1\na: 2\n", "...\n", "x: [1\n", "? y\n", "1: one\n", "x: !!binary aGk=\n"))
	}
	return b.String()
}

func (g *gen) block(b *strings.Builder, m map[string]any, indent int) {
	pad := strings.Repeat(" ", indent)
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if g.oneIn(12) {
			fmt.Fprintf(b, "%s# about %s\n", pad, key)
		}
		name := g.scalarText(key)
		switch v := m[key].(type) {
		case map[string]any:
			if len(v) == 0 || g.oneIn(6) {
				fmt.Fprintf(b, "%s%s: %s\n", pad, name, jsonText(v))
				continue
			}
			fmt.Fprintf(b, "%s%s:\n", pad, name)
			g.block(b, v, indent+pick(g, 1, 2, 2, 2, 4))
		case []any:
			if len(v) == 0 || g.oneIn(4) {
				fmt.Fprintf(b, "%s%s: %s\n", pad, name, jsonText(v))
				continue
			}
			fmt.Fprintf(b, "%s%s:\n", pad, name)
			inner := pad + pick(g, "", "  ")
			for _, item := range v {
				switch item.(type) {
				case map[string]any, []any:
					fmt.Fprintf(b, "%s- %s\n", inner, jsonText(item))
				default:
					fmt.Fprintf(b, "%s- %s\n", inner, g.scalarText(item))
				}
			}
		default:
			text := g.scalarText(v)
			if s, ok := v.(string); ok && strings.Contains(s, "\n") && !strings.ContainsAny(s, "\r\t\u2028") && g.oneIn(2) {
				text = "|-\n" + pad + "  " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n"+pad+"  ")
				if strings.HasSuffix(s, "\n") {
					text = strings.Replace(text, "|-", "|", 1)
				}
			}
			fmt.Fprintf(b, "%s%s: %s%s\n", pad, name, text, pick(g, "", "", "", "", plainEnd(text)))
		}
	}
}

// plainEnd is a comment that may follow a scalar on its line.
func plainEnd(text string) string {
	if strings.Contains(text, "\n") {
		return ""
	}
	return " # why"
}

// scalarText writes a scalar, quoted where plain style would change it.
func (g *gen) scalarText(v any) string {
	s, ok := v.(string)
	if !ok {
		if v == nil {
			return pick(g, "null", "~", "null")
		}
		return jsonText(v)
	}
	safe := s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ./_-:", r)
	}) && !strings.HasPrefix(s, "-") && !strings.Contains(s, ": ") && !strings.HasSuffix(s, ":") &&
		!slices.Contains(strings.Fields("true false yes no null y n on off"), strings.ToLower(s))
	if safe && !g.oneIn(4) {
		return s
	}
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '\u2028' }) && g.oneIn(2) {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return jsonText(s)
}

func jsonText(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(data)
}

// setPath draws a path of --set. Most go through keys that hold tables, or are new.
func (g *gen) setPath(subs []string) string {
	var parts []string
	switch {
	case len(subs) > 0 && g.oneIn(3):
		parts = append(parts, pick(g, subs...))
	case g.oneIn(8):
		parts = append(parts, "global")
	case g.oneIn(2):
		parts = append(parts, pick(g, "new", "other"))
	}
	for range g.IntN(2) {
		parts = append(parts, pick(g, "map", "a", "image"))
	}
	last := pick(g, "b", "c", "d", "text", "enabled", "fresh")
	switch {
	case g.oneIn(20):
		last = pick(g, `x\.y`, `with space`, `a/b`, "0", `c\,d`, `e\=f`)
	case g.oneIn(6):
		last = pick(g, "list", "items") + "[" + strconv.Itoa(g.IntN(3)) + "]" + pick(g, "", "", "", "[1]", ".k", ".k.l")
	}
	path := strings.Join(append(parts, last), ".")
	if g.odd() {
		path = pick(g, "", path+".", "."+path, path+"[", path+"[x]", path+"[-1]", path+"]", path+"[70000]", "a..b", `\`, path+"[0]x", "list.x", "text.x", "map[0]")
	}
	return path
}

// setValue draws what stands behind "=".
func (g *gen) setValue() string {
	if g.odd() {
		return pick(g, "{a,{b}}", "{{ .Release.Name }}", "{x", "}", "{x}y", "a,b", "[1]", "\\")
	}
	return pick(g, "1", "0", "-7", "0123", "1.5", "1e3", "true", "TRUE", "False", "null", "NULL", "", "text", "a b", `a\,b`,
		"{}", "{x}", "{x,y}", "{1,true,null}", `{a\,b,c}`, "9223372036854775808", `\{x\}`, "a=b", "ü",
		"123456789012", "yes")
}

// setExpression draws an argument of --set or one of its kin.
func (g *gen) setExpression(subs []string) string {
	return g.some(1, 3, ",", func() string {
		e := g.setPath(subs) + "=" + g.setValue()
		if g.odd() {
			e = pick(g, g.setPath(subs), e+",", "="+e, e+",,"+e, e+`\`)
		}
		return e
	})
}
