package main

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The main path: what `make demo` does, and every step's state of the world.
func TestInstallMySQL(t *testing.T) {
	m := newMachine(t)
	r := m.try("pkg", "install", "stable/mysql")
	if r.code != 0 {
		t.Fatalf("install: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	for _, text := range []string{"starting the cluster", "mysql"} {
		if !strings.Contains(r.stdout+r.stderr, text) {
			t.Errorf("the install says nothing of %q:\n%s%s", text, r.stdout, r.stderr)
		}
	}
	ip := strings.TrimSpace(m.kubectl("get", "service", "mysql", "-o", "jsonpath={.spec.clusterIP}"))
	if got := m.query(ip, "SELECT VERSION()"); !strings.HasPrefix(got, "10.11.") {
		t.Errorf("through the ClusterIP: version %q", got)
	}
	m.query("mysql.default.svc.cluster.local", "CREATE DATABASE d; CREATE TABLE d.t (x INT); INSERT INTO d.t VALUES (42)")
	m.pkg("test", "mysql")

	m.fails(1, []string{"mysql", "pkg upgrade mysql"}, "install", "stable/mysql")

	before := m.kubectl("get", "pod", "mysql-0", "-o", "jsonpath={.metadata.uid}")
	m.pkg("upgrade", "mysql", "--set", "primary.resources.limits.memory=768Mi")
	if after := m.kubectl("get", "pod", "mysql-0", "-o", "jsonpath={.metadata.uid}"); after == before {
		t.Error("the upgrade did not replace the pod")
	}
	if got := m.kubectl("get", "pod", "mysql-0", "-o", "jsonpath={.spec.containers[0].resources.limits.memory}"); got != "768Mi" {
		t.Errorf("memory limit %q after the upgrade", got)
	}
	if got := m.query(ip, "SELECT x FROM d.t"); got != "42" {
		t.Errorf("row %q after the upgrade, want 42", got)
	}
	m.pkg("rollback", "mysql", "1")
	if got := m.query(ip, "SELECT x FROM d.t"); got != "42" {
		t.Errorf("row %q after the rollback, want 42", got)
	}
	var history []struct {
		Revision int
		Status   string
	}
	if err := json.Unmarshal([]byte(m.pkg("history", "mysql", "-o", "json")), &history); err != nil {
		t.Fatal(err)
	}
	if len(history) != 3 || history[2].Status != "deployed" || history[0].Status != "superseded" {
		t.Errorf("history %+v", history)
	}

	t.Run("crash of the daemon", func(t *testing.T) { crash(t, m, ip) })
	t.Run("reboot", func(t *testing.T) { reboot(t, m) })
}

// crash kills pkgd: MySQL goes on, and the next start adopts it.
func crash(t *testing.T, m *machine, ip string) {
	m.t = t
	container := m.kubectl("get", "pod", "mysql-0", "-o", "jsonpath={.status.containerStatuses[0].containerID}")
	m.killDaemon()
	start := time.Now()
	m.pkg("cluster", "start")
	m.kubectl("wait", "--for=condition=Ready", "pod/mysql-0", "--timeout=20s")
	t.Logf("adopted %s after the start", time.Since(start).Round(time.Millisecond))
	if got := m.kubectl("get", "pod", "mysql-0", "-o", "jsonpath={.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}"); got != container+" 0" {
		t.Errorf("container %q after the crash, want %q, not restarted", got, container)
	}
	if got := m.query(ip, "SELECT x FROM d.t"); got != "42" {
		t.Errorf("row %q after the crash", got)
	}
}

// reboot ends every process but the test, takes away mounts and namespaces, and
// changes the boot id.
func reboot(t *testing.T, m *machine) {
	m.t = t
	container := m.running("mysql-0")
	killOthers(t)
	unmountRun(t, "")
	if err := setBootID(); err != nil {
		t.Fatal(err)
	}
	m.pkg("cluster", "start")
	eventually(t, time.Minute, func() error {
		r := m.tryQuery("mysql", "SELECT x FROM d.t")
		if r.code != 0 || strings.TrimSpace(r.stdout) != "42" {
			return &exitStatus{r}
		}
		return nil
	})
	if cmp.Equal(container, m.running("mysql-0")) {
		t.Error("the container of before the reboot is said to run")
	}
}

type exitStatus struct{ result }

func (e *exitStatus) Error() string { return e.stdout + e.stderr }

// killOthers kills all processes of this PID namespace but ourselves.
func killOthers(t *testing.T) {
	t.Helper()
	if os.Getpid() != 1 {
		t.Fatal("not in a PID namespace")
	}
	// From PID 1, -1 means everybody else.
	if err := syscall.Kill(-1, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := syscall.Wait4(-1, nil, 0, nil); err != nil {
			return // no children left
		}
	}
}
