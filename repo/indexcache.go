package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed38700745/pkg/repo/localindex"
)

// indexFile is where a repository's index is kept as it came; Helm's name for it, so
// that one cache may serve both.
func (r *Resolver) indexFile(name string) string {
	return filepath.Join(r.CacheDir, name+"-index.yaml")
}

// localFile is where the local index of the same is kept.
func (r *Resolver) localFile(name string) string {
	return filepath.Join(r.CacheDir, name+"-index.local")
}

// openLocal opens the local index if it fits the kept index.yaml. What is damaged or
// missing does not fit.
func (r *Resolver) openLocal(e *Repository) (x *localindex.Index, fits bool, err error) {
	info, err := os.Stat(r.indexFile(e.Name))
	if err != nil {
		return nil, false, err
	}
	x, err = localindex.Open(r.localFile(e.Name))
	if errors.Is(err, localindex.ErrDamaged) || errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	switch {
	case x.Size != info.Size() || !x.ModTime.Equal(info.ModTime()):
		return nil, false, x.Close()
	case x.URL != "" && x.URL != e.URL:
		return nil, false, errors.Join(fmt.Errorf("an index of %s: %w", e.URL, fs.ErrNotExist), x.Close())
	}
	return x, true, nil
}
