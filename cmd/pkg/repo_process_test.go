package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// asPkg is the path by which this test's pkg is called pkg.
func asPkg(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("pkg") // testscript puts it first
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// chartServer serves packed charts of a name, and their index; handler sees each
// request first and answers it when it returns true.
func chartServer(t *testing.T, name string, versions []string, handler func(http.ResponseWriter, *http.Request) bool) *httptest.Server {
	t.Helper()
	home, dir := t.TempDir(), t.TempDir()
	source := writeChart(t, name, map[string]string{"values.yaml": "a: 1\n", "templates/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ .Chart.Version }}\"}\n"})
	for _, version := range versions {
		if a := ask(t, asPkg(t), dir, home, "package", source, "--version", version); a.Code != 0 {
			t.Fatal(a.Err)
		}
	}
	if a := ask(t, asPkg(t), dir, home, "repo", "index", "."); a.Code != 0 {
		t.Fatal(a.Err)
	}
	files := http.FileServer(http.Dir(dir))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if handler == nil || !handler(w, req) {
			files.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// pending lists the files below dir that are being written, or were.
func pending(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && strings.HasPrefix(d.Name(), ".pkg-pending-") {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// processes is how many run at once in TestManyProcesses.
const processes = 20

// TestManyProcesses: twenty pkg add, update, pull and remove repositories at the same
// time on one configuration and cache. Nothing is lost, mixed up or left behind.
func TestManyProcesses(t *testing.T) {
	s := chartServer(t, "web", []string{"1.0.0", "1.1.0"}, nil)
	pkg, home := asPkg(t), t.TempDir()
	if a := ask(t, pkg, home, home, "repo", "add", "common", s.URL); a.Code != 0 {
		t.Fatal(a.Err)
	}
	var wait sync.WaitGroup
	for n := range processes {
		dir := t.TempDir()
		wait.Go(func() {
			name := fmt.Sprint("r", n)
			lines := []string{
				"repo add " + name + " " + s.URL, "repo update " + name + " common", "pull " + name + "/web --version 1.0.0",
				"pull common/web", "template x " + name + "/web", "search repo " + name + "/web",
			}
			if n%2 == 1 {
				lines = append(lines, "repo remove "+name)
			}
			for _, line := range lines {
				if a := ask(t, pkg, dir, home, strings.Fields(line)...); a.Code != 0 {
					t.Errorf("process %d: pkg %s: %d\n%s%s", n, line, a.Code, a.Out, a.Err)
				}
			}
			for _, file := range []string{"web-1.0.0.tgz", "web-1.1.0.tgz"} {
				if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	want := []string{"common"}
	for n := 0; n < processes; n += 2 {
		want = append(want, fmt.Sprint("r", n))
	}
	have := map[string]bool{}
	for _, line := range strings.Split(ask(t, pkg, home, home, "repo", "list").Out, "\n")[1:] {
		if name, _, _ := strings.Cut(line, " "); name != "" {
			have[strings.TrimSpace(strings.Split(name, "\t")[0])] = true
		}
	}
	for _, name := range want {
		if !have[name] {
			t.Errorf("repository %s is lost", name)
		}
		if a := ask(t, pkg, home, home, "--offline", "template", "x", name+"/web"); a.Code != 0 || !strings.Contains(a.Out, "name: \"1.1.0\"") {
			t.Errorf("%s offline: %s", name, a.Err)
		}
	}
	if have["r1"] || len(have) != len(want)+2 { // bundled and stable come with pkg
		t.Errorf("repositories %v, want %v", have, want)
	}
	if left := pending(t, home); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestKilledDownload: kill -9 in the middle of a download leaves at most a file that the
// next run removes; what was there before stays in use.
func TestKilledDownload(t *testing.T) {
	var slow atomic.Value // path whose answer stops in the middle
	slow.Store("")
	reached, release := make(chan struct{}, 1), make(chan struct{})
	s := chartServer(t, "web", []string{"1.0.0"}, func(w http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path != slow.Load() {
			return false
		}
		w.Header().Set("Content-Length", "10000000")
		_, _ = io.WriteString(w, "apiVersion: v1\nentries:\n"+strings.Repeat("#", 1<<20))
		w.(http.Flusher).Flush()
		reached <- struct{}{}
		<-release
		return true
	})
	t.Cleanup(func() { close(release) })
	pkg, home, dir := asPkg(t), t.TempDir(), t.TempDir()
	if a := ask(t, pkg, dir, home, "repo", "add", "foo", s.URL); a.Code != 0 {
		t.Fatal(a.Err)
	}
	kill := func(path string, wantPending bool, args ...string) {
		t.Helper()
		slow.Store(path)
		cmd := exec.Command(pkg, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+home, "PKG_CONFIG_HOME="+home+"/pkg", "PKG_CACHE_HOME="+home+"/pkgcache",
			"HELM_REPOSITORY_CONFIG="+home+"/repositories.yaml", "HELM_REPOSITORY_CACHE="+home+"/repository")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-reached
		deadline := time.Now().Add(10 * time.Second)
		for wantPending && len(pending(t, home)) == 0 && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		slow.Store("")
		if got := len(pending(t, home)) > 0; got != wantPending {
			t.Errorf("pkg %s: a file was in the making: %t, want %t", strings.Join(args, " "), got, wantPending)
		}
	}
	kill("/index.yaml", true, "repo", "update")
	if a := ask(t, pkg, dir, home, "--offline", "show", "versions", "foo/web"); a.Code != 0 {
		t.Errorf("the old index: %s", a.Err)
	}
	if a := ask(t, pkg, dir, home, "repo", "update"); a.Code != 0 {
		t.Errorf("after the kill: %s%s", a.Out, a.Err)
	}
	if left := pending(t, home); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	kill("/web-1.0.0.tgz", false, "pull", "foo/web")
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("a killed pull left %v, %v", files, err)
	}
	if a := ask(t, pkg, dir, home, "pull", "foo/web"); a.Code != 0 {
		t.Error(a.Err)
	}
}

// TestOfflineHasNoNetwork runs pkg where there is no network at all, not even
// loopback: with --offline what was fetched before is there, without it is not.
func TestOfflineHasNoNetwork(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("network namespaces need root")
		}
		t.Skip("network namespaces need root")
	}
	var asked atomic.Int64
	s := chartServer(t, "web", []string{"1.0.0"}, func(http.ResponseWriter, *http.Request) bool { asked.Add(1); return false })
	host := memoryRegistry(t)
	pkg, home, dir := asPkg(t), t.TempDir(), t.TempDir()
	for _, line := range []string{
		"repo add foo " + s.URL, "pull foo/web", "push web-1.0.0.tgz oci://" + host + "/x", "pull oci://" + host + "/x/web", "template x web --repo " + s.URL,
	} {
		if a := ask(t, pkg, dir, home, strings.Fields(line)...); a.Code != 0 {
			t.Fatalf("pkg %s: %s", line, a.Err)
		}
	}
	alone := func(line string) (string, int) {
		cmd := exec.Command(pkg, strings.Fields(line)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+home, "PKG_CONFIG_HOME="+home+"/pkg", "PKG_CACHE_HOME="+home+"/pkgcache",
			"HELM_REPOSITORY_CONFIG="+home+"/repositories.yaml", "HELM_REPOSITORY_CACHE="+home+"/repository", "KUBECONFIG=/dev/null")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Skipf("no network namespace: %v", err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	before := asked.Load()
	for _, line := range []string{
		"template x foo/web", "show values foo/web", "pull foo/web", "template x oci://" + host + "/x/web", "show versions oci://" + host + "/x/web",
		"template x web --repo " + s.URL, "search repo web", "template x stable/mysql", "dependency update .", "repo list",
	} {
		if line == "dependency update ." {
			text := "apiVersion: v2\nname: top\nversion: 1.0.0\ndependencies:\n- {name: web, version: 1.x, repository: " + s.URL + "}\n"
			if err := os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if out, code := alone("--offline " + line); code != 0 {
			t.Errorf("pkg --offline %s: %d\n%s", line, code, out)
		}
	}
	for line, want := range map[string]string{
		"--offline pull foo/web --version 9.9":              "version 9.9 not found",
		"--offline pull oci://" + host + "/x/other":         "offline: chart oci://" + host + "/x/other is not cached\nhint: with a network, run: pkg pull oci://" + host + "/x/other",
		"--offline repo update":                             "offline: a newer index of repository foo is not cached",
		"--offline search hub web":                          "offline: https://hub.helm.sh cannot be asked",
		"--offline push web-1.0.0.tgz oci://" + host:        "offline: ",
		"--offline template x foo/web -f http://a.test/v":   "offline: http://a.test/v is not cached",
		"--offline registry login " + host + " -u a -p b":   "offline: ",
		"template x oci://" + host + "/x/web --version 1.x": "network is unreachable",
	} {
		if out, code := alone(line); code != 1 || !strings.Contains(out, want) {
			t.Errorf("pkg %s: %d, want %q\n%s", line, code, want, out)
		}
	}
	if got := asked.Load(); got != before {
		t.Errorf("%d requests", got-before)
	}
}

// TestUpdatesTogether: repositories are asked at the same time, and one that fails does
// not stop the others; it is named, and the exit code is 1.
func TestUpdatesTogether(t *testing.T) {
	const number = 3
	arrived := make(chan struct{}, number)
	all := make(chan struct{})
	go func() { // ends when all have arrived, as they have to
		for range number {
			<-arrived
		}
		close(all)
	}()
	together := atomic.Bool{}
	s := chartServer(t, "web", []string{"1.0.0"}, func(w http.ResponseWriter, req *http.Request) bool {
		if !together.Load() {
			return false
		}
		arrived <- struct{}{}
		select {
		case <-all:
		case <-req.Context().Done():
		}
		return false
	})
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if together.Load() {
			arrived <- struct{}{}
			select {
			case <-all:
			case <-req.Context().Done():
			}
			http.Error(w, "out of order", http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, "apiVersion: v1\nentries: {}\n")
	}))
	t.Cleanup(mirror.Close)
	pkg, home := asPkg(t), t.TempDir()
	for name, url := range map[string]string{"one": s.URL, "two": s.URL + "/.", "bad": mirror.URL} {
		if a := ask(t, pkg, home, home, "repo", "add", name, url); a.Code != 0 {
			t.Fatal(a.Err)
		}
	}
	together.Store(true)
	a := ask(t, pkg, home, home, "repo", "update", "--timeout", "20s")
	together.Store(false)
	if a.Code != 1 {
		t.Errorf("exit code %d", a.Code)
	}
	wantIn(t, "stdout", a.Out, `update from the "one" chart repository (not changed)`, `update from the "two" chart repository (not changed)`,
		`Unable to get an update from the "bad" chart repository`, "502 Bad Gateway")
	wantIn(t, "stderr", a.Err, "1 of 3 repositories were not updated: bad")
	if a := ask(t, asHelm(t), home, home, "repo", "update", "one"); a.Code != 0 || strings.Contains(a.Out, "not changed") {
		t.Errorf("as helm: %+v", a)
	}
}

// TestCredentialHelper: docker's helper programs keep what registry login is given.
func TestCredentialHelper(t *testing.T) {
	bin, kept := t.TempDir(), filepath.Join(t.TempDir(), "kept")
	script := "#!/bin/sh\ncase $1 in\nstore) cat > " + kept + ";;\nget) [ -f " + kept + " ] && cat " + kept + " || { echo credentials not found in native keychain; exit 1; };;\nerase) rm -f " + kept + ";;\nlist) echo '{}';;\nesac\n"
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-vault"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	var last atomic.Value
	last.Store("")
	inner := memoryRegistry(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		last.Store(req.Header.Get("Authorization"))
		if u, p, _ := req.BasicAuth(); u != "me" || p != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		req.URL.Scheme, req.URL.Host, req.RequestURI = "http", inner, ""
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		for key, values := range resp.Header {
			w.Header()[key] = values
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	pkg, home := asPkg(t), t.TempDir()
	config := filepath.Join(home, "registry.json")
	if err := os.WriteFile(config, []byte(`{"credHelpers":{"`+host+`":"vault"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, pkg, home, home, "package", writeChart(t, "web", map[string]string{})); a.Code != 0 {
		t.Fatal(a.Err)
	}
	for _, step := range []struct {
		line string
		code int
	}{
		{"push web-1.0.0.tgz oci://" + host + "/x", 1},
		{"registry login " + host + " -u me -p secret --plain-http", 0},
		{"push web-1.0.0.tgz oci://" + host + "/x --plain-http", 0},
		{"template x oci://" + host + "/x/web --plain-http", 0},
		{"registry logout " + host, 0},
		{"pull oci://" + host + "/x/web --plain-http", 1},
	} {
		if a := ask(t, pkg, home, home, strings.Fields(step.line)...); a.Code != step.code {
			t.Errorf("pkg %s: %d, want %d\n%s%s", step.line, a.Code, step.code, a.Out, a.Err)
		}
		data, err := os.ReadFile(config)
		if err != nil || strings.Contains(string(data), base64.StdEncoding.EncodeToString([]byte("me:secret"))) || strings.Contains(string(data), "secret") {
			t.Errorf("after pkg %s: %s, %v", step.line, data, err)
		}
		if strings.HasPrefix(step.line, "registry login") {
			if data, err := os.ReadFile(kept); err != nil || !strings.Contains(string(data), `"Secret":"secret"`) {
				t.Errorf("the helper got %q, %v", data, err)
			}
		}
	}
	if _, err := os.Stat(kept); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the helper still has the login: %v", err)
	}
}

// TestProxies: $HTTP_PROXY leads to repositories and registries, $NO_PROXY does not.
func TestProxies(t *testing.T) {
	s := chartServer(t, "web", []string{"1.0.0"}, nil)
	var hosts sync.Map
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		hosts.Store(req.URL.Host, req.Header.Get("Proxy-Authorization"))
		resp, err := http.Get(s.URL + req.URL.Path) // whatever host it is for
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(proxy.Close)
	t.Setenv("HTTP_PROXY", strings.Replace(proxy.URL, "http://", "http://me:secret@", 1))
	t.Setenv("NO_PROXY", "direct.test")
	pkg, home := asPkg(t), t.TempDir()
	if a := ask(t, pkg, home, home, "repo", "add", "foo", "http://charts.test"); a.Code != 0 {
		t.Fatal(a.Err)
	}
	if a := ask(t, pkg, home, home, "template", "x", "foo/web"); a.Code != 0 {
		t.Error(a.Err)
	}
	if a := ask(t, pkg, home, home, "pull", "oci://registry.test:80/x/web", "--version", "1.0.0", "--plain-http"); a.Code != 1 {
		t.Errorf("%+v", a)
	}
	if a := ask(t, pkg, home, home, "repo", "add", "bar", "http://direct.test"); a.Code != 1 {
		t.Errorf("%+v", a)
	}
	for host, want := range map[string]bool{"charts.test": true, "registry.test:80": true, "direct.test": false} {
		auth, got := hosts.Load(host)
		if got != want || got && auth != "Basic "+base64.StdEncoding.EncodeToString([]byte("me:secret")) {
			t.Errorf("%s went through the proxy: %t, want %t (%v)", host, got, want, auth)
		}
	}
}

// TestCredentialsGoWhereHelmsGo compares what servers get from helm and from pkg called
// as helm: the repository's own, another one that its index names, and one behind a
// redirect.
func TestCredentialsGoWhereHelmsGo(t *testing.T) {
	helm := absolute(t, helmProgram(t, 3))
	var mu sync.Mutex
	var seen []string
	note := func(where string) func(http.ResponseWriter, *http.Request) bool {
		return func(_ http.ResponseWriter, req *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, where+" "+req.URL.Path+" "+req.Header.Get("Authorization"))
			return false
		}
	}
	other := chartServer(t, "web", []string{"1.0.0"}, note("other"))
	own := chartServer(t, "web", []string{"1.0.0"}, func(w http.ResponseWriter, req *http.Request) bool {
		note("own")(w, req)
		switch path := req.URL.Path; {
		case strings.HasPrefix(path, "/away/"):
			http.Redirect(w, req, strings.Replace(other.URL, "127.0.0.1", "localhost", 1)+strings.TrimPrefix(path, "/away"), http.StatusFound)
		case path == "/leads/index.yaml":
			fmt.Fprintf(w, "apiVersion: v1\nentries:\n  web:\n  - {apiVersion: v2, name: web, version: 1.0.0, urls: [%s/web-1.0.0.tgz]}\n", other.URL)
		default:
			return false
		}
		return true
	})
	for _, session := range [][]string{
		{"template x web --repo $OWN --username me --password secret"},
		{"template x web --repo $OWN/leads --username me --password secret"}, // helm pull sends them in this case
		{"template x web --repo $OWN/leads --username me --password secret --pass-credentials"},
		{"pull web --repo $OWN --username me"},
		{"pull $OWN/away/web-1.0.0.tgz --username me --password secret"},
		{"pull $OWN/away/web-1.0.0.tgz --username me --password secret --pass-credentials"},
		{"repo add foo $OWN --username me --password secret", "pull foo/web"},
		{"repo add foo $OWN/leads --username me --password secret", "pull foo/web", "pull $OTHER/web-1.0.0.tgz"},
		{"repo add foo $OWN/leads --username me --password secret --pass-credentials", "pull foo/web", "pull $OTHER/web-1.0.0.tgz"},
		{"repo add foo $OWN", "pull foo/web --username me --password secret"},
		{"repo add foo $OWN/leads --username me --password secret", "pull foo/web --pass-credentials"},
		{"repo add foo $OWN/leads", "pull foo/web --username me --password secret --pass-credentials"},
		{"repo add foo $OWN/leads --username me --password secret", "template x foo/web --username you --password other"},
	} {
		run := func(program string) []string {
			seen = nil
			home, dir := t.TempDir(), t.TempDir()
			for _, line := range session {
				line = strings.NewReplacer("$OWN", own.URL, "$OTHER", other.URL).Replace(line)
				a := ask(t, program, dir, home, strings.Fields(line)...)
				seen = append(seen, fmt.Sprint("exit ", a.Code))
				files, err := filepath.Glob(filepath.Join(dir, "*.tgz")) // so that the next line fetches again
				if err != nil {
					t.Fatal(err)
				}
				for _, file := range files {
					if err := os.Remove(file); err != nil {
						t.Fatal(err)
					}
				}
				if err := errors.Join(os.RemoveAll(filepath.Join(home, "repository", "content")), os.RemoveAll(filepath.Join(home, "cache"))); err != nil {
					t.Fatal(err)
				}
			}
			return seen
		}
		if diff := cmp.Diff(run(helm), run(asHelm(t))); diff != "" {
			t.Errorf("%s (-helm +pkg):\n%s", strings.Join(session, "; "), diff)
		}
	}
}

// TestHelmReadsPinnedLocks: a Chart.lock with digests is one for helm, too, and pkg
// refuses what does not have them.
func TestHelmReadsPinnedLocks(t *testing.T) {
	helm, pkg, home := absolute(t, helmProgram(t, 3)), asPkg(t), t.TempDir()
	host := memoryRegistry(t)
	dir := t.TempDir()
	push := func(values string) {
		t.Helper()
		chart := writeChart(t, "db", map[string]string{"values.yaml": values})
		if a := ask(t, pkg, dir, home, "package", chart); a.Code != 0 {
			t.Fatal(a.Err)
		}
		if a := ask(t, pkg, dir, home, "push", "db-1.0.0.tgz", "oci://"+host+"/x"); a.Code != 0 {
			t.Fatal(a.Err)
		}
	}
	push("a: 1\n")
	top := filepath.Join(dir, "top")
	text := "apiVersion: v2\nname: top\nversion: 1.0.0\ndependencies:\n- {name: db, version: ^1.0.0, repository: \"oci://" + host + "/x\"}\n"
	if err := errors.Join(os.MkdirAll(top, 0o755), os.WriteFile(filepath.Join(top, "Chart.yaml"), []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, pkg, dir, home, "dependency", "update", "top"); a.Code != 0 {
		t.Fatal(a.Err)
	}
	lock := func() string {
		data, err := os.ReadFile(filepath.Join(top, "Chart.lock"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	before := lock()
	wantIn(t, "Chart.lock", before, "- digest: sha256:")
	if a := ask(t, helm, dir, home, "dependency", "build", "top", "--plain-http"); a.Code != 0 || lock() != before {
		t.Errorf("helm dependency build: %d\n%s%s%s", a.Code, a.Out, a.Err, lock())
	}
	push("a: 2\n")
	a := ask(t, pkg, dir, home, "dependency", "build", "top")
	if a.Code != 1 {
		t.Errorf("a replaced chart was built: %s", a.Out)
	}
	wantIn(t, "stderr", a.Err, "dependency db", "the lock file pins sha256:", "it was replaced after the lock was written", "hint: if that is meant: pkg dependency update")
}
