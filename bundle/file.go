package bundle

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// maxEntries bounds the entries of an archive.
const maxEntries = 100_000

// File is a bundle in a file, which stays open.
type File struct {
	*Bundle
	file    *os.File
	entries map[string]span
}

// span is where an entry's content is in the archive.
type span struct{ offset, size int64 }

// errTruncated is what a cut file is told by.
var errTruncated = errors.New("the file is cut short")

// Open opens the bundle in a file and reads its small parts. Errors wrap
// [ErrNoBundle] for files that are something else.
func Open(ctx context.Context, name string) (*File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	b := &File{file: f, entries: map[string]span{}}
	if err := b.load(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("bundle %s: %w", name, err), f.Close())
	}
	return b, nil
}

// IsBundle tells by its first entry whether a file is a tar archive of an OCI layout
// as [Bundle.Write] makes them.
func IsBundle(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return false
	}
	h, err := tar.NewReader(f).Next()
	return err == nil && path.Clean(h.Name) == "oci-layout"
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

func (f *File) load(ctx context.Context) error {
	if err := f.scan(); err != nil {
		return err
	}
	at, ok := f.entries["index.json"]
	if !ok {
		return fmt.Errorf("%w: it has no index.json", ErrNoBundle)
	}
	if at.size > maxDocument {
		return fmt.Errorf("%w: its index.json has %d bytes", ErrNoBundle, at.size)
	}
	index, err := io.ReadAll(io.NewSectionReader(f.file, at.offset, at.size))
	if err != nil {
		return err
	}
	f.Bundle, err = Read(ctx, index, f.openBlob)
	return err
}

// scan finds the entries, reading nothing but headers.
func (f *File) scan() error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	t := tar.NewReader(f.file)
	for n := 0; ; n++ {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF) && n > 0:
			return errTruncated
		case err != nil:
			return fmt.Errorf("%w: %w", ErrNoBundle, err)
		case n == maxEntries:
			return fmt.Errorf("it has more than %d entries", maxEntries)
		}
		name := path.Clean(h.Name)
		if _, twice := f.entries[name]; twice {
			return fmt.Errorf("it has the entry %s twice", name)
		}
		switch h.Typeflag {
		case tar.TypeReg:
			offset, err := f.file.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			if offset+h.Size > info.Size() {
				return fmt.Errorf("%w: %s ends after %d of %d bytes", errTruncated, name, max(0, info.Size()-offset), h.Size)
			}
			f.entries[name] = span{offset, h.Size}
		case tar.TypeLink:
			if to, ok := f.entries[path.Clean(h.Linkname)]; ok {
				f.entries[name] = to
			}
		}
	}
}

// openBlob is the file's Opener.
func (f *File) openBlob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	at, ok := f.entries[blobEntry(d.Digest)]
	if !ok {
		return nil, fmt.Errorf("it is not in the file: %w", fs.ErrNotExist)
	}
	return io.NopCloser(io.NewSectionReader(f.file, at.offset, at.size)), nil
}
