package container

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/container/wire"
	"github.com/seed38700745/pkg/cluster/cri"
)

// ErrExecTimeout is returned when an exec was ended by its timeout.
var ErrExecTimeout = errors.New("command timed out")

// outputTimeout bounds the wait for the rest of a command's output after its
// end: what it left in the background may hold the pipes.
const outputTimeout = 2 * time.Second

// Exec runs a command in a running container, as the container's user with its
// environment, and waits for it. The exit code is 128+n after signal n. An
// error means that it could not be run, was cut off by the context, or
// ErrExecTimeout.
func (r *Runtime) Exec(ctx context.Context, podUID, id string, e cri.ExecConfig) (exitCode int, err error) {
	s, rec, err := r.container(podUID, id)
	if err != nil {
		return 0, err
	}
	if rec.pid() == 0 {
		return 0, fmt.Errorf("exec in container %s: it does not run", rec.Config.Name)
	}
	if e.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, e.Timeout, ErrExecTimeout)
		defer cancel()
	}
	code, err := s.exec(ctx, rec, e)
	if err != nil {
		return code, fmt.Errorf("exec in container %s: %w", rec.Config.Name, err)
	}
	return code, nil
}

func (s *sandbox) exec(ctx context.Context, rec *record, e cri.ExecConfig) (int, error) {
	var spec specs.Spec
	if err := readJSON(filepath.Join(rec.dir, wire.SpecFile), &spec); err != nil {
		return 0, err
	}
	process := spec.Process
	process.Args, process.Terminal, process.ConsoleSize = e.Args, e.TTY, nil
	if e.TTY && !rec.Config.TTY {
		process.Env = append(process.Env, "TERM=xterm")
	}
	if len(process.Args) == 0 {
		return 0, errors.New("no command specified")
	}
	input, theirInput, err := os.Pipe() // the process's description
	if err != nil {
		return 0, err
	}
	defer input.Close()
	status, theirStatus, err := os.Pipe()
	if err != nil {
		theirInput.Close()
		return 0, err
	}
	defer status.Close()
	defer theirStatus.Close()

	cmd := exec.Command(s.runtime.config.HelperPath, "exec", s.stateDir(), rec.ID)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = "/"
	cmd.WaitDelay = outputTimeout
	var console, theirConsole *os.File
	if e.TTY {
		if console, theirConsole, err = socketPair(); err != nil {
			theirInput.Close()
			return 0, err
		}
		defer console.Close()
		defer theirConsole.Close()
	}
	// A nil entry would shift the others: descriptor 4 is the status again.
	cmd.ExtraFiles = []*os.File{theirStatus, theirStatus, input}
	if e.TTY {
		cmd.ExtraFiles[1] = theirConsole
	} else {
		cmd.Stdout, cmd.Stderr = e.Stdout, e.Stderr
	}
	var stdin io.WriteCloser
	if !e.TTY && e.Stdin != nil {
		if stdin, err = cmd.StdinPipe(); err != nil {
			theirInput.Close()
			return 0, err
		}
	}
	if err := cmd.Start(); err != nil {
		theirInput.Close()
		return 0, err
	}
	_ = theirStatus.Close()
	if e.TTY {
		_ = theirConsole.Close()
	}
	err = json.NewEncoder(theirInput).Encode(process)
	_ = theirInput.Close()
	if err != nil {
		err = errors.Join(err, cmd.Process.Kill(), cmd.Wait())
		return 0, err
	}
	// The helper kills the command when it is told to end.
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(unix.SIGTERM) })
	defer stop()
	if stdin != nil {
		go func() { // ends when the source does, or with the first write after the command's end
			_, _ = io.Copy(stdin, e.Stdin)
			_ = stdin.Close()
		}()
	}
	var terminal *terminal
	if e.TTY {
		if terminal = openTerminal(console, e); terminal != nil {
			defer terminal.close()
		}
	}
	line, _ := bufio.NewReader(status).ReadString('\n')
	err = cmd.Wait()
	if terminal != nil {
		terminal.drain()
	}
	return execResult(ctx, wire.Split(line), cmd, err)
}

// execResult tells how the helper ended.
func execResult(ctx context.Context, answer []string, cmd *exec.Cmd, err error) (int, error) {
	if ctx.Err() != nil {
		return 128 + int(unix.SIGKILL), context.Cause(ctx)
	}
	if answer[0] != wire.OK {
		if len(answer) == 2 {
			return 0, errors.New(answer[1])
		}
		return 0, fmt.Errorf("container helper: %w", err)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return 0, err
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "console"), os.NewFile(uintptr(fds[1]), "console"), nil
}
