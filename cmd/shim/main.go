// Shim is the parent of one pod's containers: it starts them with the container
// helper, writes their output as CRI log lines, keeps their exit codes, and so
// lets them outlive the node agent. It is small on purpose (about 3 MB
// resident, under 1 MB private): no encoders, no net package.
//
//	shim run HOSTNAME SHAREPID  serves in the working directory: takes the
//	                            lock, listens on the socket, writes "ok" to
//	                            descriptor 3 and stays until told to quit
//	shim pause                  is PID 1 of a shared PID namespace
//
// The agent starts it in new UTS and IPC namespaces, which the pod's containers
// join; HOSTNAME is "" where the pod has the host's. Package wire describes the
// requests and files.
package main

import (
	"errors"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/container/wire"
)

// readyFD is where the agent waits for "ok".
const readyFD = 3

func main() {
	// A small heap and few threads. Measured: each collection costs buffers and
	// stacks of its own, so that more of them (5, 10) need more memory.
	debug.SetGCPercent(25)
	runtime.GOMAXPROCS(1)

	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "pause":
		pause()
	case len(os.Args) == 4 && os.Args[1] == "run":
		err = run(os.Args[2], os.Args[3] == "true")
	default:
		err = errors.New("usage: shim run HOSTNAME SHAREPID")
	}
	if err != nil {
		warn(err)
		os.Exit(1)
	}
}

// warn writes to the shim's log.
func warn(err error) {
	_, _ = os.Stderr.WriteString(time.Now().UTC().Format(time.RFC3339) + " shim: " + err.Error() + "\n")
}

// shim is the pod's state.
type shim struct {
	reaper   *reaper
	pausePID int // of the process that holds the shared PID namespace, or 0

	mu         sync.Mutex
	containers map[string]*container // guarded by mu; the running ones
	watchers   map[*os.File]bool     // guarded by mu

	// starting is read-locked while a container is being started, so that a
	// new watcher sees it either running or failed.
	starting sync.RWMutex
}

func run(hostname string, sharePID bool) error {
	if err := closeInherited(); err != nil {
		return err
	}
	lock, err := os.OpenFile(wire.Lock, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return errors.New("another shim serves this pod: " + err.Error())
	}
	if err := lock.Truncate(0); err != nil {
		return err
	}
	if _, err := lock.WriteString(itoa(os.Getpid()) + "\n"); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return errors.New("become subreaper: " + err.Error())
	}
	if hostname != "" {
		if err := unix.Sethostname([]byte(hostname)); err != nil {
			return errors.New("set host name: " + err.Error())
		}
	}
	signal.Ignore(unix.SIGHUP, unix.SIGPIPE, unix.SIGINT)

	s := &shim{reaper: newReaper(), containers: map[string]*container{}, watchers: map[*os.File]bool{}}
	go s.reaper.run() // for the program's life
	if sharePID {
		if s.pausePID, err = s.startPause(); err != nil {
			return errors.New("start pause process: " + err.Error())
		}
	}
	listener, err := listen(wire.Socket)
	if err != nil {
		return err
	}
	ready := os.NewFile(readyFD, "ready")
	if _, err := ready.WriteString("ok\n"); err != nil {
		return err
	}
	if err := ready.Close(); err != nil {
		return err
	}
	return s.serve(listener)
}

// closeInherited closes the pipes, sockets and terminals that the agent got from
// whoever started it: their other ends would wait for the shim's end. The
// runtime's own descriptors are none of these.
func closeInherited() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= readyFD {
			continue
		}
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil { // the folder's own, closed by now
			continue
		}
		if strings.HasPrefix(to, "pipe:") || strings.HasPrefix(to, "socket:") || strings.HasPrefix(to, "/dev/") {
			_ = unix.Close(fd)
		}
	}
	// What is left must not reach containers.
	if err := unix.CloseRange(readyFD, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return errors.New("close-on-exec: " + err.Error())
	}
	return nil
}

// startPause starts PID 1 of the pod's shared PID namespace.
func (s *shim) startPause() (pid int, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	return s.reaper.start([]string{"/proc/self/exe", "pause"}, []*os.File{null, null, null},
		&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Pdeathsig: unix.SIGKILL}, func(unix.WaitStatus) {})
}

// pause reaps orphans for ever: as the first process of its namespace it gets
// no signal that it does not ask for, except from outside.
func pause() {
	child := make(chan os.Signal, 1)
	signal.Notify(child, unix.SIGCHLD)
	for range child {
		for {
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

// quit kills what runs, waits for it and ends the program.
func (s *shim) quit() {
	s.mu.Lock()
	var running []*container
	for _, c := range s.containers {
		running = append(running, c)
	}
	s.mu.Unlock()
	for _, c := range running {
		_ = c.signal(unix.SIGKILL)
	}
	for _, c := range running {
		<-c.ended
	}
	if s.pausePID != 0 {
		_ = unix.Kill(s.pausePID, unix.SIGKILL)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
