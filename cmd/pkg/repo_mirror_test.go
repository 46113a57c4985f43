package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMirror copies signed charts into a folder and into a registry, where helm finds
// them and is content with their signatures.
func TestMirror(t *testing.T) {
	helm, home, dir := absolute(t, helmProgram(t, 3)), t.TempDir(), t.TempDir()
	pkg, err := exec.LookPath("pkg") // testscript puts it first
	if err != nil {
		t.Fatal(err)
	}
	private, public := writeKeys(t, home)
	must := func(program string, args ...string) answer {
		t.Helper()
		a := ask(t, program, dir, home, args...)
		if a.Code != 0 {
			t.Fatalf("%s %v: %d\n%s%s", filepath.Base(program), args, a.Code, a.Out, a.Err)
		}
		return a
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "web", "templates"), 0o755),
		os.WriteFile(filepath.Join(dir, "web", "Chart.yaml"), []byte("apiVersion: v2\nname: web\nversion: 0.0.0\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"1.0.0", "1.1.0", "2.0.0"} {
		must(pkg, "package", "web", "--version", v, "-d", "source", "--sign", "--key", "tester", "--keyring", private)
	}
	must(pkg, "repo", "index", "source")
	source := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(dir, "source"))))
	defer source.Close()

	a := must(pkg, "repo", "mirror", source.URL, "copy", "--chart", "web@^1", "--dry-run")
	wantIn(t, "dry run", a.Out, "1 chart in 2 versions: would copy 2 ")
	if _, err := os.Stat(filepath.Join(dir, "copy")); err == nil {
		t.Error("a dry run made the folder")
	}
	a = must(pkg, "repo", "mirror", source.URL, "copy", "--chart", "web@^1")
	wantIn(t, "mirror", a.Out, "1 chart in 2 versions: copied 2 ", " 0 already there, 0 failed, in ")
	var said mirrored
	if err := json.Unmarshal([]byte(must(pkg, "repo", "mirror", source.URL, "copy", "-o", "json").Out), &said); err != nil {
		t.Fatal(err)
	}
	if said.Copied != 1 || said.Present != 2 || said.Versions != 3 {
		t.Errorf("again: %+v", said)
	}
	copied := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(dir, "copy"))))
	defer copied.Close()
	must(helm, "repo", "add", "copied", copied.URL)
	wantIn(t, "helm search", must(helm, "search", "repo", "copied/", "--versions").Out, "copied/web\t2.0.0", "copied/web\t1.1.0", "copied/web\t1.0.0")
	wantIn(t, "helm pull --verify", must(helm, "pull", "copied/web", "--version", "1.1.0", "--verify", "--keyring", public, "-d", home).Out, "Signed by: tester", "Chart Hash Verified: sha256:")

	registry := "oci://" + memoryRegistry(t) + "/charts"
	must(pkg, "repo", "mirror", copied.URL, registry, "--latest", "2")
	wantIn(t, "helm pull from the registry", must(helm, "pull", registry+"/web", "--version", "2.0.0", "--verify", "--keyring", public, "-d", t.TempDir()).Out, "Signed by: tester")
	if a := ask(t, helm, dir, home, "pull", registry+"/web", "--version", "1.0.0"); a.Code == 0 {
		t.Error("--latest 2 copied three versions")
	}
	for _, wrong := range [][]string{
		{"repo", "mirror", source.URL, "copy", "--since", "yesterday"},
		{"repo", "mirror", source.URL, "ftp://example.com"},
		{"repo", "mirror", source.URL, "copy", "--with-images"},
		{"repo", "mirror", source.URL, "copy", "--images-to", "registry.example.com/a"},
		{"repo", "mirror", source.URL},
	} {
		if a := ask(t, pkg, dir, home, wrong...); a.Code != exitUsage {
			t.Errorf("%v: exit code %d\n%s", wrong, a.Code, a.Err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "source", "web-1.0.0.tgz"), []byte("another"), 0o644); err != nil {
		t.Fatal(err)
	}
	a = ask(t, pkg, dir, home, "repo", "mirror", source.URL, "elsewhere")
	if a.Code != exitFailed {
		t.Errorf("a chart with another digest: exit code %d", a.Code)
	}
	wantIn(t, "failure", a.Out+a.Err, "not copied: web 1.0.0: ", "the index says", "copied 2 ", "1 failed", "1 not copied")
}
