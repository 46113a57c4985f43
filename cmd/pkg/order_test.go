package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeChart makes a chart of files, by path.
func writeChart(t testing.TB, name string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	files["Chart.yaml"] = "apiVersion: v2\nname: " + name + "\nversion: 1.0.0\n"
	for path, text := range files {
		file := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const thingCRD = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Thing, plural: things, singular: thing, listKind: ThingList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
`

const thing = `apiVersion: example.com/v1
kind: Thing
metadata: {name: first}
spec: {size: 3}
`

// TestDefinitionsInTemplates: a chart may have objects of the kinds that its own
// templates define, which helm refuses.
func TestDefinitionsInTemplates(t *testing.T) {
	c := startTestCluster(t)
	dir := writeChart(t, "things", map[string]string{"templates/crd.yaml": thingCRD, "templates/thing.yaml": thing})
	out, _ := c.mustRun(t, 0, "plan", "install", dir)
	wantIn(t, "plan", out, "create CustomResourceDefinition/things.example.com",
		"create Thing/first (example.com/v1)\n      once ready: CustomResourceDefinition/things.example.com")
	_, talk := c.mustRun(t, 0, "install", dir)
	wantIn(t, "install", talk, "created CustomResourceDefinition/things.example.com\ncreated Thing/first\n")
	out, _ = c.mustRun(t, 0, "plan", "upgrade", "things")
	wantIn(t, "plan upgrade", out, "2 unchanged")
	c.mustRun(t, 0, "uninstall", "things")
}

// TestCRDPolicies: what becomes of the definitions of the crds folder.
func TestCRDPolicies(t *testing.T) {
	c := startTestCluster(t)
	old := writeChart(t, "things", map[string]string{"crds/things.yaml": thingCRD, "templates/thing.yaml": thing})
	changed := writeChart(t, "things", map[string]string{
		"crds/things.yaml":     strings.Replace(thingCRD, "size: {type: integer}", "size: {type: integer}, colour: {type: string}", 1),
		"templates/thing.yaml": thing + "  # with a colour\n",
	})
	out, _ := c.mustRun(t, 0, "plan", "install", old)
	wantIn(t, "plan", out, "create CustomResourceDefinition/things.example.com", "create Thing/first (example.com/v1)")
	_, talk := c.mustRun(t, 1, "install", old, "--crds", "skip")
	wantIn(t, "install without definitions", talk, `no matches for kind "Thing" in version "example.com/v1"`)
	c.mustRun(t, 2, "install", old, "--crds", "some")
	c.mustRun(t, 0, "install", old)

	_, talk = c.mustRun(t, 0, "upgrade", "things", changed)
	wantIn(t, "upgrade", talk, "CustomResourceDefinition/things.example.com of the cluster is not the one of the chart", "--crds upgrade changes it")
	out, _ = c.mustRun(t, 0, "plan", "upgrade", "things", changed, "--crds", "upgrade")
	wantIn(t, "plan of the policy", out, "update CustomResourceDefinition/things.example.com", "colour")
	_, talk = c.mustRun(t, 0, "upgrade", "things", changed, "--crds", "upgrade")
	wantIn(t, "upgrade of definitions", talk, "updated CustomResourceDefinition/things.example.com")
	_, talk = c.mustRun(t, 0, "upgrade", "things", changed)
	if strings.Contains(talk, "is not the one of the chart") {
		t.Errorf("the definition still differs:\n%s", talk)
	}
}

// TestDependsOn: what an object depends on is ready before it is applied, and a
// dependency that fails is the operation's failure.
func TestDependsOn(t *testing.T) {
	c := startTestCluster(t)
	job := func(tag string) string {
		return `apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: c, image: "registry.test/app:` + tag + `"}]
`
	}
	const config = `apiVersion: v1
kind: ConfigMap
metadata: {name: late, annotations: {pkg.internal/depends-on: Job/migrate}}
`
	dir := writeChart(t, "ordered", map[string]string{"templates/job.yaml": job("ok"), "templates/config.yaml": config})
	_, talk := c.mustRun(t, 0, "install", "good", dir)
	wantIn(t, "install", talk, "created Job/migrate", "created ConfigMap/late")
	if strings.Index(talk, "created Job/migrate") > strings.Index(talk, "created ConfigMap/late") {
		t.Errorf("order:\n%s", talk)
	}
	c.mustRun(t, 0, "uninstall", "good")

	dir = writeChart(t, "ordered", map[string]string{"templates/job.yaml": job("hold"), "templates/config.yaml": config})
	_, talk = c.mustRun(t, 3, "install", "bad", dir, "--timeout", "1s")
	wantIn(t, "install that can not go on", talk, "before ConfigMap/late: timed out after 1s", "Job/migrate: 0 of 1 completed")
	if strings.Contains(talk, "created ConfigMap/late") {
		t.Errorf("applied before its dependency:\n%s", talk)
	}
}
