package registry

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// upload is a blob on its way in.
type upload struct {
	id, name string

	mu   sync.Mutex // held while bytes arrive
	file *os.File   // guarded by mu; nil when it is over
	hash hash.Hash  // guarded by mu
	size int64      // guarded by mu
	last time.Time  // guarded by Registry.mu
}

func (g *Registry) newUpload(name string) (*upload, error) {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	u := &upload{id: hex.EncodeToString(id[:]), name: name, hash: sha256.New(), last: time.Now()}
	var err error
	if u.file, err = os.CreateTemp(g.tmp(), "blob-"); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.uploads[u.id] = u
	return u, nil
}

func (g *Registry) findUpload(q Request) (*upload, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	u := g.uploads[q.ref]
	if u == nil || u.name != q.Name {
		return nil, &Error{http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "no such upload"}
	}
	u.last = time.Now()
	return u, nil
}

func (g *Registry) dropUploads(before time.Time) {
	g.mu.Lock()
	var old []*upload
	for _, u := range g.uploads {
		if u.last.Before(before) {
			old = append(old, u)
		}
	}
	g.mu.Unlock()
	for _, u := range old {
		g.endUpload(u)
	}
}

// endUpload forgets an upload and what it has on disk.
func (g *Registry) endUpload(u *upload) {
	g.mu.Lock()
	delete(g.uploads, u.id)
	g.mu.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.file != nil {
		_ = errors.Join(u.file.Close(), os.Remove(u.file.Name())) // the next start removes what is left
		u.file = nil
	}
}

// receive takes a body in. An upload that could not be written is over.
func (g *Registry) receive(u *upload, r io.Reader) error {
	err := u.receive(r)
	var known *Error
	if err != nil && !errors.As(err, &known) {
		g.endUpload(u)
	}
	return err
}

// receive appends a body. What came before a broken connection counts; the
// client may ask how much that is and go on.
func (u *upload) receive(r io.Reader) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.file == nil {
		return &Error{http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "the upload is over"}
	}
	sender := &failReader{from: r}
	n, err := io.Copy(io.MultiWriter(u.file, u.hash), io.LimitReader(sender, maxBlob-u.size+1))
	u.size += n
	switch {
	case sender.failed:
		return &Error{http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "upload broke off"}
	case err != nil:
		return fmt.Errorf("blob upload: %w", err)
	case u.size > maxBlob:
		return &Error{http.StatusRequestEntityTooLarge, "SIZE_INVALID", "blob is too large"}
	}
	return nil
}

// failReader remembers that it could not be read, as the other side of a copy can
// fail too.
type failReader struct {
	from   io.Reader
	failed bool
}

func (r *failReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.failed = err != nil && !errors.Is(err, io.EOF)
	return n, err
}

// finish checks the digest and gives the blob its name.
func (g *Registry) finish(u *upload, digest string) error {
	defer g.endUpload(u)
	want, err := hexOf(digest)
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.file == nil {
		return &Error{http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "the upload is over"}
	}
	if have := hex.EncodeToString(u.hash.Sum(nil)); have != want {
		return &Error{http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("what came has sha256:%s, not %s", have, digest)}
	}
	tmp := u.file.Name()
	err = errors.Join(u.file.Chmod(0o644), u.file.Sync(), u.file.Close())
	u.file = nil
	if err == nil {
		err = place(tmp, g.path(u.name, "_blobs", want))
	}
	if err != nil {
		_ = os.Remove(tmp) // the next start removes it otherwise
	}
	return err
}

// mount takes a blob over from another repository.
func (g *Registry) mount(name, from, digest string) bool {
	hex, err := hexOf(digest)
	if err != nil || !validName(from) {
		return false
	}
	path := g.path(name, "_blobs", hex)
	if makeDir(g.path(name, "_blobs")) != nil {
		return false
	}
	if err := os.Link(g.path(from, "_blobs", hex), path); err != nil && !errors.Is(err, os.ErrExist) {
		return false // the client uploads it then
	}
	g.touch(name, digest)
	return syncDir(g.path(name, "_blobs")) == nil
}
