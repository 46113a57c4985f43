// Package isolate runs a package's tests in Linux namespaces of their own, so
// that they may mount, make links and rules, and kill, and leave the machine as
// they found it.
package isolate

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// marker is set in the environment of the copy of the test program that runs in
// the namespaces.
const marker = "PKG_TEST_ISOLATED"

// Isolation says what a package's tests want.
type Isolation struct {
	// Namespaces are unix.CLONE_NEW... flags.
	Namespaces uintptr
	// Before, if set, is called once outside of the namespaces.
	Before func() error
	// Inside, if set, is called once inside, before the tests. Mounts are
	// private there, /proc is that of a new PID namespace, and the loopback
	// link of a new network namespace is up.
	Inside func() error
}

// Main is for a package's TestMain: os.Exit(isolate.Main(m, ...)). The program
// starts itself again in the namespaces and runs the tests there. Without the
// right to make them it says so and runs none; that is a failure where CI is
// set.
func Main(m *testing.M, i Isolation) (code int) {
	if os.Getenv(marker) != "" {
		if err := i.enter(); err != nil {
			fmt.Fprintln(os.Stderr, "namespaces:", err)
			return 1
		}
		return m.Run()
	}
	if i.Before != nil {
		if err := i.Before(); err != nil {
			fmt.Fprintln(os.Stderr, "before the tests:", err)
			return 1
		}
	}
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Env = append(os.Environ(), marker+"=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: i.Namespaces, Pdeathsig: syscall.SIGKILL}
	err := c.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	case errors.Is(err, syscall.EPERM) && os.Getenv("CI") == "":
		fmt.Println("SKIP: no right to make namespaces:", err)
		return 0
	}
	fmt.Fprintln(os.Stderr, "namespaces:", err)
	return 1
}

// enter makes the new namespaces usable.
func (i Isolation) enter() error {
	if i.Namespaces&unix.CLONE_NEWNS != 0 {
		if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("private mounts: %w", err)
		}
	}
	if i.Namespaces&unix.CLONE_NEWPID != 0 {
		if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			return fmt.Errorf("mount /proc: %w", err)
		}
	}
	if i.Namespaces&unix.CLONE_NEWNET != 0 {
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("loopback link: %w", err)
		}
	}
	if i.Inside != nil {
		return i.Inside()
	}
	return nil
}

// loopbackUp brings the link lo up.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, r)
}
