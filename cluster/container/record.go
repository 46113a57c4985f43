package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/seed38700745/pkg/cluster/container/wire"
	"github.com/seed38700745/pkg/cluster/cri"
)

// The names inside a sandbox's and a container's folder.
const (
	sandboxFile   = "sandbox.json"
	hostnameFile  = "hostname"
	containersDir = "c"
	recordFile    = "record.json"
	upperDir      = "upper"
	workDir       = "work"
	rootfsDir     = "rootfs"
)

// persisted is what a container's record.json holds.
type persisted struct {
	ID      string
	Created time.Time
	LogPath string
	Config  cri.ContainerConfig
}

// record is one attempt to run a container.
type record struct {
	persisted
	dir   string
	ended chan struct{} // closed when the state is Exited or Unknown

	mu      sync.Mutex
	started *wire.Started // guarded by mu
	exit    *wire.Exit    // guarded by mu
	lost    bool          // guarded by mu; the shim died before it could tell
}

func newRecord(p persisted, dir string) *record {
	return &record{persisted: p, dir: dir, ended: make(chan struct{})}
}

// loadRecord reads a container's folder.
func loadRecord(dir string) (*record, error) {
	var p persisted
	if err := readJSON(filepath.Join(dir, recordFile), &p); err != nil {
		return nil, err
	}
	r := newRecord(p, dir)
	if s, err := readStarted(dir); err == nil {
		r.started = &s
	}
	return r, r.readExit()
}

// readStarted reads what the shim noted when it had started a container.
func readStarted(dir string) (wire.Started, error) {
	b, err := os.ReadFile(filepath.Join(dir, wire.StartedFile))
	if err != nil {
		return wire.Started{}, err
	}
	return wire.ParseStarted(string(b))
}

// readExit reads the shim's file and, if there is one, closes ended.
func (r *record) readExit() error {
	b, err := os.ReadFile(filepath.Join(r.dir, wire.ExitFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	exit, err := wire.ParseExit(string(b))
	if err != nil { // cut short by a power cut
		r.lose()
		return nil
	}
	r.setExit(exit)
	return nil
}

func (r *record) setExit(e wire.Exit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.exit == nil {
		r.exit = &e
		if !r.lost {
			close(r.ended)
		}
	}
}

// lose notes that nobody knows how the container ended.
func (r *record) lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.exit == nil && !r.lost {
		r.lost = true
		close(r.ended)
	}
}

// fail records that the container could not be started.
func (r *record) fail(message string) error {
	exit := wire.Exit{Code: wire.StartFailed, At: time.Now(), Message: message}
	r.setExit(exit)
	return writeFile(filepath.Join(r.dir, wire.ExitFile), []byte(exit.Encode()))
}

func (r *record) setStarted(s wire.Started) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = &s
}

// pid of the first process, or 0 when it does not run.
func (r *record) pid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started == nil || r.exit != nil || r.lost {
		return 0
	}
	return r.started.PID
}

func (r *record) describe(podUID string) cri.Container {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := cri.Container{
		ID: r.ID, PodUID: podUID, Name: r.Config.Name, Attempt: r.Config.Attempt,
		ImageID: r.Config.Image.ID, ImageName: r.Config.Image.Name,
		State: cri.Created, LogPath: r.LogPath, LayerDir: filepath.Join(r.dir, upperDir), Labels: r.Config.Labels,
	}
	if r.started != nil {
		c.State, c.StartedAt, c.PID = cri.Running, r.started.At, r.started.PID
	}
	switch {
	case r.exit != nil:
		c.State, c.PID = cri.Exited, 0
		c.ExitCode, c.Signal, c.OOMKilled = r.exit.Code, r.exit.Signal, r.exit.OOM
		c.FinishedAt, c.Message = r.exit.At, r.exit.Message
	case r.lost:
		c.State, c.PID = cri.Unknown, 0
	}
	return c
}

// writeFile replaces a file in one step. It does not wait for the disk: after a
// power cut the containers are gone with their records' meaning.
func writeFile(path string, content []byte) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFile(path, b)
}

// errUnreadable is wrapped by errors about records that are missing or damaged,
// other than ones that cannot be read at the moment.
var errUnreadable = errors.New("unreadable record")

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %s: %w", errUnreadable, path, err)
	}
	return nil
}
