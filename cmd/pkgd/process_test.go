package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program in the background.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	out  output
	done chan struct{} // closed when it has ended
	code int           // valid then; -1: by a signal
}

// output collects what a process says on both streams.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// start runs bin/<name> in the background, until the end of the test at most.
func (m *machine) start(t testing.TB, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name + " " + strings.Join(args, " "), cmd: exec.Command(binary(name), args...), done: make(chan struct{})}
	p.cmd.Env = m.env
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.WaitDelay = time.Second // the daemon that it starts may inherit nothing, but outlives it
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process, which the cleanup ends
		defer close(p.done)
		err := p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
		if err != nil && !errors.As(err, new(*exec.ExitError)) {
			fmt.Fprintln(&p.out, "wait:", err)
		}
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("%s: exit code %d\n%s", p.name, p.code, p.out.String())
		}
	})
	return p
}

// says waits until the process has said a text.
func (p *process) says(text string) {
	p.t.Helper()
	eventually(p.t, 30*time.Second, func() error {
		ended := false
		select {
		case <-p.done:
			ended = true
		default:
		}
		if strings.Contains(p.out.String(), text) {
			return nil
		}
		if ended {
			p.t.Fatalf("it has ended and did not say %q", text)
		}
		return fmt.Errorf("it does not say %q", text)
	})
}

// signal sends a signal; SIGKILL also waits for the end.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	if s == syscall.SIGKILL {
		<-p.done
	}
}

// ends waits for the end and returns the exit code.
func (p *process) ends() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.t.Fatal("it does not end")
	}
	return p.code
}
