package container

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/seed38700745/pkg/cluster/container/wire"
	"github.com/seed38700745/pkg/cluster/cri"
)

// StartContainer creates and starts a container in its sandbox. The same name
// and attempt again returns what became of the first call. A start that fails
// leaves a container in state Exited with code 128 and the reason in Message,
// besides the error.
func (r *Runtime) StartContainer(ctx context.Context, podUID string, c cri.ContainerConfig) (cri.Container, error) {
	s := r.find(podUID)
	if s == nil {
		return cri.Container{}, fmt.Errorf("start container %s: sandbox of pod %s: %w", c.Name, podUID, ErrNotFound)
	}
	s.op.Lock()
	defer s.op.Unlock()
	if r.find(podUID) != s { // it was removed while we waited
		return cri.Container{}, fmt.Errorf("start container %s: sandbox of pod %s: %w", c.Name, podUID, ErrNotFound)
	}
	if rec := s.attempt(c.Name, c.Attempt); rec != nil {
		return rec.describe(podUID), nil
	}
	w := s.live()
	if w == nil {
		return cri.Container{}, fmt.Errorf("start container %s: the shim of pod %s/%s does not run",
			c.Name, s.config.Namespace, s.config.Name)
	}
	rec, err := s.newRecord(c)
	if err != nil {
		return cri.Container{}, fmt.Errorf("start container %s: %w", c.Name, err)
	}
	if err := s.startRecord(ctx, w, rec); err != nil {
		if uerr := unmount(filepath.Join(rec.dir, rootfsDir)); uerr != nil {
			err = errors.Join(err, uerr)
		}
		select {
		case <-rec.ended:
		default:
			if ferr := rec.fail(err.Error()); ferr != nil {
				err = errors.Join(err, ferr)
			}
		}
		return rec.describe(podUID), fmt.Errorf("start container %s: %w", c.Name, err)
	}
	return rec.describe(podUID), nil
}

// attempt finds a container by name and restart count.
func (s *sandbox) attempt(name string, attempt int) *record {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rec := range s.containers {
		if rec.Config.Name == name && rec.Config.Attempt == attempt {
			return rec
		}
	}
	return nil
}

// newRecord makes a container's folder.
func (s *sandbox) newRecord(c cri.ContainerConfig) (*record, error) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	id := hex.EncodeToString(random)
	dir := filepath.Join(s.dir, containersDir, id)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, err
	}
	rec := newRecord(persisted{ID: id, Created: time.Now(), Config: c,
		LogPath: filepath.Join(s.config.LogDir, c.Name, strconv.Itoa(c.Attempt)+".log")}, dir)
	if err := writeJSON(filepath.Join(dir, recordFile), rec.persisted); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.containers[id] = rec
	return rec, nil
}

// startRecord mounts the root, writes the spec and lets the shim start it.
func (s *sandbox) startRecord(ctx context.Context, w *watch, rec *record) error {
	if len(rec.Config.Args) == 0 {
		return errors.New("no command specified")
	}
	if err := mountRootfs(rec.dir, rec.Config.Image.Layers); err != nil {
		return err
	}
	spec, err := s.spec(rec, w)
	if err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(rec.dir, wire.SpecFile), spec); err != nil {
		return err
	}
	start := wire.Start{ID: rec.ID, Helper: s.runtime.config.HelperPath, State: s.stateDir(), Dir: rec.dir,
		Log: rec.LogPath, OOM: oomFile(s.cgroup(rec.ID)),
		TTY: rec.Config.TTY, Stdin: rec.Config.Stdin, StdinOnce: rec.Config.StdinOnce}
	// Once asked, the shim starts it whether or not the caller waits.
	answer, err := request(context.WithoutCancel(ctx), s.run, start.Fields()...)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(answer[0])
	if err != nil {
		return fmt.Errorf("shim answered pid %q", answer[0])
	}
	// The shim's time, since a short container has ended before the answer.
	started, err := readStarted(rec.dir)
	if err != nil {
		started = wire.Started{PID: pid, At: time.Now()}
	}
	rec.setStarted(started)
	return nil
}

// stateDir is libcontainer's.
func (s *sandbox) stateDir() string { return filepath.Join(s.run, "state") }
