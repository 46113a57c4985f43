// Package backup makes backups of a running cluster, keeps the daily ones, and
// says what must change in a cluster's objects when a backup is restored
// elsewhere (Move). The file itself is package archive's.
//
// A backup holds the files of the data folder that cannot be made again: the
// store, as of one moment, keys and certificates, settings, the cluster's
// identity. With volumes it also holds the data of the persistent volumes that
// lie in the data folder. Images, logs and what pods keep elsewhere are not in
// it.
//
// # Volumes
//
// The volumes of a release (pods of one namespace with the same label
// app.kubernetes.io/instance) are copied together, as of one moment: their pods
// are frozen, the data is copied, and the pods go on. What a database finds in
// such a copy is what it finds after a power cut in which the disk lost
// nothing. Two annotations of a pod are for what needs more than that:
//
//	pkg.internal/pre-backup-command    run in a container before the copy
//	pkg.internal/post-backup-command   run after it, also when it failed
//
// Each is a JSON list, or text for `sh -c`. A pre-backup command that fails ends
// the backup. With one, the pod is not frozen, since the command is to leave
// data behind that can be copied while others change. Two further annotations:
//
//	pkg.internal/backup-freeze: "true"  freeze the pod all the same, or
//	                            "false" never
//	pkg.internal/backup-container       where commands run; by default that of
//	                                    kubectl.kubernetes.io/default-container,
//	                                    or the pod's first
package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/backup/archive"
	"github.com/seed38700745/pkg/cluster/object"
)

// Node is what a backup needs of the node agent.
type Node interface {
	// Exec runs a command in a running container and returns its exit code
	// and the beginning of its output.
	Exec(ctx context.Context, pod *corev1.Pod, container string, command []string) (code int, output string, err error)
	// Freeze makes a pod's processes stand still until thaw is called.
	Freeze(ctx context.Context, pod *corev1.Pod) (thaw func() error, err error)
}

// Config says what is backed up. All fields are needed.
type Config struct {
	Header     archive.Header        // but for time and volumes
	Store      func(io.Writer) error // writes a consistent copy of the store
	Home       string
	VolumesDir string // below Home
	Verbs      object.Verbs
	Node       Node
	Now        func() time.Time
	Logger     *slog.Logger
}

// Maker makes backups, one at a time.
type Maker struct {
	Config
	busy sync.Mutex // held while one is made
}

// New returns a Maker.
func New(c Config) *Maker { return &Maker{Config: c} }

// ErrBusy says that another backup is being made.
var ErrBusy = errors.New("another backup is being made")

// Options say what a backup holds.
type Options struct {
	Volumes bool
}

// Write writes one backup. When it fails, what was written ends with the reason
// if that was possible; in any case no reader takes it for a backup. It returns
// ErrBusy before anything is written.
func (m *Maker) Write(ctx context.Context, w io.Writer, o Options) (*archive.Manifest, error) {
	if !m.busy.TryLock() {
		return nil, ErrBusy
	}
	defer m.busy.Unlock()
	h := m.Header
	h.Time, h.Volumes = m.Now().UTC().Truncate(time.Second), o.Volumes
	a, err := archive.NewWriter(w, h)
	if err != nil {
		return nil, err
	}
	manifest, err := m.write(ctx, a, o)
	if err != nil {
		_ = a.Fail(err) // where it cannot be written, the archive is cut off
		return nil, err
	}
	return manifest, nil
}

func (m *Maker) write(ctx context.Context, a *archive.Writer, o Options) (*archive.Manifest, error) {
	if err := m.writeFiles(a); err != nil {
		return nil, err
	}
	if err := m.writeStore(a); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	plan, err := m.planVolumes(ctx)
	if err != nil {
		return nil, fmt.Errorf("volumes: %w", err)
	}
	if !o.Volumes {
		return a.Finish(nil, plan.withoutData())
	}
	volumes, err := m.writeVolumes(ctx, a, plan)
	if err != nil {
		return nil, err
	}
	return a.Finish(volumes, plan.skipped)
}

// madeAgain are files of the data folder that every start makes.
var madeAgain = []string{"lock", "kubeconfig"}

// writeFiles adds the small files of the data folder and those in pki.
func (m *Maker) writeFiles(a *archive.Writer) error {
	for _, dir := range []string{".", "pki"} {
		entries, err := os.ReadDir(filepath.Join(m.Home, dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || e.Name()[0] == '.' || dir == "." && slices.Contains(madeAgain, e.Name()) {
				continue
			}
			if err := m.writeFile(a, path.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Maker) writeFile(a *archive.Writer, name string) error {
	f, err := os.Open(filepath.Join(m.Home, name))
	if errors.Is(err, fs.ErrNotExist) { // replaced at this moment, and of no weight
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return a.File(name, info.Mode(), info.Size(), f)
}

// writeStore adds the store as of now. It is copied to disk before, under no
// name: a reader that is slow would keep the store's file from growing.
func (m *Maker) writeStore(a *archive.Writer) error {
	f, err := os.CreateTemp(m.Home, ".backup")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	if err := m.Store(f); err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return a.File("store/pkg.db", 0o600, size, f)
}
