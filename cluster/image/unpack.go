package image

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	securejoin "github.com/cyphar/filepath-securejoin"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/cri"
)

// The names of entries that remove what is below, in images (OCI image
// specification, "Whiteouts") and in overlayfs.
const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
	opaqueXattr    = "trusted.overlay.opaque"
)

// xattrPrefix is where tar keeps extended attributes.
const xattrPrefix = "SCHILY.xattr."

// unpackAll unpacks the layers that are not there yet and returns the names of
// all. A layer's name is that of the chain up to it, since a
// folder that it only mentions has the attributes of the layer below.
func (s *Store) unpackAll(ctx context.Context, blobs, diffIDs []v1.Hash, progress func(cri.ImageProgress)) ([]string, error) {
	var names, below []string
	chain := ""
	for i, diff := range diffIDs {
		if chain == "" {
			chain = diff.String()
		} else {
			sum := sha256.Sum256([]byte(chain + " " + diff.String()))
			chain = "sha256:" + hex.EncodeToString(sum[:])
		}
		name := hexOf(chain)
		if _, err := os.Stat(s.layerDir(name)); err != nil {
			if err := s.unpackLayer(ctx, name, s.blob(blobs[i]), diff, below); err != nil {
				return nil, fmt.Errorf("unpack layer %s: %w", diff, err)
			}
		}
		names = append(names, name)
		below = append(below, s.layerDir(name))
		progress(cri.ImageProgress{Stage: "unpacking", Done: int64(i + 1), Total: int64(len(diffIDs))})
	}
	return names, nil
}

// unpackLayer unpacks one blob, checks the digest of its content and gives the
// folder its name when all of it is on disk.
func (s *Store) unpackLayer(ctx context.Context, name, blob string, diff v1.Hash, below []string) (err error) {
	tmp, err := os.MkdirTemp(s.path("layers"), ".tmp-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(tmp)
		}
	}()
	f, err := os.Open(blob)
	if err != nil {
		return err
	}
	defer f.Close()
	content, err := decompress(f)
	if err != nil {
		return err
	}
	defer content.Close()
	hash := sha256.New()
	in := io.TeeReader(&contextReader{ctx, content}, hash)
	u := &unpacker{root: filepath.Join(tmp, "fs"), below: below}
	if err := u.unpack(in); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil { // what follows tar's end counts too
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != diff.Hex {
		return fmt.Errorf("its content has digest sha256:%s", got)
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	dir, err := os.Open(tmp)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return err
	}
	err = os.Rename(tmp, s.path("layers", name))
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, fs.ErrExist) { // another pull was faster
		return os.RemoveAll(tmp)
	}
	if err != nil {
		return err
	}
	return syncDir(s.path("layers"))
}

// decompress undoes gzip or zstd, whichever the first bytes show.
func decompress(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	magic, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case len(magic) >= 2 && magic[0] == 0x1f && magic[1] == 0x8b:
		return gzip.NewReader(b)
	case string(magic) == "\x28\xb5\x2f\xfd":
		z, err := zstd.NewReader(b)
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(b), nil
}

// unpacker writes one layer's entries below root. Nobody else writes there, so
// that a path that was found to stay below root does.
type unpacker struct {
	root  string
	below []string // unpacked lower layers, lowest first
	times []dirTime
}

// dirTime is set at the end: what is written into a folder changes its time.
type dirTime struct {
	path string
	at   time.Time
}

func (u *unpacker) unpack(r io.Reader) error {
	if err := os.Mkdir(u.root, 0o755); err != nil {
		return err
	}
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := u.entry(h, t); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	for _, d := range slices.Backward(u.times) {
		at := unix.NsecToTimespec(d.at.UnixNano())
		err := unix.UtimesNanoAt(unix.AT_FDCWD, d.path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.ENOENT) { // a later entry may have replaced it
			return err
		}
	}
	return nil
}

// entry unpacks one entry.
func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	if slices.Contains(strings.Split(h.Name, "/"), "..") {
		return errors.New("the path leads out of the layer")
	}
	clean := strings.Trim(filepath.Clean("/"+h.Name), "/")
	if clean == "" {
		return u.attributes(u.root, h)
	}
	parent, err := u.parent(filepath.Dir(clean))
	if err != nil {
		return err
	}
	base := filepath.Base(clean)
	path := filepath.Join(parent, base)
	if hidden, ok := strings.CutPrefix(base, whiteoutPrefix); ok {
		return u.whiteout(parent, base, hidden)
	}
	if old, err := os.Lstat(path); err == nil && (!old.IsDir() || h.Typeflag != tar.TypeDir) {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		err = os.Mkdir(path, 0o755)
		if errors.Is(err, fs.ErrExist) {
			err = nil
		}
	case tar.TypeReg:
		err = writeContent(path, content)
	case tar.TypeSymlink:
		err = os.Symlink(h.Linkname, path)
	case tar.TypeLink:
		return u.link(h.Linkname, path) // attributes are the target's
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		var skip bool
		if skip, err = makeNode(path, h); skip {
			return nil
		}
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return fmt.Errorf("unknown type of entry %q", h.Typeflag)
	}
	if err != nil {
		return err
	}
	return u.attributes(path, h)
}

// parent returns a folder of the layer, following links as if root were /, and
// makes what is missing with the attributes of the layer below.
func (u *unpacker) parent(rel string) (string, error) {
	path, err := securejoin.SecureJoin(u.root, rel)
	if err != nil {
		return "", err
	}
	if st, err := os.Lstat(path); err == nil {
		if st.IsDir() {
			return path, nil
		}
		return "", fmt.Errorf("%s is no folder", rel)
	}
	inside, err := filepath.Rel(u.root, path)
	if err != nil {
		return "", err
	}
	if _, err := u.parent(filepath.Dir(inside)); err != nil {
		return "", err
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		return "", err
	}
	for _, lower := range slices.Backward(u.below) {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(lower, inside), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		if err := os.Lchown(path, int(st.Uid), int(st.Gid)); err != nil {
			return "", err
		}
		return path, unix.Chmod(path, st.Mode&0o7777)
	}
	return path, nil
}

// whiteout writes overlayfs' form of a removal.
func (u *unpacker) whiteout(parent, base, hidden string) error {
	if base == opaqueMarker {
		return unix.Setxattr(parent, opaqueXattr, []byte("y"), 0)
	}
	if strings.HasPrefix(hidden, whiteoutPrefix) || hidden == "" || hidden == "." || hidden == ".." {
		return nil // aufs' own files, which images made long ago hold
	}
	path := filepath.Join(parent, hidden)
	if _, err := os.Lstat(path); err == nil {
		return nil // the layer itself has it: its entries are not hidden by its whiteouts
	}
	return unix.Mknod(path, unix.S_IFCHR, 0)
}

func writeContent(path string, content io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// makeNode makes a device or pipe; skip is set where that is not permitted.
func makeNode(path string, h *tar.Header) (skip bool, err error) {
	kind := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
	if kind == unix.S_IFCHR && h.Devmajor == 0 && h.Devminor == 0 {
		return true, nil // would hide the layer below
	}
	err = unix.Mknod(path, kind|0o600, int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))))
	if errors.Is(err, unix.EPERM) {
		return true, nil
	}
	return false, err
}

// link makes a hard link, or a copy of a file that only a lower layer has.
func (u *unpacker) link(target, path string) error {
	if slices.Contains(strings.Split(target, "/"), "..") {
		return errors.New("the link leads out of the layer")
	}
	clean := strings.Trim(filepath.Clean("/"+target), "/")
	find := func(root string) (string, error) {
		dir, err := securejoin.SecureJoin(root, filepath.Dir(clean))
		return filepath.Join(dir, filepath.Base(clean)), err
	}
	from, err := find(u.root)
	if err != nil {
		return err
	}
	err = os.Link(from, path)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, lower := range slices.Backward(u.below) {
		from, err := find(lower)
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(from, &st); err != nil {
			continue
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG {
			return fmt.Errorf("a link to %s, which is no file", target)
		}
		return copyFile(from, path, st)
	}
	return fmt.Errorf("a link to %s, which is not there", target)
}

func copyFile(from, to string, st unix.Stat_t) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := writeContent(to, in); err != nil {
		return err
	}
	if err := os.Lchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	return unix.Chmod(to, st.Mode&0o7777)
}

// attributes sets owner, extended attributes, mode and times, in the order in
// which the kernel does not take them away again.
func (u *unpacker) attributes(path string, h *tar.Header) error {
	if err := os.Lchown(path, h.Uid, h.Gid); err != nil {
		return err
	}
	for key, value := range h.PAXRecords {
		attr, ok := strings.CutPrefix(key, xattrPrefix)
		if !ok || strings.HasPrefix(attr, "trusted.overlay.") { // an image must not steer overlayfs
			continue
		}
		err := unix.Lsetxattr(path, attr, []byte(value), 0)
		if err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("attribute %s: %w", attr, err)
		}
	}
	if h.Typeflag != tar.TypeSymlink {
		if err := unix.Chmod(path, uint32(h.Mode)&0o7777); err != nil {
			return err
		}
	}
	if h.Typeflag == tar.TypeDir {
		u.times = append(u.times, dirTime{path, h.ModTime})
		return nil
	}
	at := unix.NsecToTimespec(h.ModTime.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
}
