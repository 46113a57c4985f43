package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// xattrPrefix is where tar keeps extended attributes.
const xattrPrefix = "SCHILY.xattr."

// inode tells hard links of one file.
type inode struct{ device, number uint64 }

// tree copies one folder.
type tree struct {
	*Writer
	ctx    context.Context
	root   *os.Root
	prefix string
	seen   map[inode]string // files with several names, by their first
	files  int
	bytes  int64
}

// Tree adds the folder dir and all below it under the name prefix, and returns
// how many files and bytes that were. Names in dir belong to whoever uses the
// volume and may change meanwhile: what vanishes is left out, and no link is
// followed out of dir. Sockets are left out.
func (a *Writer) Tree(ctx context.Context, dir, prefix string) (files int, bytes int64, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, 0, err
	}
	defer root.Close()
	t := &tree{Writer: a, ctx: ctx, root: root, prefix: prefix, seen: map[inode]string{}}
	err = t.walk(".")
	return t.files, t.bytes, err
}

func (t *tree) walk(name string) error {
	if err := t.ctx.Err(); err != nil {
		return context.Cause(t.ctx)
	}
	info, err := t.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", t.prefix, err)
	}
	switch {
	case info.IsDir():
		return t.folder(name)
	case info.Mode().IsRegular():
		return t.file(name)
	case info.Mode()&fs.ModeSocket != 0:
		return nil
	}
	return t.special(name, info)
}

// open opens a file or folder, never a pipe, whose opening would wait. ok is
// false when it has vanished, or is something else by now.
func (t *tree) open(name string, kind fs.FileMode) (f *os.File, info fs.FileInfo, ok bool, err error) {
	f, err = t.root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) {
		return nil, nil, false, nil
	}
	if err != nil {
		return nil, nil, false, fmt.Errorf("%s: %w", t.prefix, err)
	}
	if info, err = f.Stat(); err != nil || info.Mode().Type() != kind {
		f.Close()
		return nil, nil, false, err
	}
	return f, info, true, nil
}

func (t *tree) folder(name string) error {
	f, info, ok, err := t.open(name, fs.ModeDir)
	if err != nil || !ok {
		return err
	}
	defer f.Close()
	h, err := t.header(name, info, "", f)
	if err != nil {
		return err
	}
	h.Name += "/"
	if err := t.add(h, nil); err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("%s: %w", path.Join(t.prefix, name), err)
	}
	slices.Sort(names)
	for _, n := range names {
		if err := t.walk(path.Join(name, n)); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) file(name string) error {
	f, info, ok, err := t.open(name, 0)
	if err != nil || !ok {
		return err
	}
	defer f.Close()
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Nlink > 1 {
		i := inode{uint64(s.Dev), s.Ino}
		if first, ok := t.seen[i]; ok {
			return t.link(name, first, info)
		}
		t.seen[i] = path.Join(t.prefix, name)
	}
	h, err := t.header(name, info, "", f)
	if err != nil {
		return err
	}
	t.files++
	t.bytes += info.Size()
	return t.add(h, &cancelled{t.ctx, f})
}

func (t *tree) link(name, first string, info fs.FileInfo) error {
	h, err := t.header(name, info, "", nil)
	if err != nil {
		return err
	}
	h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
	t.files++
	return t.add(h, nil)
}

// special adds a symbolic link, a pipe or a device.
func (t *tree) special(name string, info fs.FileInfo) error {
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if link, err = t.root.Readlink(name); errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EINVAL) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", t.prefix, err)
		}
	}
	h, err := t.header(name, info, link, nil)
	if err != nil {
		return err
	}
	t.files++
	return t.add(h, nil)
}

// header describes a file as tar does; f, where it is open, gives its extended
// attributes. Names of users stay out: they are of this machine.
func (t *tree) header(name string, info fs.FileInfo, link string, f *os.File) (*tar.Header, error) {
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path.Join(t.prefix, name), err)
	}
	h.Name, h.Uname, h.Gname = path.Join(t.prefix, name), "", ""
	if f == nil {
		return h, nil
	}
	attributes, err := xattrs(f)
	if err != nil {
		return nil, fmt.Errorf("%s: extended attributes: %w", h.Name, err)
	}
	for k, v := range attributes {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[xattrPrefix+k] = v
	}
	return h, nil
}

// xattrs reads the extended attributes that a restore can set again: no
// trusted ones, which are the file system's own.
func xattrs(f *os.File) (map[string]string, error) {
	list := make([]byte, 64<<10) // the kernel's limit, XATTR_LIST_MAX
	n, err := unix.Flistxattr(int(f.Fd()), list)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	value := make([]byte, 64<<10) // XATTR_SIZE_MAX
	for name := range strings.SplitSeq(string(list[:n]), "\x00") {
		if name == "" || strings.HasPrefix(name, "trusted.") || strings.Contains(name, "=") {
			continue
		}
		n, err := unix.Fgetxattr(int(f.Fd()), name, value)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all[name] = string(value[:n])
	}
	return all, nil
}

// cancelled is a file whose reading ends with a context.
type cancelled struct {
	ctx context.Context
	f   *os.File
}

func (c *cancelled) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.f.Read(p)
}
