package gotemplate

import (
	"testing"
	"text/template/parse"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed38700745/pkg/engine/funcs"
)

// sameNodes ignores what trees of the quick parser do not hold: positions, lines and
// the way to the tree.
var sameNodes = cmp.Options{
	cmp.Comparer(func(a, b parse.Pos) bool { return true }),
	cmpopts.IgnoreFields(parse.BranchNode{}, "Line"),
	cmpopts.IgnoreFields(parse.ActionNode{}, "Line"),
	cmpopts.IgnoreFields(parse.PipeNode{}, "Line"),
	cmpopts.IgnoreFields(parse.TemplateNode{}, "Line"),
	cmpopts.IgnoreFields(parse.BreakNode{}, "Line"),
	cmpopts.IgnoreFields(parse.ContinueNode{}, "Line"),
	cmpopts.IgnoreUnexported(parse.ListNode{}, parse.TextNode{}, parse.ActionNode{}, parse.PipeNode{}, parse.CommandNode{},
		parse.BranchNode{}, parse.FieldNode{}, parse.VariableNode{}, parse.IdentifierNode{}, parse.ChainNode{}, parse.DotNode{},
		parse.NilNode{}, parse.BoolNode{}, parse.NumberNode{}, parse.StringNode{}, parse.TemplateNode{}, parse.BreakNode{}, parse.ContinueNode{}),
	cmpopts.EquateEmpty(),
}

// compareTrees fails when the quick parser accepts a text and makes another tree of it
// than text/template/parse. It returns whether it accepted, and whether the other did.
func compareTrees(t *testing.T, p *Parser, text string) (quick, full bool) {
	t.Helper()
	parsed, ok := p.quick(text, []byte(text))
	trees, err := parse.Parse("\x00", text, "", "", p.named(text))
	if !ok {
		return false, err == nil
	}
	if err != nil {
		t.Fatalf("%q\nquick parser accepts it, text/template/parse: %v", text, err)
	}
	want := Parsed{Root: trees["\x00"].Root, Defines: map[string]*parse.ListNode{}}
	for name, tree := range trees {
		if name != "\x00" {
			want.Defines[name] = tree.Root
		}
	}
	if diff := cmp.Diff(want, *parsed, sameNodes); diff != "" {
		t.Fatalf("%q (-text/template/parse +quick):\n%s", text, diff)
	}
	return true, true
}

func isKnown(name string) bool { return funcs.Lookup(name) != nil || name == "include" }

// syntax are texts on which the rules of parsing turn.
var syntax = []string{
	"", "a", "{{", "}}", "{{}}", "{{ }}", "{{-}}", "{{- -}}", "{{- 1 -}}", "{{-1}}", "{{ -1 }}", "{{1-}}", "{{1 -}} a", "a {{- 1}}", " {{- /* c */ -}} a", "{{/* c */}}", "{{/* c */ }}", "{{ /* c */}}", "{{/* c", "{{/**/-}}", "{{- /**/}}",
	"{{ 1e18 }}", "{{ 0600 }}", "{{ 1e }}", "{{ 0x1e-5 }}", "{{ 0x1P-5 }}", "{{ 1_0 }}", "{{ -1.5 }}", "{{ 1.5.2 }}", "{{ 1.e3 }}", "{{ 5i }}", "{{ 1+2i }}", "{{ 1a }}", "{{ 08 }}", "{{ -0x10 }}", "{{ 1e3}}", "{{ (1e+3) }}", "{{ 12345678901234567890 }}", "{{ 1.é }}",
	"{{ $x := 1 }}{{ $x }}", "{{ $x := $x }}", "{{ $x }}", "{{$x:=1}}", "{{$x=1}}", "{{ $x := 1 }}{{ $x = 2 }}", "{{ $x := 1 }}{{ $x.y.z }}", "{{ $x := 1 }}{{ $x .y }}", "{{ $, $x := 1 }}", "{{ $ := 1 }}", "{{ $x == 1 }}", "{{ $.a }}", "{{ $a.b := 1 }}",
	"{{ range $i, $e := . }}{{ $i }}{{ end }}", "{{ range $i, $e = . }}{{ end }}", "{{ range $i, $e }}{{ end }}", "{{ range $i,$e:=. }}{{ end }}", "{{ range $a, $b, $c := . }}{{ end }}", "{{ range $i := . }}{{ else }}{{ $i }}{{ end }}", "{{ range . }}{{ else if . }}{{ end }}",
	"{{ if . }}a{{ else if .b }}b{{ else }}c{{ end }}", "{{ if . }}{{ else with . }}{{ end }}", "{{ with . }}{{ else with .x }}{{ else }}{{ end }}", "{{ if . }}{{ else }}{{ else }}{{ end }}", "{{ if . }}", "{{ end }}", "{{ else }}", "{{ if(eq 1 1) }}{{ end }}", "{{if.x}}{{end}}", "{{ if $x := . }}{{ else }}{{ $x }}{{ end }}{{ $x }}",
	"{{ define \"a\" }}x{{ end }}{{ define \"a\" }} {{ end }}", "{{ define \"a\" }}x{{ end }}{{ define \"a\" }}y{{ end }}", "{{ define `a` }}{{ template \"b\" . }}{{ end }}", "{{ if . }}{{ define \"a\" }}{{ end }}{{ end }}", "{{ define a }}{{ end }}", "{{ define \"a\" . }}{{ end }}", "{{ define \"\" }}x{{ end }}", "{{define \"a\"}}{{define \"b\"}}{{end}}{{end}}",
	"{{ block \"a\" . }}x{{ end }}", "{{ block \"a\" }}x{{ end }}", "{{ $x := 1 }}{{ block \"a\" $x }}{{ $x }}{{ end }}", "{{ template \"a\" }}", "{{ template \"a\" | upper }}", "{{ template a }}", "{{ template \"a\" $x := 1 }}{{ $x }}", "{{ range . }}{{ define \"q\" }}{{ break }}{{ end }}{{ end }}", "{{ range . }}{{ block \"q\" . }}{{ break }}{{ end }}{{ end }}",
	"{{ range . }}{{ break }}{{ continue }}{{ else }}{{ break }}{{ end }}", "{{ break }}", "{{ range . }}{{ break 1 }}{{ end }}",
	"{{ upper . | lower | quote }}", "{{ | upper }}", "{{ upper | }}", "{{ 1 | 2 }}", "{{ 1 | . }}", "{{ 1 | .x }}", "{{ 1 | (upper) }}", "{{ upper|lower }}", "{{ (upper \"a\").x.y }}", "{{ (upper) .x }}", "{{ (upper)(lower) }}", "{{ () }}", "{{ (upper }}", "{{ upper) }}", "{{ ( upper -}}", "{{ (1) -}} a", "{{ ($x := 1) }}{{ $x }}", "{{ ( . ) }}", "{{ (.).x }}",
	"{{ . }}", "{{ .. }}", "{{ ..a }}", "{{ .a.b }}", "{{ .a. }}", "{{ .a .b }}", "{{ .1 }}", "{{ .a.1 }}", "{{ .ä }}", "{{ .a-b }}", "{{ .a}}", "{{ a.b }}", "{{ list.x }}", "{{ nil }}", "{{ true }}", "{{ true.x }}", "{{ nil.x }}", "{{ \"a\".x }}", "{{ 1.x }}", "{{ . x }}",
	"{{ 1 }}", "{{ 01 }}", "{{ 0 }}", "{{ -0 }}", "{{ +1 }}", "{{ 1.5 }}", "{{ 1. }}", "{{ 1.0 }}", "{{ -1.0 }}", "{{ 1e3 }}", "{{ 0x1F }}", "{{ 1_0 }}", "{{ 'a' }}", "{{ 1+2i }}", "{{ 1i }}", "{{ 99999999999999999999 }}", "{{ 1\"a\" }}", "{{ 1(2) }}", "{{ 1|upper }}", "{{ 1a }}", "{{ 5.5.5 }}",
	"{{ \"a\\n\" }}", "{{ \"a\nb\" }}", "{{ `a\nb\r` }}", "{{ \"ä\" }}", "{{ \"\xff\" }}", "{{ `\xff` }}", "{{ \"a }}", "{{ \"\\q\" }}", "{{ \"a\"\"b\" }}", "{{ \"\\", "{{ unknown }}", "{{ if }}{{ end }}", "{{ upper\n\t.x\n}}", "{{ upper , }}", "{{ upper: }}", "{{ with }}{{ end }}", "{{ endif }}", "{{ end1 }}", "{{\"{{\"}}", "{{ \"}}\" }}", "a{b}c{{1}}{d", "{{{ 1 }}}", "{{ 1 }}}", "{{else}}", "{{if 1}}{{else -}} a{{end -}} b", "\x00", "{{ \x00 }}", "{{ 1 }\x7d", "{{ upper . -}}\n\n x", "{{ and . -1 }}", "{{ and .a-1 }}", "{{ and 1-1 }}", "{{ -a }}",
}

func TestSameTrees(t *testing.T) {
	p := NewParser(isKnown)
	accepted := 0
	all := append(append([]string{}, syntax...), tests...)
	for _, text := range all {
		if quick, _ := compareTrees(t, p, text); quick {
			accepted++
		}
	}
	if accepted < len(all)/2 {
		t.Errorf("only %d of %d texts are accepted", accepted, len(all))
	}
}

func FuzzSameTrees(f *testing.F) {
	for _, text := range append(append([]string{}, syntax...), tests...) {
		f.Add(text)
	}
	p := NewParser(isKnown)
	f.Fuzz(func(t *testing.T, text string) { compareTrees(t, p, text) })
}

func BenchmarkParse(b *testing.B) {
	p := NewParser(isKnown)
	text := benchText
	b.Run("quick", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := p.quick(text, []byte(text)); !ok {
				b.Fatal("refused")
			}
		}
	})
	b.Run("full", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := parse.Parse("t", text, "", "", p.named(text)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

const benchText = `
{{- if and .Values.serviceAccount.create (not .Values.existing) }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "common.names.fullname" . | trunc 63 | trimSuffix "-" }}
  namespace: {{ .Release.Namespace | quote }}
  labels: {{- include "common.labels.standard" (dict "customLabels" .Values.commonLabels "context" $) | nindent 4 }}
  {{- with .Values.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  replicas: {{ default 1 .Values.replicas }}
  {{- range $key, $value := .Values.env }}
  - name: {{ $key }}
    value: {{ $value | quote }}
  {{- end }}
{{- end }}
`
