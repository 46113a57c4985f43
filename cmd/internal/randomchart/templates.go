package randomchart

import (
	"fmt"
	"strconv"
	"strings"
)

var kinds = strings.Fields("ConfigMap Secret Service Deployment Namespace Role Ingress Job Widget Zoo Ape CustomResourceDefinition ServiceAccount")

// templates draws a chart's templates.
func (g *gen) templates(n *node, depth int) {
	if depth == 0 && !g.odd() || !g.oneIn(8) {
		n.files["templates/_helpers.tpl"] = g.helpers(n.name)
	}
	for i := range g.IntN(4) {
		name := pick(g, "cm", "a", "z-last", "deep/er/x", "svc", "B")
		n.files[fmt.Sprintf("templates/%s%d.yaml", name, i)] = g.file(n)
	}
	if g.oneIn(4) {
		n.files["templates/NOTES.txt"] = "Thanks for " + g.action() + "\n"
	}
	if g.oneIn(10) {
		n.files["templates/_only.yaml"] = "{{ .Values.nope.nope }}"
	}
	if g.oneIn(12) {
		n.files["templates/sub/NOTES.txt"] = "below"
	}
	if g.oneIn(15) {
		n.files["templates/plain.txt"] = pick(g, "", "   \n", "# comment only\n", "---\n---\n", "kind: Text\n")
	}
	if g.oneIn(15) {
		n.files["templates/.hidden.yaml"] = "kind: Hidden\n"
	}
	if depth == 0 && len(n.files) < 4 {
		n.files["templates/all.yaml"] = g.file(n)
	}
}

// helpers draws partial templates. Every chart defines "shared" and "NAME.name"; who
// wins is one of the things that are compared.
func (g *gen) helpers(name string) string {
	g.vars = nil
	var b strings.Builder
	fmt.Fprintf(&b, "{{- define %q -}}%s-{{ .Release.Name }}{{- end -}}\n", name+".name", name)
	fmt.Fprintf(&b, "{{/* labels */}}\n{{- define %q }}\napp: {{ include %q . | quote }}\nchart: {{ .Chart.Name }}\n{{- end }}\n", "labels", name+".name")
	fmt.Fprintf(&b, "{{ define \"shared\" }}%s of %s{{ end }}\n", g.text1(), name)
	fmt.Fprintf(&b, "{{ define \"args\" }}{{ range $k, $v := . }}{{ $k }}={{ $v }};{{ end }}{{ end }}\n")
	fmt.Fprintf(&b, "{{ define \"down\" }}{{ if gt (int .) 0 }}{{ . }} {{ include \"down\" (sub (int .) 1) }}{{ end }}{{ end }}\n")
	for _, inner := range []string{"body", "odd"} {
		fmt.Fprintf(&b, "{{ define %q }}%s{{ end }}\n", inner, g.body(2))
	}
	return b.String()
}

// text1 is a word that is no template.
func (g *gen) text1() string { return pick(g, "one", "two", "three") }

// file draws a template of one or several documents.
func (g *gen) file(n *node) string {
	g.vars = nil
	var b strings.Builder
	if g.oneIn(5) {
		b.WriteString("{{- $top := . -}}\n")
		g.vars = append(g.vars, "$top.Values")
	}
	if g.oneIn(6) {
		b.WriteString("{{- $v := " + g.expr() + " }}\n")
		g.vars = append(g.vars, "$v")
	}
	docs := 1 + g.IntN(8)/6
	for i := range docs {
		if i > 0 || g.oneIn(8) {
			b.WriteString(pick(g, "---\n", "---\n", "--- \n", "\n---\n\n", "---\n# comment\n"))
		}
		guard := g.oneIn(6)
		if guard {
			fmt.Fprintf(&b, "{{- if %s }}\n", g.expr())
		}
		g.document(&b, n, i)
		if guard {
			b.WriteString(pick(g, "{{- end }}\n", "{{ end }}", "{{- else }}\nkind: Else\n{{- end }}\n"))
		}
	}
	if g.odd() {
		b.WriteString(pick(g, "{{", "{{ end }}", "{{ if }}", "{{ nosuch }}", "{{ .Values.a..b }}", "{{ $undefined }}", "\n  bad: [", "{{ template \"none\" }}",
			"{{ break }}", "{{ \"unclosed }}", "{{/* open", "{{ define \"x\" }}", "{{ 1 | 2 }}", "\n- a list\n", "{{ fail \"stop here\" }}", "{{ required \"need it\" .Values.zzz }}",
			"{{ .Values.zzz.yyy.xxx }}", "{{ include \"none\" . }}", "{{ tpl \"{{ .Values.q.r }}\" . }}", "{{ index .Values.list 99 }}", "{{ tpl \"{{\" . }}"))
	}
	return b.String()
}

func (g *gen) document(b *strings.Builder, n *node, i int) {
	fmt.Fprintf(b, "apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n", pick(g, "v1", "apps/v1", "x.example.com/v1"), pick(g, kinds...),
		pick(g, "{{ .Release.Name }}-"+strconv.Itoa(i), "{{ include \""+n.name+".name\" . }}", "{{ include \"top.name\" $ | trunc 20 }}", "fixed"))
	if g.oneIn(5) {
		fmt.Fprintf(b, "  annotations:\n    helm.sh/hook: %s\n", pick(g, "pre-install", "post-install,pre-upgrade", "test", "test-success", "crd-install", "Pre-Install", "\"\"", "{{ .Values.text | quote }}"))
		if g.oneIn(2) {
			fmt.Fprintf(b, "    helm.sh/hook-weight: %s\n", pick(g, `"5"`, `"-3"`, `"x"`, "'007'"))
		}
	} else if g.oneIn(4) {
		b.WriteString("  labels:\n    {{- include \"labels\" . | nindent 4 }}\n")
	}
	b.WriteString("data:\n")
	for j := range 1 + g.IntN(5) {
		fmt.Fprintf(b, "  k%d: %s\n", j, g.line())
	}
}

// line is what stands behind a key.
func (g *gen) line() string {
	switch g.IntN(12) {
	case 0:
		return "{{- toYaml " + g.operand() + " | nindent 4 }}"
	case 1:
		return "{{ include \"body\" . | toJson }}"
	case 2:
		return "{{- with " + g.expr() + " }}{{ toYaml . | nindent 4 }}{{- end }}"
	case 3:
		return "{{- range $i, $e := " + g.collection() + " }}\n    e{{ $i | toString | sha256sum | trunc 6 }}: {{ $e | toJson }}\n    {{- end }}"
	case 4:
		return "{{- range " + g.collection() + " }}\n    - {{ . | toJson }}\n    {{- else }} none{{- end }}"
	case 5:
		return `"` + pick(g, "a {{- 1 -}} b", "{{ .Release.Name }}/{{ .Release.Namespace }}", "{{ .Chart.Version }}") + `"`
	case 6:
		return "{{ " + g.chain() + " | toJson }}"
	case 7:
		return "{{ " + g.chain() + " | quote }}"
	}
	return "{{ " + g.quotable() + " | quote }}"
}

// body is text with actions in it, in which block structures may nest.
func (g *gen) body(nest int) string {
	return g.some(1, 3, " ", func() string {
		if nest > 0 {
			switch g.IntN(9) {
			case 0:
				return "{{ if " + g.expr() + " }}" + g.body(nest-1) + "{{ else if " + g.expr() + " }}x{{ else }}" + g.body(nest-1) + "{{ end }}"
			case 1:
				return "{{ with " + g.expr() + " }}" + g.body(nest-1) + "{{ else }}" + g.body(nest-1) + "{{ end }}"
			case 2:
				return "{{ range $i, $e := " + g.collection() + " }}{{ $i }}:{{ $e }}" + pick(g, "", "{{ if $i }}{{ break }}{{ end }}", "{{ continue }}no") + "{{ end }}"
			case 3:
				return "{{ $w := " + g.expr() + " }}{{ $w = " + g.expr() + " }}{{ $w }}"
			case 4:
				return "{{ template \"shared\" $ }}"
			case 5:
				g.blocks++
				return fmt.Sprintf("{{ block \"block%d\" $ }}b{{ .Release }}{{ end }}", g.blocks)
			case 6:
				return "{{ $_ := set $.Values " + g.quotedKey() + " (toJson " + g.operand() + ") }}" // a table could hold itself
			}
		}
		return pick(g, g.action(), "{{- "+g.expr()+" -}}", "text", "{{/* c */}}")
	})
}

func (g *gen) action() string { return "{{ " + g.expr() + " }}" }

func (g *gen) quotedKey() string { return strconv.Quote(pick(g, keys...)) }
