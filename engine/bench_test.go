package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed38700745/pkg/chart"
)

// umbrellaChart makes a chart with subcharts as large systems have them: globals,
// conditions, helpers, and ten texts for tpl in the values of each.
func umbrellaChart(tb testing.TB, subcharts int) *chart.Chart {
	tb.Helper()
	globals := map[string]any{"domain": "example.com"}
	for group := range 10 {
		table := map[string]any{}
		for key := range 20 {
			table[fmt.Sprintf("key%d", key)] = "value"
		}
		globals[fmt.Sprintf("group%d", group)] = table
	}
	top := &chart.Chart{
		Metadata: &chart.Metadata{APIVersion: "v2", Name: "umbrella", Version: "1.0.0"},
		Values:   map[string]any{"global": globals},
	}
	for i := range subcharts {
		name := fmt.Sprintf("svc%d", i)
		top.Metadata.Dependencies = append(top.Metadata.Dependencies, &chart.Dependency{
			Name: name, Version: "1.0.0", Condition: name + ".enabled",
		})
		top.AddDependency(serviceChart(name))
	}
	return top
}

func serviceChart(name string) *chart.Chart {
	var hosts []any
	for h := range 10 {
		hosts = append(hosts, fmt.Sprintf("{{ .Release.Name }}-h%d.{{ .Values.global.domain }}", h))
	}
	var helpers strings.Builder
	for h := range 10 {
		fmt.Fprintf(&helpers, "{{ define \"%s.part%d\" }}{{ .Chart.Name }}-%d{{ end }}\n", name, h, h)
	}
	c := &chart.Chart{
		Metadata: &chart.Metadata{APIVersion: "v2", Name: name, Version: "1.0.0"},
		Values:   map[string]any{"hosts": hosts},
		Templates: []*chart.File{
			{Name: "templates/_helpers.tpl", Data: []byte(helpers.String())},
			{Name: "templates/service.yaml", Data: []byte("apiVersion: v1\nkind: Service\nmetadata:\n  name: {{ .Chart.Name }}\n" +
				"spec:\n  hosts:\n  {{- range .Values.hosts }}\n  - {{ tpl . $ }}\n  {{- end }}\n")},
		},
	}
	for _, kind := range []string{"Deployment", "ServiceAccount", "ConfigMap", "Role", "Secret"} {
		c.Templates = append(c.Templates, &chart.File{Name: "templates/" + kind + ".yaml", Data: []byte(fmt.Sprintf(
			"apiVersion: v1\nkind: %s\nmetadata:\n  name: {{ include %q . }}\n  labels:\n    {{- toYaml .Values.global.group1 | nindent 4 }}\n",
			kind, name+".part1"))})
	}
	return c
}

// BenchmarkUmbrella shows whether time grows with subcharts as they do.
func BenchmarkUmbrella(b *testing.B) {
	for _, n := range []int{25, 50, 100, 200} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := umbrellaChart(b, n)
			b.ReportAllocs()
			for b.Loop() {
				out, err := Render(b.Context(), Input{Chart: c, Release: Release{Name: "r", Namespace: "ns", IsInstall: true}})
				if err != nil {
					b.Fatal(err)
				}
				if len(out.Manifests) != 6*n {
					b.Fatalf("%d manifests, want %d", len(out.Manifests), 6*n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/subchart")
		})
	}
}
