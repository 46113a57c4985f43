package images

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/chart"
)

func load(t *testing.T, files map[string]string) *chart.Chart {
	t.Helper()
	fs := fstest.MapFS{"Chart.yaml": {Data: []byte("apiVersion: v2\nname: web\nversion: 1.0.0\nappVersion: \"7\"\n")}}
	for name, text := range files {
		fs[name] = &fstest.MapFile{Data: []byte(text)}
	}
	c, err := chart.LoadFS(fs)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const manifests = `kind: Deployment
apiVersion: apps/v1
metadata: {name: web}
spec: {template: {spec: {initContainers: [{image: "{{ .Values.image.repository }}:1"}], containers: [{image: "e.org/web:{{ .Chart.AppVersion }}"}]}}}
---
kind: CustomResourceDefinition
apiVersion: apiextensions.k8s.io/v1
metadata: {name: x}
spec: {image: not-one}
---
kind: Database
apiVersion: e.org/v1
metadata: {name: db}
spec: {image: e.org/db:2, other: {image: "two words"}}
---
kind: Job
apiVersion: batch/v1
metadata: {name: try, annotations: {helm.sh/hook: test}}
spec: {template: {spec: {containers: [{image: "e.org/web:7"}]}}}
`

func TestOf(t *testing.T) {
	values := "image: {registry: r.org, repository: r.org/init, tag: 5}\nside: {image: e.org/side}\nurl: {repository: \"https://e.org\"}\n"
	l, stopped := Of(t.Context(), load(t, map[string]string{"templates/a.yaml": manifests, "values.yaml": values}), Limits())
	want := []Image{
		{"e.org/db:2", []string{"Database db"}}, {"e.org/web:7", []string{"Deployment web", "Job try, test"}}, {"r.org/init:1", []string{"Deployment web"}},
	}
	if d := cmp.Diff(want, l.Images); d != "" || l.Guessed != nil || stopped {
		t.Errorf("%s %v %t", d, l.Guessed, stopped)
	}
	l, stopped = Of(t.Context(), load(t, map[string]string{"templates/a.yaml": "{{ required \"a name is needed\" .Values.name }}", "values.yaml": values}), Limits())
	want = []Image{{"e.org/side", []string{"values.yaml side"}}, {"r.org/r.org/init:5", []string{"values.yaml image"}}}
	if d := cmp.Diff(want, l.Images); d != "" || stopped || l.Guessed == nil || !strings.Contains(l.Guessed.Error(), "a name is needed") {
		t.Errorf("%s %v %t", d, l.Guessed, stopped)
	}
}

// A template that prints without end is stopped, and said to have been.
func TestOfEndless(t *testing.T) {
	limits := Limits()
	limits.Output = 1 << 20
	l, stopped := Of(t.Context(), load(t, map[string]string{"templates/a.yaml": "{{ range until 100000 }}{{ range until 100000 }}xxxxxxxxxxxxxxxx{{ end }}{{ end }}"}), limits)
	if !stopped || l.Guessed == nil {
		t.Errorf("stopped %t: %v", stopped, l.Guessed)
	}
}
