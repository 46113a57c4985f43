package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// reaper waits for every child of the shim: helpers, containers' first
// processes, which become children when their helper exits, and orphans.
type reaper struct {
	mu       sync.Mutex
	handlers map[int]func(unix.WaitStatus) // guarded by mu; by pid
	// early keeps how processes ended that nobody asked for yet: a container
	// may end before its helper's report of its pid was read. It is filled
	// only while starts are under way.
	early  map[int]unix.WaitStatus // guarded by mu
	starts int                     // guarded by mu
}

func newReaper() *reaper {
	return &reaper{handlers: map[int]func(unix.WaitStatus){}, early: map[int]unix.WaitStatus{}}
}

// run reaps for ever.
func (r *reaper) run() {
	child := make(chan os.Signal, 1)
	signal.Notify(child, unix.SIGCHLD)
	for {
		r.reap()
		<-child
	}
}

func (r *reaper) reap() {
	for {
		var status unix.WaitStatus
		r.mu.Lock() // start registers its child under the same lock
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			r.mu.Unlock()
			continue
		}
		if pid <= 0 || err != nil {
			r.mu.Unlock()
			return
		}
		handler := r.handlers[pid]
		delete(r.handlers, pid)
		if handler == nil && r.starts > 0 {
			r.early[pid] = status
		}
		r.mu.Unlock()
		if handler != nil {
			handler(status)
		}
	}
}

// start runs a program with files as its descriptors 0, 1, ... Its end is told
// to handler, once, which must not block.
func (r *reaper) start(argv []string, files []*os.File, attr *syscall.SysProcAttr, handler func(unix.WaitStatus)) (int, error) {
	fds := make([]uintptr, len(files))
	for i, f := range files {
		fds[i] = ^uintptr(0) // stays closed
		if f != nil {
			fds[i] = f.Fd()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{Env: os.Environ(), Files: fds, Sys: attr})
	if err == nil {
		r.handlers[pid] = handler
	}
	return pid, err
}

// begin and done enclose the time in which a process may end before adopt.
func (r *reaper) begin() {
	r.mu.Lock()
	r.starts++
	r.mu.Unlock()
}

func (r *reaper) done() {
	r.mu.Lock()
	r.starts--
	if r.starts == 0 {
		clear(r.early)
	}
	r.mu.Unlock()
}

// adopt tells handler of the end of a process that another program started.
func (r *reaper) adopt(pid int, handler func(unix.WaitStatus)) {
	r.mu.Lock()
	status, ended := r.early[pid]
	if ended {
		delete(r.early, pid)
	} else {
		r.handlers[pid] = handler
	}
	r.mu.Unlock()
	if ended {
		handler(status)
	}
}
