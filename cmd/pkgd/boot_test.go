package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/instance"
)

// bootSystemd makes the machine one that systemd runs, as far as pkg can tell,
// until the end of the test.
func (m *machine) bootSystemd(t *testing.T) {
	t.Helper()
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "systemctl"), "./testdata/systemctl")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("systemctl: %v\n%s", err, out)
	}
	if err := os.MkdirAll("/etc/systemd/system", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/etc/systemd/system", "/etc/pkg"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(dir, 0); err != nil {
				t.Error(err)
			}
		})
	}
	if err := os.MkdirAll("/run/systemd/system", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll("/run/systemd") })
	m.env = append(m.env, "PATH="+bin+":"+os.Getenv("PATH"))
}

// A cluster that is enabled runs as a service: it is started and stopped through
// systemd, pods survive both, and deleting it removes the service.
func TestEnable(t *testing.T) {
	m := newMachine(t)
	m.fails(1, []string{"not run by systemd", "pkg cluster start"}, "cluster", "enable")
	m.bootSystemd(t)
	m.env = append(m.env, "HTTPS_PROXY=http://user:pa$$word@proxy:3128")
	unit := "pkg-" + instance.ID(m.home) + ".service"

	r := m.try("pkg", "cluster", "start")
	if r.code != 0 || !strings.Contains(r.stderr, "pkg cluster enable") {
		t.Errorf("in a pipe, start says nothing of enable: %d\n%s", r.code, r.stderr)
	}
	m.apply(podManifest("p", "sleep", "1000"))
	m.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=60s")
	container := m.running("p")
	status := func(want string) {
		t.Helper()
		if r := m.try("pkg", "cluster", "status"); !strings.Contains(r.stdout, want) {
			t.Errorf("%q is not in the status:\n%s", want, r.stdout)
		}
	}
	status("does not start with the machine")
	m.pkg("cluster", "enable") // hands it over
	status(unit)
	service := func() string {
		text, err := os.ReadFile(filepath.Join("/run/systemd/system", unit+".MainPID"))
		if err != nil {
			return ""
		}
		return string(text)
	}
	if got := service(); got != fmt.Sprint(m.pid()) {
		t.Errorf("systemd runs process %q, the cluster is process %d", got, m.pid())
	}
	if text, err := os.ReadFile(filepath.Join("/run/systemd/system", unit+".StatusText")); err != nil || !strings.Contains(string(text), "ready at https://") {
		t.Errorf("systemd shows %q (%v)", text, err)
	}
	env, err := os.ReadFile("/etc/pkg/" + unit + ".env")
	if err != nil || !strings.Contains(string(env), `HTTPS_PROXY="http://user:pa\$\$word@proxy:3128"`) || !strings.Contains(string(env), m.home) {
		t.Errorf("environment of the service: %q, %v", env, err)
	}
	if info, err := os.Stat("/etc/pkg/" + unit + ".env"); err != nil || info.Mode() != 0o600 {
		t.Errorf("environment file: %v, %v", info.Mode(), err)
	}
	if r := m.try("pkg", "cluster", "stop"); r.code != 0 || !strings.Contains(r.stderr, "with the machine") || service() != "" {
		t.Errorf("stop: %d, systemd still has %q\n%s", r.code, service(), r.stderr)
	}
	m.pkg("cluster", "start")
	if service() == "" {
		t.Error("start went past systemd")
	}
	if got := m.running("p"); fmt.Sprint(got) != fmt.Sprint(container) {
		t.Errorf("container %v after a restart of the service, want %v", got, container)
	}

	// A start that fails says why, through systemd too.
	m.pkg("cluster", "stop")
	setFormat(t, m.storeFile(), 7)
	m.fails(1, []string{"format 7", unit}, "cluster", "start")
	setFormat(t, m.storeFile(), 1)
	verifyUnit(t, filepath.Join("/etc/systemd/system", unit))

	m.pkg("cluster", "disable")
	status("does not start with the machine")
	m.pkg("cluster", "start", "--at-boot")
	status(unit)
	m.pkg("cluster", "delete", "--yes", "--volumes")
	for _, file := range []string{"/etc/systemd/system/" + unit, "/etc/systemd/system/multi-user.target.wants/" + unit, "/etc/pkg/" + unit + ".env"} {
		if _, err := os.Lstat(file); err == nil {
			t.Errorf("delete left %s", file)
		}
	}
}

// verifyUnit asks systemd's own checker, where there is one.
func verifyUnit(t *testing.T, file string) {
	t.Helper()
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Error("systemd-analyze is missing")
		}
		t.Log("no systemd-analyze: the unit is not checked by it")
		return
	}
	out, err := exec.Command(verify, "verify", "--man=no", file).CombinedOutput()
	if err != nil || strings.Contains(string(out), filepath.Base(file)) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// A person at a terminal is asked once, and the answer is kept.
func TestStartAsksAtTerminal(t *testing.T) {
	m := newMachine(t)
	m.bootSystemd(t)
	unit := "pkg-" + instance.ID(m.home) + ".service"
	said := m.atTerminal(t, "n\n", "cluster", "start")
	if !strings.Contains(said, "Start the cluster with the machine, too (systemd, "+unit+")? [Y/n]") {
		t.Errorf("no question:\n%s", said)
	}
	if _, err := os.Stat("/etc/systemd/system/" + unit); err == nil {
		t.Error("enabled although the answer was no")
	}
	m.pkg("cluster", "stop")
	if said := m.atTerminal(t, "", "cluster", "start"); strings.Contains(said, "[Y/n]") {
		t.Errorf("asked again:\n%s", said)
	}
	m.pkg("cluster", "delete", "--yes", "--volumes")
	if said := m.atTerminal(t, "\n", "cluster", "start"); !strings.Contains(said, "started the cluster") {
		t.Errorf("%s", said)
	}
	if _, err := os.Stat("/etc/systemd/system/" + unit); err != nil {
		t.Errorf("not enabled although the answer was the default, yes: %v", err)
	}
}

// atTerminal runs pkg in a terminal, types a text, and returns what stands there.
func (m *machine) atTerminal(t *testing.T, types string, args ...string) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(binary("pkg"), args...)
	c.Env = m.env
	c.Stdin, c.Stdout, c.Stderr = slave, slave, slave
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	if _, err := io.WriteString(master, types); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	go func() { // ends when the program has, and with it the terminal
		text, _ := io.ReadAll(master)
		said <- string(text)
	}()
	if err := c.Wait(); err != nil {
		t.Errorf("pkg %s: %v", strings.Join(args, " "), err)
	}
	return <-said
}

// The daemon tells systemd that it is ready, or why it will not be.
func TestNotify(t *testing.T) {
	m := newMachine(t)
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	hear := func() string {
		t.Helper()
		if err := l.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 4096)
		n, err := l.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(text[:n])
	}
	m.env = append(m.env, "NOTIFY_SOCKET="+socket)
	p := m.start(t, "pkgd", "run", "--home", m.home)
	if got := hear(); !strings.HasPrefix(got, "READY=1\nSTATUS=ready at https://127.0.0.1:") {
		t.Errorf("heard %q", got)
	}
	second := m.start(t, "pkgd", "run", "--home", m.home)
	if got := hear(); !strings.HasPrefix(got, "STATUS=data folder") {
		t.Errorf("of a daemon that cannot start: %q", got)
	}
	if code := second.ends(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	p.signal(syscall.SIGTERM)
	if code := p.ends(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
}
