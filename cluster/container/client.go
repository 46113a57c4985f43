package container

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/container/wire"
)

// dial connects to the shim of a run directory. The socket is reached through a
// descriptor of the directory: socket paths are limited to 107 bytes.
func dial(ctx context.Context, runDir string) (net.Conn, error) {
	dir, err := os.Open(runDir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var d net.Dialer
	return d.DialContext(ctx, "unix", filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), wire.Socket))
}

// request sends one request and returns the fields of the answer.
func request(ctx context.Context, runDir string, fields ...string) ([]string, error) {
	conn, err := dial(ctx, runDir)
	if err != nil {
		return nil, fmt.Errorf("shim: %w", err)
	}
	defer conn.Close()
	// A cancelled caller stops waiting; the shim finishes what it began.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	answer, err := exchange(conn, bufio.NewReader(conn), fields...)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return answer, err
}

// exchange sends a request and reads the first line of the answer.
func exchange(conn net.Conn, in *bufio.Reader, fields ...string) ([]string, error) {
	if _, err := conn.Write([]byte(wire.Join(fields...))); err != nil {
		return nil, fmt.Errorf("shim: %w", err)
	}
	line, err := in.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("shim: %w", err)
	}
	f := wire.Split(line)
	if f[0] == wire.Error && len(f) == 2 {
		return nil, errors.New(f[1])
	}
	if f[0] != wire.OK {
		return nil, fmt.Errorf("shim answered %q", f)
	}
	return f[1:], nil
}

// watch is a connection on which the shim tells of ends.
type watch struct {
	conn     net.Conn
	in       *bufio.Reader
	shimPID  int
	pausePID int
	running  map[string]int // pids by container ID, when the watch began
}

// openWatch begins to watch a shim.
func openWatch(ctx context.Context, runDir string) (_ *watch, err error) {
	conn, err := dial(ctx, runDir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	w := &watch{conn: conn, in: bufio.NewReaderSize(conn, 1024), running: map[string]int{}}
	f, err := exchange(conn, w.in, wire.OpWatch)
	if err != nil {
		return nil, err
	}
	if len(f) != 2 {
		return nil, errors.New("shim: malformed answer")
	}
	if w.shimPID, err = strconv.Atoi(f[0]); err != nil {
		return nil, err
	}
	if w.pausePID, err = strconv.Atoi(f[1]); err != nil {
		return nil, err
	}
	for {
		line, err := w.in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		f := wire.Split(line)
		if f[0] == wire.End {
			break
		}
		if len(f) != 3 || f[0] != wire.Running {
			return nil, fmt.Errorf("shim told %q", f)
		}
		if w.running[f[1]], err = strconv.Atoi(f[2]); err != nil {
			return nil, err
		}
	}
	return w, conn.SetDeadline(time.Time{})
}

// next waits for a container's end and returns its ID.
func (w *watch) next() (string, error) {
	line, err := w.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	f := wire.Split(line)
	if len(f) != 2 || f[0] != wire.Exited {
		return "", fmt.Errorf("shim told %q", f)
	}
	return f[1], nil
}

// killShim kills the process that holds the run directory's lock.
func killShim(runDir string) error {
	b, err := os.ReadFile(filepath.Join(runDir, wire.Lock))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return fmt.Errorf("lock of the shim: %w", err)
	}
	if !shimLives(runDir) { // and so the pid may be another's
		return nil
	}
	return unix.Kill(pid, unix.SIGKILL)
}

// shimLives tells whether a process holds the run directory's lock.
func shimLives(runDir string) bool {
	f, err := os.OpenFile(filepath.Join(runDir, wire.Lock), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == unix.EWOULDBLOCK
}
