package main

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestCreatedChart: a new chart lints, installs and becomes ready, and its release
// completes.
func TestCreatedChart(t *testing.T) {
	c := startTestCluster(t)
	dir := filepath.Join(t.TempDir(), "shop")
	c.mustRun(t, 0, "create", dir)
	c.mustRun(t, 0, "lint", dir, "--strict")
	out, _ := c.mustRun(t, 0, "install", "shop", dir)
	wantIn(t, "install", out, "STATUS: deployed", "shop.default.svc")
	out, _ = c.mustRun(t, 0, "status", "shop")
	wantIn(t, "status", out, "Deployment/shop", "ready")
	out, _ = c.mustRun(t, 0, "__complete", "upgrade", "sh")
	wantIn(t, "completion", out, "shop\tshop-0.1.0 deployed")
}

// TestVerifyBeforeUse: with --verify a chart is used only if a key of the ring
// signed it.
func TestVerifyBeforeUse(t *testing.T) {
	ours, home, dir := asHelm(t), t.TempDir(), t.TempDir()
	private, public := writeKeys(t, home)
	if a := ask(t, ours, dir, home, "create", "shop"); a.Code != 0 {
		t.Fatal(a.Err)
	}
	file := filepath.Join(dir, "shop-0.1.0.tgz")
	for _, step := range []struct {
		args []string
		code int
		err  string
	}{
		{[]string{"package", "shop"}, 0, ""},
		{[]string{"template", "r", file, "--verify"}, 1, "could not load provenance file"},
		{[]string{"package", "shop", "--sign", "--key", "nobody", "--keyring", private}, 1, "private key not found"},
		{[]string{"package", "shop", "--sign", "--key", "tester", "--keyring", private}, 0, ""},
		{[]string{"template", "r", file, "--verify", "--keyring", public}, 0, ""},
		{[]string{"show", "chart", file, "--verify", "--keyring", public}, 0, ""},
		{[]string{"template", "r", "shop", "--verify"}, 1, "unpacked charts cannot be verified"},
		{[]string{"template", "r", file, "--verify", "--keyring", filepath.Join(dir, "none")}, 1, "failed to load keyring"},
		{[]string{"package", "shop", "--app-version", "2"}, 0, ""},
		{[]string{"template", "r", file, "--verify", "--keyring", public}, 1, "sha256 sum does not match"},
	} {
		a := ask(t, ours, dir, home, step.args...)
		if a.Code != step.code {
			t.Errorf("%v: exit code %d\n%s", step.args, a.Code, a.Err)
		}
		wantIn(t, "stderr", a.Err, step.err)
	}
	// GnuPG, where there is one, agrees that the signature is good.
	gpg, err := exec.LookPath("gpg")
	if err != nil {
		return
	}
	if a := ask(t, ours, dir, home, "package", "shop", "--sign", "--key", "tester", "--keyring", private); a.Code != 0 {
		t.Fatal(a.Err)
	}
	gnupg := t.TempDir()
	for _, args := range [][]string{{"--import", public}, {"--verify", file + ".prov"}} {
		if a := ask(t, gpg, dir, home, append([]string{"--homedir", gnupg, "--batch"}, args...)...); a.Code != 0 {
			t.Errorf("gpg %v: %s", args, a.Err)
		}
	}
}
