package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/cri"
)

// fakeRuntime runs containers as table entries. Tests end them with exit.
type fakeRuntime struct {
	mu        sync.Mutex
	sandboxes map[string]*cri.Sandbox
	configs   map[string]cri.ContainerConfig // by container ID
	events    chan cri.Event
	exits     map[string]chan struct{} // closed when the container ended
	n         int
	calls     []string
	// execs answers Exec by the first argument.
	execs map[string]func(ctx context.Context) (int, error)
	// ignoreTERM containers are ended only by the kill after the grace.
	ignoreTERM map[string]bool
	startErr   map[string]error // by container name
	logDirs    map[string]string
	frozen     map[string]bool   // by pod UID
	memory     map[string]uint64 // working set, by pod UID
}

func newFakeRuntime() *fakeRuntime {
	return &fakeRuntime{sandboxes: map[string]*cri.Sandbox{}, configs: map[string]cri.ContainerConfig{}, events: make(chan cri.Event, 100),
		exits: map[string]chan struct{}{}, execs: map[string]func(context.Context) (int, error){}, ignoreTERM: map[string]bool{}, startErr: map[string]error{}, logDirs: map[string]string{}}
}

func (f *fakeRuntime) note(format string, a ...any) {
	f.calls = append(f.calls, fmt.Sprintf(format, a...))
}

func (f *fakeRuntime) log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *fakeRuntime) RunSandbox(ctx context.Context, c cri.SandboxConfig) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("sandbox %s", c.Name)
	f.logDirs[c.PodUID] = c.LogDir
	f.sandboxes[c.PodUID] = &cri.Sandbox{PodUID: c.PodUID, Namespace: c.Namespace, Name: c.Name, NetNS: c.NetNS, Ready: true}
	return nil
}

func (f *fakeRuntime) RemoveSandbox(ctx context.Context, uid string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.sandboxes[uid]; s != nil {
		f.note("remove sandbox %s", s.Name)
	}
	delete(f.sandboxes, uid)
	return nil
}

func (f *fakeRuntime) Sandboxes(ctx context.Context) ([]cri.Sandbox, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []cri.Sandbox
	for _, s := range f.sandboxes {
		all = append(all, copied(s))
	}
	return all, nil
}

func copied(s *cri.Sandbox) cri.Sandbox {
	c := *s
	c.Containers = slices.Clone(s.Containers)
	return c
}

func (f *fakeRuntime) Sandbox(ctx context.Context, uid string) (cri.Sandbox, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.sandboxes[uid]; s != nil {
		return copied(s), true, nil
	}
	return cri.Sandbox{}, false, nil
}

func (f *fakeRuntime) StartContainer(ctx context.Context, uid string, c cri.ContainerConfig) (cri.Container, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	r := cri.Container{ID: fmt.Sprintf("c%d", f.n), PodUID: uid, Name: c.Name, Attempt: c.Attempt, ImageID: c.Image.ID, ImageName: c.Image.Name,
		State: cri.Running, StartedAt: time.Now(), Labels: c.Labels,
		LogPath: filepath.Join(f.logDirs[uid], c.Name, fmt.Sprintf("%d.log", c.Attempt))}
	f.configs[r.ID] = c
	err := f.startErr[c.Name]
	if err != nil {
		r.State, r.ExitCode, r.Message, r.FinishedAt = cri.Exited, startErrorCode, err.Error(), time.Now()
	}
	f.note("start %s#%d", c.Name, c.Attempt)
	f.sandboxes[uid].Containers = append(f.sandboxes[uid].Containers, r)
	f.exits[r.ID] = make(chan struct{})
	return r, err
}

// exit ends a container as if by itself.
func (f *fakeRuntime) exit(id string, code int) {
	f.mu.Lock()
	for uid, s := range f.sandboxes {
		for i := range s.Containers {
			if c := &s.Containers[i]; c.ID == id && c.State == cri.Running {
				c.State, c.ExitCode, c.FinishedAt = cri.Exited, code, time.Now()
				close(f.exits[id])
				select {
				case f.events <- cri.Event{PodUID: uid, ContainerID: id}:
				default:
				}
			}
		}
	}
	f.mu.Unlock()
}

func (f *fakeRuntime) StopContainer(ctx context.Context, uid, id string, grace time.Duration) error {
	f.mu.Lock()
	f.note("stop %s %v", f.configs[id].Name, grace)
	stubborn, ended := f.ignoreTERM[f.configs[id].Name], f.exits[id]
	f.mu.Unlock()
	if stubborn {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(grace):
		case <-ended:
		}
		f.exit(id, 137)
		return nil
	}
	f.exit(id, 143)
	return nil
}

func (f *fakeRuntime) RemoveContainer(ctx context.Context, uid, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sandboxes[uid]
	s.Containers = slices.DeleteFunc(s.Containers, func(c cri.Container) bool { return c.ID == id })
	return nil
}

func (f *fakeRuntime) Exec(ctx context.Context, uid, id string, e cri.ExecConfig) (int, error) {
	f.mu.Lock()
	run := f.execs[e.Args[0]]
	f.note("exec %s %s", f.configs[id].Name, e.Args[0])
	f.mu.Unlock()
	if run == nil {
		return 0, nil
	}
	return run(ctx)
}

func (f *fakeRuntime) Attach(context.Context, string, string, cri.ExecConfig) error { return nil }
func (f *fakeRuntime) ReopenLog(_ context.Context, _, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("reopen %s", f.configs[id].Name)
	return nil
}
func (f *fakeRuntime) Stats(context.Context, string, string) (cri.Stats, error) {
	return cri.Stats{}, nil
}
func (f *fakeRuntime) Freeze(_ context.Context, uid string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.frozen == nil {
		f.frozen = map[string]bool{}
	}
	f.frozen[uid] = true
	return nil
}

func (f *fakeRuntime) Thaw(uid string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.frozen, uid)
	return nil
}

func (f *fakeRuntime) PodStats(_ context.Context, uid string) (cri.Stats, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return cri.Stats{MemoryWorkingSet: f.memory[uid]}, nil
}
func (f *fakeRuntime) Events() <-chan cri.Event { return f.events }

// latest returns the newest attempt of a container; the zero Container if none.
func (f *fakeRuntime) latest(name string) (best cri.Container) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sandboxes {
		for _, c := range s.Containers {
			if c.Name == name && (best.ID == "" || c.Attempt > best.Attempt) {
				best = c
			}
		}
	}
	return best
}

// fakeImages has every image but those in errs.
type fakeImages struct {
	mu      sync.Mutex
	errs    map[string]error
	present map[string]bool
	pulls   int
	images  map[string]cri.ImageConfig
	origin  string
	freed   []string // IDs
	pruned  int
	slowly  func(progress func(cri.ImageProgress)) // what a pull does first
}

func newFakeImages() *fakeImages {
	return &fakeImages{errs: map[string]error{}, present: map[string]bool{}, images: map[string]cri.ImageConfig{}}
}

func (f *fakeImages) image(name string) cri.Image {
	c, ok := f.images[name]
	if !ok {
		c = cri.ImageConfig{Cmd: []string{"run"}}
	}
	return cri.Image{ID: "sha256:" + name, Name: "docker.io/library/" + name, Size: 42, Config: c, Origin: f.origin}
}

func (f *fakeImages) Ensure(ctx context.Context, name string, _ cri.PullPolicy, _ cri.Credentials, progress func(cri.ImageProgress)) (cri.Image, error) {
	if f.slowly != nil {
		f.slowly(progress)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pulls++
	if err := f.errs[name]; err != nil {
		return cri.Image{}, err
	}
	f.present[name] = true
	return f.image(name), nil
}

func (f *fakeImages) Present(name string) (cri.Image, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.image(name), f.present[name]
}

func (f *fakeImages) List() ([]cri.Image, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []cri.Image
	for name := range f.present {
		all = append(all, f.image(name))
	}
	slices.SortFunc(all, func(a, b cri.Image) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// Free takes every image for 42 bytes.
func (f *fakeImages) Free(ids []string, bytes int64) (removed []string, freed int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		if freed >= bytes {
			break
		}
		delete(f.present, strings.TrimPrefix(id, "sha256:"))
		removed, freed = append(removed, id), freed+42
	}
	f.freed = append(f.freed, removed...)
	return removed, freed, nil
}

func (f *fakeImages) Load(context.Context, io.Reader) ([]cri.Image, error) {
	return nil, errors.New("unused")
}
func (f *fakeImages) Save(context.Context, []string, io.Writer) error { return errors.New("unused") }
func (f *fakeImages) Remove(string) error                             { return nil }
func (f *fakeImages) Prune(func(string) bool) ([]string, int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pruned++
	return nil, 0, nil
}

type fakeNetwork struct {
	mu       sync.Mutex
	attached map[string]cri.PodNetwork
}

func (f *fakeNetwork) Attach(_ context.Context, uid string, _ []cri.PortMapping) (cri.PodNetwork, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.attached == nil {
		f.attached = map[string]cri.PodNetwork{}
	}
	if _, ok := f.attached[uid]; !ok {
		f.attached[uid] = cri.PodNetwork{NetNS: "/netns/" + uid, IPs: []string{fmt.Sprintf("10.42.0.%d", len(f.attached)+2)}}
	}
	return f.attached[uid], nil
}

func (f *fakeNetwork) Detach(_ context.Context, uid string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.attached, uid)
	return nil
}

func (f *fakeNetwork) Attached() (map[string]cri.PodNetwork, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[string]cri.PodNetwork{}
	for k, v := range f.attached {
		all[k] = v
	}
	return all, nil
}

func (f *fakeNetwork) NodeIP() string { return "192.0.2.1" }

type fakeVolumes struct {
	mu    sync.Mutex
	err   error
	setUp map[string]int
	paths map[string]string
}

func (f *fakeVolumes) Setup(_ context.Context, pod *corev1.Pod) (map[string]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	if f.setUp == nil {
		f.setUp = map[string]int{}
	}
	f.setUp[string(pod.UID)]++
	return f.paths, nil
}

func (f *fakeVolumes) Teardown(_ context.Context, uid string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.setUp, uid)
	return nil
}

func (f *fakeVolumes) Pods() ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for uid := range f.setUp {
		all = append(all, uid)
	}
	return all, nil
}
