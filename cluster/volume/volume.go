// Package volume makes the volumes of a node's pods: emptyDir, configMap,
// secret, downwardAPI, projected (with service account tokens), hostPath, and
// claims on persistent volumes that lie on this node. It implements
// node.Volumes.
//
// What is made for a pod lies under <root>/<pod uid>/volumes/<volume>. Volumes
// with content from the API are written like Kubernetes does, so that readers
// see all files of one state (see write.go); those that hold secrets or tokens
// lie on a tmpfs. The data of persistent volumes lies elsewhere and outlives
// pods; Run deletes it when its volume is released.
package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/object"
)

// Config is what a Manager works with.
type Config struct {
	Root string // folder for the pods' volumes
	// VolumesDir holds the data of the persistent volumes that the cluster
	// provisions. Nothing outside of it is ever deleted.
	VolumesDir string
	Node       string // this node's name
	Verbs      object.Verbs
	Now        func() time.Time // time.Now when nil
	Logger     *slog.Logger     // slog.Default() when nil
}

// Manager makes and removes volumes. Calls for different pods may run at the
// same time. Make one with New.
type Manager struct {
	Config
	tokens tokenCache

	mu sync.Mutex
	// owned are the persistent volumes whose group was set for a pod, by
	// "uid/volume"; guarded by mu.
	owned map[string]bool
}

// New returns a Manager; it makes the folder Root.
func New(c Config) (*Manager, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if err := os.MkdirAll(c.Root, 0o711); err != nil {
		return nil, fmt.Errorf("volumes: %w", err)
	}
	m := &Manager{Config: c, owned: map[string]bool{}}
	m.tokens = tokenCache{verbs: c.Verbs, now: c.Now, tokens: map[tokenKey]token{}}
	return m, nil
}

// Setup makes all volumes of the pod and returns each one's folder or file on
// this machine, by its name. Called again it refreshes content from the API.
// Errors are in the kubelet's words.
func (m *Manager) Setup(ctx context.Context, pod *corev1.Pod) (map[string]string, error) {
	paths := map[string]string{}
	if len(pod.Spec.Volumes) == 0 {
		return paths, nil
	}
	dir := m.volumesDir(string(pod.UID))
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("volumes of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		path, err := m.setup(ctx, pod, v, filepath.Join(dir, v.Name))
		if err != nil {
			return nil, fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", v.Name, err)
		}
		paths[v.Name] = path
	}
	return paths, nil
}

// setup makes one volume, at path unless it lies elsewhere.
func (m *Manager) setup(ctx context.Context, pod *corev1.Pod, v *corev1.Volume, path string) (string, error) {
	own := ownership(pod)
	switch {
	case v.EmptyDir != nil:
		return path, m.emptyDir(pod, v.EmptyDir, path, own)
	case v.HostPath != nil:
		return v.HostPath.Path, hostPath(v.HostPath)
	case v.PersistentVolumeClaim != nil:
		return m.claim(ctx, pod, v.Name, v.PersistentVolumeClaim.ClaimName)
	case v.Ephemeral != nil:
		return m.ephemeral(ctx, pod, v)
	}
	files, secret, err := m.payload(ctx, pod, v)
	if err != nil {
		return "", err
	}
	if secret {
		if err := mountTmpfs(path, 0, 0o755); err != nil {
			return "", err
		}
	} else if err := os.MkdirAll(path, 0o755); err != nil {
		return "", err
	}
	return path, writeFiles(path, files, own, m.Now())
}

// emptyDir makes a folder that anybody may write to, or a tmpfs of that kind.
func (m *Manager) emptyDir(pod *corev1.Pod, e *corev1.EmptyDirVolumeSource, path string, own owner) error {
	switch e.Medium {
	case corev1.StorageMediumDefault:
		if err := os.Mkdir(path, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		} else if err != nil {
			return nil // made before: its mode and content are the pod's
		}
	case corev1.StorageMediumMemory:
		if mounted, err := isMounted(path); err != nil || mounted {
			return err
		}
		var size int64
		if e.SizeLimit != nil {
			size = e.SizeLimit.Value()
		}
		if err := mountTmpfs(path, size, 0o777); err != nil {
			return err
		}
	default:
		return fmt.Errorf("medium %q is not supported by this node", e.Medium)
	}
	mode := fs.FileMode(0o777)
	if own.gid != nil {
		if err := os.Lchown(path, -1, int(*own.gid)); err != nil {
			return err
		}
		mode |= fs.ModeSetgid
	}
	return os.Chmod(path, mode)
}

// Teardown removes what Setup made for a pod. Data of persistent volumes stays.
func (m *Manager) Teardown(ctx context.Context, podUID string) error {
	dir := m.volumesDir(podUID)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return m.forget(podUID)
	}
	if err != nil {
		return fmt.Errorf("volumes of pod %s: %w", podUID, err)
	}
	for _, e := range entries {
		// Unmounted first: what is removed is never behind a mount.
		if err := unmount(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("volumes of pod %s: %w", podUID, err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("volumes of pod %s: %w", podUID, err)
	}
	return m.forget(podUID)
}

// forget drops what is remembered about a pod, and its folder when empty.
func (m *Manager) forget(podUID string) error {
	m.tokens.forget(podUID)
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.owned {
		if filepath.Dir(key) == podUID {
			delete(m.owned, key)
		}
	}
	os.Remove(filepath.Join(m.Root, podUID)) // others' files may lie there
	return nil
}

// Pods returns the UIDs of the pods that have volumes.
func (m *Manager) Pods() ([]string, error) {
	entries, err := os.ReadDir(m.Root)
	if err != nil {
		return nil, fmt.Errorf("volumes: %w", err)
	}
	var all []string
	for _, e := range entries {
		if _, err := os.Lstat(m.volumesDir(e.Name())); err == nil {
			all = append(all, e.Name())
		}
	}
	return all, nil
}

func (m *Manager) volumesDir(podUID string) string {
	return filepath.Join(m.Root, podUID, "volumes")
}
