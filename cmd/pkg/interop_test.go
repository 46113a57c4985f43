package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// helmProgram finds a real helm 3: $PKG_TEST_HELM, or what `make tools` built.
func helmProgram(t *testing.T) string {
	t.Helper()
	for _, path := range []string{os.Getenv("PKG_TEST_HELM"), filepath.Join("..", "..", "bin", "tools", "helm")} {
		if _, err := os.Stat(path); path != "" && err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("no helm: run make tools")
	}
	t.Skip("no helm: run make tools")
	return ""
}

// helm runs the real helm against the cluster.
func (c *testCluster) helm(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(helmProgram(t), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig, "HELM_CACHE_HOME="+dir, "HELM_CONFIG_HOME="+dir, "HELM_DATA_HOME="+dir)
	var talk strings.Builder
	cmd.Stderr = &talk
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("helm %s: %v\n%s%s", strings.Join(args, " "), err, out, talk.String())
	}
	return string(out)
}

// asObject decodes JSON for comparison.
func asObject(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}

const mysqlChart = "../../charts/mysql"

// sameAnswers compares what helm and pkg say about a release.
func (c *testCluster) sameAnswers(t *testing.T, name string) {
	t.Helper()
	for _, args := range [][]string{
		{"list", "-o", "json"}, {"history", name, "-o", "json"}, {"status", name, "-o", "json"},
		{"get", "values", name, "-o", "json"}, {"get", "values", name, "--all", "-o", "json"}, {"get", "metadata", name, "-o", "json"},
	} {
		out, _ := c.mustRun(t, 0, args...)
		want := asObject(t, c.helm(t, args...))
		dropResources(want)
		if diff := cmp.Diff(want, asObject(t, out)); diff != "" {
			t.Errorf("%s: helm (-), pkg (+):\n%s", strings.Join(args, " "), diff)
		}
	}
	for _, args := range [][]string{
		{"list"}, {"history", name}, {"get", "manifest", name}, {"get", "notes", name}, {"get", "hooks", name}, {"get", "values", name}, {"get", "all", name},
		{"get", "metadata", name},
	} {
		_, out, _ := c.runAs(t, "helm", args...)
		if diff := cmp.Diff(c.helm(t, args...), out); diff != "" {
			t.Errorf("%s: helm (-), pkg (+):\n%s", strings.Join(args, " "), diff)
		}
	}
}

// dropResources removes from helm's status the live objects, which it asks for by
// itself.
func dropResources(v any) {
	if m, ok := v.(map[string]any); ok {
		if info, ok := m["info"].(map[string]any); ok {
			delete(info, "resources")
		}
	}
}

// TestHelmTakesOver has helm upgrade, roll back and remove what pkg installed.
func TestHelmTakesOver(t *testing.T) {
	helmProgram(t)
	c := startTestCluster(t)
	c.mustRun(t, 0, "install", "db", mysqlChart, "--set", "auth.database=shop")
	c.sameAnswers(t, "db")
	c.helm(t, "upgrade", "db", mysqlChart, "--reuse-values", "--set", "primary.resources.limits.memory=768Mi")
	c.sameAnswers(t, "db")
	c.helm(t, "rollback", "db", "1")
	c.sameAnswers(t, "db")
	out, _ := c.mustRun(t, 0, "upgrade", "db", "--set", "auth.username=other")
	wantIn(t, "upgrade after helm", out, "REVISION: 4", "STATUS: deployed")
	c.sameAnswers(t, "db")
	c.helm(t, "uninstall", "db")
	c.mustRun(t, 1, "status", "db")
}

// TestPkgTakesOver has pkg upgrade, roll back and remove what helm installed.
func TestPkgTakesOver(t *testing.T) {
	helmProgram(t)
	c := startTestCluster(t)
	c.helm(t, "install", "db", mysqlChart, "--set", "auth.database=shop")
	c.sameAnswers(t, "db")
	_, talk := c.mustRun(t, 1, "upgrade", "db")
	wantIn(t, "upgrade without a chart", talk, "pkg upgrade db CHART")
	c.mustRun(t, 0, "upgrade", "db", mysqlChart, "--reuse-values", "--set", "primary.resources.limits.memory=768Mi")
	c.sameAnswers(t, "db")
	c.mustRun(t, 0, "rollback", "db", "1")
	c.sameAnswers(t, "db")
	c.helm(t, "upgrade", "db", mysqlChart)
	c.mustRun(t, 0, "uninstall", "db")
	if out := c.helm(t, "list", "-q"); out != "" {
		t.Errorf("helm still lists %q", out)
	}
}
