//go:build front

package engine_test

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine"
)

// TestLeavesFunctionsToTheFullProgram: that a template calls a function which this
// program lacks reaches the caller from everywhere, unless it fails before.
func TestLeavesFunctionsToTheFullProgram(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	for _, tt := range []struct {
		text string
		here bool // the answer is found here, be it an error
	}{
		{`{{ genCA "x" 1 }}`, false},
		{`{{ genCA }}`, false},
		{`{{ $ca := genCA "x" 365 }}{{ $ca.Cert }}`, false},
		{`{{ b32enc "x" }}`, false},
		{`{{ "x" | b32dec }}`, false},
		{`{{ toToml .Values }}`, false},
		{`{{ htpasswd "a" "b" }}{{ fail "never" }}`, false},
		{`{{ include "inner" . }}`, false},
		{`{{ include "inner" . | required "x" | nindent 2 }}`, false},
		{`{{ template "inner" . }}`, false},
		{`{{ tpl "{{ bcrypt . }}" "x" }}`, false},
		{`{{ tpl "{{ define \"t\" }}{{ genPrivateKey \"rsa\" }}{{ end }}{{ include \"t\" . }}" . }}`, false},
		{`{{ fail (htpasswd "a" "b") }}`, false},
		{`{{ required (bcrypt "a") nil }}`, false},
		{`{{ required "x" (bcrypt "a") }}`, false},
		{`{{ range until 3 }}{{ with fromToml "a = 1" }}{{ . }}{{ end }}{{ end }}`, false},
		{`{{ set .Values "x" (toYamlPretty .Values) }}`, false},
		{`{{ call .Values.x | default (derivePassword 1 "long" "p" "u" "s") }}`, true},
		{`{{ if false }}{{ genCA "x" 1 }}{{ end }}`, true},
		{`{{ or "x" (genCA "x" 1) }}{{ uuidv4 | len }}`, true},
		{`{{ fail "before" }}{{ genCA "x" 1 }}`, true},
		{`{{ getHostByName "nowhere.invalid" }}`, true},
		{`{{ "no end" `, true},
	} {
		const helpers = `{{ define "inner" }}{{ genSignedCert "x" nil nil 1 "ca" }}{{ end }}`
		few := testChart(t, "a: 1\n", map[string]string{"a.yaml": "n: " + tt.text, "_h.tpl": helpers})
		many := manyTemplates(t, "{{ if eq NN 150 }}"+tt.text+"{{ end }}n: NN", "a: 1\n")
		many.Templates = append(many.Templates, &chart.File{Name: "templates/_inner.tpl", Data: []byte(helpers)})
		for name, c := range map[string]*chart.Chart{"few": few, "many": many} {
			for _, strict := range []bool{false, true} {
				out, err := render(c, func(in *engine.Input) { in.Strict = strict })
				if elsewhere := errors.Is(err, chart.ErrElsewhere); elsewhere == tt.here || out == nil && err == nil {
					t.Errorf("%s in %s templates, strict %v: %v", tt.text, name, strict, err)
				}
			}
		}
	}
	several := manyTemplates(t, `{{ if eq NN 150 }}{{ genCA "x" 1 }}{{ end }}{{ if eq NN 10 }}{{ fail "x" }}{{ end }}n: {{ if eq NN 90 }}[{{ end }}`, "")
	for range 20 { // which template fails first is chance, but it is always one of the two
		_, err := render(several, nil)
		var failed *engine.TemplateError
		if errors.Is(err, chart.ErrElsewhere) == errors.As(err, &failed) {
			t.Errorf("several errors: %v", err)
		}
	}
	if _, err := engine.ReleaseName(`{{ bcrypt "x" }}`); !errors.Is(err, chart.ErrElsewhere) {
		t.Errorf("name template: %v", err)
	}
	in := engine.Input{Chart: testChart(t, "", map[string]string{"a.yaml": `{{ getHostByName "localhost" }}`}), EnableDNS: true}
	if _, err := engine.Render(context.Background(), in); !errors.Is(err, chart.ErrElsewhere) {
		t.Errorf("getHostByName with DNS: %v", err)
	}
}
