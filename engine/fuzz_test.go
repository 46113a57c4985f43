package engine_test

import (
	"errors"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine"
)

// FuzzTemplate: no template and no values make rendering panic, hang or take memory
// without end; what fails is an error with a text.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{
		"a: {{ .Values.a.b | quote }}", "{{ range .Values.l }}{{ . }}{{ else }}x{{ end }}", `{{ define "x" }}{{ template "x" . }}{{ end }}{{ template "x" . }}`,
		`{{ tpl .Values.t . }}`, `{{ include "web/templates/a.yaml" . }}`, "{{ $x := 1 }}{{ $x = .Values }}{{ $x | toYaml }}", "{{ until 5 | toJson }}{{ repeat 3 `x` }}",
		`{{ set .Values "self" .Values | toYaml }}`, "{{- /* c */ -}}", "{{ .Files.Glob `*` }}{{ .Capabilities.APIVersions.Has `v1` }}", "---\nkind: A\n---\n{{ fail `x` }}", "{{ break }}",
		`{{ regexMatch "(" "x" }}{{ printf "%[5]d" 1 }}{{ index .Values 0 }}`, "{{ range $i := until 3 }}{{ continue }}{{ end }}", "{{ call .Values.t }}{{ with $ }}{{ .Chart.Name }}{{ end }}",
	} {
		f.Add(seed, "a: {b: 1}\nl: [1, x]\nt: '{{ .Release.Name }}'\n")
	}
	f.Fuzz(func(t *testing.T, text, values string) {
		vals := map[string]any{}
		if yaml.Unmarshal([]byte(values), &vals) != nil {
			return
		}
		c := &chart.Chart{
			Metadata:  &chart.Metadata{APIVersion: "v2", Name: "web", Version: "1.2.3"},
			Templates: []*chart.File{{Name: "templates/a.yaml", Data: []byte(text)}},
			Values:    vals,
		}
		out, err := render(c, func(in *engine.Input) {
			in.Limits = engine.Limits{Time: 2 * time.Second, Output: 1 << 20, Memory: 1 << 30}
		})
		var limit *engine.LimitError
		if err == nil && out == nil || err != nil && err.Error() == "" || errors.As(err, &limit) && limit.Hint() == "" {
			t.Errorf("output %v, error %v", out, err)
		}
	})
}
