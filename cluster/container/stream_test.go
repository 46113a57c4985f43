package container

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed38700745/pkg/cluster/cri"
)

// buffer may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestLongLinesAreSplit(t *testing.T) {
	f := newFixture(t)
	got, out := f.run(f.shell("head -c 40000 /dev/zero | tr '\\0' a; echo; printf rest"))
	if out != strings.Repeat("a", 40000)+"\nrest\n" {
		t.Errorf("the log holds %d bytes", len(out))
	}
	b, err := os.ReadFile(got.LogPath)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), " stdout P "); n != 2 {
		t.Errorf("%d partial lines, want 2", n)
	}
}

func TestReopenLog(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	c := f.start(pod, f.shell("echo one; trap 'echo two' USR1; while :; do sleep 0.05; done"))
	eventually(t, "the first line", func() bool { return f.output(c) == "one\n" })
	if err := os.Rename(c.LogPath, c.LogPath+".1"); err != nil {
		t.Fatal(err)
	}
	if err := f.ReopenLog(t.Context(), pod, c.ID); err != nil {
		t.Fatal(err)
	}
	f.exec(pod, c.ID, "kill", "-USR1", "1")
	eventually(t, "the second line in the new file", func() bool { return f.output(c) == "two\n" })
}

func TestExecStreams(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	base := f.shell("sleep 100")
	base.Env, base.User = []string{"FROM=pod"}, cri.User{Name: "web"}
	c := f.start(pod, base)
	var out, stderr bytes.Buffer
	code, err := f.Exec(t.Context(), pod, c.ID, cri.ExecConfig{Args: []string{"sh", "-c", "cat; id -u; echo $FROM; echo err >&2; kill -9 $$"},
		Stdin: strings.NewReader("input\n"), Stdout: &out, Stderr: &stderr})
	if err != nil || code != 137 || out.String() != "input\n101\npod\n" || stderr.String() != "err\n" {
		t.Errorf("exit code %d, %v, output %q, errors %q", code, err, &out, &stderr)
	}
	_, err = f.Exec(t.Context(), pod, c.ID, cri.ExecConfig{Args: []string{"nothing-like-it"}})
	if err == nil || !strings.Contains(err.Error(), `"nothing-like-it": executable file not found in $PATH`) {
		t.Errorf("missing command: %v", err)
	}
	if _, err = f.Exec(t.Context(), pod, "none", cri.ExecConfig{Args: []string{"true"}}); !errors.Is(err, ErrNotFound) {
		t.Errorf("missing container: %v", err)
	}
}

func TestExecTimeoutKills(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	c := f.start(pod, f.shell("sleep 100"))
	begin := time.Now()
	_, err := f.Exec(t.Context(), pod, c.ID, cri.ExecConfig{Args: []string{"sleep", "60"}, Timeout: 300 * time.Millisecond})
	if !errors.Is(err, ErrExecTimeout) || time.Since(begin) > 10*time.Second {
		t.Errorf("after %v: %v", time.Since(begin), err)
	}
	eventually(t, "the command is gone", func() bool {
		_, out := f.exec(pod, c.ID, "ps", "-o", "args")
		return !strings.Contains(out, "sleep 60")
	})
}

func TestExecTerminal(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	c := f.start(pod, f.shell("sleep 100"))
	in, input := io.Pipe()
	sizes := make(chan cri.Size, 1)
	out := &buffer{}
	type result struct {
		code int
		err  error
	}
	done := make(chan result, 1)
	go func() {
		code, err := f.Exec(t.Context(), pod, c.ID, cri.ExecConfig{Args: []string{"sh"}, TTY: true, Stdin: in, Stdout: out, Resize: sizes})
		done <- result{code, err}
	}()
	sizes <- cri.Size{Width: 123, Height: 45}
	say := func(line string) {
		if _, err := io.WriteString(input, line+"\n"); err != nil {
			t.Error(err)
		}
	}
	say("until [ \"$(stty size)\" = '45 123' ]; do sleep 0.02; done; tty; echo si''ze")
	eventually(t, "the size arrived", func() bool { return strings.Contains(out.String(), "size\r\n") })
	if !strings.Contains(out.String(), "/dev/pts/") {
		t.Errorf("no terminal: %q", out)
	}
	say("exit 9")
	if r := <-done; r.code != 9 || r.err != nil {
		t.Errorf("exit code %d, %v", r.code, r.err)
	}
}

func TestAttach(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	base := f.shell("while read line; do echo got $line; echo err $line >&2; done; echo end of input")
	base.Stdin, base.StdinOnce = true, true
	c := f.start(pod, base)
	in, input := io.Pipe()
	out, stderr := &buffer{}, &buffer{}
	done := make(chan error, 1)
	go func() {
		done <- f.Attach(t.Context(), pod, c.ID, cri.ExecConfig{Stdin: in, Stdout: out, Stderr: stderr})
	}()
	if _, err := io.WriteString(input, "one\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an answer on both streams", func() bool { return out.String() == "got one\n" && stderr.String() == "err one\n" })
	if err := input.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := f.wait(pod, c.ID); got.ExitCode != 0 || !strings.Contains(f.output(got), "end of input") {
		t.Errorf("container ended as %+v, log %q", got, f.output(got))
	}
}

func TestAttachTerminal(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	base := f.shell("")
	base.Args, base.TTY, base.Stdin = []string{"sh"}, true, true
	c := f.start(pod, base)
	ctx, cancel := context.WithCancel(t.Context())
	in, input := io.Pipe()
	out := &buffer{}
	sizes := make(chan cri.Size, 1)
	sizes <- cri.Size{Width: 99, Height: 33}
	done := make(chan error, 1)
	go func() {
		done <- f.Attach(ctx, pod, c.ID, cri.ExecConfig{TTY: true, Stdin: in, Stdout: out, Resize: sizes})
	}()
	if _, err := io.WriteString(input, "until [ \"$(stty size)\" = '33 99' ]; do sleep 0.02; done; echo te''rm\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an answer", func() bool { return strings.Contains(out.String(), "term\r\n") })
	cancel() // going away leaves the container as it is
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if s, _, err := f.Sandbox(t.Context(), pod); err != nil || s.Containers[0].State != cri.Running {
		t.Errorf("sandbox %+v, %v", s, err)
	}
	if !strings.Contains(f.output(c), "term\r\n") {
		t.Errorf("log %q", f.output(c))
	}
}
