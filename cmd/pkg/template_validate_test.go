package main

import (
	"strings"
	"testing"
)

// TestTemplateValidates: what the cluster would refuse is an error with all of it, the
// cluster's versions are the capabilities, and nothing is created.
func TestTemplateValidates(t *testing.T) {
	c := startTestCluster(t)
	dir := writeChart(t, "web", map[string]string{
		"templates/a.yaml": `apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {kube: {{ .Capabilities.KubeVersion.Version | quote }}}
{{- if .Values.bad }}
---
apiVersion: v1
kind: Service
metadata: {name: b}
spec: {ports: [{port: 99999}], sise: 1}
---
apiVersion: x.example/v1
kind: Widget
metadata: {name: c}
{{- end }}
`,
	})
	out, _ := c.mustRun(t, 0, "template", "rel", dir, "--validate")
	wantIn(t, "template --validate", out, `kube: "v1.36`)
	_, talk := c.mustRun(t, 1, "template", "rel", dir, "--validate", "--set", "bad=true")
	wantIn(t, "template --validate of a bad chart", talk, "the cluster refuses 2 of 3 objects", "web/templates/a.yaml: ", "sise", "Widget")
	if out, _ := c.mustRun(t, 0, "template", "rel", dir, "--set", "bad=true"); !strings.Contains(out, "Widget") {
		t.Errorf("without --validate: %s", out)
	}
}
