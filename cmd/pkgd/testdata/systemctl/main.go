// Systemctl stands in for systemd's program on machines that systemd does not
// run, as far as pkg uses it: it reads the units in /etc/systemd/system, runs
// their daemons itself, and waits until they say that they are ready. What it
// knows of them is in /run/systemd/system.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	units   = "/etc/systemd/system"
	state   = "/run/systemd/system"
	timeout = 60 * time.Second
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	name := args[len(args)-1]
	wants := filepath.Join(units, "multi-user.target.wants")
	switch args[0] {
	case "daemon-reload":
		return nil
	case "enable":
		if err := os.MkdirAll(wants, 0o755); err != nil {
			return err
		}
		return os.Symlink(filepath.Join(units, name), filepath.Join(wants, name))
	case "disable":
		return os.Remove(filepath.Join(wants, name))
	case "start":
		return start(name)
	case "stop":
		return stop(name)
	case "show": // show --property=NAME --value UNIT
		text, err := os.ReadFile(filepath.Join(state, name+"."+strings.TrimPrefix(args[1], "--property=")))
		if err != nil {
			text = []byte("0")
		}
		fmt.Println(string(text))
		return nil
	}
	return fmt.Errorf("unknown command %q", args)
}

// setting returns a unit's value.
func setting(unit, name string) (string, error) {
	for line := range strings.Lines(unit) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			return v, nil
		}
	}
	return "", fmt.Errorf("the unit has no %s", name)
}

func start(name string) error {
	unit, err := os.ReadFile(filepath.Join(units, name))
	if err != nil {
		return err
	}
	command, err1 := setting(string(unit), "ExecStart")
	environment, err2 := setting(string(unit), "EnvironmentFile")
	output, err3 := setting(string(unit), "StandardOutput")
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	variables, err := os.ReadFile(environment)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(strings.TrimPrefix(output, "append:"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	socket := filepath.Join(state, name+".notify")
	if err := os.RemoveAll(socket); err != nil {
		return err
	}
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer l.Close()
	words := strings.Fields(command)
	c := exec.Command(words[0], words[1:]...)
	c.Stdout, c.Stderr = log, log
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "NOTIFY_SOCKET=" + socket}
	for line := range strings.Lines(string(variables)) {
		c.Env = append(c.Env, strings.ReplaceAll(strings.TrimSpace(line), `"`, ""))
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(state, name+".MainPID"), []byte(strconv.Itoa(c.Process.Pid)), 0o644); err != nil {
		return err
	}
	return ready(name, l)
}

// ready waits for the daemon's word.
func ready(name string, l *net.UnixConn) error {
	if err := l.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	text := make([]byte, 4096)
	for {
		n, err := l.Read(text)
		if err != nil {
			return fmt.Errorf("Job for %s failed: %w", name, err)
		}
		for line := range strings.Lines(string(text[:n])) {
			if s, ok := strings.CutPrefix(strings.TrimSpace(line), "STATUS="); ok {
				if err := os.WriteFile(filepath.Join(state, name+".StatusText"), []byte(s), 0o644); err != nil {
					return err
				}
			}
		}
		if strings.HasPrefix(string(text[:n]), "READY=1\n") {
			return nil
		}
		return fmt.Errorf("Job for %s failed", name)
	}
}

func stop(name string) error {
	file := filepath.Join(state, name+".MainPID")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	for deadline := time.Now().Add(timeout); ; <-time.After(20 * time.Millisecond) {
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) || zombie(pid) {
			return os.Remove(file)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d has not ended", pid)
		}
	}
}

// zombie tells whether a process has ended, and nobody has asked for its result.
func zombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(text), ") Z ")
}
