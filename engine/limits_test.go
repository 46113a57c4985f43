package engine

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed38700745/pkg/chart"
)

// TestLimits renders templates that would never end, or fill the memory.
func TestLimits(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"recursion", `{{ define "a" }}{{ include "b" . }}{{ end }}{{ define "b" }}{{ include "a" . }}{{ end }}{{ include "a" . }}`, "nested reference name"},
		{"template recursion", `{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}`, "exceeded maximum template depth"},
		{"tpl recursion", `{{ tpl .Values.self . }}`, "nested more than"},
		{"empty loop", `{{ range 50000000 }}{{ end }}`, "max-render-time"},
		{"loop with output", `{{ range 1000000000000 }}text{{ end }}`, "max-render-output"},
		{"loop in include", `{{ define "a" }}{{ range 1000000000000 }}text{{ end }}{{ end }}{{ include "a" . }}`, "max-render-output"},
		{"loop in tpl", `{{ tpl "{{ range 1000000000000 }}{{ include \"none\" . }}{{ end }}" . }}{{ define "none" }}{{ end }}`, "max-render-time"},
		{"until", `{{ range until 100000000000 }}{{ end }}`, "max-render-memory"},
		{"untilStep", `{{ untilStep 0 -100000000000 -1 | len }}`, "max-render-memory"},
		{"repeat", `{{ repeat 100000000000 "text" }}`, "max-render-memory"},
		{"growing list", `{{ $s := "0123456789" }}{{ range 1000000000000 }}{{ $s = print $s $s }}{{ end }}`, "max-render-memory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &chart.Chart{
				Metadata:  &chart.Metadata{APIVersion: "v2", Name: "c", Version: "1.0.0"},
				Templates: []*chart.File{{Name: "templates/a.yaml", Data: []byte(tc.text)}},
			}
			runtime.GC() // what earlier cases left behind would count
			limits := Limits{Output: 1 << 20, Memory: 512 << 20}
			if tc.want == "max-render-time" {
				limits.Time = 100 * time.Millisecond
			}
			_, err := Render(t.Context(), Input{
				Chart: c, Values: map[string]any{"self": `{{ tpl .Values.self . }}`},
				Limits: limits,
			})
			if err == nil {
				t.Fatal("no error")
			}
			text := err.Error()
			var limit *LimitError
			if errors.As(err, &limit) {
				text = limit.Flag
			}
			if !strings.Contains(text, tc.want) {
				t.Errorf("got %.300q, want something with %q", text, tc.want)
			}
		})
	}
}

// TestEndlessValues makes a table that contains itself, and does to it what would follow
// it for ever.
func TestEndlessValues(t *testing.T) {
	const endless = "a table or list contains itself, or nests more than 10000 levels deep"
	for action, want := range map[string]string{
		"{{ $d }}":                            "template: web/templates/a.yaml: cannot print a value: " + endless,
		"{{ list $d }}":                       "cannot print a value: " + endless,
		"{{ print $d }}":                      "error calling print: " + endless,
		"{{ printf \"%v\" $d }}":              "error calling printf: " + endless,
		"{{ println 1 $d }}":                  "error calling println: " + endless,
		"{{ html $d }}":                       "error calling html: " + endless,
		"{{ js $d }}":                         "error calling js: " + endless,
		"{{ urlquery $d }}":                   "error calling urlquery: " + endless,
		"{{ toString $d }}":                   "error calling toString: " + endless,
		"{{ quote $d }}":                      "error calling quote: " + endless,
		"{{ squote $d }}":                     "error calling squote: " + endless,
		"{{ cat $d }}":                        "error calling cat: " + endless,
		"{{ join \",\" (list $d) }}":          "error calling join: " + endless,
		"{{ sortAlpha (list $d $d) }}":        "error calling sortAlpha: " + endless,
		"{{ toDecimal $d }}":                  "error calling toDecimal: " + endless,
		"{{ deepCopy $d }}":                   endless,
		"{{ mustDeepCopy (list $d now) }}":    "error calling mustDeepCopy: " + endless,
		"{{ $_ := mustMerge $d $d }}":         "error calling mustMerge: " + endless,
		"{{ mustMergeOverwrite $d $d }}":      "error calling mustMergeOverwrite: " + endless,
		"{{ merge $d $d }}":                   "",
		"{{ toYaml $d }}{{ toJson $d }}":      "",
		"{{ toYamlPretty $d }}":               "",
		"{{ toToml $d }}":                     "",
		"{{ eq (toPrettyJson $d) \"\" }}":     "",
		"{{ has $d (list $d) }}{{ len $d }}":  "",
		"{{ set (dict) \"x\" $d | len }}":     "",
		"{{ keys $d }}{{ hasKey $d \"d\" }}":  "",
		"{{ dig \"d\" \"d\" \"e\" \"\" $d }}": "",
	} {
		t.Run(action, func(t *testing.T) {
			c := &chart.Chart{
				Metadata:  &chart.Metadata{APIVersion: "v2", Name: "web", Version: "1.0.0"},
				Templates: []*chart.File{{Name: "templates/a.yaml", Data: []byte(`# {{ $d := dict }}{{ $_ := set $d "d" $d }}` + action)}},
			}
			_, err := Render(t.Context(), Input{Chart: c})
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("error %v, want %q", err, want)
			}
		})
	}
}
