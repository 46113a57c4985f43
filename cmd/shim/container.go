package main

import (
	"errors"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/container/wire"
)

// drainTimeout bounds the wait for output after a container's end: a process
// that left the container may hold its pipes.
const drainTimeout = 2 * time.Second

// container is a running container.
type container struct {
	shim  *shim
	start wire.Start
	pid   int
	log   *logFile
	pumps sync.WaitGroup
	ended chan struct{} // closed when the exit file is written

	mu      sync.Mutex
	clients map[*client]bool // guarded by mu; attached ones
	stdin   *os.File         // guarded by mu; nil when there is none or it is closed
	console *os.File         // of a terminal; nil without
}

// streams are a container's ends of its standard streams, and ours.
type streams struct {
	theirs        [3]*os.File
	stdin         *os.File
	stdout        *os.File
	stderr        *os.File
	console       *os.File // our end of the socket that the terminal comes through
	consoleTheirs *os.File
}

func (s *streams) close(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

// openStreams makes pipes, or a socket pair for the terminal.
func openStreams(start wire.Start) (s *streams, err error) {
	s = &streams{}
	defer func() {
		if err != nil {
			s.close(s.theirs[0], s.theirs[1], s.theirs[2], s.stdin, s.stdout, s.stderr)
		}
	}()
	if start.TTY {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		s.console, s.consoleTheirs = os.NewFile(uintptr(fds[0]), "console"), os.NewFile(uintptr(fds[1]), "console")
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		s.theirs = [3]*os.File{null, null, null}
		return s, err
	}
	if start.Stdin {
		s.theirs[0], s.stdin, err = os.Pipe()
	} else {
		s.theirs[0], err = os.Open(os.DevNull)
	}
	if err != nil {
		return s, err
	}
	if s.stdout, s.theirs[1], err = os.Pipe(); err != nil {
		return s, err
	}
	s.stderr, s.theirs[2], err = os.Pipe()
	return s, err
}

// startContainer runs the helper and returns the container that it started.
// After an error an exit file says why.
func (s *shim) startContainer(start wire.Start) (*container, error) {
	s.starting.RLock()
	defer s.starting.RUnlock()
	s.mu.Lock()
	_, exists := s.containers[start.ID]
	s.mu.Unlock()
	if exists {
		return nil, errors.New("container " + start.ID + " runs already")
	}
	s.reaper.begin()
	defer s.reaper.done()
	c, err := s.create(start)
	if err != nil {
		exit := wire.Exit{Code: wire.StartFailed, At: time.Now(), Message: err.Error()}
		if werr := writeFile(start.Dir+"/"+wire.ExitFile, exit.Encode()); werr != nil {
			warn(werr)
		}
		return nil, err
	}
	s.mu.Lock()
	s.containers[start.ID] = c
	s.mu.Unlock()
	s.reaper.adopt(c.pid, func(status unix.WaitStatus) { go c.finish(status) })
	return c, nil
}

func (s *shim) create(start wire.Start) (*container, error) {
	log, err := openLog(start.Log)
	if err != nil {
		return nil, err
	}
	io, err := openStreams(start)
	if err != nil {
		log.close()
		return nil, err
	}
	pid, err := s.runHelper(start, io)
	io.close(io.theirs[0], io.theirs[1], io.theirs[2], io.consoleTheirs)
	var console *os.File
	if err == nil && start.TTY {
		console, err = receiveFile(io.console)
	}
	io.close(io.console)
	if err != nil {
		io.close(io.stdin, io.stdout, io.stderr)
		log.close()
		return nil, err
	}
	c := &container{shim: s, start: start, pid: pid, log: log, stdin: io.stdin, console: console,
		ended: make(chan struct{}), clients: map[*client]bool{}}
	if err := writeFile(start.Dir+"/"+wire.StartedFile, wire.Started{PID: pid, At: time.Now()}.Encode()); err != nil {
		warn(err)
	}
	if err := reserve(start.Dir + "/" + wire.ExitFile); err != nil {
		warn(err)
	}
	// The pumps end when the last process that holds the other end does.
	if console != nil {
		c.stdin = console
		c.pumps.Add(1)
		go c.pump(console, wire.FrameStdout, "stdout")
		return c, nil
	}
	c.pumps.Add(2)
	go c.pump(io.stdout, wire.FrameStdout, "stdout")
	go c.pump(io.stderr, wire.FrameStderr, "stderr")
	return c, nil
}

// runHelper creates and starts the container and returns the pid of its first
// process.
func (s *shim) runHelper(start wire.Start, io *streams) (int, error) {
	status, theirs, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer status.Close()
	exited := make(chan unix.WaitStatus, 1)
	_, err = s.reaper.start([]string{start.Helper, "create", start.State, start.ID, start.Dir + "/" + wire.SpecFile},
		[]*os.File{io.theirs[0], io.theirs[1], io.theirs[2], theirs, io.consoleTheirs},
		&syscall.SysProcAttr{}, func(ws unix.WaitStatus) { exited <- ws })
	_ = theirs.Close()
	if err != nil {
		return 0, errors.New("container helper: " + err.Error())
	}
	line, _ := readLine(status) // an empty line is told below
	ws := <-exited
	f := wire.Split(line)
	if len(f) == 2 && f[0] == wire.OK && ws.ExitStatus() == 0 {
		return strconv.Atoi(f[1])
	}
	if len(f) == 2 && f[0] == wire.Error {
		return 0, errors.New(f[1])
	}
	return 0, errors.New("container helper ended with status " + itoa(int(ws)) + " and said nothing")
}

// finish records the end of the container's first process, and removes its
// cgroup and libcontainer's state.
func (c *container) finish(ws unix.WaitStatus) {
	exit := wire.Exit{Code: ws.ExitStatus(), At: time.Now()}
	if ws.Signaled() {
		exit.Signal = int(ws.Signal())
		exit.Code = 128 + exit.Signal
		exit.OOM = ws.Signal() == unix.SIGKILL && oomKills(c.start.OOM) > 0
	}
	c.deleteState()
	drained := make(chan struct{})
	go func() { // ends with the pumps
		c.pumps.Wait()
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(drainTimeout):
	}
	if err := writeFile(c.start.Dir+"/"+wire.ExitFile, exit.Encode()); err != nil {
		warn(err)
	}
	c.mu.Lock()
	if c.stdin != nil {
		_ = c.stdin.Close()
		c.stdin = nil
	}
	for cl := range c.clients {
		cl.close()
	}
	c.mu.Unlock()
	c.shim.mu.Lock()
	delete(c.shim.containers, c.start.ID)
	c.shim.mu.Unlock()
	close(c.ended)
	c.shim.tell(wire.Join(wire.Exited, c.start.ID))
	c.log.close()
	debug.FreeOSMemory()
}

// deleteState runs the helper's delete.
func (c *container) deleteState() {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		warn(err)
		return
	}
	defer null.Close()
	exited := make(chan unix.WaitStatus, 1)
	_, err = c.shim.reaper.start([]string{c.start.Helper, "delete", c.start.State, c.start.ID},
		[]*os.File{null, null, os.Stderr, null}, &syscall.SysProcAttr{}, func(ws unix.WaitStatus) { exited <- ws })
	if err != nil {
		warn(err)
		return
	}
	if ws := <-exited; ws.ExitStatus() != 0 {
		warn(errors.New("delete of container " + c.start.ID + " ended with status " + itoa(int(ws))))
	}
}

// signal sends a signal to the first process, unless it ended.
func (c *container) signal(sig unix.Signal) error {
	select {
	case <-c.ended:
		return nil
	default:
	}
	if err := unix.Kill(c.pid, sig); err != nil && err != unix.ESRCH {
		return err
	}
	return nil
}

// oomKills reads the counter of the cgroup file that has a line "oom_kill N".
func oomKills(path string) int {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			v, _ := strconv.Atoi(n)
			return v
		}
	}
	return 0
}

// writeFile replaces a file in one step.
func writeFile(path, content string) error {
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_WRONLY, 0o600) // into what reserve took
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Truncate(int64(len(content)))
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// reserve takes a block for a file that writeFile will write, so that a full
// disk does not lose how a container ended.
func reserve(path string) error {
	const block = 4 << 10
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, block)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == unix.EOPNOTSUPP { // not every file system can
		return nil
	}
	return err
}
