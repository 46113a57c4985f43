package depot

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
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/chart"
)

// maxProvenance bounds a .prov file, which is Chart.yaml and a signature, in bytes.
const maxProvenance = 1 << 20

// Upload is a chart to be stored.
type Upload struct {
	Tenant  string
	Archive io.Reader
	// Provenance is the .prov file, if any.
	Provenance []byte
	Force      bool // replace a version that is there, where the policy lets requests do so
	// Same makes it no error that the very same archive is there already.
	Same bool
	// Name and Version are what the chart must be; "" is anything.
	Name, Version string
}

// Put checks and stores a chart. When it returns without error, the chart is on
// disk and the index names it; otherwise nothing was stored. Errors wrap
// ErrInvalid, ErrExists, ErrTooLarge or ErrLimit when they are the upload's fault.
func (d *Depot) Put(ctx context.Context, u Upload) (*Entry, error) {
	if err := CheckTenant(u.Tenant); err != nil {
		return nil, err
	}
	if len(u.Provenance) > maxProvenance {
		return nil, fmt.Errorf("provenance file: %w", ErrTooLarge)
	}
	tmp, digest, err := d.receive(u.Archive)
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(tmp) }() // gone when it was stored
	meta, err := d.check(ctx, tmp)
	if err != nil {
		return nil, err
	}
	if u.Name != "" && u.Name != meta.Name || u.Version != "" && u.Version != meta.Version {
		return nil, fmt.Errorf("%w: the chart is %s-%s, not %s-%s", ErrInvalid, meta.Name, meta.Version, u.Name, u.Version)
	}
	if u.Same {
		if have, err := d.Find(u.Tenant, meta.Name, meta.Version); err == nil && have.Digest == digest {
			return have, nil
		}
	}
	if err := d.makeTenantDir(u.Tenant); err != nil {
		return nil, err
	}
	t := d.tenantOrNew(u.Tenant)
	overwrite := d.config.Overwrite == OverwriteAlways || u.Force && d.config.Overwrite == OverwriteForced
	if err := t.reserve(meta.Name, meta.Version, overwrite, d.config.MaxVersions); err != nil {
		return nil, err
	}
	defer t.release(meta.Name, meta.Version)
	return d.store(t, tmp, digest, meta, u.Provenance)
}

// receive writes an archive to a file of its own and syncs it.
func (d *Depot) receive(r io.Reader) (path, digest string, err error) {
	f, err := os.CreateTemp(d.StatePath("tmp"), "chart-")
	if err != nil {
		return "", "", err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	hash := sha256.New()
	sender := &failReader{from: r}
	n, err := io.Copy(io.MultiWriter(f, hash), io.LimitReader(sender, d.config.MaxUpload+1))
	if sender.err != nil {
		return "", "", &UploadError{sender.err}
	}
	if err != nil {
		return "", "", err
	}
	if n > d.config.MaxUpload {
		return "", "", fmt.Errorf("chart archive: %w: the limit is %d bytes", ErrTooLarge, d.config.MaxUpload)
	}
	if err := errors.Join(f.Chmod(0o644), unix.Fdatasync(int(f.Fd()))); err != nil {
		return "", "", err
	}
	return f.Name(), hex.EncodeToString(hash.Sum(nil)), nil
}

// UploadError says that the sender of an upload did not send all of it.
type UploadError struct{ Err error }

func (e *UploadError) Error() string { return "upload broke off: " + e.Err.Error() }
func (e *UploadError) Unwrap() error { return e.Err }

// check loads the whole chart, as an install would.
func (d *Depot) check(ctx context.Context, path string) (*chart.Metadata, error) {
	select {
	case d.checks <- struct{}{}:
		defer func() { <-d.checks }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	own := &failReader{from: f}
	c, err := chart.LoadArchive(own)
	if own.err != nil {
		return nil, own.err // our disk's fault, not the archive's
	}
	if err != nil {
		return nil, fmt.Errorf("%w chart: %w", ErrInvalid, err)
	}
	if _, err := checkMetadata(c.Metadata); err != nil {
		return nil, err
	}
	return c.Metadata, nil
}

// failReader remembers why it could not be read, to tell apart whose fault a failed
// copy is.
type failReader struct {
	from io.Reader
	err  error
}

func (r *failReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// store gives an archive its name, waits until that is on disk, and publishes it.
func (d *Depot) store(t *tenant, tmp, digest string, meta *chart.Metadata, prov []byte) (*Entry, error) {
	file := meta.Name + "-" + meta.Version + ".tgz"
	info, err := os.Stat(tmp)
	if err != nil {
		return nil, err
	}
	e, err := newEntry(meta, file, digest, info)
	if err != nil {
		return nil, err
	}
	t.mu.RLock()
	old := t.findLocked(meta.Name, meta.Version)
	t.mu.RUnlock()
	path := filepath.Join(t.dir, file)
	if prov == nil {
		// The old signature is not this archive's.
		if err := os.Remove(path + ".prov"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	} else if err := d.writeFile(path+".prov", prov); err != nil {
		return nil, err
	}
	if err := os.Rename(tmp, path); err != nil {
		return nil, err
	}
	if err := d.sync(t.dir); err != nil {
		return nil, err
	}
	t.add(e)
	d.seen.append(t.name, e)
	if old != nil && old.File != file { // put there by hand under another name
		t.remove(old.File)
		if err := os.Remove(filepath.Join(t.dir, old.File)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return e, nil
}

// writeFile writes and syncs a file whose name appears when it is whole. The
// folder is not synced.
func (d *Depot) writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(d.StatePath("tmp"), "file-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone when it was renamed
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// PutProvenance stores the .prov file of a chart that is there.
func (d *Depot) PutProvenance(tenant, file string, data []byte, force bool) error {
	if len(data) > maxProvenance {
		return fmt.Errorf("provenance file: %w", ErrTooLarge)
	}
	e, err := d.File(tenant, file)
	if err != nil {
		return err
	}
	t := d.tenant(tenant)
	path := filepath.Join(t.dir, e.File+".prov")
	overwrite := d.config.Overwrite == OverwriteAlways || force && d.config.Overwrite == OverwriteForced
	if _, err := os.Lstat(path); err == nil && !overwrite {
		return fmt.Errorf("%s.prov %w", file, ErrExists)
	}
	if err := t.reserve(e.Name, e.Version, true, 0); err != nil {
		return err
	}
	defer t.release(e.Name, e.Version)
	if err := d.writeFile(path, data); err != nil {
		return err
	}
	return d.sync(t.dir)
}

// Delete removes a version: from the index first, then from disk.
func (d *Depot) Delete(tenant, name, version string) error {
	e, err := d.Find(tenant, name, version)
	if err == nil && e.Version != version { // "latest" is for reading
		err = fmt.Errorf("chart %s-%s: %w", name, version, ErrNotFound)
	}
	if err != nil {
		return err
	}
	t := d.tenant(tenant)
	if err := t.reserve(e.Name, e.Version, true, 0); err != nil {
		return err
	}
	defer t.release(e.Name, e.Version)
	t.remove(e.File)
	path := filepath.Join(t.dir, e.File)
	for _, p := range []string{path, path + ".prov"} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return d.sync(t.dir)
}

// makeTenantDir makes a tenant's folder durable.
func (d *Depot) makeTenantDir(name string) error {
	dir := d.config.Dir
	if name == "" {
		return nil
	}
	at := ""
	for _, s := range strings.Split(name, "/") {
		parent := dir
		dir = filepath.Join(dir, s)
		at = strings.TrimPrefix(at+"/"+s, "/")
		err := os.Mkdir(dir, 0o755)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		// Who finds the folder there may be ahead of who made it: both sync,
		// unless the tenant is known, which it is after the sync only.
		if d.tenant(at) != nil {
			continue
		}
		if err := d.sync(parent); err != nil {
			return err
		}
		if err := d.watch.add(dir, at); err != nil {
			return err
		}
		d.tenantOrNew(at)
	}
	return nil
}
