package repo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// indexFile is where a repository's index is kept. Helm's name for it; the content
// is JSON, which Helm reads too and which parses many times faster than YAML.
func (r *Resolver) indexFile(name string) string {
	return filepath.Join(r.CacheDir, name+"-index.yaml")
}

// Update fetches a repository's index into the cache.
func (r *Resolver) Update(ctx context.Context, e *Repository) error {
	index, err := r.fetchIndex(ctx, e.URL, e.Access())
	if err != nil {
		return err
	}
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	var names strings.Builder
	for _, name := range index.Names() {
		names.WriteString(name + "\n")
	}
	if err := writeFile(filepath.Join(r.CacheDir, e.Name+"-charts.txt"), []byte(names.String()), 0o644); err != nil {
		return err
	}
	return writeFile(r.indexFile(e.Name), data, 0o644)
}

// unlistedIndex reads, once, the index of a repository that is not configured: many
// dependencies may come from one.
func (r *Resolver) unlistedIndex(ctx context.Context, base string, access Access) (*Index, error) {
	read, _ := r.indexes.LoadOrStore(base+"\n"+access.Username, sync.OnceValues(func() (*Index, error) {
		return r.fetchIndex(ctx, base, access)
	}))
	return read.(func() (*Index, error))()
}

// fetchIndex reads the index of a repository that need not be configured.
func (r *Resolver) fetchIndex(ctx context.Context, base string, access Access) (*Index, error) {
	target, err := resolveURL(base, "index.yaml")
	if err != nil {
		return nil, err
	}
	data, err := r.fetch(ctx, target, access, maxIndexSize)
	if err != nil {
		return nil, fmt.Errorf("looks like %q is not a valid chart repository or cannot be reached: %w", base, err)
	}
	index, err := ParseIndex(data)
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", base, err)
	}
	return index, nil
}

// cachedIndex returns the kept index of a repository, fetched first when there is
// none yet.
func (r *Resolver) cachedIndex(ctx context.Context, e *Repository) (*Index, error) {
	index, err := r.readIndex(e.Name)
	if !errors.Is(err, fs.ErrNotExist) {
		return index, err
	}
	if err := r.Update(ctx, e); err != nil {
		return nil, fmt.Errorf("repository %s: %w", e.Name, err)
	}
	return r.readIndex(e.Name)
}

// readIndex reads the kept index; the error wraps fs.ErrNotExist when there is none.
func (r *Resolver) readIndex(name string) (*Index, error) {
	data, err := os.ReadFile(r.indexFile(name))
	if err != nil {
		return nil, err
	}
	index, err := ParseIndex(data)
	if err != nil {
		return nil, fmt.Errorf("repository %s: the cached index is damaged (pkg repo update replaces it): %w", name, err)
	}
	return index, nil
}

// Forget removes what is kept of a repository.
func (r *Resolver) Forget(name string) error {
	for _, file := range []string{r.indexFile(name), filepath.Join(r.CacheDir, name+"-charts.txt")} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
