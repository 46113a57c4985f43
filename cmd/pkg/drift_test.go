package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

func TestDriftAndRepair(t *testing.T) {
	c := startTestCluster(t)
	c.mustRun(t, 0, "install", appChart)
	c.mustRun(t, 0, "install", "other", appChart)
	out, _ := c.mustRun(t, 0, "drift", "--exit-code")
	if out != "app: as declared\nother: as declared\n" {
		t.Errorf("drift of nothing: %s", out)
	}
	d, err := builtin.Deployments.Get(t.Context(), c.verbs, "default", "app")
	if err != nil {
		t.Fatal(err)
	}
	d = d.DeepCopy()
	d.Spec.Template.Spec.Containers[0].Image = "registry.test/app:other"
	if _, err := builtin.Deployments.Update(t.Context(), c.verbs, d, object.WriteOptions{FieldManager: "stranger"}); err != nil {
		t.Fatal(err)
	}
	key := object.Key{Namespace: "default", Name: "app"}
	if _, err := c.verbs.Delete(t.Context(), builtin.ConfigMaps.Resource, key, object.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	out, _ = c.mustRun(t, 2, "drift", "--exit-code")
	wantIn(t, "drift", out, "repair of app", "create ConfigMap/app", `"registry.test/app:other" -> "registry.test/app:ok"`, "other: as declared\n")
	out, _ = c.mustRun(t, 2, "diff", "live", "app", "--exit-code")
	wantIn(t, "diff live", out, "-       - image: registry.test/app:other\n+       - image: registry.test/app:ok\n")
	out, talk := c.mustRun(t, 0, "repair", "app")
	wantIn(t, "repair", out, `release "app" is as declared in revision 1 (2 objects repaired)`)
	if strings.Contains(talk, "app-kept") {
		t.Errorf("repair touched what was as declared:\n%s", talk)
	}
	c.mustRun(t, 0, "drift", "app", "--exit-code")
	if _, err := c.verbs.Get(t.Context(), builtin.ConfigMaps.Resource, key); apierrors.IsNotFound(err) {
		t.Error("the ConfigMap is still missing")
	}
	c.mustRun(t, 1, "repair", "nothing")
}

func TestOutdated(t *testing.T) {
	c := startTestCluster(t)
	dir := filepath.Join(t.TempDir(), "app")
	if err := os.CopyFS(dir, os.DirFS(appChart)); err != nil {
		t.Fatal(err)
	}
	c.mustRun(t, 0, "install", dir, "--set", "config=false")
	out, _ := c.mustRun(t, 0, "outdated", "--exit-code")
	wantIn(t, "outdated", out, "everything is up to date")
	file := filepath.Join(dir, "Chart.yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	for n, l := range lines {
		if strings.HasPrefix(l, "version:") {
			lines[n] = "version: 99.0.0"
		}
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ = c.mustRun(t, 2, "outdated", "--exit-code")
	wantIn(t, "outdated", out, "NAME\tNAMESPACE\tCHART\t", "app \tdefault  \tapp  \t", "\t99.0.0\t"+dir)
	_, talk := c.mustRun(t, 0, "upgrade", "--all", "--dry-run")
	wantIn(t, "upgrade --all --dry-run", talk, "upgrade of app in namespace default, revision 2")
	out, _ = c.mustRun(t, 0, "upgrade", "--all")
	wantIn(t, "upgrade --all", out, `Release "app" has been upgraded from `, " to 99.0.0, revision 2.")
	out, _ = c.mustRun(t, 0, "get", "values", "app")
	wantIn(t, "values", out, "config: false")
	out, _ = c.mustRun(t, 0, "upgrade", "--all")
	wantIn(t, "again", out, "everything is up to date")
}
