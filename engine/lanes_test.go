package engine_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine"
)

// manyTemplates is a chart with enough templates for lanes, all alike but for their
// number in place of NN.
func manyTemplates(t *testing.T, text string, values string) *chart.Chart {
	templates := map[string]string{"_helpers.tpl": `{{ define "name" }}{{ .Chart.Name }}-{{ .Values.x }}{{ end }}`}
	for i := range 200 {
		templates[fmt.Sprintf("t%03d.yaml", i)] = strings.ReplaceAll(text, "NN", fmt.Sprint(i))
	}
	return testChart(t, values, templates)
}

// TestLanes renders on one and on two processors: what templates see of each other,
// errors and limits are the same.
func TestLanes(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, tt := range []struct{ name, text, values string }{
		{"independent", `n: {{ include "name" . }}-NN-{{ .Template.Name }}-{{ tpl .Values.text . }}`, "x: 1\ntext: '{{ .Template.Name }}'\n"},
		{"a counter in the values", `{{ $_ := set .Values "x" (add1 .Values.x) }}n: {{ .Values.x }}`, "x: 0\n"},
		{"a counter in a text for tpl", `n: {{ tpl .Values.text . }}`, "x: 0\ntext: '{{ $_ := set .Values \"x\" (add1 .Values.x) }}{{ .Values.x }}'\n"},
		{"merged values", `{{ $_ := merge .Values.m (dict "kNN" NN) }}n: {{ len .Values.m }}`, "m: {}\n"},
		{"sorted in place", `{{ if eq NN 150 }}{{ sortAlpha .Chart.Keywords | join "" }}{{ end }}n: {{ .Chart.Keywords | join "" }}`, ""},
		{"templates that define templates", `{{ define "d" }}NN{{ end }}n: {{ template "d" }}`, ""},
		{"an error", `n: {{ if eq NN 77 }}{{ fail "no NN" }}{{ end }}`, ""},
		{"several errors", `n: {{ required "must be" .Values.missing }}`, ""},
		{"not YAML", `n: {{ if gt NN 100 }}[{{ end }}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := manyTemplates(t, tt.text, tt.values)
			rendered := func(processors int) (string, error) {
				runtime.GOMAXPROCS(processors)
				c.Metadata.Keywords = []string{"c", "a", "b"}
				out, err := render(c, nil)
				if err != nil {
					return "", err
				}
				return out.Manifest(), nil
			}
			want, wantErr := rendered(1)
			for range 5 {
				got, err := rendered(2)
				if diff := cmp.Diff(want, got); diff != "" || fmt.Sprint(err) != fmt.Sprint(wantErr) {
					t.Fatalf("error %v, want %v; text (-one +two processors)\n%s", err, wantErr, diff)
				}
			}
		})
	}
}

// TestLanesKeepLimits: what all lanes write together is bounded, and a canceled
// rendering ends.
func TestLanesKeepLimits(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	c := manyTemplates(t, `n: "{{ repeat 1000 "x" }}"`, "")
	_, err := render(c, func(in *engine.Input) { in.Limits.Output = 150_000 })
	var limit *engine.LimitError
	if !errors.As(err, &limit) || limit.Flag != "max-render-output" {
		t.Errorf("200 templates of 1,000 bytes, with 150,000 allowed: %v", err)
	}
	if _, err := render(c, func(in *engine.Input) { in.Limits.Output = 250_000 }); err != nil {
		t.Errorf("with 250,000 allowed: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = engine.Render(ctx, engine.Input{Chart: c, Release: engine.Release{Name: "r"}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
