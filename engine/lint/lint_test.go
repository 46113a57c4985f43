package lint_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/engine"
	"github.com/seed38700745/pkg/engine/lint"
)

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const good = "apiVersion: v2\nname: web\nversion: 1.2.3\nicon: https://example.com/i.png\n"

func TestFindings(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"nothing", map[string]string{"Chart.yaml": good, "values.yaml": "", "templates/a.yaml": "kind: ConfigMap\nmetadata: {name: a}\n"}, nil},
		{"advice", map[string]string{"Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.2.3\n"}, []string{
			"[INFO] Chart.yaml: icon is recommended",
			"[INFO] values.yaml: file does not exist",
		}},
		{"required and fail do not stop", map[string]string{
			"Chart.yaml": good, "values.yaml": "",
			"templates/a.yaml": "kind: ConfigMap\nmetadata: {name: a}\nx: {{ required \"r\" .Values.x }}{{ fail \"f\" }}\n",
		}, nil},
		{"template", map[string]string{"Chart.yaml": good, "values.yaml": "", "templates/a.yaml": "a: 1\nb: {{ .Values.x.y }}\n"}, []string{
			`[ERROR] templates/: template: web/templates/a.yaml:2:13: executing "web/templates/a.yaml" at <.Values.x.y>: nil pointer evaluating interface {}.y`,
		}},
		{"objects", map[string]string{
			"Chart.yaml": good, "values.yaml": "",
			"templates/a.yaml":   "kind: Deployment\nmetadata: {name: Upper}\n",
			"templates/b.json":   "{}",
			"templates/ind.yaml": "\n  kind: ConfigMap\n  metadata: {name: a}\n",
		}, []string{
			`[WARNING] templates/a.yaml: object name does not conform to Kubernetes naming requirements: "Upper": metadata.name: Invalid value: "Upper": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
			`[ERROR] templates/a.yaml: a Deployment must contain matchLabels or matchExpressions, and "Upper" does not`,
			`[ERROR] templates/b.json: file extension '.json' not valid. Valid extensions are .yaml, .yml, .tpl, or .txt`,
			`[WARNING] templates/ind.yaml: document starts with an illegal indent: "  kind: ConfigMap", which may cause parsing problems`,
			// and it does: installing trims a document before it is parsed
			"[ERROR] templates/ind.yaml: unable to parse YAML: error converting YAML to JSON: yaml: line 2: mapping values are not allowed in this context",
		}},
		{"deprecated", map[string]string{
			"Chart.yaml": good, "values.yaml": "",
			"templates/a.yaml": "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: a}\n",
			"templates/b.yaml": "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: a}\n",
		}, []string{
			"[WARNING] templates/a.yaml: policy/v1beta1 PodDisruptionBudget is deprecated in v1.21+, unavailable in v1.25+; use policy/v1 PodDisruptionBudget",
		}},
		{"schema", map[string]string{"Chart.yaml": good, "values.yaml": "a: x\n", "values.schema.json": `{"properties":{"a":{"type":"integer"}}}`}, []string{
			"[ERROR] values.yaml: - at '/a': got string, want integer\n",
			"[ERROR] templates/: values don't meet the specifications of the schema(s) in the following chart(s):\nweb:\n- at '/a': got string, want integer\n",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			findings, err := lint.Chart(context.Background(), lint.Input{Dir: folder(t, tt.files), Namespace: "default"})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range findings {
				got = append(got, f.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestObjectsAreGivenToTheCluster(t *testing.T) {
	dir := folder(t, map[string]string{
		"Chart.yaml": good, "values.yaml": "enabled: true\nports: {http: 80}\n",
		"templates/_h.tpl": "{{ define \"l\" }}app: x\nteam: y{{ end }}",
		"templates/a.yaml": strings.Join([]string{
			"{{- if .Values.enabled }}",
			"kind: ConfigMap",
			"metadata:",
			"  name: a",
			"  labels:",
			"    {{- include \"l\" . | nindent 4 }}",
			"data:",
			"  k: v",
			"  k: w",
			"---",
			"kind: Service",
			"metadata: {name: s}",
			"spec:",
			"  ports:",
			"  {{- range $name, $port := .Values.ports }}",
			"  - name: {{ $name }}",
			"    port: {{ $port }}",
			"  {{- end }}",
			"{{- end }}",
		}, "\n"),
		"templates/old.yaml": "\napiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: a}\n",
	})
	findings, err := lint.Chart(context.Background(), lint.Input{Dir: dir, Objects: func(_ context.Context, list []engine.Manifest, _ []string) ([]lint.ObjectFinding, error) {
		var out []lint.ObjectFinding
		for i, m := range list {
			switch m.Kind {
			case "ConfigMap":
				out = append(out, lint.ObjectFinding{Document: i, Severity: lint.Warning, Field: "metadata.labels.team", Message: "team"})
			case "Service":
				out = append(out, lint.ObjectFinding{Document: i, Severity: lint.Error, Field: "spec.ports[0].port", Message: "port"},
					lint.ObjectFinding{Document: i, Severity: lint.Error, Field: "spec.type", Message: "not there"})
			}
		}
		return out, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range findings {
		got = append(got, f.String())
	}
	want := []string{
		"[WARNING] templates/old.yaml: extensions/v1beta1 Ingress is deprecated in v1.14+, unavailable in v1.22+; use networking.k8s.io/v1 Ingress",
		"[WARNING] templates/a.yaml:9: data.k: occurs twice (first 1 lines above); the last one counts",
		"[ERROR] templates/old.yaml:2: apiVersion: extensions/v1beta1 Ingress is gone since Kubernetes v1.22; use networking.k8s.io/v1 Ingress",
		"[WARNING] templates/a.yaml:6: metadata.labels.team: team",
		"[ERROR] templates/a.yaml:17: spec.ports[0].port: port",
		"[ERROR] templates/a.yaml:13: spec.type: not there",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDeprecationsFollowTheVersion(t *testing.T) {
	dir := folder(t, map[string]string{
		"Chart.yaml": good, "values.yaml": "",
		"templates/a.yaml": "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: a}\n",
	})
	for version, want := range map[string]int{"1.20": 0, "1.21": 1, "2.0": 1} {
		kube, err := engine.ParseKubeVersion(version + ".0")
		if err != nil {
			t.Fatal(err)
		}
		findings, err := lint.Chart(context.Background(), lint.Input{Dir: dir, KubeVersion: &kube})
		if err != nil {
			t.Fatal(err)
		}
		if len(findings) != want {
			t.Errorf("Kubernetes %s: %v", version, findings)
		}
	}
}

func TestNoChart(t *testing.T) {
	if _, err := lint.Chart(context.Background(), lint.Input{Dir: t.TempDir()}); err == nil {
		t.Error("an empty folder passed")
	}
}
