package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLook is what users look at: the tree, logs, an open door, the check and
// metrics, also as a user who is not root.
func TestLook(t *testing.T) {
	m := newMachine(t)
	m.pkg("cluster", "check", "-o", "json")
	s := &space{machine: *m, ns: "default"}
	m.pkg("cluster", "start")
	dir := filepath.Join(t.TempDir(), "web")
	if err := os.MkdirAll(filepath.Join(dir, "templates"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"Chart.yaml": "{apiVersion: v2, name: web, version: 0.1.0}", "templates/all.yaml": lookChart} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m.pkg("install", "web", dir)
	if out := m.pkg("status", "web"); lacks(out, []string{"✓ Deployment/web 1 of 1 ready", "└ ✓ ReplicaSet/web-", "└ ✓ Pod/web-", "├ ✓ container main", "✓ Service/web ClusterIP"}) != "" {
		t.Errorf("status:\n%s", out)
	}
	if out := m.pkg("logs", "web", "-c", "main", "--tail", "1"); !strings.HasPrefix(out, "web-") || !strings.HasSuffix(out, " main | hello\n") {
		t.Errorf("logs: %q", out)
	}
	m.fails(1, []string{"release: not found"}, "logs", "nothere")
	follows(s)
	opens(s)
	if out := m.pkg("cluster", "check"); lacks(out, []string{"✓ cluster running", "✓ certificate the API's is valid until", "✓ node "}) != "" {
		t.Errorf("check:\n%s", out)
	}
	node := strings.TrimPrefix(strings.TrimSpace(s.k("get", "nodes", "-o", "name")), "node/")
	s.says([]string{`container_memory_working_set_bytes{container="main",id="/pkg/`, `namespace="default",pod="web-`, "machine_memory_bytes{", "container_network_receive_bytes_total{"},
		"get", "--raw", "/api/v1/nodes/"+node+"/proxy/metrics/cadvisor")
	s.says([]string{"kubelet_running_pods 1", `kubelet_started_containers_total{container_type="container"} 4`}, "get", "--raw", "/api/v1/nodes/"+node+"/proxy/metrics")
	s.says([]string{`apiserver_request_total{code="201"`, `workqueue_adds_total{name="`, `apiserver_storage_objects{resource="pods"} `}, "get", "--raw", "/metrics")
	s.comesToSay(20*time.Second, []string{"MEMORY(bytes) web-"}, "top", "pods")
	t.Run("users", func(t *testing.T) { s.t = t; users(s) })
}

const lookChart = `apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: main, image: "` + busybox + `", command: [sh, -c, "echo hello; cd /tmp; echo welcome > index.html; exec busybox httpd -f -p 8080"], readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}}
      - {name: side, image: "` + busybox + `", command: [sleep, "1000"]}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}
`

// background runs pkg until the test ends, with its output in a file.
func (s *space) background(args ...string) (output string, end func()) {
	s.t.Helper()
	output = filepath.Join(s.t.TempDir(), "output")
	f, err := os.Create(output)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	c := exec.Command(binary("pkg"), args...)
	c.Env, c.Stdout, c.Stderr = s.env, f, f
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	return output, func() {
		s.t.Helper()
		_ = c.Process.Signal(os.Interrupt) // it may have ended already
		if err := c.Wait(); err != nil {
			s.t.Errorf("pkg %s: %v", strings.Join(args, " "), err)
		}
	}
}

func (s *space) awaitText(path string, texts ...string) {
	s.t.Helper()
	eventually(s.t, 20*time.Second, func() error {
		data, err := os.ReadFile(path)
		if missing := lacks(string(data), texts); err == nil && missing != "" {
			return &os.PathError{Op: "lacks " + missing, Path: string(data), Err: os.ErrNotExist}
		}
		return err
	})
}

// follows sees a pod end and its successor start.
func follows(s *space) {
	s.t.Helper()
	output, end := s.background("logs", "web", "-f", "-c", "main")
	s.awaitText(output, "main | hello")
	s.k("delete", "pod", "-l", "app=web", "--wait=false")
	s.awaitText(output, "main has started", "main has ended", "is gone")
	end()
	s.k("rollout", "status", "deployment/web", "--timeout=30s")
}

// opens reaches the Service at a local port.
func opens(s *space) {
	s.t.Helper()
	output, end := s.background("open", "web", "--port", "18099:http")
	s.awaitText(output, "http://127.0.0.1:18099/ leads to service web, port 8080")
	if body, err := s.fetch("http://127.0.0.1:18099/"); body != "welcome\n" {
		s.t.Errorf("%s: %q, %v", http.MethodGet, body, err)
	}
	end()
}

// users are others than root: not allowed, then in the group.
func users(s *space) {
	const uid, gid = 4711, 4712
	user := &syscall.Credential{Uid: uid, Gid: uid}
	etc := s.t.TempDir()
	for name, more := range map[string]string{"group": "pkg:x:4712:\n", "passwd": "alice:x:4711:4711::/:/bin/sh\n"} {
		data, err := os.ReadFile("/etc/" + name)
		if err != nil {
			s.t.Fatal(err)
		}
		path := filepath.Join(etc, name)
		if err := os.WriteFile(path, append(data, more...), 0o644); err != nil {
			s.t.Fatal(err)
		}
		if err := unix.Mount(path, "/etc/"+name, "", unix.MS_BIND, ""); err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() {
			if err := unix.Unmount("/etc/"+name, 0); err != nil {
				s.t.Error(err)
			}
		})
	}
	home := filepath.Join("/run", "alice")
	if err := os.MkdirAll(home, 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chown(home, uid, uid); err != nil {
		s.t.Fatal(err)
	}
	for dir := s.home; dir != "/"; dir = filepath.Dir(dir) { // a test's folder is root's alone
		if err := os.Chmod(dir, 0o755); err != nil && dir != "/tmp" {
			s.t.Fatal(err)
		}
		if filepath.Dir(dir) == os.TempDir() {
			break
		}
	}
	s.env = append(s.env, "PKG_CONFIG_HOME="+home+"/.config/pkg", "PKG_CACHE_HOME="+home+"/.cache/pkg", "HOME="+home)
	// The test's folder of the repository may not be open to others.
	pkg := filepath.Join(home, "pkg")
	if out, err := exec.Command("cp", binary("pkg"), binary("pkg-release"), home).CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	r := s.asUser(user, pkg, "list")
	if r.code != 1 || lacks(r.stderr, []string{"may be used by root only, not by alice", "sudo usermod -aG pkg alice"}) != "" {
		s.t.Errorf("before the group: %+v", r)
	}
	if r := s.try("pkg", "cluster", "start", "--group", "pkg"); r.code != 0 || !strings.Contains(r.stderr, "members of the group pkg may use it, too") {
		s.t.Errorf("start --group: %+v", r)
	}
	if r = s.asUser(user, pkg, "list"); r.code != 1 || lacks(r.stderr, []string{"root and the group pkg, which alice is not in", "log in again"}) != "" {
		s.t.Errorf("not in the group: %+v", r)
	}
	user.Groups = []uint32{gid}
	if r = s.asUser(user, pkg, "list"); r.code != 0 || !strings.Contains(r.stdout, "web") {
		s.t.Errorf("in the group: %+v", r)
	}
	if r = s.asUser(user, pkg, "uninstall", "web"); r.code != 0 || !strings.Contains(r.stderr, "cluster: this machine's cluster in "+s.home) {
		s.t.Errorf("uninstall: %+v", r)
	}
	if r = s.asUser(user, pkg, "cluster", "stop"); r.code != 1 || !strings.Contains(r.stderr, "needs root") {
		s.t.Errorf("stop: %+v", r)
	}
	// Root leaves nothing of its own there.
	s.pkg("list")
	out, err := exec.Command("find", home, "-uid", "0", "-not", "-name", "pkg*", "-o", "-uid", "0", "-type", "d").CombinedOutput()
	if err != nil || len(out) > 0 {
		s.t.Errorf("root's in the user's folder: %s, %v", out, err)
	}
}
