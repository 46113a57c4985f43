package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// answer is all that a program says.
type answer struct {
	Out, Err string
	Code     int
}

// ask runs a program in dir; helm's folders lie below home.
func ask(t *testing.T, program, dir, home string, args ...string) answer {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"HOME="+home, "HELM_CACHE_HOME="+home+"/cache", "HELM_CONFIG_HOME="+home+"/config", "HELM_DATA_HOME="+home+"/data",
		"HELM_REPOSITORY_CONFIG="+home+"/repositories.yaml", "HELM_REPOSITORY_CACHE="+home+"/repository",
		"HELM_REGISTRY_CONFIG="+home+"/registry.json", "PKG_CONFIG_HOME="+home+"/pkg", "PKG_CACHE_HOME="+home+"/pkgcache",
		"KUBECONFIG=/dev/null", "SOURCE_DATE_EPOCH=", "GNUPGHOME="+home)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	// Log lines name places in helm's source.
	return answer{out.String(), sourcePlace.ReplaceAllString(talk.String(), ""), cmd.ProcessState.ExitCode()}
}

var sourcePlace = regexp.MustCompile(`(?m)^[a-z_]+\.go:\d+: `)

// asHelm is the path by which this test's pkg is called helm.
func asHelm(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("helm") // testscript puts it first
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// TestAnswersAsHelmDoes compares, command by command, what helm 3 and pkg called as
// helm print and how they end. A line of testdata/helm.txtar's comment is one command
// line; "session" begins anew; those marked "~" are compared without stderr, whose
// text is ours on purpose.
func TestAnswersAsHelmDoes(t *testing.T) {
	real, ours := absolute(t, helmProgram(t, 3)), asHelm(t)
	archive, err := txtar.ParseFile("testdata/helm.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, session := range strings.Split(string(archive.Comment), "\nsession") {
		name, lines, _ := strings.Cut(strings.TrimSpace(session), "\n")
		t.Run(name, func(t *testing.T) {
			// The same path for both, so that paths in their answers are the same.
			root := t.TempDir()
			run := func(program string) []answer {
				dir, home := filepath.Join(root, "work"), filepath.Join(root, "home")
				for _, d := range []string{dir, home} {
					if err := errors.Join(os.RemoveAll(d), os.MkdirAll(d, 0o755)); err != nil {
						t.Fatal(err)
					}
				}
				for _, f := range archive.Files {
					file := filepath.Join(dir, f.Name)
					if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, f.Data, 0o644)); err != nil {
						t.Fatal(err)
					}
				}
				s := httptest.NewServer(http.FileServer(http.Dir(dir)))
				defer s.Close()
				var all []answer
				for _, line := range strings.Split(strings.TrimSpace(lines), "\n") {
					args := strings.Fields(strings.TrimPrefix(line, "~"))
					for i := range args {
						args[i] = strings.NewReplacer("$SERVER", s.URL, "%20", " ").Replace(args[i])
					}
					a := ask(t, program, dir, home, args...)
					if strings.HasPrefix(line, "~") {
						a.Err = ""
					}
					a.Out, a.Err = strings.ReplaceAll(a.Out, s.URL, "$SERVER"), strings.ReplaceAll(a.Err, s.URL, "$SERVER")
					all = append(all, a)
				}
				return all
			}
			want, got := run(real), run(ours)
			for i, line := range strings.Split(strings.TrimSpace(lines), "\n") {
				if diff := cmp.Diff(want[i], got[i]); diff != "" {
					t.Errorf("helm %s (-helm +pkg):\n%s", line, diff)
				}
			}
		})
	}
}

// TestHelmTakesOurChartsAndWeTheirs: locks, signatures and charts in registries
// change hands both ways.
func TestHelmTakesOurChartsAndWeTheirs(t *testing.T) {
	real, ours := absolute(t, helmProgram(t, 3)), asHelm(t)
	dir, home := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	must := func(program string, args ...string) string {
		t.Helper()
		a := ask(t, program, dir, home, args...)
		if a.Code != 0 {
			t.Fatalf("%s %s: %d\n%s%s", program, strings.Join(args, " "), a.Code, a.Out, a.Err)
		}
		return a.Out
	}
	private, public := writeKeys(t, home)
	host := memoryRegistry(t)
	programs := map[string]string{"helm": real, "pkg": ours}
	for from, mine := range programs {
		to, other := "pkg", ours
		if from == "pkg" {
			to, other = "helm", real
		}
		name := fmt.Sprintf("from-%s", from)
		write(name+"/Chart.yaml", "apiVersion: v2\nname: "+name+"\nversion: 1.0.0+b1\ndescription: a chart\n")
		write(name+"/values.yaml", "a: 1\n")
		file := name + "-1.0.0+b1.tgz"
		must(mine, "package", name, "--sign", "--key", "tester", "--keyring", private)
		checked := must(other, "verify", file, "--keyring", public)
		if again := must(mine, "verify", file, "--keyring", public); again != checked {
			t.Errorf("%s and %s verify differently: %s%s", from, to, again, checked)
		}
		must(mine, "push", file, "oci://"+host+"/charts", "--plain-http")
		must(other, "pull", "oci://"+host+"/charts/"+name, "--version", "1.0.0+b1", "--plain-http", "-d", "pulled-by-"+to, "--untar")
		if _, err := os.Stat(filepath.Join(dir, "pulled-by-"+to, name, "Chart.yaml")); err != nil {
			t.Error(err)
		}
		top := "top-" + from
		write(top+"/Chart.yaml", fmt.Sprintf("apiVersion: v2\nname: %s\nversion: 1.0.0\ndependencies:\n- {name: %s, version: 1.x, repository: 'file://../%s', alias: one, tags: [x]}\n", top, name, name))
		must(mine, "dependency", "update", top)
		before, err := os.ReadFile(filepath.Join(dir, top, "Chart.lock"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, top, "charts")); err != nil {
			t.Fatal(err)
		}
		must(other, "dependency", "build", top)
		after, err := os.ReadFile(filepath.Join(dir, top, "Chart.lock"))
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s rewrote the lock of %s: %v\n%s\n%s", to, from, err, before, after)
		}
	}
}
