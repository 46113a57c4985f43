package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// podFiles is where the agent keeps what it writes for pods:
//
//	<root>/<uid>/files/etc-hosts, resolv.conf, hostname
//	<root>/<uid>/files/termination/<container>/<attempt>
//	<root>/<uid>/files/subpaths/<container>/<n>   bind mounts
//	<logs>/<namespace>_<name>_<uid>/<container>/<attempt>.log
type podFiles struct{ root, logs string }

func (f podFiles) dir(uid string) string { return filepath.Join(f.root, uid, "files") }

// profiles is the folder of localhost seccomp profiles.
func (f podFiles) profiles() string { return filepath.Join(filepath.Dir(f.root), "seccomp") }

func (f podFiles) logDir(namespace, name, uid string) string {
	return filepath.Join(f.logs, namespace+"_"+name+"_"+uid)
}

func (f podFiles) termination(uid, container string, attempt int) string {
	return filepath.Join(f.dir(uid), "termination", container, strconv.Itoa(attempt))
}

// write writes a file of a pod and returns its path. The file is replaced in
// place, as containers have it mounted.
func (f podFiles) write(uid, name, text string) (string, error) {
	path := filepath.Join(f.dir(uid), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return path, nil
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return "", err
	}
	return path, os.Chmod(path, 0o644) // whatever the umask
}

// newTermination makes the empty file for a container's termination message,
// which any user may write.
func (f podFiles) newTermination(uid, container string, attempt int) (string, error) {
	path := f.termination(uid, container, attempt)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		return "", err
	}
	return path, os.Chmod(path, 0o666)
}

// remove removes what was written for a pod, but not its logs.
func (f podFiles) remove(uid string) error {
	if err := unmountAll(filepath.Join(f.dir(uid), subpathDir)); err != nil {
		return err
	}
	if err := os.RemoveAll(f.dir(uid)); err != nil {
		return fmt.Errorf("files of pod %s: %w", uid, err)
	}
	os.Remove(filepath.Dir(f.dir(uid))) // its volumes may lie there, too
	return nil
}

func (f podFiles) removeLogs(pod *corev1.Pod) error {
	return os.RemoveAll(f.logDir(pod.Namespace, pod.Name, string(pod.UID)))
}

// removeLog removes the log of one attempt and its rotated parts.
func (f podFiles) removeLog(pod *corev1.Pod, container string, attempt int) {
	dir := filepath.Join(f.logDir(pod.Namespace, pod.Name, string(pod.UID)), container)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // nothing was logged
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), strconv.Itoa(attempt)+".log") {
			os.Remove(filepath.Join(dir, e.Name())) // else with the pod
		}
	}
}

// podLogs returns the pods' UIDs that have log folders, with the folders.
func (f podFiles) podLogs() (map[string]string, error) {
	entries, err := os.ReadDir(f.logs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, e := range entries {
		if i := strings.LastIndexByte(e.Name(), '_'); i >= 0 && e.IsDir() {
			all[e.Name()[i+1:]] = filepath.Join(f.logs, e.Name())
		}
	}
	return all, nil
}

// pods returns the UIDs of the pods that have files.
func (f podFiles) pods() ([]string, error) {
	entries, err := os.ReadDir(f.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range entries {
		if _, err := os.Lstat(f.dir(e.Name())); err == nil {
			all = append(all, e.Name())
		}
	}
	return all, nil
}

// largeLogs returns the pod's current logs that are larger than limit bytes.
func (f podFiles) largeLogs(pod *corev1.Pod, limit int64) []string {
	paths, err := filepath.Glob(filepath.Join(f.logDir(pod.Namespace, pod.Name, string(pod.UID)), "*", "*.log"))
	if err != nil {
		return nil // only for a malformed pattern
	}
	var all []string
	for _, path := range paths {
		if st, err := os.Stat(path); err == nil && st.Size() > limit {
			all = append(all, path)
		}
	}
	return all
}
