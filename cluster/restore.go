package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/api/crd"
	"github.com/seed38700745/pkg/cluster/backup"
	"github.com/seed38700745/pkg/cluster/backup/archive"
	"github.com/seed38700745/pkg/cluster/instance"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/network"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
	"github.com/seed38700745/pkg/cluster/registries"
	"github.com/seed38700745/pkg/cluster/store"
)

// restoringDir, in a data folder, holds what a restore has not put in its place
// yet. While it is there the folder holds no cluster.
const restoringDir = ".restoring"

// movingFile, in restoringDir, says that volumes are being put in their places.
const movingFile = "moving"

// Errors of Restore that callers branch on.
var (
	// ErrHasCluster: the data folder is not empty.
	ErrHasCluster = errors.New("holds a cluster")
	// ErrHasVolume: a volume of the backup is in the data folder.
	ErrHasVolume = errors.New("holds data of a volume that the backup has, too")
	// ErrInterrupted: a restore into the data folder did not end.
	ErrInterrupted = errors.New("holds a part of a backup whose restore was interrupted")
)

// Restored says what a restore did.
type Restored struct {
	Header   archive.Header
	Manifest *archive.Manifest
	From, To backup.Place
}

// CheckRestored returns ErrInterrupted if a restore into home did not end.
func CheckRestored(home string) error {
	if _, err := os.Lstat(filepath.Join(home, restoringDir)); err == nil {
		return fmt.Errorf("%s %w", home, ErrInterrupted)
	}
	return nil
}

// Restore makes the cluster of a backup's file the one in home. The whole file
// is checked before anything is touched. home must be empty or absent, but for settings,
// volumes and backups, which a deleted cluster leaves; with replace, volumes of
// the backup take the place of those there. The cluster gets a claim of its own;
// addresses, ports, node name and paths in its objects are adapted to it. A
// restore that was interrupted is done again from the beginning.
//
// Errors: ErrHasCluster, ErrHasVolume, archive's.
func Restore(ctx context.Context, file, home string, replace bool) (*Restored, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	header, manifest, err := verify(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	r := &Restored{Header: header, Manifest: manifest}
	again, err := clearHome(home)
	if err != nil {
		return nil, err
	}
	replace = replace || again
	for _, v := range r.Manifest.Volumes {
		if _, err := os.Lstat(filepath.Join(home, "volumes", v.Folder)); err == nil && !replace {
			return nil, fmt.Errorf("%s %w: %s", home, ErrHasVolume, v.Folder)
		}
	}
	tmp := filepath.Join(home, restoringDir)
	if err := os.MkdirAll(filepath.Join(tmp, "new"), 0o711); err != nil {
		return nil, err
	}
	if err := extract(ctx, f, filepath.Join(tmp, "new")); err != nil {
		return nil, errors.Join(fmt.Errorf("restore %s: %w", file, err), os.RemoveAll(tmp))
	}
	if err := r.settle(ctx, home); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(tmp); err != nil {
		return nil, err
	}
	return r, archive.Sync(home)
}

// verify reads all of a backup, and refuses those of newer stores.
func verify(f io.Reader) (archive.Header, *archive.Manifest, error) {
	h, m, err := archive.Verify(f)
	if err != nil {
		return h, nil, err
	}
	if h.StoreFormat > store.Format {
		return h, nil, fmt.Errorf("%w (%s): its store has format %d, and this one knows formats up to %d", archive.ErrNewer, h.Version, h.StoreFormat, store.Format)
	}
	return h, m, nil
}

// stays are the entries of a data folder that are no cluster, and that a restore
// leaves alone; what the user chose before there was one is replaced where the
// backup has it.
var stays = []string{"volumes", BackupsDir, "logs", "lock", "lost+found", restoringDir, "settings.json", "proxy.json", registries.File}

// clearHome makes sure that no cluster is in home, and removes what an
// interrupted restore left. again is true when that had begun to replace volumes.
func clearHome(home string) (again bool, err error) {
	entries, err := os.ReadDir(home)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	interrupted := CheckRestored(home) != nil
	for _, e := range entries {
		if slices.Contains(stays, e.Name()) {
			continue
		}
		if !interrupted {
			what := ErrHasCluster
			if _, err := instance.Load(home); err != nil {
				what = fmt.Errorf("is not empty: it holds %s", e.Name())
			}
			return false, fmt.Errorf("data folder %s %w", home, what)
		}
		if err := os.RemoveAll(filepath.Join(home, e.Name())); err != nil {
			return false, err
		}
	}
	_, err = os.Lstat(filepath.Join(home, restoringDir, movingFile))
	again = err == nil
	return again, os.RemoveAll(filepath.Join(home, restoringDir, "new"))
}

func extract(ctx context.Context, f *os.File, dir string) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	a, err := archive.NewReader(f)
	if err != nil {
		return err
	}
	defer a.Close()
	return a.Extract(ctx, dir)
}

// settle puts what was extracted in its place and adapts it.
func (r *Restored) settle(ctx context.Context, home string) error {
	from := filepath.Join(home, restoringDir, "new")
	var old instance.Record
	text, err := os.ReadFile(filepath.Join(from, "instance.json"))
	if err == nil {
		err = json.Unmarshal(text, &old)
	}
	if err != nil {
		return fmt.Errorf("the cluster's identity: %w", err)
	}
	if err := os.WriteFile(filepath.Join(home, restoringDir, movingFile), nil, 0o600); err != nil {
		return err
	}
	if err := putInPlace(from, home); err != nil {
		return err
	}
	claim, err := instance.Acquire(home, network.Overlaps)
	if err != nil {
		return err
	}
	defer claim.Release()
	node, err := nodeName()
	if err != nil {
		return err
	}
	r.From, r.To = placeOf(old, r.Header.Node), placeOf(claim.Record, node)
	move := backup.Move{From: r.From, To: r.To}
	if err := move.Check(); err != nil {
		return err
	}
	return adapt(ctx, filepath.Join(home, "store", "pkg.db"), move)
}

func placeOf(r instance.Record, node string) backup.Place {
	return backup.Place{Home: r.Home, Node: node, PodCIDR: r.PodCIDR, ServiceCIDR: r.ServiceCIDR,
		FirstNodePort: int32(r.NodePortBase), NodePorts: int32(r.NodePortSize)}
}

// putInPlace renames what is in from into home, volumes one by one.
func putInPlace(from, home string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == archive.VolumesDir {
			if err := putVolumes(filepath.Join(from, e.Name()), filepath.Join(home, "volumes")); err != nil {
				return err
			}
			continue
		}
		if err := os.Rename(filepath.Join(from, e.Name()), filepath.Join(home, e.Name())); err != nil {
			return err
		}
	}
	return archive.Sync(home)
}

func putVolumes(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		at := filepath.Join(to, e.Name())
		if err := os.RemoveAll(at); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(from, e.Name()), at); err != nil {
			return err
		}
	}
	return archive.Sync(to)
}

// adapt moves the objects of a store's file.
func adapt(ctx context.Context, file string, move backup.Move) error {
	kinds := kind.All()
	crd.Complete(kinds)
	db, err := store.Open(file, store.Options{Codec: api.NewCodec(kind.NewRegistry(kinds))})
	if err != nil {
		return err
	}
	snapshot := db.Snapshot()
	for _, r := range []object.Resource{builtin.Nodes.Resource, builtin.PersistentVolumes.Resource,
		builtin.PersistentVolumeClaims.Resource, builtin.Services.Resource, builtin.Pods.Resource} {
		snapshot.Ascend(r, "", object.Key{}, func(o object.Object) bool {
			err = adaptObject(ctx, db, r, o, move.Object(o))
			return err == nil
		})
		if err != nil {
			break
		}
	}
	return errors.Join(err, db.Close())
}

func adaptObject(ctx context.Context, db *store.DB, r object.Resource, old, moved object.Object) error {
	key := object.KeyOf(moved)
	switch {
	case moved == old:
		return nil
	case key == object.KeyOf(old):
		_, err := db.Write(ctx, store.Write{Verb: store.Update, Resource: r, Key: key, Object: moved})
		return err
	}
	if _, err := db.Write(ctx, store.Write{Verb: store.Create, Resource: r, Key: key, Object: moved}); err != nil {
		return err
	}
	_, err := db.Write(ctx, store.Write{Verb: store.Delete, Resource: r, Key: object.KeyOf(old)})
	return err
}
