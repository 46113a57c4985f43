package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/container/wire"
	"github.com/seed38700745/pkg/cluster/cri"
)

const (
	shimStartTimeout = 10 * time.Second // a loaded machine
	shimQuitTimeout  = 15 * time.Second // its containers' ends included
	adoptTimeout     = 20 * time.Second // a shim that is there answers in a millisecond
)

// sandbox is a pod's sandbox.
type sandbox struct {
	runtime *Runtime
	config  cri.SandboxConfig
	dir     string // below Config.Root
	run     string // below Config.Run

	op sync.Mutex // held by what changes the sandbox

	mu         sync.Mutex
	watch      *watch             // guarded by mu; nil when the shim does not live
	watching   chan struct{}      // guarded by mu; closed when the watch's goroutine ended
	containers map[string]*record // guarded by mu; by ID
}

func (r *Runtime) newSandbox(c cri.SandboxConfig) *sandbox {
	return &sandbox{runtime: r, config: c, dir: filepath.Join(r.config.Root, c.PodUID),
		run: filepath.Join(r.config.Run, c.PodUID), containers: map[string]*record{}}
}

// load reads a sandbox from disk and connects to its shim.
func (r *Runtime) load(podUID string) (*sandbox, error) {
	var config cri.SandboxConfig
	if err := readJSON(filepath.Join(r.config.Root, podUID, sandboxFile), &config); err != nil {
		return nil, err
	}
	if config.PodUID != podUID {
		return nil, fmt.Errorf("%w: it is of pod %q", errUnreadable, config.PodUID)
	}
	s := r.newSandbox(config)
	if err := s.thaw(); err != nil {
		r.log.Warn("the pod may be frozen", "pod", podUID, "error", err)
	}
	if shimLives(s.run) {
		ctx, cancel := context.WithTimeout(context.Background(), adoptTimeout)
		defer cancel()
		if err := s.connect(ctx); err != nil {
			r.log.Warn("the pod's shim does not answer", "pod", podUID, "error", err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, containersDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		dir := filepath.Join(s.dir, containersDir, e.Name())
		rec, err := loadRecord(dir)
		if err != nil && !errors.Is(err, errUnreadable) {
			return nil, err
		}
		if err != nil {
			r.log.Warn("a container's record is unreadable; it is removed", "pod", podUID, "container", e.Name(), "error", err)
			if err := removeContainerDir(dir); err != nil {
				return nil, err
			}
			continue
		}
		if !s.settle(rec) {
			if err := removeContainerDir(dir); err != nil {
				return nil, err
			}
			continue
		}
		s.mu.Lock()
		s.containers[rec.ID] = rec
		s.mu.Unlock()
	}
	s.follow()
	return s, nil
}

// settle finds the state of a container that an earlier runtime started. It
// returns false when it never came to a start.
func (s *sandbox) settle(rec *record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rec.exit != nil {
		return true
	}
	if s.watch != nil {
		if pid, ok := s.watch.running[rec.ID]; ok {
			if rec.started == nil {
				rec.started = &wire.Started{PID: pid, At: rec.Created}
			}
			return true
		}
		if rec.started == nil {
			return false
		}
	}
	rec.lose()
	return true
}

// connect opens the watch. Records are to be read after it, and follow to be
// called then.
func (s *sandbox) connect(ctx context.Context) error {
	w, err := openWatch(ctx, s.run)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch, s.watching = w, make(chan struct{})
	return nil
}

// follow keeps the containers' states up to date until the shim ends or
// disconnect is called.
func (s *sandbox) follow() {
	s.mu.Lock()
	w, done := s.watch, s.watching
	s.mu.Unlock()
	if w == nil {
		return
	}
	go func() {
		defer close(done)
		for {
			id, err := w.next()
			if err != nil {
				break
			}
			if rec := s.record(id); rec != nil {
				if err := rec.readExit(); err != nil {
					s.runtime.log.Error("read how a container ended", "pod", s.config.PodUID, "container", id, "error", err)
					rec.lose()
				}
			}
			s.runtime.events.tell(cri.Event{PodUID: s.config.PodUID, ContainerID: id})
		}
		w.conn.Close()
		s.mu.Lock()
		if s.watch == nil { // disconnect
			s.mu.Unlock()
			return
		}
		s.watch = nil
		for _, rec := range s.containers {
			if err := rec.readExit(); err != nil {
				s.runtime.log.Error("read how a container ended", "pod", s.config.PodUID, "container", rec.ID, "error", err)
			}
			rec.lose()
		}
		s.mu.Unlock()
		s.runtime.events.tell(cri.Event{PodUID: s.config.PodUID})
	}()
}

// disconnect ends the watch; the shim lives on.
func (s *sandbox) disconnect() {
	s.mu.Lock()
	w, done := s.watch, s.watching
	s.watch = nil
	s.mu.Unlock()
	if w != nil {
		w.conn.Close()
		<-done
	}
}

func (s *sandbox) record(id string) *record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.containers[id]
}

// live returns the watch of a shim that lives, or nil.
func (s *sandbox) live() *watch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watch
}

func (s *sandbox) describe() cri.Sandbox {
	s.mu.Lock()
	out := cri.Sandbox{PodUID: s.config.PodUID, Namespace: s.config.Namespace, Name: s.config.Name,
		NetNS: s.config.NetNS, Ready: s.watch != nil}
	records := make([]*record, 0, len(s.containers))
	for _, rec := range s.containers {
		records = append(records, rec)
	}
	s.mu.Unlock()
	slices.SortFunc(records, func(a, b *record) int { return a.Created.Compare(b.Created) })
	for _, rec := range records {
		out.Containers = append(out.Containers, rec.describe(s.config.PodUID))
	}
	return out
}

// RunSandbox makes a pod's sandbox and starts its shim. One whose shim died is
// emptied and gets a new one; a live one is left as it is.
func (r *Runtime) RunSandbox(ctx context.Context, c cri.SandboxConfig) error {
	if c.PodUID == "" || strings.ContainsAny(c.PodUID, "/:,\\\n\x00") || c.PodUID[0] == '.' {
		return fmt.Errorf("run sandbox: bad pod UID %q", c.PodUID)
	}
	s, err := r.lock(c)
	if err != nil {
		return fmt.Errorf("run sandbox: %w", err)
	}
	defer s.op.Unlock()
	if s.live() != nil {
		return nil
	}
	if err := s.start(ctx, c); err != nil {
		return fmt.Errorf("run sandbox of pod %s/%s: %w", c.Namespace, c.Name, err)
	}
	return nil
}

// lock finds or adds a pod's sandbox and locks it for a change.
func (r *Runtime) lock(c cri.SandboxConfig) (*sandbox, error) {
	for {
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			return nil, errors.New("the runtime is closed")
		}
		s := r.sandboxes[c.PodUID]
		if s == nil {
			s = r.newSandbox(c)
			r.sandboxes[c.PodUID] = s
		}
		r.mu.Unlock()
		s.op.Lock()
		if r.find(c.PodUID) == s {
			return s, nil
		}
		s.op.Unlock() // it was removed while we waited
	}
}

func (s *sandbox) start(ctx context.Context, c cri.SandboxConfig) error {
	if err := s.clear(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	s.config = c
	s.mu.Unlock()
	for _, dir := range []string{s.dir, filepath.Join(s.dir, containersDir), s.run} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return err
		}
	}
	if err := writeJSON(filepath.Join(s.dir, sandboxFile), c); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.dir, hostnameFile), []byte(c.Hostname+"\n"), 0o644); err != nil {
		return err
	}
	if !c.HostIPC {
		if err := mountShm(s.shm()); err != nil {
			return err
		}
	}
	if err := makeCgroup(s.cgroup(), c.Resources); err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	if err := s.startShim(ctx); err != nil {
		return err
	}
	if err := s.connect(ctx); err != nil {
		return fmt.Errorf("shim: %w", err)
	}
	s.follow()
	return nil
}

// shm is the folder that containers see as /dev/shm.
func (s *sandbox) shm() string {
	if s.config.HostIPC {
		return "/dev/shm"
	}
	return filepath.Join(s.run, "shm")
}

// startShim starts the shim in namespaces of the pod and waits until it listens.
func (s *sandbox) startShim(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(s.run, "shim.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	ready, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	attr := &syscall.SysProcAttr{Setsid: true}
	if s.config.Hostname != "" {
		attr.Cloneflags |= unix.CLONE_NEWUTS
	}
	if !s.config.HostIPC {
		attr.Cloneflags |= unix.CLONE_NEWIPC
	}
	cmd := &exec.Cmd{
		Path: s.runtime.config.ShimPath,
		Args: []string{s.runtime.config.ShimPath, "run", s.config.Hostname, strconv.FormatBool(s.config.SharePID && !s.config.HostPID)},
		Dir:  s.run, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		Stderr: log, ExtraFiles: []*os.File{theirs}, SysProcAttr: attr,
	}
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		return fmt.Errorf("start shim: %w", err)
	}
	go func() { _ = cmd.Wait() }() // reaps it, should it end before us
	_ = ready.SetReadDeadline(time.Now().Add(shimStartTimeout))
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	answer := make([]byte, 8)
	if n, err := ready.Read(answer); err != nil || string(answer[:n]) != "ok\n" {
		_ = cmd.Process.Kill()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("the shim did not start: %s", lastLine(filepath.Join(s.run, "shim.log")))
	}
	return nil
}

// lastLine returns the end of a log, for an error.
func lastLine(path string) string {
	b, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return "it said nothing"
}

// clear ends a shim that still lives and kills everything in the pod's cgroup.
func (s *sandbox) clear(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shimQuitTimeout)
	defer cancel()
	if shimLives(s.run) {
		if _, err := request(ctx, s.run, wire.OpQuit); err == nil {
			_ = s.awaitShim(ctx) // or it is killed below
		}
		if err := killShim(s.run); err != nil {
			return fmt.Errorf("kill shim: %w", err)
		}
		killed, cancel := context.WithTimeout(context.WithoutCancel(ctx), shimStartTimeout)
		defer cancel()
		if err := s.awaitShim(killed); err != nil {
			return fmt.Errorf("the shim does not end: %w", err)
		}
	}
	s.mu.Lock()
	watching := s.watching
	s.mu.Unlock()
	if watching != nil {
		<-watching // the ends that it told of are noted
	}
	return killCgroup(ctx, s.cgroup())
}

// awaitShim waits until the shim's lock is free.
func (s *sandbox) awaitShim(ctx context.Context) error {
	for shimLives(s.run) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(killPoll):
		}
	}
	return nil
}

// RemoveSandbox kills what still runs in it and removes all traces, except logs.
func (r *Runtime) RemoveSandbox(ctx context.Context, podUID string) error {
	s := r.find(podUID)
	if s == nil {
		return nil
	}
	s.op.Lock()
	defer s.op.Unlock()
	if err := s.remove(ctx); err != nil {
		return fmt.Errorf("remove sandbox of pod %s: %w", podUID, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sandboxes, podUID)
	return nil
}

func (s *sandbox) remove(ctx context.Context) error {
	if err := s.clear(ctx); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, containersDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if err := removeContainerDir(filepath.Join(s.dir, containersDir, e.Name())); err != nil {
			return err
		}
	}
	if err := removeCgroup(s.cgroup()); err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	if err := unmount(filepath.Join(s.run, "shm")); err != nil {
		return err
	}
	if err := os.RemoveAll(s.run); err != nil {
		return err
	}
	return os.RemoveAll(s.dir)
}
