package main

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Where helm 3 gives up or loses something: each test has the real helm fail first,
// and pkg go on from there.

// helmFails runs helm, which has to fail.
func (c *testCluster) helmFails(t *testing.T, want string, args ...string) {
	t.Helper()
	out, talk, err := c.tryHelm(t, 3, args...)
	if err == nil {
		t.Fatalf("helm %s did not fail:\n%s", strings.Join(args, " "), out)
	}
	wantIn(t, "helm "+strings.Join(args, " "), talk, want)
}

// TestAfterInterruptedUpgrade: a pending revision, whose operation is gone, blocks helm.
func TestAfterInterruptedUpgrade(t *testing.T) {
	helmProgram(t, 3)
	c := startTestCluster(t)
	c.mustRun(t, 0, "install", "app", appChart)
	cmd := c.start(t, "upgrade", "app", appChart, "--set", "tag=hold", "--wait")
	c.pending(t, "app")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	c.helmFails(t, "another operation (install/upgrade/rollback) is in progress", "upgrade", "app", appChart)
	out, talk := c.mustRun(t, 0, "upgrade", "app", appChart)
	wantIn(t, "upgrade", out, "REVISION: 3")
	wantIn(t, "its talk", talk, "revision 2 of app (pending-upgrade) was interrupted", "it is marked failed")
}

// TestAfterFailedFirstInstall: helm cannot upgrade a release that never worked, nor
// install it again.
func TestAfterFailedFirstInstall(t *testing.T) {
	helmProgram(t, 3)
	c := startTestCluster(t)
	c.helmFails(t, "failed pre-install", "install", "app", appChart, "--set", "hook=fail")
	c.helmFails(t, "cannot re-use a name that is still in use", "install", "app", appChart)
	_, talk := c.mustRun(t, 0, "install", "app", appChart)
	wantIn(t, "install", talk, "continuing the install of app, which failed")
}

// TestAfterImmutableField: what helm cannot patch pkg names, and replaces if told to.
func TestAfterImmutableField(t *testing.T) {
	helmProgram(t, 3)
	c := startTestCluster(t)
	c.helm(t, "install", "app", appChart)
	c.helmFails(t, "field is immutable", "upgrade", "app", appChart, "--set", "label=new")
	_, talk := c.mustRun(t, 1, "upgrade", "app", appChart, "--set", "label=new")
	wantIn(t, "upgrade", talk, "field is immutable", "--force deletes the object and creates it again")
	c.mustRun(t, 0, "upgrade", "app", appChart, "--set", "label=new", "--force")
}

// TestRemovedVersion: an old manifest with an API version that the cluster has no more
// keeps helm from upgrading.
func TestRemovedVersion(t *testing.T) {
	helmProgram(t, 3)
	c := startTestCluster(t)
	crds := writeChart(t, "crds", map[string]string{"templates/crd.yaml": thingCRD})
	dir := writeChart(t, "things", map[string]string{
		"templates/thing.yaml": "{{ if .Values.thing }}\n" + thing + "{{ end }}", "values.yaml": "thing: true\n",
		"templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain}\n",
	})
	c.mustRun(t, 0, "install", crds)
	c.helm(t, "install", "things", dir)
	c.mustRun(t, 0, "uninstall", "crds")
	c.helmFails(t, `no matches for kind "Thing"`, "upgrade", "things", dir, "--set", "thing=false")
	_, talk := c.mustRun(t, 0, "upgrade", "things", dir, "--set", "thing=false")
	wantIn(t, "upgrade", talk, "which this cluster does not know any more")
}

// TestNewKeyWithReusedValues: with helm's --reuse-values the defaults of a newer chart
// are lost, and its templates fail; pkg without flags keeps the user's values over them.
func TestNewKeyWithReusedValues(t *testing.T) {
	helmProgram(t, 3)
	c := startTestCluster(t)
	old := writeChart(t, "keys", map[string]string{"values.yaml": "a: {x: 1}\n", "templates/c.yaml": configOf("{{ .Values.a.x }}")})
	added := writeChart(t, "keys", map[string]string{"values.yaml": "a: {x: 1}\nb: {z: 2}\n", "templates/c.yaml": configOf("{{ .Values.a.x }}-{{ .Values.b.z }}")})
	c.helm(t, "install", "keys", old, "--set", "a.x=5")
	c.helmFails(t, "nil pointer evaluating interface {}.z", "upgrade", "keys", added, "--reuse-values")
	c.mustRun(t, 0, "upgrade", "keys", added)
	o, err := builtin.ConfigMaps.Get(t.Context(), c.verbs, "default", "keys")
	if err != nil || o.Data["v"] != "5-2" {
		t.Errorf("%v, %v", o, err)
	}
}

func configOf(value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: keys}\ndata: {v: %q}\n", value)
}

// TestRecordOfTwoMegabytes: helm cannot store a release whose record is over the
// server's limit for a Secret.
func TestRecordOfTwoMegabytes(t *testing.T) {
	helmProgram(t, 3)
	c := startTestCluster(t)
	r := rand.NewChaCha8([32]byte{7})
	noise := make([]byte, 140<<10)
	if _, err := r.Read(noise); err != nil {
		t.Fatal(err)
	}
	text := base64.StdEncoding.EncodeToString(noise)
	files := map[string]string{}
	for n := range 5 {
		files[fmt.Sprintf("templates/c%d.yaml", n)] = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: big-%d}\ndata: {v: %q}\n", n, text[n:]+text[:n])
	}
	dir := writeChart(t, "big", files)
	c.helmFails(t, "Too long", "install", "big", dir)
	c.mustRun(t, 0, "install", "big", dir)
	c.mustRun(t, 0, "upgrade", "big", dir)
	out, _ := c.mustRun(t, 0, "get", "manifest", "big")
	if len(out) < 5*len(text) {
		t.Errorf("the manifest has %d bytes", len(out))
	}
	l, err := builtin.ConfigMaps.List(t.Context(), c.verbs, object.ListOptions{Namespace: "default"})
	if err != nil || len(l) < 5 {
		t.Errorf("%d ConfigMaps, %v", len(l), err)
	}
}
