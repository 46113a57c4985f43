package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mountRootfs mounts an overlay of the image's layers (lowest first) and the
// container's own upper folder at dir/rootfs.
//
// Layers are named through descriptors: the options of a mount must fit into
// one page, which the paths of many layers do not.
func mountRootfs(dir string, layers []string) error {
	for _, sub := range []string{upperDir, workDir, rootfsDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	if len(layers) == 0 {
		return errors.New("the image has no layers")
	}
	var lower []string
	for i := len(layers) - 1; i >= 0; i-- { // the uppermost first
		f, err := os.Open(layers[i])
		if err != nil {
			return fmt.Errorf("layer: %w", err)
		}
		defer f.Close()
		lower = append(lower, "/proc/self/fd/"+strconv.Itoa(int(f.Fd())))
	}
	options := "lowerdir=" + strings.Join(lower, ":") + ",upperdir=" + filepath.Join(dir, upperDir) +
		",workdir=" + filepath.Join(dir, workDir)
	if strings.ContainsAny(dir, ":,\\") {
		return fmt.Errorf("overlay: the path %q holds a character that the kernel cannot take", dir)
	}
	target := filepath.Join(dir, rootfsDir)
	// A container's own layer does not outlive it: nothing needs syncing.
	err := unix.Mount("overlay", target, "overlay", 0, options+",volatile")
	if errors.Is(err, unix.EINVAL) { // before Linux 5.10
		err = unix.Mount("overlay", target, "overlay", 0, options)
	}
	if err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	return nil
}

// unmount detaches all mounts at a path; none is fine.
func unmount(path string) error {
	for {
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	}
}

// removeContainerDir unmounts a container's root and removes its folder.
func removeContainerDir(dir string) error {
	if err := unmount(filepath.Join(dir, rootfsDir)); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// shmSize is the size of a pod's /dev/shm, as container engines have it.
const shmSize = 64 << 20

// mountShm mounts a pod's /dev/shm, once.
func mountShm(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	if isMount(path) {
		return nil
	}
	err := unix.Mount("shm", path, "tmpfs", unix.MS_NOEXEC|unix.MS_NOSUID|unix.MS_NODEV,
		"mode=1777,size="+strconv.Itoa(shmSize))
	if err != nil {
		return fmt.Errorf("mount %s: %w", path, err)
	}
	return nil
}

// isMount tells whether a folder is on another file system than its parent.
func isMount(path string) bool {
	var own, parent unix.Stat_t
	if unix.Stat(path, &own) != nil || unix.Stat(filepath.Dir(path), &parent) != nil {
		return false
	}
	return own.Dev != parent.Dev
}
