// Package container runs pods' containers without a daemon: a shim for each pod
// (cmd/shim) is the parent of its containers and keeps their logs and exit
// codes; a helper (cmd/helper) creates them with libcontainer and exits.
//
// Everything can be reconstructed from disk, so that containers outlive the
// agent: New adopts the shims that live and finds how the other containers
// ended. A sandbox whose shim died is not Ready; RunSandbox kills what is left
// in it and starts a new shim, and containers whose end nobody saw are Unknown.
//
//	Root/<pod uid>/sandbox.json        the sandbox's configuration
//	Root/<pod uid>/hostname            what containers see as /etc/hostname
//	Root/<pod uid>/c/<id>/record.json  the container's configuration
//	Root/<pod uid>/c/<id>/spec.json    its OCI spec
//	Root/<pod uid>/c/<id>/started      its pid and start (wire.Started)
//	Root/<pod uid>/c/<id>/exit         how it ended (wire.Exit)
//	Root/<pod uid>/c/<id>/upper, work, rootfs   overlay
//	Run/<pod uid>/lock, sock, shim.log the shim's
//	Run/<pod uid>/shm                  the pod's /dev/shm
//	Run/<pod uid>/state/               libcontainer's
//
// Cgroups are <CgroupParent>/pod<uid>/<container id>, in every hierarchy with
// version 1. A pod that shares one PID namespace has a pause process, a child
// of the shim, as PID 1 of it.
package container

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/seed38700745/pkg/cluster/cri"
)

// ErrNotFound is wrapped by errors about a sandbox or container that is not there.
var ErrNotFound = errors.New("not found")

// adoptAtOnce is how many sandboxes are adopted at a time.
const adoptAtOnce = 8

// Config says where a runtime keeps its files and programs.
type Config struct {
	Root         string // state that survives a reboot
	Run          string // sockets and locks, on a file system that does not
	ShimPath     string
	HelperPath   string
	CgroupParent string // "pkg/<id>", from the root of the hierarchies
	Logger       *slog.Logger
}

// Runtime runs sandboxes and containers. Its methods may be called at once;
// those that change one sandbox wait for each other.
type Runtime struct {
	config Config
	log    *slog.Logger
	limits limits
	events *events

	mu        sync.Mutex
	closed    bool                // guarded by mu
	sandboxes map[string]*sandbox // guarded by mu; by pod UID
}

// New adopts what an earlier runtime with the same folders left, running or
// not. Without the rights that isolation needs it fails and says which. It starts a goroutine for each live shim; Close ends them.
func New(c Config) (*Runtime, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.CgroupParent = strings.Trim(filepath.Clean("/"+c.CgroupParent), "/")
	if c.CgroupParent == "" { // its removal would be the machine's
		return nil, errors.New("container runtime: no parent cgroup is configured")
	}
	for _, program := range []string{c.ShimPath, c.HelperPath} {
		if st, err := os.Stat(program); err != nil {
			return nil, fmt.Errorf("container runtime: %w", err)
		} else if st.Mode()&0o111 == 0 {
			return nil, fmt.Errorf("container runtime: %s is not executable", program)
		}
	}
	for _, dir := range []string{c.Root, c.Run} {
		if !filepath.IsAbs(dir) {
			return nil, fmt.Errorf("container runtime: %q is not an absolute path", dir)
		}
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, fmt.Errorf("container runtime: %w", err)
		}
	}
	// Symbolic links would hide mounts from their comparison with mountinfo.
	root, err := filepath.EvalSymlinks(c.Root)
	if err != nil {
		return nil, fmt.Errorf("container runtime: %w", err)
	}
	c.Root = root
	own, err := readLimits()
	if err == nil {
		err = check(own)
	}
	if err != nil {
		return nil, fmt.Errorf("container runtime: %w", err)
	}
	r := &Runtime{config: c, log: c.Logger, limits: own, events: newEvents(), sandboxes: map[string]*sandbox{}}
	if err := r.adopt(); err != nil {
		return nil, errors.Join(fmt.Errorf("container runtime: %w", err), r.Close())
	}
	return r, nil
}

// adopt loads all sandboxes, several at a time. Those without a readable record,
// of which a power cut or somebody's rm left a part, are removed.
func (r *Runtime) adopt() error {
	found := map[string]bool{}
	for _, dir := range []string{r.config.Root, r.config.Run} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			found[e.Name()] = e.IsDir()
		}
	}
	var group errgroup.Group
	group.SetLimit(adoptAtOnce)
	for uid, isDir := range found {
		if !isDir {
			continue
		}
		group.Go(func() error {
			s, err := r.load(uid)
			if errors.Is(err, errUnreadable) {
				r.log.Warn("a sandbox's record is unreadable; the sandbox is removed", "pod", uid, "error", err)
				return r.newSandbox(cri.SandboxConfig{PodUID: uid}).remove(context.Background())
			}
			if err != nil {
				return fmt.Errorf("adopt pod %s: %w", uid, err)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.sandboxes[uid] = s
			return nil
		})
	}
	return group.Wait()
}

// Close lets go of the shims; pods go on running.
func (r *Runtime) Close() error {
	r.mu.Lock()
	r.closed = true
	sandboxes := r.sandboxes
	r.sandboxes = map[string]*sandbox{}
	r.mu.Unlock()
	for _, s := range sandboxes {
		s.disconnect()
	}
	r.events.close()
	return nil
}

// Purge removes all sandboxes, the parent cgroup, and what is above it if that
// is empty then.
func (r *Runtime) Purge(ctx context.Context) error {
	var errs []error
	r.mu.Lock()
	uids := slices.Collect(maps.Keys(r.sandboxes))
	r.mu.Unlock()
	for _, uid := range uids {
		errs = append(errs, r.RemoveSandbox(ctx, uid))
	}
	errs = append(errs, removeCgroup(r.config.CgroupParent))
	for above := filepath.Dir(r.config.CgroupParent); above != "." && above != "/"; above = filepath.Dir(above) {
		removeEmptyCgroup(above)
	}
	return errors.Join(errs...)
}

// Events tells when a container ended or a shim died. Equal events that nobody
// took yet are told once.
func (r *Runtime) Events() <-chan cri.Event { return r.events.out }

// Sandboxes lists what there is, also what an earlier runtime started.
func (r *Runtime) Sandboxes(context.Context) ([]cri.Sandbox, error) {
	r.mu.Lock()
	all := slices.Collect(maps.Values(r.sandboxes))
	r.mu.Unlock()
	out := make([]cri.Sandbox, 0, len(all))
	for _, s := range all {
		out = append(out, s.describe())
	}
	slices.SortFunc(out, func(a, b cri.Sandbox) int { return strings.Compare(a.PodUID, b.PodUID) })
	return out, nil
}

// Sandbox returns one; ok is false when there is none.
func (r *Runtime) Sandbox(_ context.Context, podUID string) (_ cri.Sandbox, ok bool, _ error) {
	s := r.find(podUID)
	if s == nil {
		return cri.Sandbox{}, false, nil
	}
	return s.describe(), true, nil
}

func (r *Runtime) find(podUID string) *sandbox {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sandboxes[podUID]
}

// container finds a container and its sandbox.
func (r *Runtime) container(podUID, id string) (*sandbox, *record, error) {
	s := r.find(podUID)
	if s == nil {
		return nil, nil, fmt.Errorf("sandbox of pod %s: %w", podUID, ErrNotFound)
	}
	rec := s.record(id)
	if rec == nil {
		return s, nil, fmt.Errorf("container %s: %w", id, ErrNotFound)
	}
	return s, rec, nil
}
