package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// mainEnv makes the test binary the program.
const mainEnv = "PKG_REPO_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is a running pkg-repo.
type process struct {
	cmd  *exec.Cmd
	base string        // its URL
	done chan struct{} // closed when it has ended

	mu   sync.Mutex
	talk bytes.Buffer // what it says; guarded by mu
}

var servingAt = regexp.MustCompile(`^serving .* at (https?://\S+)`)

// startProgram starts pkg-repo at a free port, waits until it serves, and kills it when
// the test ends.
func startProgram(t testing.TB, program string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program, append(args, "--listen", "127.0.0.1:0")...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), mainEnv+"=1")
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = in
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	address := make(chan string, 1)
	go func() { // ends with the process
		defer close(address)
		defer out.Close()
		for lines := bufio.NewReader(out); ; {
			line, err := lines.ReadString('\n')
			p.mu.Lock()
			p.talk.WriteString(line)
			p.mu.Unlock()
			if m := servingAt.FindStringSubmatch(line); m != nil {
				address <- m[1]
			}
			if err != nil {
				return
			}
		}
	}()
	go func() { // ends with the process
		_ = p.cmd.Wait() // ProcessState says how
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.done
	})
	select {
	case base, ok := <-address:
		if !ok {
			<-p.done
			t.Fatalf("%s: %s\n%s", strings.Join(args, " "), p.cmd.ProcessState, p.said())
		}
		p.base = base
	case <-time.After(time.Minute):
		t.Fatalf("%s does not serve in a minute:\n%s", strings.Join(args, " "), p.said())
	}
	return p
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.talk.String()
}

// stop asks it to end, and fails unless it does so with code 0.
func (p *process) stop(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(t); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, p.said())
	}
}

// wait returns the exit code.
func (p *process) wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(time.Minute):
		t.Fatalf("it does not end in a minute:\n%s", p.said())
		return 0
	}
}
