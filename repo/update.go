//go:build !front

package repo

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/seed38700745/pkg/repo/localindex"
)

// namesFile lists the charts of an index, for Helm's completion.
func (r *Resolver) namesFile(name string) string {
	return filepath.Join(r.CacheDir, name+"-charts.txt")
}

// Updated tells what an update did.
type Updated struct {
	// Unchanged: the server had nothing newer.
	Unchanged bool
	// Note is a line the user should see; usually "".
	Note string
}

// Update fetches a repository's index into the cache, unless the server says that it
// is the one that is there.
func (r *Resolver) Update(ctx context.Context, e *Repository) (Updated, error) {
	if r.Offline {
		return Updated{}, &OfflineError{What: "a newer index of repository " + e.Name, Next: "pkg repo update " + e.Name}
	}
	if IsOCI(e.URL) {
		return r.updateRegistry(ctx, e)
	}
	target, err := resolveURL(e.URL, "index.yaml")
	if err != nil {
		return Updated{}, err
	}
	known := localindex.Header{}
	header := http.Header{"Accept-Encoding": {"gzip"}}
	if x, err := r.readIndex(e); err == nil {
		known = x.Header
		if err := x.Close(); err != nil {
			return Updated{}, err
		}
		if known.URL == e.URL && known.ETag != "" {
			header.Set("If-None-Match", known.ETag)
		}
		if known.URL == e.URL && known.LastModified != "" {
			header.Set("If-Modified-Since", known.LastModified)
		}
	}
	resp, err := r.get(ctx, target, e.Access(), header)
	if err != nil {
		return Updated{}, fmt.Errorf("looks like %q is not a valid chart repository or cannot be reached: %w", redacted(e.URL), err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified {
		return Updated{Unchanged: true}, nil
	}
	content := io.Reader(resp.Body)
	if resp.Header.Get("Content-Encoding") == "gzip" {
		if content, err = gzip.NewReader(resp.Body); err != nil {
			return Updated{}, fmt.Errorf("%s: %w", redacted(target), err)
		}
	}
	sum, err := r.storeIndex(e, content, localindex.Header{URL: e.URL, ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified")})
	if err != nil {
		return Updated{}, fmt.Errorf("repository %s: %w", redacted(e.URL), err)
	}
	return Updated{Unchanged: sum == known.SHA256}, nil
}

// storeIndex writes an index and its local index into the cache: both or none. It
// returns the index's SHA-256.
func (r *Resolver) storeIndex(e *Repository, content io.Reader, h localindex.Header) (string, error) {
	p, err := beginFile(r.indexFile(e.Name))
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	if h.Size, err = io.Copy(io.MultiWriter(p, sum), io.LimitReader(content, maxIndexSize+1)); err == nil && h.Size > maxIndexSize {
		err = fmt.Errorf("the index is larger than %d bytes", maxIndexSize)
	}
	if err != nil {
		return "", errors.Join(err, p.discard())
	}
	h.SHA256 = hex.EncodeToString(sum.Sum(nil))
	local, err := r.buildLocal(e.Name, p.File, h)
	if err != nil {
		return "", errors.Join(err, p.discard())
	}
	// Whoever is between the two finds that they do not belong together, and waits for
	// the lock.
	return h.SHA256, withLock(r.indexFile(e.Name), func() error {
		if err := p.commit(0o644, false); err != nil {
			return errors.Join(err, local.discard())
		}
		if err := local.commit(0o644, false); err != nil {
			return err
		}
		return r.writeNames(e.Name)
	})
}

// buildLocal makes the local index of an open index.yaml, not yet in its place.
func (r *Resolver) buildLocal(name string, index *os.File, h localindex.Header) (*pendingFile, error) {
	info, err := index.Stat()
	if err != nil {
		return nil, err
	}
	h.Size, h.ModTime = info.Size(), info.ModTime().UTC()
	local, err := beginFile(r.localFile(name))
	if err != nil {
		return nil, err
	}
	if err := localindex.Build(local.File, index, h); err != nil {
		return nil, errors.Join(err, local.discard())
	}
	return local, nil
}

func (r *Resolver) writeNames(name string) error {
	x, err := localindex.Open(r.localFile(name))
	if err != nil {
		return err
	}
	names := strings.Join(append(x.Names(), ""), "\n")
	if err := x.Close(); err != nil {
		return err
	}
	return replaceFile(r.namesFile(name), []byte(names), 0o644, false)
}

// openIndex returns the local index of a repository, fetched first when there is none
// yet. The caller closes it.
func (r *Resolver) openIndex(ctx context.Context, e *Repository) (*localindex.Index, error) {
	x, err := r.readIndex(e)
	if !errors.Is(err, fs.ErrNotExist) {
		return x, err
	}
	if r.Offline {
		return nil, &OfflineError{What: "the index of repository " + e.Name + " (" + redacted(e.URL) + ")", Next: "pkg repo update " + e.Name}
	}
	if _, err := r.Update(ctx, e); err != nil {
		return nil, fmt.Errorf("repository %s: %w", e.Name, err)
	}
	return r.readIndex(e)
}

// readIndex opens the local index of a repository; one that does not belong to the
// kept index.yaml is made anew. The error wraps fs.ErrNotExist when no index is kept,
// or only that of another URL.
func (r *Resolver) readIndex(e *Repository) (*localindex.Index, error) {
	x, fits, err := r.openLocal(e)
	if err == nil && fits {
		return x, nil
	}
	if err != nil {
		return nil, err
	}
	err = withLock(r.indexFile(e.Name), func() error {
		if x, fits, err = r.openLocal(e); err != nil || fits { // made by another process meanwhile
			return err
		}
		return r.rebuildLocal(e)
	})
	if err != nil || fits {
		return x, err
	}
	if x, fits, err = r.openLocal(e); err == nil && !fits {
		err = fmt.Errorf("repository %s: the cached index changes all the time", e.Name)
	}
	return x, err
}

// rebuildLocal makes the local index of the kept index.yaml, which somebody else put
// there or touched. What is known of its origin stays if its bytes are the same.
func (r *Resolver) rebuildLocal(e *Repository) error {
	index, err := os.Open(r.indexFile(e.Name))
	if err != nil {
		return err
	}
	defer index.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, index); err != nil {
		return err
	}
	h := localindex.Header{SHA256: hex.EncodeToString(sum.Sum(nil))}
	if old, err := localindex.Open(r.localFile(e.Name)); err == nil {
		if old.SHA256 == h.SHA256 {
			h.URL, h.ETag, h.LastModified = old.URL, old.ETag, old.LastModified
		}
		if err := old.Close(); err != nil {
			return err
		}
	}
	local, err := r.buildLocal(e.Name, index, h)
	if err != nil {
		return fmt.Errorf("repository %s: the cached index is damaged (pkg repo update replaces it): %w", e.Name, err)
	}
	return local.commit(0o644, false)
}

// withIndex calls f with the local index of a repository. One that turns out to be
// damaged is made anew, and f is called again.
func (r *Resolver) withIndex(ctx context.Context, e *Repository, f func(*localindex.Index) error) error {
	for again := false; ; again = true {
		x, err := r.openIndex(ctx, e)
		if err != nil {
			return err
		}
		err = errors.Join(f(x), x.Close())
		if again || !errors.Is(err, localindex.ErrDamaged) {
			return err
		}
		if err := os.Remove(r.localFile(e.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

// soundIndex is readIndex for one who reads it all, with every checksum checked.
func (r *Resolver) soundIndex(e *Repository) (*localindex.Index, error) {
	x, err := r.readIndex(e)
	if err != nil {
		return nil, err
	}
	if err := x.Check(); err == nil {
		return x, nil
	}
	if err := errors.Join(x.Close(), os.Remove(r.localFile(e.Name))); err != nil {
		return nil, err
	}
	return r.readIndex(e)
}

// unlisted is a repository that is not configured. Its index is kept under a name
// that no configured one can have.
func unlisted(base string, access Access) *Repository {
	e := &Repository{Name: "_" + hexSum([]byte(base))[:16], URL: base}
	e.setAccess(access)
	return e
}

// refresh brings the index of an unlisted repository up to date, once: many
// dependencies may come from one.
func (r *Resolver) refresh(ctx context.Context, e *Repository) error {
	once, _ := r.refreshed.LoadOrStore(e.URL+"\n"+e.Username+"\n"+e.Token, sync.OnceValue(func() error {
		_, err := r.Update(ctx, e)
		return err
	}))
	return once.(func() error)()
}

// Forget removes what is kept of a repository.
func (r *Resolver) Forget(name string) error {
	return withLock(r.indexFile(name), func() error {
		for _, file := range []string{r.localFile(name), r.indexFile(name), r.namesFile(name)} {
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	})
}
