package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// writeStack writes a stack's file and values beside copies of the tests' chart.
func writeStack(t *testing.T, files map[string]string) (file string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "app"), os.DirFS(appChart)); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "stack.yaml")
}

const threeReleases = `
name: shop
releases:
- name: web
  chart: ./app
  needs: [api]
  valuesFiles: [web.yaml]
- name: api
  namespace: back
  chart: ./app
  needs: [db]
  values: {tag: "${API_TAG:-ok}"}
- name: db
  namespace: back
  chart: ./app
  environments:
    live: {values: {config: false}}
`

// TestStack: plan, apply, apply again, change, drift, prune and delete.
func TestStack(t *testing.T) {
	c := startTestCluster(t)
	// Releases without a namespace go to the context's; needs of the same namespace.
	text := strings.Replace(threeReleases, "needs: [api]", "needs: [back/api]", 1)
	file := writeStack(t, map[string]string{"stack.yaml": text, "web.yaml": "tag: web\n"})

	out, _ := c.mustRun(t, 2, "stack", "plan", file, "--exit-code")
	wantIn(t, "plan", out, "install back/db\n", "install back/api, once ready: back/db\n", "install default/web, once ready: back/api\n",
		"create Deployment/web (apps/v1)", "stack shop: 3 of 3 releases to change")
	_, talk := c.mustRun(t, 0, "stack", "apply", file)
	wantIn(t, "apply", talk, "db: created namespace back", "back/db: installed", "back/api: installed", "default/web: installed")
	if strings.Index(talk, "back/db: installed") > strings.Index(talk, "api: created") || strings.Index(talk, "back/api: installed") > strings.Index(talk, "web: created") {
		t.Errorf("needs are not kept:\n%s", talk)
	}

	out, _ = c.mustRun(t, 0, "stack", "plan", file, "--exit-code")
	wantIn(t, "plan again", out, "unchanged back/db", "stack shop: everything is as declared")
	_, talk = c.mustRun(t, 0, "stack", "apply", file)
	wantIn(t, "apply again", talk, "default/web: unchanged, ready")
	out, _ = c.mustRun(t, 0, "history", "web")
	if strings.Contains(out, "\n2 ") {
		t.Errorf("applying again made a revision:\n%s", out)
	}

	web := object.Key{Namespace: "default", Name: "web"}
	if _, err := c.verbs.Delete(t.Context(), builtin.ConfigMaps.Resource, web, object.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	out, _ = c.mustRun(t, 0, "stack", "plan", file, "-o", "json")
	var planned plannedStack
	if err := json.Unmarshal([]byte(out), &planned); err != nil || planned.Changes != 1 || planned.Releases[2].Action != "repair" {
		t.Errorf("plan after a drift: %v\n%s", err, out)
	}
	_, talk = c.mustRun(t, 0, "stack", "apply", file)
	wantIn(t, "apply after a drift", talk, "web: created ConfigMap/web", "default/web: repaired")
	if _, err := c.verbs.Get(t.Context(), builtin.ConfigMaps.Resource, web); err != nil {
		t.Errorf("not repaired: %v", err)
	}

	_, talk = c.mustRun(t, 0, "stack", "apply", file, "-e", "live")
	wantIn(t, "another environment", talk, "back/db: upgraded", "back/api: unchanged, ready")

	less := strings.Replace(text, "- name: web\n  chart: ./app\n  needs: [back/api]\n  valuesFiles: [web.yaml]\n", "", 1)
	if err := os.WriteFile(file, []byte(less), 0o600); err != nil {
		t.Fatal(err)
	}
	c.mustRun(t, 0, "install", "stranger", appChart)
	out, _ = c.mustRun(t, 0, "stack", "plan", file, "-e", "live")
	wantIn(t, "plan of pruning", out, "uninstall default/web", "delete Deployment/web")
	_, talk = c.mustRun(t, 0, "stack", "apply", file, "-e", "live")
	wantIn(t, "pruning", talk, "default/web: uninstalled")
	c.mustRun(t, 1, "status", "web")
	c.mustRun(t, 0, "status", "stranger")

	_, talk = c.mustRun(t, 0, "stack", "delete", file)
	if strings.Index(talk, "back/api: uninstalled") > strings.Index(talk, "back/db: uninstalled") {
		t.Errorf("order of deletion:\n%s", talk)
	}
	c.mustRun(t, 0, "status", "stranger")
	left, err := builtin.Deployments.List(t.Context(), c.verbs, object.ListOptions{Namespace: "back"})
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestStackFailure: what needs a release that failed is not touched, what does not
// goes on, nothing is removed; the next apply goes on.
func TestStackFailure(t *testing.T) {
	c := startTestCluster(t)
	text := strings.NewReplacer("needs: [api]", "needs: [back/api]", "needs: [db]", "").Replace(threeReleases)
	file := writeStack(t, map[string]string{"stack.yaml": text, "web.yaml": "{}\n"})
	c.env = map[string]string{"API_TAG": "hold"}
	_, talk := c.mustRun(t, 3, "stack", "apply", file, "--timeout", "1s")
	wantIn(t, "apply", talk, "back/db: installed", "release back/api: timed out after 1s", "release default/web: not touched, since it needs back/api")
	c.mustRun(t, 1, "status", "web")
	c.env["API_TAG"] = "ok"
	_, talk = c.mustRun(t, 0, "stack", "apply", file)
	wantIn(t, "apply again", talk, "back/db: unchanged, ready", "back/api: installed", "default/web: installed")

	other := writeStack(t, map[string]string{"stack.yaml": "name: other\nreleases: [{name: db, namespace: back, chart: ./app}]\n"})
	_, talk = c.mustRun(t, 1, "stack", "apply", other)
	wantIn(t, "another stack", talk, "release back/db: it belongs to the stack shop; --take-ownership makes it part of other")
	_, talk = c.mustRun(t, 1, "stack", "apply", file, "-e", "nowhere")
	wantIn(t, "unknown environment", talk, `there is no environment "nowhere"`)
}

// TestStackDefinitions: a release may have objects of a kind that another one brings.
func TestStackDefinitions(t *testing.T) {
	c := startTestCluster(t)
	crds := writeChart(t, "crds", map[string]string{"templates/crd.yaml": thingCRD})
	things := writeChart(t, "things", map[string]string{"templates/thing.yaml": thing})
	file := writeStack(t, map[string]string{"stack.yaml": "name: s\nreleases:\n- {name: crds, chart: " + crds + "}\n- {name: things, chart: " + things + ", needs: [crds]}\n"})
	out, _ := c.mustRun(t, 0, "stack", "plan", file)
	wantIn(t, "plan", out, "install later default/things, once ready: default/crds", `no matches for kind "Thing"`)
	_, talk := c.mustRun(t, 0, "stack", "apply", file)
	wantIn(t, "apply", talk, "things: created Thing/first", "default/things: installed")
}

// TestEncryptedValues: files of age are decrypted with the user's key, those of SOPS by
// the user's sops.
func TestEncryptedValues(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var sealed bytes.Buffer
	shell := armor.NewWriter(&sealed)
	w, err := age.Encrypt(shell, key.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("greeting: hush\n")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := shell.Close(); err != nil {
		t.Fatal(err)
	}
	dir := writeChart(t, "secretive", map[string]string{"templates/c.yaml": "greeting: {{ .Values.greeting }}\n"})
	file := filepath.Join(t.TempDir(), "values.age")
	if err := os.WriteFile(file, sealed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &testCluster{kubeconfig: filepath.Join(t.TempDir(), "none")}
	c.env = map[string]string{"SOPS_AGE_KEY_FILE": filepath.Join(t.TempDir(), "missing")}
	_, talk := c.mustRun(t, 1, "template", dir, "-f", file)
	wantIn(t, "without a key", talk, "age encrypted this file, and there is no key", "SOPS_AGE_KEY_FILE")
	c.env["SOPS_AGE_KEY"] = key.String()
	out, _ := c.mustRun(t, 0, "template", dir, "-f", file)
	wantIn(t, "with the key", out, "greeting: hush")

	sops := filepath.Join(t.TempDir(), "values.sops.yaml")
	if err := os.WriteFile(sops, []byte("greeting: ENC[AES256_GCM,data:xx]\nsops: {mac: 'ENC[x]', version: 3.9.0}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	_, talk = c.mustRun(t, 1, "template", dir, "-f", sops)
	wantIn(t, "without sops", talk, "there is no program sops", "install sops")
	// A stand-in that shows how sops is called; it gets the file on its input.
	program := "#!/bin/sh\n[ \"$*\" = '--decrypt --input-type yaml --output-type yaml /dev/stdin' ] || exit 3\nread -r first\n[ \"$first\" = 'greeting: ENC[AES256_GCM,data:xx]' ] || exit 4\necho 'greeting: psst'\n"
	if err := os.WriteFile(filepath.Join(bin, "sops"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	out, _ = c.mustRun(t, 0, "template", dir, "-f", sops)
	wantIn(t, "with sops", out, "greeting: psst")
}
