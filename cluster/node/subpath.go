package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const subpathDir = "subpaths"

// bindSubpath makes target a bind mount of sub within volume, creating sub as a
// folder if it is missing. The kernel resolves sub and refuses whatever leaves
// the volume, so a container that plants symbolic links gains nothing, also
// not by being fast: what was opened is what is mounted.
func bindSubpath(volume, sub, target string) error {
	if filepath.IsAbs(sub) || sub == ".." || strings.HasPrefix(sub, "../") || strings.Contains(sub, "/../") || strings.HasSuffix(sub, "/..") {
		return fmt.Errorf("subPath %q must stay within the volume", sub)
	}
	root, err := unix.Open(volume, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", volume, err)
	}
	defer unix.Close(root)
	fd, err := openBeneath(root, filepath.Clean(sub))
	if err != nil {
		return fmt.Errorf("subPath %q: %w", sub, err)
	}
	defer unix.Close(fd)
	return bind(fd, target)
}

// openBeneath opens path below root, making missing folders with the mode of
// root.
func openBeneath(root int, path string) (int, error) {
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(root, path, how)
	if err == nil || !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(root, &st); err != nil {
		return -1, err
	}
	parent, err := unix.Dup(root)
	if err != nil {
		return -1, err
	}
	for _, name := range strings.Split(path, "/") {
		if err := unix.Mkdirat(parent, name, 0o750); err != nil && !errors.Is(err, unix.EEXIST) {
			unix.Close(parent)
			return -1, err
		} else if err == nil {
			// As the volume itself: its mode and group, whatever the umask.
			err = errors.Join(unix.Fchmodat(parent, name, st.Mode&0o7777, 0), unix.Fchownat(parent, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW))
			if err != nil {
				unix.Close(parent)
				return -1, err
			}
		}
		next, err := unix.Openat2(parent, name, how)
		unix.Close(parent)
		if err != nil {
			return -1, err
		}
		parent = next
	}
	return parent, nil
}

// bind mounts what fd refers to on target, a folder or file as fd's is.
func bind(fd int, target string) error {
	if err := unmountAll(target); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(target); err != nil { // an empty folder or file: nothing is mounted
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if err := os.Mkdir(target, 0o755); err != nil {
			return err
		}
	} else if err := os.WriteFile(target, nil, 0o600); err != nil {
		return err
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", fd), target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind mount on %s: %w", target, err)
	}
	return nil
}

// unmountAll unmounts all below dir, dir included. What is missing is fine.
func unmountAll(dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		// Each is unmounted before the walk goes into it, so that it never
		// sees a volume's content.
		for {
			err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
			if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
				return nil // not a mount point (any more)
			}
			if err != nil {
				return fmt.Errorf("unmount %s: %w", path, err)
			}
		}
	})
	return err
}
