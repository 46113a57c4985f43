package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// scale sets the replicas of a Deployment as a stranger.
func (c *testCluster) scale(t *testing.T, name string, replicas int32) {
	t.Helper()
	d, err := builtin.Deployments.Get(t.Context(), c.verbs, "default", name)
	if err != nil {
		t.Fatal(err)
	}
	d = d.DeepCopy()
	d.Spec.Replicas = &replicas
	if _, err := builtin.Deployments.Update(t.Context(), c.verbs, d, object.WriteOptions{FieldManager: "stranger"}); err != nil {
		t.Fatal(err)
	}
}

// TestPlanAndApply plans each operation, applies the plans, and finds that the
// cluster did what was shown.
func TestPlanAndApply(t *testing.T) {
	c := startTestCluster(t)
	file := filepath.Join(t.TempDir(), "plan")
	out, talk := c.mustRun(t, 0, "plan", "install", "app", appChart, "--set", "hook=ok", "--out", file)
	wantIn(t, "plan install", out, "install of app in namespace default, revision 1\n  hook pre-install Pod/app-before\n",
		"  create ConfigMap/app (v1)\n", "  create Deployment/app (apps/v1)\n  wait until everything is ready\n3 to create\n")
	wantIn(t, "plan install's talk", talk, "pkg apply "+file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the plan's file: %v, %v", info, err)
	}
	c.mustRun(t, 1, "status", "app")
	out, _ = c.mustRun(t, 0, "apply", file)
	wantIn(t, "apply", out, "NAME: app\n", "STATUS: deployed", "REVISION: 1")
	_, talk = c.mustRun(t, 1, "apply", file)
	wantIn(t, "second apply", talk, "moved on", "the release is at revision 1 (deployed), and was not there", "hint: make the plan again")

	out, _ = c.mustRun(t, 0, "plan", "upgrade", "app", "--set", "tag=new,config=false", "--out", file)
	wantIn(t, "plan upgrade", out, `spec.template.spec.containers[0].image: "registry.test/app:ok" -> "registry.test/app:new"`,
		"delete ConfigMap/app (v1)", "leave ConfigMap/app-kept (v1) unchanged", "1 to update, 1 to delete, 1 unchanged")
	_, talk = c.mustRun(t, 0, "apply", file)
	wantIn(t, "apply's talk", talk, "updated Deployment/app", "deleted ConfigMap/app")
	out, _ = c.mustRun(t, 0, "plan", "upgrade", "app", "--exit-code")
	wantIn(t, "plan without changes", out, "2 unchanged")

	c.mustRun(t, 0, "plan", "rollback", "app", "1", "--out", file)
	c.scale(t, "app", 2)
	_, talk = c.mustRun(t, 1, "apply", file)
	wantIn(t, "apply after a change", talk, "Deployment/app has changed")
	c.mustRun(t, 0, "plan", "rollback", "app", "1", "--out", file)
	out, _ = c.mustRun(t, 0, "apply", file)
	wantIn(t, "applied rollback", out, "REVISION: 3")

	out, _ = c.mustRun(t, 2, "plan", "uninstall", "app", "--out", file, "--exit-code")
	wantIn(t, "plan uninstall", out, "keep ConfigMap/app-kept", "delete Deployment/app", "wait until everything is gone")
	c.mustRun(t, 0, "apply", file)
	c.mustRun(t, 1, "status", "app")
}

func TestDiff(t *testing.T) {
	c := startTestCluster(t)
	c.mustRun(t, 0, "install", appChart)
	out, _ := c.mustRun(t, 2, "diff", "upgrade", "app", "--set", "tag=new", "--exit-code")
	wantIn(t, "diff upgrade", out, "update Deployment/app (apps/v1)\n@@ line ", "-       - image: registry.test/app:ok\n+       - image: registry.test/app:new\n")
	for _, noise := range []string{"status:", "managedFields", "uid:", "\x1b["} {
		if strings.Contains(out, noise) {
			t.Errorf("the diff has %q:\n%s", noise, out)
		}
	}
	out, _ = c.mustRun(t, 0, "diff", "upgrade", "app", "--set", "tag=new", "--color", "always", "--context", "0")
	wantIn(t, "coloured diff", out, "\x1b[31m-       - image: registry.test/app:ok\x1b[0m\n")
	out, _ = c.mustRun(t, 0, "diff", "upgrade", "app", "--set", "tag=new", "-o", "markdown")
	wantIn(t, "markdown", out, "## upgrade of app\n", "### update Deployment/app (apps/v1)\n\n````diff\n")
	out, _ = c.mustRun(t, 0, "diff", "upgrade", "app", "--set", "tag=new", "-o", "json")
	var v previewed
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Changes != 2 { // the ConfigMap holds the revision
		t.Errorf("%d changes, %v: %s", v.Changes, err, out)
	}
	c.mustRun(t, 2, "diff", "upgrade", "app", "-o", "html")

	c.mustRun(t, 0, "upgrade", "app", "--set", "tag=new")
	out, _ = c.mustRun(t, 0, "diff", "revision", "app", "1", "2")
	wantIn(t, "diff revision", out, "-       - image: registry.test/app:ok\n+       - image: registry.test/app:new\n")
	out, _ = c.mustRun(t, 0, "diff", "rollback", "app", "1")
	wantIn(t, "diff rollback", out, "+       - image: registry.test/app:ok@sha256:") // as revision 1 ran it
	c.mustRun(t, 0, "diff", "live", "app", "--exit-code")
}

func TestDiffMasksSecrets(t *testing.T) {
	c := startTestCluster(t)
	c.mustRun(t, 0, "install", "bundled/mysql", "--set", "auth.password=hushhush", "--no-wait")
	args := []string{"diff", "upgrade", "mysql", "--set", "auth.password=quieter"}
	out, _ := c.mustRun(t, 0, args...)
	wantIn(t, "diff", out, "-   mysql-password: '*** (8 bytes, before)'\n+   mysql-password: '*** (7 bytes, after)'\n")
	if strings.Contains(out, "aHVzaGh1c2g=") || strings.Contains(out, "cXVpZXRlcg==") {
		t.Errorf("the password shows:\n%s", out)
	}
	out, _ = c.mustRun(t, 0, append(args, "--show-secrets")...)
	wantIn(t, "diff --show-secrets", out, "mysql-password: cXVpZXRlcg==")
}

// TestDiffLines checks over random texts that the edits make one from the other,
// and are no longer than needed where nothing is common.
func TestDiffLines(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		text := func() (out []string) {
			for range r.IntN(12) {
				out = append(out, fmt.Sprint(r.IntN(4)))
			}
			return out
		}
		a, b := text(), text()
		var from, to []string
		for _, e := range diffLines(a, b) {
			if e.kind != '+' {
				from = append(from, e.text)
			}
			if e.kind != '-' {
				to = append(to, e.text)
			}
		}
		if d := cmp.Diff([][]string{a, b}, [][]string{from, to}); d != "" {
			t.Fatalf("seed %d: %s", seed, d)
		}
	}
	if got := diffLines([]string{"a", "b", "c"}, []string{"a", "c", "d"}); !cmp.Equal(got, []edit{{' ', "a"}, {'-', "b"}, {' ', "c"}, {'+', "d"}}, cmp.AllowUnexported(edit{})) {
		t.Errorf("got %v", got)
	}
}
