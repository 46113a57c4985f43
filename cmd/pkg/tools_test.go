package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// toolProgram finds a program that `make tools` built.
func toolProgram(t *testing.T, name string) string {
	t.Helper()
	path := absolute(t, filepath.Join("..", "..", "bin", "tools", name))
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no %s: run make tools", name)
		}
		t.Skipf("no %s: run make tools", name)
	}
	return path
}

// TestChartTesting runs `ct lint`, which calls helm, which is pkg here: version,
// dependency build, lint.
func TestChartTesting(t *testing.T) {
	ct, dir, home := toolProgram(t, "ct"), t.TempDir(), t.TempDir()
	if filepath.Base(asHelm(t)) != "helm" {
		t.Fatal("no helm in $PATH")
	}
	for name, text := range map[string]string{
		"good/Chart.yaml":          "apiVersion: v2\nname: good\nversion: 1.0.0\ndependencies:\n- {name: part, version: 1.x, repository: 'file://../part'}\n",
		"good/values.yaml":         "a: 1\n",
		"good/templates/cm.yaml":   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
		"part/Chart.yaml":          "apiVersion: v2\nname: part\nversion: 1.2.0\n",
		"broken/Chart.yaml":        "apiVersion: v2\nname: broken\nversion: 1.0.0\n",
		"broken/templates/cm.yaml": "{{ .Values.a.b }}\n",
	} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	lint := func(chart string) answer {
		return ask(t, ct, dir, home, "lint", "--charts", chart, "--validate-maintainers=false",
			"--validate-chart-schema=false", "--validate-yaml=false", "--check-version-increment=false")
	}
	a := lint("good")
	if a.Code != 0 {
		t.Errorf("ct lint good: %d\n%s%s", a.Code, a.Out, a.Err)
	}
	wantIn(t, "ct lint good", a.Out, "1 chart(s) linted, 0 chart(s) failed", "All charts linted successfully")
	if _, err := os.Stat(filepath.Join(dir, "good", "charts", "part-1.2.0.tgz")); err != nil {
		t.Errorf("ct had no dependency built: %v", err)
	}
	if a := lint("broken"); a.Code == 0 {
		t.Errorf("ct lint broken passed:\n%s%s", a.Out, a.Err)
	}
}

// TestHelmfile runs `helmfile template`, which calls helm for versions, dependencies
// and each release: with helm and with pkg it prints the same.
func TestHelmfile(t *testing.T) {
	helmfile, real, ours := toolProgram(t, "helmfile"), absolute(t, helmProgram(t, 3)), asHelm(t)
	dir, home := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"helmfile.yaml": "environments:\n  default:\n    values:\n    - size: 3\n---\n" +
			"releases:\n- name: front\n  namespace: shop\n  chart: ./web\n  values:\n  - replicas: {{ .Values.size }}\n  set:\n  - {name: port, value: 8080}\n" +
			"- name: back\n  namespace: shop\n  chart: ./web\n  needs: [shop/front]\n  values: [back.yaml]\n",
		"back.yaml":             "replicas: 2\n",
		"web/Chart.yaml":        "apiVersion: v2\nname: web\nversion: 1.0.0\n",
		"web/values.yaml":       "replicas: 1\nport: 80\n",
		"web/templates/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}\ndata: {replicas: {{ .Values.replicas | quote }}, port: {{ .Values.port | quote }}}\n",
	} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want := ask(t, helmfile, dir, home, "--helm-binary", real, "template")
	got := ask(t, helmfile, dir, home, "--helm-binary", ours, "template")
	if diff := cmp.Diff(want.Out, got.Out); diff != "" || want.Code != 0 || got.Code != 0 {
		t.Errorf("helmfile template: exit %d and %d (-helm +pkg):\n%s%s", want.Code, got.Code, diff, got.Err)
	}
	wantIn(t, "helmfile template", got.Out, `name: front, namespace: shop`, `replicas: "3", port: "8080"`, `name: back`, `replicas: "2", port: "80"`)
	if a := ask(t, helmfile, dir, home, "--helm-binary", ours, "lint"); a.Code != 0 {
		t.Errorf("helmfile lint: %d\n%s%s", a.Code, a.Out, a.Err)
	}
}
