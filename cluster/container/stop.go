package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/container/wire"
)

// stopSlack is how long a killed container may take to be gone.
const stopSlack = 30 * time.Second

// StopContainer sends the stop signal, waits up to grace, then kills. When it
// returns nil the container does not run.
func (r *Runtime) StopContainer(ctx context.Context, podUID, id string, grace time.Duration) error {
	s, rec, err := r.container(podUID, id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.stop(ctx, rec, grace); err != nil {
		return fmt.Errorf("stop container %s: %w", rec.Config.Name, err)
	}
	return nil
}

func (s *sandbox) stop(ctx context.Context, rec *record, grace time.Duration) error {
	select {
	case <-rec.ended:
		if rec.lostEnd() { // nobody watches what may be left of it
			return killCgroup(ctx, s.cgroup(rec.ID))
		}
		return nil
	default:
	}
	sig, err := parseSignal(rec.Config.StopSignal)
	if err != nil {
		return err
	}
	if grace > 0 {
		if err := s.signal(ctx, rec, sig); err != nil {
			return err
		}
		select {
		case <-rec.ended:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(grace):
		}
	}
	if err := s.signal(ctx, rec, unix.SIGKILL); err != nil {
		return err
	}
	select {
	case <-rec.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(stopSlack):
		return errors.New("it was killed but has not gone: a process waits in the kernel")
	}
}

// signal lets the shim, which is the parent, send a signal. Of a shim that just
// died, the cgroup's processes are killed instead.
func (s *sandbox) signal(ctx context.Context, rec *record, sig unix.Signal) error {
	_, err := request(ctx, s.run, wire.OpSignal, rec.ID, strconv.Itoa(int(sig)))
	if err == nil || ctx.Err() != nil {
		return err
	}
	if shimLives(s.run) {
		return err
	}
	return killCgroup(ctx, s.cgroup(rec.ID))
}

func (r *record) lostEnd() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost && r.exit == nil
}

// The real-time signals as the C library numbers them.
const (
	sigRTMin = 34
	sigRTMax = 64
)

// parseSignal reads "SIGTERM", "TERM", "15", "SIGRTMIN+3", or "" for SIGTERM.
func parseSignal(name string) (unix.Signal, error) {
	if name == "" {
		return unix.SIGTERM, nil
	}
	if n, err := strconv.Atoi(name); err == nil && n > 0 && n <= sigRTMax {
		return unix.Signal(n), nil
	}
	full := "SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG")
	if sig := unix.SignalNum(full); sig != 0 {
		return sig, nil
	}
	for prefix, base := range map[string]int{"SIGRTMIN": sigRTMin, "SIGRTMAX": sigRTMax} {
		offset, ok := strings.CutPrefix(full, prefix)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(offset)
		if offset == "" {
			n, err = 0, nil
		}
		if err == nil && base+n >= sigRTMin && base+n <= sigRTMax {
			return unix.Signal(base + n), nil
		}
	}
	return 0, fmt.Errorf("unknown stop signal %q", name)
}

// RemoveContainer removes an exited container's root and records, not its log.
func (r *Runtime) RemoveContainer(ctx context.Context, podUID, id string) error {
	s, rec, err := r.container(podUID, id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	s.op.Lock()
	defer s.op.Unlock()
	select {
	case <-rec.ended:
	default:
		return fmt.Errorf("remove container %s: it runs", rec.Config.Name)
	}
	err = killCgroup(ctx, s.cgroup(id)) // only one whose shim died has any
	if err == nil {
		err = removeCgroup(s.cgroup(id))
	}
	if err == nil {
		err = os.RemoveAll(s.stateDir() + "/" + id)
	}
	if err == nil {
		err = removeContainerDir(rec.dir)
	}
	if err != nil {
		return fmt.Errorf("remove container %s: %w", rec.Config.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.containers, id)
	return nil
}

// ReopenLog makes the shim open the container's log anew, after a rotation.
func (r *Runtime) ReopenLog(ctx context.Context, podUID, id string) error {
	s, rec, err := r.container(podUID, id)
	if err != nil {
		return err
	}
	if _, err := request(ctx, s.run, wire.OpReopen, id); err != nil {
		return fmt.Errorf("reopen log of container %s: %w", rec.Config.Name, err)
	}
	return nil
}
