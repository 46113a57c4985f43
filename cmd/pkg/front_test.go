package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// frontPrograms builds both programs as they are installed, each also called helm: pkg,
// with pkg-release beside it; pkg-release under the name of pkg; and pkg alone.
func frontPrograms(t *testing.T) (front, full, alone string) {
	t.Helper()
	top := t.TempDir()
	front, full, alone = filepath.Join(top, "front", "pkg"), filepath.Join(top, "full", "pkg"), filepath.Join(top, "alone", "pkg")
	for _, args := range [][]string{{"-tags", "front", "-o", front}, {"-o", full}} {
		cmd := exec.Command("go", append([]string{"build"}, append(args, ".")...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	err := os.Mkdir(filepath.Dir(alone), 0o755)
	err = errors.Join(err, os.Link(front, alone), os.Link(full, filepath.Join(filepath.Dir(front), "pkg-release")))
	for _, program := range []string{front, full, alone} {
		err = errors.Join(err, os.Symlink("pkg", filepath.Join(filepath.Dir(program), "helm")))
	}
	if err != nil {
		t.Fatal(err)
	}
	return front, full, alone
}

// TestFront runs both programs as they are installed: pkg renders by itself, and hands
// everything else to pkg-release with its arguments, input and exit code.
func TestFront(t *testing.T) {
	pkg, _, _ := frontPrograms(t)
	dir := filepath.Dir(pkg)
	home := t.TempDir()
	run := func(name, stdin string, args ...string) (string, int) {
		cmd := exec.Command(filepath.Join(dir, name), args...)
		cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
		cmd.Stdin = strings.NewReader(stdin)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return out.String(), cmd.ProcessState.ExitCode()
	}
	chart := filepath.Join(home, "web")
	for _, tt := range []struct {
		name, stdin string
		args        []string
		code        int
		says        string
	}{
		{"pkg", "", []string{"create", chart}, exitDone, "Creating " + chart},
		{"pkg", "replicaCount: 7\n", []string{"template", "one", chart, "-f", "-"}, exitDone, "replicas: 7"},
		{"pkg", "", []string{"--debug", "template", "one", chart}, exitDone, "replicas: 1"},
		{"pkg", "", []string{"template", "one", chart, "--validate", "--kubeconfig", "/missing"}, exitFailed, "/missing"},
		{"pkg", "", []string{"tempate"}, exitUsage, "template"},
		{"helm", "", []string{"tempate"}, exitFailed, "helm --help"},
		{"pkg", "", []string{"template", "--help"}, exitDone, "--show-only"},
		{"pkg", "", []string{"--help"}, exitDone, "uninstall"},
		{"helm", "", []string{"version", "--short"}, exitDone, "v3."},
		{"pkg", "", []string{"env"}, exitDone, "HELM_BIN=\"" + pkg + "\""},
		{"pkg", "", []string{"__complete", "templ"}, exitDone, "template"},
	} {
		if out, code := run(tt.name, tt.stdin, tt.args...); code != tt.code || !strings.Contains(out, tt.says) {
			t.Errorf("%s %q: exit %d, want %d and %q:\n%s", tt.name, tt.args, code, tt.code, tt.says, out)
		}
	}
	if out, code := run("pkg", "", "package", chart, "-d", home); code != exitDone {
		t.Fatal(out)
	}
	if err := os.WriteFile(filepath.Join(home, "web-0.1.0.tgz.prov"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, code := run("pkg", "", "template", filepath.Join(home, "web-0.1.0.tgz"), "--verify", "--keyring", "/missing"); code != exitFailed || !strings.Contains(out, "/missing") {
		t.Errorf("--verify: exit %d: %s", code, out)
	}
	if err := os.Remove(filepath.Join(dir, "pkg-release")); err != nil {
		t.Fatal(err)
	}
	if out, code := run("pkg", "", "list"); code != exitFailed || !strings.Contains(out, "pkg-release is missing beside") {
		t.Errorf("without pkg-release: exit %d: %s", code, out)
	}
}
