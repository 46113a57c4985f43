package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	corev1 "k8s.io/api/core/v1"
)

// hostPath checks a path of the host, and makes it where its type says so. The
// messages are Kubernetes'.
func hostPath(h *corev1.HostPathVolumeSource) error {
	kind := or(h.Type, corev1.HostPathUnset)
	if kind == corev1.HostPathUnset {
		// As container runtimes do: what is missing becomes a folder.
		if _, err := os.Stat(h.Path); errors.Is(err, fs.ErrNotExist) {
			return os.MkdirAll(h.Path, 0o755)
		} else if err != nil {
			return err
		}
		return nil
	}
	st, err := os.Stat(h.Path)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	mode := fs.FileMode(0)
	if !missing {
		mode = st.Mode()
	}
	failed := func(what string) error {
		return fmt.Errorf("hostPath type check failed: %s is not %s", h.Path, what)
	}
	switch kind {
	case corev1.HostPathDirectoryOrCreate:
		if missing {
			return os.MkdirAll(h.Path, 0o755)
		}
		if !mode.IsDir() {
			return failed("a directory")
		}
	case corev1.HostPathDirectory:
		if missing || !mode.IsDir() {
			return failed("a directory")
		}
	case corev1.HostPathFileOrCreate:
		if missing {
			f, err := os.OpenFile(h.Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			return f.Close()
		}
		if !mode.IsRegular() {
			return failed("a file")
		}
	case corev1.HostPathFile:
		if missing || !mode.IsRegular() {
			return failed("a file")
		}
	case corev1.HostPathSocket:
		if mode&fs.ModeSocket == 0 {
			return failed("a socket file")
		}
	case corev1.HostPathCharDev:
		if mode&fs.ModeCharDevice == 0 {
			return failed("a character device")
		}
	case corev1.HostPathBlockDev:
		if mode&fs.ModeDevice == 0 || mode&fs.ModeCharDevice != 0 {
			return failed("a block device")
		}
	default:
		return fmt.Errorf("%s is an invalid volume type", kind)
	}
	return nil
}
