package volume

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	corev1 "k8s.io/api/core/v1"
)

// owner is whom a pod's volumes are given to: its fsGroup, if it has one.
type owner struct{ gid *int64 }

func ownership(pod *corev1.Pod) owner {
	if pod.Spec.SecurityContext == nil {
		return owner{}
	}
	return owner{gid: pod.Spec.SecurityContext.FSGroup}
}

// giveVolume gives all of a persistent volume to the group gid, with
// permission to read and write and, on folders, the setgid bit. With
// rootDecides a volume whose root is so already is taken to be so throughout
// (fsGroupChangePolicy OnRootMismatch).
func giveVolume(root string, gid int64, rootDecides bool) error {
	const dirMode, fileMode = fs.ModeSetgid | 0o770, fs.FileMode(0o660)
	st, err := os.Stat(root)
	if err != nil {
		return err
	}
	if rootDecides && groupOf(st) == gid && st.Mode()&(fs.ModeSetgid|0o070) == fs.ModeSetgid|0o070 {
		return nil
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a running pod may have removed it
		}
		if err != nil {
			return err
		}
		st, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && st.Mode()&fs.ModeSymlink != 0 {
			return nil
		}
		if err != nil {
			return err
		}
		mode := st.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
		if d.IsDir() {
			mode |= dirMode
		} else {
			mode |= fileMode
		}
		if groupOf(st) == gid && mode == st.Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) {
			return nil
		}
		if err := giveGroup(path, mode, gid); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

func groupOf(st fs.FileInfo) int64 {
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return int64(s.Gid)
	}
	return -1
}
