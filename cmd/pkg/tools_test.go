package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
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
