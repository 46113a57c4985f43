package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/cgroups"
)

// freezePoll is how often Freeze looks whether all processes stand still.
const freezePoll = 2 * time.Millisecond

// Freeze makes all processes of a pod's containers stand still until Thaw; its
// shim goes on. When it fails nothing is frozen. New thaws what an earlier
// runtime left frozen.
func (r *Runtime) Freeze(ctx context.Context, podUID string) error {
	s := r.find(podUID)
	if s == nil {
		return fmt.Errorf("freeze pod %s: %w", podUID, ErrNotFound)
	}
	err := s.freeze(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("freeze pod %s: %w", podUID, err), s.thaw())
	}
	return nil
}

// Thaw lets a pod's processes go on. A pod that is gone is no error.
func (r *Runtime) Thaw(podUID string) error {
	s := r.find(podUID)
	if s == nil {
		return nil
	}
	if err := s.thaw(); err != nil {
		return fmt.Errorf("thaw pod %s: %w", podUID, err)
	}
	return nil
}

// freezer is the file that freezes a pod's cgroup with what is below it, what to
// write for that and for its opposite, and how to tell that all stands still.
func (s *sandbox) freezer() (file, frozen, thawed string, still func() (bool, error), err error) {
	paths, err := cgroupPaths(s.cgroup())
	if err != nil {
		return "", "", "", nil, err
	}
	if cgroups.IsCgroup2UnifiedMode() { // Documentation/admin-guide/cgroup-v2.rst, "cgroup.freeze"
		dir := paths[""]
		return filepath.Join(dir, "cgroup.freeze"), "1", "0", func() (bool, error) {
			return folder(dir).flat("cgroup.events")["frozen"] == 1, nil
		}, nil
	}
	dir, ok := paths["freezer"] // Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst
	if !ok {
		return "", "", "", nil, errors.New("this machine has no freezer cgroup")
	}
	state := filepath.Join(dir, "freezer.state")
	return state, string(cgroups.Frozen), string(cgroups.Thawed), func() (bool, error) {
		b, err := os.ReadFile(state)
		return string(b) == "FROZEN\n", err
	}, nil
}

func (s *sandbox) freeze(ctx context.Context) error {
	file, frozen, _, still, err := s.freezer()
	if err != nil {
		return err
	}
	for {
		// With version 1, processes that start meanwhile need another write.
		if err := os.WriteFile(file, []byte(frozen), 0); err != nil {
			return err
		}
		if done, err := still(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("its processes do not stand still: %w", context.Cause(ctx))
		case <-time.After(freezePoll):
		}
	}
}

func (s *sandbox) thaw() error {
	file, _, thawed, _, err := s.freezer()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(thawed)
	return errors.Join(err, f.Close())
}
