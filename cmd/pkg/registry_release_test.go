package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestReleasesFromRegistries: install, upgrade to a range of tags and from where the
// release came from, and what a policy refuses changes nothing.
func TestReleasesFromRegistries(t *testing.T) {
	c := startTestCluster(t)
	host, dir := memoryRegistry(t), t.TempDir()
	source := writeChart(t, "shop", map[string]string{"templates/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {version: \"{{ .Chart.Version }}\"}\n"})
	push := func(version string) {
		t.Helper()
		c.mustRun(t, exitDone, "package", source, "--version", version, "-d", dir)
		c.mustRun(t, exitDone, "push", filepath.Join(dir, "shop-"+version+".tgz"), "oci://"+host+"/x")
	}
	for _, version := range []string{"1.0.0", "1.1.0+b.2", "2.0.0"} {
		push(version)
	}
	deployed := func(want string) {
		t.Helper()
		out, _ := c.mustRun(t, exitDone, "get", "manifest", "shop")
		wantIn(t, "manifest", out, want)
	}
	ref := "oci://" + host + "/x/shop"
	c.mustRun(t, exitDone, "install", "shop", ref, "--version", "1.0.0")
	deployed(`version: "1.0.0"`)
	c.mustRun(t, exitDone, "upgrade", "shop", ref, "--version", "^1.0")
	deployed(`version: "1.1.0+b.2"`)
	out, _ := c.mustRun(t, exitDone, "outdated")
	wantIn(t, "outdated", out, "2.0.0")
	c.mustRun(t, exitDone, "upgrade", "shop", "--latest")
	deployed(`version: "2.0.0"`)

	key := filepath.Join(dir, "key.pub")
	if err := os.WriteFile(key, []byte("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9\nq9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==\n-----END PUBLIC KEY-----\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c.mustRun(t, exitDone, "repo", "policy", "require", "oci://"+host, "--key", key)
	push("3.0.0")
	_, talk := c.mustRun(t, exitFailed, "upgrade", "shop", ref)
	wantIn(t, "stderr", talk, "is refused: the policy for oci://"+host, "the registry has none", "hint: sign it with one of the policy's keys (cosign sign --key KEY "+host+"/x/shop)")
	deployed(`version: "2.0.0"`)
	c.mustRun(t, exitDone, "repo", "policy", "remove", "oci://"+host)
	c.mustRun(t, exitDone, "upgrade", "shop", ref, "--offline", "--version", "1.0.0")
	deployed(`version: "1.0.0"`)
}
