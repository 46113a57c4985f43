package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/isolate"
)

// The tests of this package run the real programs, in network, mount and PID
// namespaces of their own, as a machine would that has nothing but this
// repository: /run and /var/lib/pkg are empty, the network has no way out.

// images that the tests' pods use. They are built, or found in the machine's
// image cache, before the namespaces are entered: inside there is no network.
const busybox = "deb.internal/bookworm/busybox-static:1.35"

var testImages = []string{
	"docker.io/library/mariadb:10.11",
	"docker.io/library/nginx:1.22",
	"docker.io/library/redis:7.0",
	"docker.io/library/wordpress:6.1",
	"docker.io/library/httpd:2.4",
	"docker.io/library/memcached:1.6",
	"docker.io/library/postgres:15",
	"docker.io/library/rabbitmq:3.10",
	"docker.io/prom/prometheus:v2.42.0",
	busybox,
}

func TestMain(m *testing.M) {
	os.Exit(isolate.Main(m, isolate.Isolation{
		Namespaces: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		Before:     prepare,
		Inside: func() error {
			if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
				return err
			}
			return setBootID()
		},
	}))
}

// prepare builds the programs and the images, once.
func prepare() error {
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	build := exec.Command("make", "-s", "-C", root, "build")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("make build: %w\n%s", err, out)
	}
	images := exec.Command(filepath.Join(root, "bin", "pkgd"), append([]string{"build-images"}, testImages...)...)
	if out, err := images.CombinedOutput(); err != nil {
		return fmt.Errorf("build images: %w\n%s", err, out)
	}
	return nil
}

// setBootID gives this machine a boot id that the tests can change, as a reboot
// would.
func setBootID() error {
	f, err := os.CreateTemp("/run", "boot_id")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Chmod(0o444); err != nil { // as the kernel's
		return err
	}
	if _, err := fmt.Fprintf(f, "%08x-0000-4000-8000-%012x\n", time.Now().UnixNano()>>32, time.Now().UnixNano()&0xffffffffffff); err != nil {
		return err
	}
	return unix.Mount(f.Name(), "/proc/sys/kernel/random/boot_id", "", unix.MS_BIND, "")
}

// machine is one cluster's home and how its user runs programs.
type machine struct {
	t    testing.TB
	home string
	env  []string
}

// newMachine makes an empty home, which is removed, with the cluster in it, at
// the end of the test.
func newMachine(t testing.TB) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{t: t, home: filepath.Join(dir, "home")}
	m.env = append(os.Environ(), "PKG_HOME="+m.home, "PKG_CONFIG_HOME="+filepath.Join(dir, "config"),
		"PKG_CACHE_HOME="+filepath.Join(dir, "cache"), "KUBECONFIG=", "HOME="+dir)
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(m.home, "logs", "pkgd.log"))
			t.Logf("pkgd.log:\n%s", tail(log, 8000))
		}
		if _, err := os.Stat(filepath.Join(m.home, "instance.json")); err == nil {
			m.t = t
			m.pkg("cluster", "delete", "--yes", "--volumes")
		}
		if left := leftBy(t, m.home); len(left) > 0 {
			t.Errorf("the test has left:\n%s", strings.Join(left, "\n"))
		}
	})
	return m
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// result is what a program said.
type result struct {
	stdout, stderr string
	code           int
	took           time.Duration
}

// commandTimeout bounds every program that a test runs.
const commandTimeout = 4 * time.Minute

// try runs bin/<name> and returns what it said.
func (m *machine) try(name string, args ...string) result {
	m.t.Helper()
	return m.asUser(nil, binary(name), args...)
}

// asUser runs the program at path as a user, nil for root.
func (m *machine) asUser(user *syscall.Credential, path string, args ...string) result {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, path, args...)
	c.Env = m.env
	c.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	c.WaitDelay = 5 * time.Second
	start := time.Now()
	err := c.Run()
	r := result{stdout.String(), stderr.String(), 0, time.Since(start)}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
	case err != nil:
		m.t.Fatalf("%s %s: %v", path, strings.Join(args, " "), err)
	}
	return r
}

func binary(name string) string { return filepath.Join("..", "..", "bin", name) }

// run runs bin/<name>, which must succeed, and returns its standard output.
func (m *machine) run(name string, args ...string) string {
	m.t.Helper()
	r := m.try(name, args...)
	if r.code != 0 {
		m.t.Fatalf("%s %s: exit code %d\n%s%s", name, strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

func (m *machine) pkg(args ...string) string { m.t.Helper(); return m.run("pkg", args...) }

func (m *machine) kubectl(args ...string) string {
	m.t.Helper()
	return m.run("pkg", append([]string{"kubectl"}, args...)...)
}

// fails runs pkg, which must fail with a code and say all of the texts.
func (m *machine) fails(code int, texts []string, args ...string) result {
	m.t.Helper()
	r := m.try("pkg", args...)
	if r.code != code {
		m.t.Errorf("pkg %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.code, code, r.stdout, r.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(r.stderr, text) {
			m.t.Errorf("pkg %s: %q is not in\n%s", strings.Join(args, " "), text, r.stderr)
		}
	}
	return r
}

// eventually calls check until it returns nil, or fails the test.
func eventually(t testing.TB, timeout time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", timeout, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// pid is the daemon's.
func (m *machine) pid() int {
	m.t.Helper()
	data, err := os.ReadFile(filepath.Join(m.home, "lock"))
	if err != nil {
		m.t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(data), &pid); err != nil {
		m.t.Fatal(err)
	}
	return pid
}

// killDaemon ends pkgd as a crash would, and waits until it is gone.
func (m *machine) killDaemon() {
	m.t.Helper()
	pid := m.pid()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		m.t.Fatal(err)
	}
	eventually(m.t, 10*time.Second, func() error {
		if m.try("pkg", "cluster", "status").code == 0 {
			return errors.New("still running")
		}
		return nil
	})
}

// query runs SQL in the mysql pod, through a host name, and returns the answer.
func (m *machine) query(host, sql string) string {
	m.t.Helper()
	r := m.tryQuery(host, sql)
	if r.code != 0 {
		m.t.Fatalf("query %q: exit code %d\n%s%s", sql, r.code, r.stdout, r.stderr)
	}
	return strings.TrimSpace(r.stdout)
}

func (m *machine) tryQuery(host, sql string) result {
	m.t.Helper()
	return m.try("pkg", "kubectl", "exec", "mysql-0", "-c", "mysql", "--", "sh", "-c",
		`MYSQL_PWD="$MYSQL_ROOT_PASSWORD" mariadb --host "$0" --user root --skip-column-names --batch --connect-timeout 2 -e "$1"`, host, sql)
}
