package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Extract reads the rest of an archive into a folder, which must be empty and
// nobody else's. When it returns nil all that the manifest lists is there, on
// disk, with owners, modes, times, links and extended attributes. Holes of files
// become holes again. After an error the folder holds a part.
func (a *Reader) Extract(ctx context.Context, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	x := &extraction{Reader: a, ctx: ctx, root: root}
	if err := x.run(); err != nil {
		return err
	}
	return Sync(dir)
}

// Sync returns when the file system of a folder is on disk.
func Sync(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

type extraction struct {
	*Reader
	ctx     context.Context
	root    *os.Root
	folders []*tar.Header // whose times are set when all is in them
}

func (x *extraction) run() error {
	for {
		if x.ctx.Err() != nil {
			return context.Cause(x.ctx)
		}
		h, err := x.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := x.entry(h); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	for _, h := range slices.Backward(x.folders) {
		if err := x.root.Chtimes(h.Name, h.ModTime, h.ModTime); err != nil {
			return err
		}
	}
	return nil
}

func (x *extraction) entry(h *tar.Header) error {
	h.Name = strings.TrimSuffix(h.Name, "/")
	if parent := path.Dir(h.Name); parent != "." {
		if err := x.root.MkdirAll(parent, 0o711); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return x.folder(h)
	case tar.TypeReg:
		return x.file(h)
	case tar.TypeLink:
		return x.root.Link(h.Linkname, h.Name)
	case tar.TypeSymlink:
		if err := x.root.Symlink(h.Linkname, h.Name); err != nil {
			return err
		}
		return x.root.Lchown(h.Name, h.Uid, h.Gid)
	}
	return x.node(h)
}

// node makes a pipe or a device.
func (x *extraction) node(h *tar.Header) error {
	parent, err := x.root.Open(path.Dir(h.Name))
	if err != nil {
		return err
	}
	defer parent.Close()
	kind := map[byte]uint32{tar.TypeFifo: unix.S_IFIFO, tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK}[h.Typeflag]
	device := unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
	if err := unix.Mknodat(int(parent.Fd()), path.Base(h.Name), kind|uint32(h.Mode&0o777), int(device)); err != nil {
		return err
	}
	return errors.Join(x.root.Lchown(h.Name, h.Uid, h.Gid), x.root.Chmod(h.Name, permissions(h)))
}

func (x *extraction) file(h *tar.Header) error {
	f, err := x.root.OpenFile(h.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(copySparse(f, x, h.Size), attributes(f, h), f.Close()); err != nil {
		return err
	}
	return x.root.Chtimes(h.Name, h.ModTime, h.ModTime)
}

// folder makes one, or takes the one that a file in it was made with.
func (x *extraction) folder(h *tar.Header) error {
	if err := x.root.Mkdir(h.Name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	x.folders = append(x.folders, h)
	f, err := x.root.Open(h.Name)
	if err != nil {
		return err
	}
	return errors.Join(attributes(f, h), f.Close())
}

// attributes gives a file or folder its owner, mode and extended attributes, in
// this order: a change of owner takes away set-user-id bits and capabilities.
func attributes(f *os.File, h *tar.Header) error {
	if err := errors.Join(f.Chown(h.Uid, h.Gid), f.Chmod(permissions(h))); err != nil {
		return err
	}
	for k, v := range h.PAXRecords {
		name, ok := strings.CutPrefix(k, xattrPrefix)
		if !ok {
			continue
		}
		if err := unix.Fsetxattr(int(f.Fd()), name, []byte(v), 0); err != nil {
			return fmt.Errorf("extended attribute %s: %w", name, err)
		}
	}
	return nil
}

func permissions(h *tar.Header) fs.FileMode {
	return h.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
}

// sparseBlock is the least run of zeros that becomes a hole.
const sparseBlock = 64 << 10

// copySparse copies size bytes and leaves holes where blocks of zeros are.
func copySparse(f *os.File, r io.Reader, size int64) error {
	block := make([]byte, sparseBlock)
	for at := int64(0); at < size; {
		n, err := io.ReadFull(r, block[:min(sparseBlock, size-at)])
		if err != nil {
			return err
		}
		if !zero(block[:n]) {
			if _, err := f.WriteAt(block[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
	}
	return f.Truncate(size)
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
