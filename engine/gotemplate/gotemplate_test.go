package gotemplate

import (
	"bytes"
	"errors"
	"maps"
	"regexp"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/engine/funcs"
	"github.com/seed38700745/pkg/engine/internal/chartutil"
	"github.com/seed38700745/pkg/engine/internal/endless"
)

// person has methods with and without pointer receivers.
type person struct {
	Name   string
	Inner  chartutil.KubeVersion
	Labels map[string]string
	List   []string
	secret int
}

func (p person) Greet(greeting string) string { return greeting + " " + p.Name }
func (p *person) Rename() string              { return p.Name + "!" }

// What lies behind pointers is shared by all copies, since printing shows addresses.
var (
	bob    = &person{Name: "Bob"}
	caps   = &chartutil.Capabilities{KubeVersion: chartutil.KubeVersion{Version: "v1.37.0", Major: "1", Minor: "37"}, APIVersions: chartutil.VersionSet{"v1", "apps/v1"}}
	called = func() string { return "called" }
)

// testData is a fresh copy of what templates get, since they may change it.
func testData() map[string]any {
	return map[string]any{
		"Values": chartutil.Values{
			"text": "abc", "empty": "", "int": 3, "int64": int64(4), "float": 2.5, "big": 1e21, "yes": true, "no": false, "nothing": nil,
			"list":  []any{"x", nil, 1.0, map[string]any{"k": "v"}, []any{}},
			"table": map[string]any{"b": map[string]any{"c": "deep"}, "a": 1.0, "nil": nil},
			"none":  map[string]any{}, "Table": "hidden by a method",
		},
		"Files":        chartutil.Values{"a": []byte("x")},
		"Capabilities": caps,
		"person":       person{Name: "Ann", Inner: chartutil.KubeVersion{Version: "v1"}, Labels: map[string]string{"l": "1", "m": "2"}, List: []string{"p", "q"}, secret: 1},
		"pointer":      bob,
		"strings":      []string{"one", "two"},
		"ints":         []int{1, 2, 3},
		"uint":         uint(7), "bytes": []byte("hi"), "time": time.Unix(0, 0).UTC(), "duration": time.Second,
		"func": called, "nilptr": (*person)(nil), "nilmap": map[string]any(nil), "nillist": []any(nil),
		"tables": []map[string]any{{"n": "1"}, {"n": nil}},
	}
}

// tests are templates of all kinds; many fail.
var tests = []string{
	`{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ $d }}`, `{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ print $d }}`, `{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ len $d }}{{ printf "%v" $d }}`,
	`plain text`, `{{ .Values.text }}{{ .Values.missing }}{{ .Values.nothing }}|{{ .missing.deeper }}`,
	`{{ .Values.table.b.c }} {{ .Values.missing.x }}`, `{{ .Values.text.x }}`, `{{ (.Values.missing).x }}`, `{{ $x := .Values.nothing }}{{ $x.y }}|{{ $x }}`,
	`{{ range .Values.list }}[{{ . }}]{{ else }}none{{ end }}`, `{{ range $i, $e := .Values.list }}{{ $i }}={{ $e }};{{ end }}`,
	`{{ range $k, $v := .Values.table }}{{ $k }}={{ $v }};{{ end }}`, `{{ range .Values.list }}{{ .k }}{{ end }}`,
	`{{ range 3 }}{{ . }}{{ end }}{{ range $i := 2 }}{{ $i }}{{ end }}`, `{{ range $i, $e := 2 }}{{ end }}`, `{{ range $i, $e := -2 }}{{ end }}`, `{{ range $i, $e := 0 }}{{ else }}e{{ end }}`, `{{ range -2 }}x{{ else }}e{{ end }}`, `{{ range .Values.int64 }}{{ printf "%T" . }}{{ end }}`,
	`{{ range .Values.text }}{{ end }}`, `{{ range .Values.nothing }}x{{ else }}else{{ end }}`, `{{ range .Values.float }}{{ end }}`,
	`{{ range $i, $e := .strings }}{{ $i }}{{ $e }}{{ end }}{{ range .ints }}{{ . }}{{ end }}{{ range $k, $v := .person.Labels }}{{ $k }}{{ $v }}{{ end }}`,
	`{{ range .Values.list }}{{ if eq (toString .) "1" }}{{ break }}{{ end }}{{ . }}{{ end }}`, `{{ range .ints }}{{ if eq . 2 }}{{ continue }}{{ end }}{{ . }}{{ end }}`,
	`{{ $n := 0 }}{{ range $n = .ints }}{{ end }}{{ $n }}`, `{{ $i := 0 }}{{ $n := 0 }}{{ range $i, $n = .ints }}{{ end }}{{ $i }}{{ $n }}`,
	`{{ range $k, $v := .Values.table }}{{ set $.Values.table (print $k "2") 1 | len }}{{ end }}`, `{{ range .tables }}{{ .n }}{{ end }}`,
	`{{ with .Values.table }}{{ .b }}{{ else with .Values.text }}{{ . }}{{ end }}`, `{{ with $x := .Values.text }}{{ $x }}{{ . }}{{ end }}`,
	`{{ with .Values.no }}a{{ else }}{{ .Values.text }}{{ end }}`, `{{ if and .Values.yes .Values.text }}y{{ else if .Values.no }}n{{ else }}e{{ end }}`,
	`{{ if .pointer }}p{{ end }}{{ if .nilptr }}p{{ end }}{{ if .nilmap }}m{{ end }}{{ if .person }}s{{ end }}{{ if .uint }}u{{ end }}{{ if .func }}f{{ end }}`,
	`{{ and 1 0 }} {{ or "" "x" }} {{ or .Values.nothing }} {{ and }}`, `{{ 1 | and 2 | or 0 }}`, `{{ .Values.nothing | or }}`, `{{ not .Values.no }} {{ not nil }}`,
	`{{ eq 1 1 }}{{ eq 1 .Values.int }}{{ eq .Values.int64 4 }}{{ eq "a" "b" "a" }}{{ eq .Values.nothing nil }}{{ eq .uint 7 }}`, `{{ eq 1 1.0 }}`, `{{ eq 1 "1" }}`, `{{ eq 1 }}`,
	`{{ eq .Values.table .Values.none }}`, `{{ eq .Values.nothing .Values.table }}{{ eq .nilmap nil }}{{ eq .nilmap .nilmap }}{{ ne .Values.text nil }}`, `{{ eq .nilmap .Values.table }}`, `{{ eq .nilmap .nillist }}`,
	`{{ eq .time .time }}`, `{{ lt 1 2 }}{{ le 2 2 }}{{ gt 1.5 1.0 }}{{ ge "b" "a" }}{{ lt .uint 8 }}{{ gt 8 .uint }}`, `{{ lt 1 "a" }}`, `{{ lt true false }}`, `{{ lt nil 1 }}`,
	`{{ index .Values.list 3 "k" }} {{ index .Values "table" "b" "c" }} {{ index .Values.table "zzz" }}|{{ index .strings 1 }}{{ index .person.Labels "l" }}{{ index .person.Labels "z" }}`,
	`{{ index .Values.list 9 }}`, `{{ index .Values.nothing 1 }}`, `{{ index .Values.text 0 }}`, `{{ index .Values }}`, `{{ index .Values.table nil }}`, `{{ (index .Values.list 1).x }}`,
	`{{ len .Values.text }}{{ len .Values.list }}{{ len .Values }}{{ len .strings }}`, `{{ len 3 }}`, `{{ len .Values.nothing }}`, `{{ len .nilmap }}`,
	`{{ .Values.Table "table" }}`, `{{ .Values.Table }}`, `{{ .Values.AsMap }}`, `{{ .Values.YAML | len }}`, `{{ (.Values.Table "none") | len }}`,
	`{{ .person.Name }}{{ .person.Greet "hi" }}{{ .pointer.Rename }}{{ "ho" | .person.Greet }}`, `{{ .person.Rename }}`, `{{ .person.secret }}`, `{{ .person.Nope }}`, `{{ .nilptr.Name }}`, `{{ .person.Name "arg" }}`,
	`{{ .Capabilities.KubeVersion }} {{ .Capabilities.KubeVersion.GitVersion }} {{ .Capabilities.KubeVersion.Minor }} {{ .Capabilities.APIVersions.Has "v1" }}`,
	`{{ $k := .Capabilities.KubeVersion }}{{ $k }}{{ $k.GitVersion }}{{ kindOf $k }}{{ typeOf $k }}{{ with $k }}{{ . }}{{ end }}{{ list $k }}{{ if $k }}t{{ end }}`, `{{ .person.Inner }}`, `{{ .Capabilities.APIVersions }}`,
	`{{ .pointer }}`, `{{ .func }}`, `{{ call .func }}`, `{{ .bytes }} {{ .time }} {{ .duration }} {{ .duration.Seconds }} {{ .uint }} {{ .Values.big }} {{ .Values.float }} {{ .Values.list }} {{ .Values.table }}`,
	`{{ .time.Year }} {{ .time.Format "2006" }} {{ (.time.AddDate 1 0 0).Year }}`, `{{ .Values.text | upper | quote }} {{ upper .Values.nothing }}`, `{{ upper .Values.int }}`, `{{ $x := .Values.nothing }}{{ upper $x }}`,
	`{{ hasKey .Values.nothing "a" }}`, `{{ $x := .Values.nothing }}{{ hasKey $x "a" }}`, `{{ hasKey .Values "text" }}{{ hasKey .Values.table "b" }}`, `{{ hasKey nil "a" }}`, `{{ hasKey .nilmap "a" }}{{ hasKey .person.Labels "l" }}`,
	`{{ default "d" .Values.nothing }} {{ default "d" .Values.text }} {{ .Values.empty | default "e" }} {{ default nil 1 }}`, `{{ list }} {{ list nil 1 | toJson }} {{ dict }} {{ dict "a" nil | toJson }}`,
	`{{ list | toJson }}{{ tuple 1 2 | join "," }}{{ append .Values.list 1 | len }}{{ first .Values.list }}{{ last .Values.list }}{{ rest .Values.list | len }}{{ first .nillist }}`,
	`{{ ternary "a" "b" true }}{{ ternary nil "b" .Values.yes }}{{ .Values.yes | ternary 1 2 }}{{ ternary 1 2 .Values.text }}`, `{{ trunc 2 "abc" }}{{ trunc "2" "abc" }}`, `{{ indent 2 "a" }}{{ nindent 2 "a" }}{{ trimSuffix "c" .Values.text }}`,
	`{{ merge (dict "a" 1) .Values.table | toJson }}{{ .Values.table | toJson }}`, `{{ $d := dict "k" (dict) }}{{ $_ := set $d.k "x" 1 }}{{ $d }}{{ unset $d "k" }}`, `{{ keys .Values.table | sortAlpha }} {{ values .Values.none }} {{ pick .Values.table "a" }} {{ omit .Values.table "a" "nil" }}`,
	`{{ dig "b" "c" "x" .Values.table }}{{ dig "b" "z" nil .Values.table }}`, `{{ get .Values.table "a" }}{{ get .Values.table "zz" }}{{ pluck "a" .Values.table }}`, `{{ coalesce nil "" "z" }}{{ coalesce nil }}`, `{{ fail "x" }}`,
	`{{ add 1 .Values.int "2" }}{{ add1 1 }}{{ mul 2 3 }}{{ div 7 2 }}{{ mod 7 2 }}{{ sub 1 2 }}{{ max 1 2 }}{{ div 1 0 }}`, `{{ int .Values.float }}{{ int64 "3" }}{{ float64 "2.5" }}{{ toString .Values.float }}{{ atoi "7" }}{{ round 1.2345 2 }}{{ until 3 }}{{ untilStep 0 6 2 }}`,
	`{{ 0x10 }} {{ 1_000 }} {{ 'a' }} {{ 1e3 }} {{ 0x1p-2 }} {{ -5 }} {{ 3.0 }} {{ 1i }}`, `{{ 9223372036854775808 }}`, `{{ 1 | printf "%d %s" 2 }}`, `{{ printf "%v" nil }}{{ printf "%s" .Values.text .Values.int }}`, `{{ print 1 "a" nil }}{{ html "<a>" }}{{ js "'" }}{{ urlquery "a b" }}{{ println 1 }}`,
	`{{ nil }}`, `{{ index .missing }}`, `{{ "a" 1 }}`, `{{ 1 | 2 }}`, `{{ .Values.text 1 }}`, `{{ (1) 2 }}`, `{{ $ }}{{ $.Values.text }}`, `{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $y := 3 }}{{ end }}{{ $x }}`, `{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}`,
	`{{ define "t" }}[{{ . }}{{ $ }}]{{ end }}{{ template "t" }}{{ template "t" .Values.text }}{{ template "t" .Values.nothing }}`, `{{ template "none" }}`, `{{ block "b" .Values.text }}({{ . }}){{ end }}`, `{{ define "r" }}{{ template "r" }}{{ end }}x`,
	`{{ define "i" }}{{ .text }}{{ end }}{{ include "i" .Values }}|{{ include "i" .Values | upper }}|{{ include "i" .Values.nothing }}`, `{{ include "none" . }}`, `{{ define "e" }}{{ end }}{{ include "e" . | quote }}`, `{{ define "v" }}{{ . | quote }}{{ .x }}{{ end }}{{ $n := .Values.nothing }}{{ include "v" $n }}`,
	`{{- /* comment */ -}} a {{- 1 -}} b`, `{{ "{{" }}`, "{{ `raw` }}", `{{ .Values.list | toJson | fromJson }}`, `{{ kindOf .Values }}{{ typeOf .Values }}{{ kindIs "map" .Values }}{{ typeIs "string" .Values.text }}{{ kindOf nil }}{{ kindOf .Values.nothing }}`,
	`{{ now | kindOf }}`, `{{ regexMatch "a.c" .Values.text }}{{ regexReplaceAll "b" .Values.text "${0}x" }}{{ regexFind "[" "a" }}`, `{{ semverCompare ">=1" "1.2.3" }}{{ (semver "1.2.3").Minor }}`, `{{ slice .Values.list 1 2 }}`, `{{ splitList "," "a,b" }}{{ (split "," "a,b")._1 }}`,
	`{{ max 1 .Values.int }}{{ min 3 "2" .Values.nothing }}{{ mul 2 3 4 }}{{ addf 0.1 0.2 }}{{ mulf 1.5 .Values.int }}{{ divf 1 0 }}`, `{{ plural "a" "b" 1 }}{{ plural "a" "b" .Values.int }}{{ plural "a" "b" "1" }}`, `{{ regexSplit "b" .Values.text -1 }}{{ regexFindAll "[a-c]" .Values.text 2 }}{{ mustRegexReplaceAll "b" .Values.text "x" }}{{ mustRegexFind "(" "" }}`,
	`{{ pluck "a" .Values.table .Values.none }}{{ pluck "a" .Values.nothing }}`, `{{ mustMerge (dict "a" 1) .Values.table | toJson }}{{ mustMergeOverwrite .Values.none (dict "a" nil) }}{{ .Values.none | toJson }}`, `{{ mustFirst .Values.list }}{{ mustFirst .nillist }}|{{ (mustFirst .tables).n }}{{ mustLast .tables }}`, `{{ mustFirst nil }}`, `{{ mustFirst "x" }}`,
	`{{ mustAppend .Values.list 1 }}{{ mustRest .nillist | toJson }}{{ mustUniq .ints }}{{ without .Values.list nil "x" }}{{ without .ints 1 }}`, `{{ mustRest .Values.text }}`, `{{ atoi "7" }}{{ atoi .Values.text }}{{ randNumeric 3 | len }}{{ randNumeric "3" }}`,
	`{{ upper }}`, `{{ upper "a" "b" }}`, `{{ true | upper }}`, `{{ now.Year | kindOf }}`, `{{ list.x }}`, `{{ break }}`, `{{ if }}`, `{{ toJson . | len | print | not }}`, `{{ b64enc "x" | b64dec }}{{ b64dec "!" }}`, `{{ uniq .ints }}{{ has 1 .ints }}{{ without .Values.list "x" }}`,
}

// render runs a text with one of the engines.
func render(text string, quick, strict bool) (out string, data map[string]any, err error) {
	data = testData()
	own := template.FuncMap{}
	for _, name := range funcs.Names() {
		own[name] = funcs.Lookup(name)
	}
	var buf bounded
	if quick {
		var set *Set
		own["include"] = func(name string, data any) (string, error) {
			var inner bounded
			err := set.Execute(&inner, name, data)
			return inner.String(), err
		}
		parsed, err := NewParser(func(name string) bool { return own[name] != nil }).Parse([]byte(text))
		if err != nil {
			return "", nil, err
		}
		set = New(func(name string) any { return own[name] }, strict)
		if err := set.Add("t", parsed); err != nil {
			return "", nil, err
		}
		err = set.Execute(&buf, "t", data)
		return buf.String(), data, err
	}
	set := template.New("t")
	if strict {
		set.Option("missingkey=error")
	} else {
		set.Option("missingkey=zero")
	}
	own["include"] = func(name string, data any) (string, error) {
		var inner bounded
		err := set.ExecuteTemplate(&inner, name, data)
		return inner.String(), err
	}
	if _, err := set.Funcs(own).Parse(text); err != nil {
		return "", nil, err
	}
	err = set.Execute(&buf, data)
	return buf.String(), data, err
}

// bounded is an output that ends loops without end.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len() > 1<<16 {
		return 0, errors.New("too much")
	}
	return b.Buffer.Write(p)
}

func (b *bounded) WriteString(s string) (int, error) { return b.Write([]byte(s)) }

// compare fails when the quick engine accepts a template and does something else
// than text/template. It returns whether the quick engine refused, and whether
// text/template failed.
func compare(t *testing.T, text string, strict bool) (refused, failed bool) {
	t.Helper()
	got, changed, err := render(text, true, strict)
	if err != nil && !errors.Is(err, ErrRefused) {
		t.Fatalf("%s\nerror %v is no refusal", text, err)
	}
	if errors.Is(err, endless.Err) {
		return true, true // text/template would not come to an end
	}
	refused = err != nil
	want, wantChanged, wantErr := render(text, false, strict)
	if refused {
		return true, wantErr != nil
	}
	if wantErr != nil {
		t.Fatalf("%s\nquick gives %q, text/template fails: %v", text, got, wantErr)
	}
	if address.ReplaceAllString(got, "0x") != address.ReplaceAllString(want, "0x") {
		t.Fatalf("%s\nquick gives %q\ntext/template %q", text, got, want)
	}
	if len(changed) == 0 {
		return false, false
	}
	for _, m := range []map[string]any{changed, wantChanged} {
		maps.DeleteFunc(m, func(_ string, v any) bool { _, ok := v.(chartutil.Values); return !ok })
	}
	if diff := cmp.Diff(wantChanged, changed); diff != "" {
		t.Fatalf("%s\ndata after it (-text/template +quick):\n%s", text, diff)
	}
	return false, false
}

// address is one that fmt prints of a table: each rendering has its own.
var address = regexp.MustCompile("0x[0-9a-f]{8,}")

// rare are the templates of tests that work but are left to text/template.
var rare = []string{`{{ call`, `{{ eq .time`, `{{ .pointer }}`, `1i }}`, `{{ index .Values.text`}

func TestSameAsTextTemplate(t *testing.T) {
	for _, text := range tests {
		for _, strict := range []bool{false, true} {
			refused, failed := compare(t, text, strict)
			isRare := false
			for _, r := range rare {
				isRare = isRare || strings.Contains(text, r)
			}
			if refused && !failed && !isRare {
				_, _, err := render(text, true, strict)
				t.Errorf("%s\nrefused (strict %v): %v", text, strict, err)
			}
		}
	}
}

func FuzzSameAsTextTemplate(f *testing.F) {
	for _, text := range tests {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, slow := range []string{"range", "until", "rand", "gen", "derive", "bcrypt", "htpasswd", "crypt", "uuid", "now", "date", "ago", "env", "repeat", "getHost", "indent", "sleep", "seq", "shuffle", "keys", "values"} {
			if strings.Contains(text, slow) && (slow != "range" || strings.ContainsAny(text, "56789xX_epP")) {
				t.Skip("random, or without end")
			}
		}
		compare(t, text, false)
		compare(t, text, true)
	})
}
