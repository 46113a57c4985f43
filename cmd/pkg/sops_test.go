package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// TestStackWithSOPS encrypts values with the real sops and a key of age, and applies a
// stack that names the file.
func TestStackWithSOPS(t *testing.T) {
	sops := toolProgram(t, "sops")
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	c := startTestCluster(t)
	dir := t.TempDir()
	chart := writeChart(t, "secretive", map[string]string{
		"templates/c.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: '{{ .Release.Name }}'}\nstringData: {word: '{{ .Values.word }}'}\n",
	})
	for name, text := range map[string]string{
		"secrets.yaml":       "word: open sesame\n",
		"secrets-dev.json":   `{"word": "let me in"}`,
		"stack.yaml":         "name: vault\nreleases:\n- {name: safe, chart: " + chart + ", valuesFiles: [secrets.yaml]}\n",
		"stack-of-json.yaml": "name: vault\nreleases:\n- {name: safe, chart: " + chart + ", valuesFiles: [secrets-dev.json]}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"secrets.yaml", "secrets-dev.json"} {
		encrypt := exec.Command(sops, "encrypt", "--in-place", "--age", key.Recipient().String(), filepath.Join(dir, name))
		if out, err := encrypt.CombinedOutput(); err != nil {
			t.Fatalf("sops encrypt: %v\n%s", err, out)
		}
	}
	t.Setenv("PATH", filepath.Dir(sops)+":"+os.Getenv("PATH"))
	t.Setenv("SOPS_AGE_KEY", "")
	t.Setenv("SOPS_AGE_KEY_FILE", filepath.Join(dir, "missing"))
	_, talk := c.mustRun(t, 1, "stack", "apply", filepath.Join(dir, "stack.yaml"))
	wantIn(t, "without the key", talk, "secrets.yaml", "sops", "age")

	t.Setenv("SOPS_AGE_KEY", key.String())
	for file, want := range map[string]string{"stack.yaml": "open sesame", "stack-of-json.yaml": "let me in"} {
		c.mustRun(t, 0, "stack", "apply", filepath.Join(dir, file))
		secret, err := builtin.Secrets.Get(t.Context(), c.verbs, "default", "safe")
		if err != nil || string(secret.Data["word"])+string(secret.StringData["word"]) != want {
			t.Errorf("after %s the word is %q (%v), want %q", file, secret.Data["word"], err, want)
		}
	}
}
