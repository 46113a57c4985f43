package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/seed38700745/pkg/repo"
)

// Folder is a folder that a web server, or pkg repo serve, hosts: archives with their
// provenance files and, at the end, an index.yaml of all that is in it.
type Folder struct {
	Dir string
	Now func() time.Time

	mu      sync.Mutex
	created map[string]time.Time // guarded by mu; by file: what the source said
}

// Has reads the archive.
func (f *Folder) Has(_ context.Context, l repo.Listed) (string, error) {
	f.mu.Lock()
	if f.created == nil {
		f.created = map[string]time.Time{}
	}
	f.created[archiveName(l)] = l.Created
	f.mu.Unlock()
	file, err := os.Open(filepath.Join(f.Dir, archiveName(l)))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Put writes the files, each in one step, the archive last.
func (f *Folder) Put(_ context.Context, _ repo.Listed, a *repo.Archive) error {
	if err := os.MkdirAll(f.Dir, 0o755); err != nil {
		return err
	}
	if a.Provenance == nil { // one of what was there before would not fit
		if err := os.Remove(filepath.Join(f.Dir, a.Name+".prov")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return a.Save(f.Dir)
}

// Finish writes the index.
func (f *Folder) Finish(_ context.Context, changed bool) error {
	name := filepath.Join(f.Dir, "index.yaml")
	if _, err := os.Stat(name); err == nil && !changed {
		return nil
	}
	if err := os.MkdirAll(f.Dir, 0o755); err != nil {
		return err
	}
	index, err := repo.IndexFolder(f.Dir, "", f.Now().UTC())
	if err != nil {
		return fmt.Errorf("index of %s: %w", f.Dir, err)
	}
	before := map[string]time.Time{} // by digest: what an earlier index said
	if data, err := os.ReadFile(name); err == nil {
		if old, err := repo.ParseIndex(data); err == nil { // else it is replaced anyway
			for _, list := range old.Entries {
				for _, e := range list {
					before[e.Digest] = e.Created
				}
			}
		}
	}
	for _, list := range index.Entries {
		for _, e := range list {
			if at := f.created[e.URLs[0]]; !at.IsZero() {
				e.Created = at
			} else if at, ok := before[e.Digest]; ok {
				e.Created = at
			}
		}
	}
	return index.Write(name, false)
}
