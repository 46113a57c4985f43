package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// helmProgram finds a real helm of a major version: $PKG_TEST_HELM for 3, or what
// `make tools` built.
func helmProgram(t *testing.T, major int) string {
	t.Helper()
	name, own := "helm", os.Getenv("PKG_TEST_HELM")
	if major != 3 {
		name, own = fmt.Sprint("helm", major), ""
	}
	for _, path := range []string{own, filepath.Join("..", "..", "bin", "tools", name)} {
		if _, err := os.Stat(path); path != "" && err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("no %s: run make tools", name)
	}
	t.Skipf("no %s: run make tools", name)
	return ""
}

// helm runs the real helm 3 against the cluster.
func (c *testCluster) helm(t *testing.T, args ...string) string {
	t.Helper()
	return c.helmOf(t, 3, args...)
}

// helmOf runs the real helm of a major version against the cluster.
func (c *testCluster) helmOf(t *testing.T, major int, args ...string) string {
	t.Helper()
	out, talk, err := c.tryHelm(t, major, args...)
	if err != nil {
		t.Fatalf("helm %d %s: %v\n%s%s", major, strings.Join(args, " "), err, out, talk)
	}
	return out
}

func (c *testCluster) tryHelm(t *testing.T, major int, args ...string) (out, talk string, err error) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(helmProgram(t, major), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig, "HELM_CACHE_HOME="+dir, "HELM_CONFIG_HOME="+dir, "HELM_DATA_HOME="+dir)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
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
		want, got := asObject(t, c.helm(t, args...)), asObject(t, out)
		dropResources(want)
		dropRollback(got)
		if diff := cmp.Diff(want, got); diff != "" {
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

// dropRollback removes from our answers the field that helm 3 does not have.
func dropRollback(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			dropRollback(e)
		}
	case map[string]any:
		delete(v, "rollback_revision")
		dropRollback(v["info"])
	}
}

// TestHelmTakesOver has helm upgrade, roll back and remove what pkg installed.
func TestHelmTakesOver(t *testing.T) {
	helmProgram(t, 3)
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
	helmProgram(t, 3)
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

// TestHelm4 passes releases to and fro between pkg and helm 4.
func TestHelm4(t *testing.T) {
	helmProgram(t, 4)
	c := startTestCluster(t)
	revisions := func(name string) (statuses []string) {
		t.Helper()
		out, _ := c.mustRun(t, 0, "history", name, "-o", "json")
		if diff := cmp.Diff(asObject(t, c.helmOf(t, 4, "history", name, "-o", "json")), asObject(t, out)); diff != "" {
			t.Errorf("history of %s: helm 4 (-), pkg (+):\n%s", name, diff)
		}
		for _, r := range asObject(t, out).([]any) {
			statuses = append(statuses, r.(map[string]any)["status"].(string))
		}
		return statuses
	}
	c.mustRun(t, 0, "install", "ours", appChart)
	c.helmOf(t, 4, "upgrade", "ours", appChart, "--set", "tag=four")
	c.mustRun(t, 0, "upgrade", "ours", appChart, "--set", "tag=ours")
	c.helmOf(t, 4, "rollback", "ours", "1")
	if diff := cmp.Diff([]string{"superseded", "superseded", "superseded", "deployed"}, revisions("ours")); diff != "" {
		t.Error(diff)
	}
	c.mustRun(t, 0, "diff", "live", "ours", "--exit-code")
	c.helmOf(t, 4, "uninstall", "ours")
	c.mustRun(t, 1, "status", "ours")

	c.helmOf(t, 4, "install", "theirs", appChart)
	c.mustRun(t, 0, "upgrade", "theirs", appChart, "--set", "tag=ours")
	c.helmOf(t, 4, "upgrade", "theirs", appChart, "--set", "tag=four")
	c.mustRun(t, 0, "rollback", "theirs", "2")
	if diff := cmp.Diff([]string{"superseded", "superseded", "superseded", "deployed"}, revisions("theirs")); diff != "" {
		t.Error(diff)
	}
	c.mustRun(t, 0, "uninstall", "theirs")
	if out := c.helmOf(t, 4, "list", "-q"); strings.TrimSpace(out) != "" {
		t.Errorf("helm 4 still lists %q", out)
	}
}
