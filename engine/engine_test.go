package engine_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine"
)

// testChart makes a chart of templates by name, with these default values.
func testChart(t *testing.T, values string, templates map[string]string) *chart.Chart {
	t.Helper()
	tree := fstest.MapFS{
		"c/Chart.yaml":  {Data: []byte("apiVersion: v2\nname: web\nversion: 1.2.3\n")},
		"c/values.yaml": {Data: []byte(values)},
	}
	for name, text := range templates {
		tree["c/templates/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	return loadFS(t, tree, "c")
}

func render(c *chart.Chart, change func(*engine.Input)) (*engine.Output, error) {
	in := engine.Input{Chart: c, Release: engine.Release{Name: "rel", Namespace: "ns", Revision: 3, IsUpgrade: true}}
	if change != nil {
		change(&in)
	}
	return engine.Render(context.Background(), in)
}

func TestErrorsKeepHelmsTextAndAddThePlace(t *testing.T) {
	tests := []struct {
		name      string
		templates map[string]string
		message   string // Helm's, whole
		detail    string
	}{
		{
			name:      "nil pointer",
			templates: map[string]string{"a.yaml": "kind: A\nname: {{ .Values.image.tga.name }}\n"},
			message:   `template: web/templates/a.yaml:2:16: executing "web/templates/a.yaml" at <.Values.image.tga.name>: nil pointer evaluating interface {}.name`,
			detail: "  at web/templates/a.yaml:2:17 (chart web-1.2.3)\n" +
				"  2 | name: {{ .Values.image.tga.name }}\n" +
				"    |                 ^\n" +
				"  .Values.image.tga is not set; there is: tag, repository\n",
		},
		{
			name:      "required",
			templates: map[string]string{"a.yaml": `{{ required "the tag is needed" .Values.nope }}`},
			message:   "execution error at (web/templates/a.yaml:1:3): the tag is needed",
			detail: "  at web/templates/a.yaml:1:4 (chart web-1.2.3)\n" +
				"  1 | {{ required \"the tag is needed\" .Values.nope }}\n" +
				"    |    ^\n",
		},
		{
			name: "fail in an included template",
			templates: map[string]string{
				"_h.tpl": "{{ define \"h\" }}\n{{ fail \"no way\" }}\n{{ end }}",
				"a.yaml": `{{ include "h" . }}`,
			},
			message: "execution error at (web/templates/a.yaml:1:3): no way",
			detail: "  at web/templates/_h.tpl:2:4 (chart web-1.2.3)\n" +
				"  2 | {{ fail \"no way\" }}\n" +
				"    |    ^\n" +
				"  called at web/templates/a.yaml:1:4\n",
		},
		{
			name: "deep in templates that include each other",
			templates: map[string]string{
				"_h.tpl": "{{ define \"one\" }}{{ include \"two\" . }}{{ end }}\n{{ define \"two\" }}\n{{ tpl .Values.text . }}{{ end }}\n{{ define \"three\" }}{{ .Values.image.tga.name }}{{ end }}",
				"a.yaml": `{{ include "one" . }}`,
			},
			message: `template: web/templates/a.yaml:1:3: executing "web/templates/a.yaml" at <include "one" .>: error calling include: template: web/templates/_h.tpl:1:21: executing "one" at <include "two" .>: error calling include: template: web/templates/_h.tpl:3:3: executing "two" at <tpl .Values.text .>: error calling tpl: error during tpl function execution for "{{ include \"three\" . }}": template: gotpl:1:3: executing "gotpl" at <include "three" .>: error calling include: template: web/templates/_h.tpl:4:30: executing "three" at <.Values.image.tga.name>: nil pointer evaluating interface {}.name`,
			detail: "  at web/templates/_h.tpl:4:31 (chart web-1.2.3)\n" +
				"  4 | {{ define \"three\" }}{{ .Values.image.tga.name }}{{ end }}\n" +
				"    |                               ^\n" +
				"  called at web/templates/_h.tpl:3:4\n" +
				"  called at web/templates/_h.tpl:1:22\n" +
				"  called at web/templates/a.yaml:1:4\n" +
				"  .Values.image.tga is not set; there is: tag, repository\n",
		},
		{
			name:      "parse",
			templates: map[string]string{"a.yaml": "ok\n{{ nosuch 1 }}\n"},
			message:   `parse error at (web/templates/a.yaml:2): function "nosuch" not defined`,
			detail:    "  at web/templates/a.yaml:2 (chart web-1.2.3)\n  2 | {{ nosuch 1 }}\n",
		},
		{
			name:      "not YAML",
			templates: map[string]string{"a.yaml": "kind: A\n  b: c: d\n"},
			message:   "YAML parse error on web/templates/a.yaml: error converting YAML to JSON: yaml: line 2: mapping values are not allowed in this context",
			detail:    "  at web/templates/a.yaml, line 2 of the rendered document\n  2 |   b: c: d\n",
		},
		{
			name:      "not an object",
			templates: map[string]string{"a.yaml": "just text"},
			message:   "YAML parse error on web/templates/a.yaml: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal string into Go value of type releaseutil.SimpleHead",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := testChart(t, "image: {tag: x, repository: y}\ntext: '{{ include \"three\" . }}'\n", tt.templates)
			_, err := render(c, nil)
			var e *engine.TemplateError
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a TemplateError", err)
			}
			if diff := cmp.Diff(tt.message, e.Error()); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.detail, e.Detail()); diff != "" {
				t.Errorf("detail (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIncludeEndsEndlessRecursion(t *testing.T) {
	c := testChart(t, "", map[string]string{
		"_h.tpl": `{{ define "again" }}{{ include "again" . }}{{ end }}`,
		"a.yaml": `{{ include "again" . }}`,
	})
	_, err := render(c, nil)
	if err == nil || !strings.Contains(err.Error(), "rendering template has a nested reference name: again") {
		t.Errorf("got %v", err)
	}
}

func TestTplEndsEndlessRecursion(t *testing.T) {
	c := testChart(t, "text: '{{ tpl .Values.text . }}'\n", map[string]string{"a.yaml": `{{ tpl .Values.text . }}`})
	_, err := render(c, nil)
	if err == nil || !strings.Contains(err.Error(), "tpl is nested more than 1000 times") {
		t.Errorf("got %.300v", err)
	}
}

func TestLookupAndRelease(t *testing.T) {
	c := testChart(t, "", map[string]string{
		"a.yaml": `
kind: A
found: {{ (lookup "v1" "Secret" .Release.Namespace "db").data.password }}
revision: {{ .Release.Revision }}
upgrade: {{ .Release.IsUpgrade }}`,
	})
	var asked []string
	out, err := render(c, func(in *engine.Input) {
		in.Lookup = func(apiVersion, kind, namespace, name string) (map[string]any, error) {
			asked = append(asked, apiVersion, kind, namespace, name)
			return map[string]any{"data": map[string]any{"password": "c2VjcmV0"}}, nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"v1", "Secret", "ns", "db"}, asked); diff != "" {
		t.Error(diff)
	}
	if want := "kind: A\nfound: c2VjcmV0\nrevision: 3\nupgrade: true"; out.Manifests[0].Content != want {
		t.Errorf("got %q", out.Manifests[0].Content)
	}
}

func TestRenderLeavesItsInputAlone(t *testing.T) {
	c := testChart(t, "a: {b: 1}\n", map[string]string{
		"a.yaml": `{{ $_ := set .Values.a "b" 2 }}{{ $_ := set .Values.user "x" 2 }}kind: A{{ .Values.a.b }}`,
	})
	user := map[string]any{"user": map[string]any{"x": 1}}
	for range 2 {
		out, err := render(c, func(in *engine.Input) { in.Values = user })
		if err != nil {
			t.Fatal(err)
		}
		if got := out.Manifests[0].Kind; got != "A2" {
			t.Errorf("kind %q", got)
		}
	}
	if diff := cmp.Diff(map[string]any{"a": map[string]any{"b": 1.0}}, c.Values); diff != "" {
		t.Errorf("the chart's values changed:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"user": map[string]any{"x": 1}}, user); diff != "" {
		t.Errorf("the user's values changed:\n%s", diff)
	}
}

func TestHooks(t *testing.T) {
	c := testChart(t, "", map[string]string{"h.yaml": `
apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
  annotations:
    helm.sh/hook: Pre-Upgrade, post-install
    helm.sh/hook-weight: "7"
    helm.sh/hook-delete-policy: hook-succeeded, before-hook-creation
    helm.sh/hook-output-log-policy: hook-failed`})
	out, err := render(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []engine.Hook{{
		Name: "migrate", Kind: "Job", Path: "web/templates/h.yaml", Weight: 7,
		Manifest:          out.Hooks[0].Manifest,
		Events:            []string{"pre-upgrade", "post-install"},
		DeletePolicies:    []string{"hook-succeeded", "before-hook-creation"},
		OutputLogPolicies: []string{"hook-failed"},
	}}
	if diff := cmp.Diff(want, out.Hooks); diff != "" {
		t.Error(diff)
	}
	if len(out.Manifests) != 0 {
		t.Errorf("a hook is also a manifest: %v", out.Manifests)
	}
}

func TestNotesOfSubchartsOnRequest(t *testing.T) {
	c := testChart(t, "", map[string]string{"NOTES.txt": "top"})
	sub := testChart(t, "", map[string]string{"NOTES.txt": "below"})
	sub.Metadata.Name = "below"
	c.AddDependency(sub)
	for _, tt := range []struct {
		subcharts bool
		want      string
	}{{false, "top"}, {true, "below\ntop"}} {
		out, err := render(c, func(in *engine.Input) { in.SubchartNotes = tt.subcharts })
		if err != nil {
			t.Fatal(err)
		}
		if out.Notes != tt.want {
			t.Errorf("subcharts %v: %q, want %q", tt.subcharts, out.Notes, tt.want)
		}
	}
}

func TestKubeVersionOfChart(t *testing.T) {
	c := testChart(t, "", nil)
	c.Metadata.KubeVersion = ">=99.0"
	_, err := render(c, nil)
	if want := "chart requires kubeVersion: >=99.0 which is incompatible with Kubernetes v1.37.0"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestCancelledRendering(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := engine.Render(ctx, engine.Input{Chart: testChart(t, "", map[string]string{"a.yaml": "kind: A"})})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestReleaseNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"mysql": true, "my.sql-1": true, "": false, "Upper": false, "-x": false, "a_b": false, "x-": false, "a.b.c": true, "a..b": false, ".a": false, "a.": false, "a.-b": false, "a-.b": false, "0": true, "-": false, "a--b": true, "é": false, "a\n": false,
		strings.Repeat("a", 53): true, strings.Repeat("a", 54): false,
	} {
		if err := engine.CheckReleaseName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	name, err := engine.ReleaseName(`{{ lower "ABC" }}-x`)
	if err != nil || name != "abc-x" {
		t.Errorf("name template: %q, %v", name, err)
	}
}

func TestKindOrders(t *testing.T) {
	if !engine.InstallsBefore("Namespace", "Deployment") || engine.InstallsBefore("Zoo", "Pod") || !engine.InstallsBefore("Ape", "Zoo") {
		t.Error("order of installation")
	}
	if !engine.UninstallsBefore("Service", "Namespace") || engine.UninstallsBefore("Zoo", "Namespace") {
		t.Error("order of removal")
	}
}

// FuzzSplitManifests compares with the regular expression that helm splits by.
func FuzzSplitManifests(f *testing.F) {
	separator := regexp.MustCompile(`(?:^|\s*\n)---\s*`)
	for _, seed := range []string{
		"a: 1\n---\nb: 2\n--- # x\n", "---\n---\na", "---\n\n---\n---", "a\n----\nb", "a ---\n \n---", "\v\n---\v---", "-", "a\n \t\r\f\n---b---\n---",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var want []string
		for _, doc := range separator.Split(strings.TrimSpace(s), -1) {
			if doc != "" {
				want = append(want, strings.TrimSpace(doc))
			}
		}
		if diff := cmp.Diff(want, engine.SplitManifests(s)); diff != "" {
			t.Errorf("%q (-helm +ours):\n%s", s, diff)
		}
	})
}

func BenchmarkRender(b *testing.B) {
	tree := fstest.MapFS{
		"Chart.yaml":         {Data: []byte("apiVersion: v2\nname: web\nversion: 1.2.3\n")},
		"values.yaml":        {Data: []byte("list: [a, b, c]\ntext: 'hello {{ .Release.Name }}'\n")},
		"templates/_h.tpl":   {Data: []byte(`{{ define "labels" }}{{ dict "app" .Release.Name | toYaml }}{{ end }}`)},
		"templates/all.yaml": {Data: []byte("{{ range until 50 }}\n---\nkind: ConfigMap\napiVersion: v1\nmetadata:\n  name: c{{ . }}\n  labels:\n    {{- include \"labels\" $ | nindent 4 }}\ndata:\n  text: {{ tpl $.Values.text $ }}\n{{ end }}")},
	}
	c, err := chart.LoadFS(tree)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := render(c, nil); err != nil {
			b.Fatal(err)
		}
	}
}
