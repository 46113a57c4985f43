package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	pvhelper "k8s.io/component-helpers/storage/volume"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Provisioner is the name under which the cluster provisions volumes on nodes'
// disks, and Finalizer holds such a volume until its data is deleted.
const (
	Provisioner = "pkg.internal/local"
	Finalizer   = "pkg.internal/local-volume"
)

// provisionedBy is Kubernetes' annotation that names a volume's provisioner.
const provisionedBy = "pv.kubernetes.io/provisioned-by"

// claim returns the folder of the volume that a claim is bound to.
func (m *Manager) claim(ctx context.Context, pod *corev1.Pod, volume, name string) (string, error) {
	c, err := builtin.PersistentVolumeClaims.Get(ctx, m.Verbs, pod.Namespace, name)
	if apierrors.IsNotFound(err) {
		return "", fmt.Errorf("persistentvolumeclaim %q not found", name)
	}
	if err != nil {
		return "", fmt.Errorf("persistentvolumeclaim %q: %w", name, err)
	}
	if c.DeletionTimestamp != nil && c.Status.Phase != corev1.ClaimBound {
		return "", fmt.Errorf("can't start pod because PVC %q is being deleted", name)
	}
	if c.Status.Phase != corev1.ClaimBound || c.Spec.VolumeName == "" {
		return "", fmt.Errorf("persistentvolumeclaim %q is not bound yet", name)
	}
	pv, err := builtin.PersistentVolumes.Get(ctx, m.Verbs, "", c.Spec.VolumeName)
	if err != nil {
		return "", fmt.Errorf("persistentvolume %q: %w", c.Spec.VolumeName, err)
	}
	if pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.UID != c.UID {
		return "", fmt.Errorf("persistentvolume %q is not bound to persistentvolumeclaim %q", pv.Name, name)
	}
	return m.persistent(ctx, pod, volume, pv)
}

// persistent returns the folder of a persistent volume on this node. Volumes
// that the cluster provisioned are made when they are first used.
func (m *Manager) persistent(ctx context.Context, pod *corev1.Pod, volume string, pv *corev1.PersistentVolume) (string, error) {
	node, err := builtin.Nodes.Get(ctx, m.Verbs, "", m.Node)
	if err != nil {
		return "", fmt.Errorf("node %s: %w", m.Node, err)
	}
	if err := pvhelper.CheckNodeAffinity(pv, node.Labels); err != nil {
		return "", fmt.Errorf("persistentvolume %q does not lie on node %s: %w", pv.Name, m.Node, err)
	}
	switch {
	case pv.Spec.HostPath != nil && pv.Annotations[provisionedBy] != Provisioner:
		return pv.Spec.HostPath.Path, hostPath(pv.Spec.HostPath)
	case pv.Spec.HostPath == nil && pv.Spec.Local == nil:
		return "", fmt.Errorf("persistentvolume %q: this node knows volumes of the kinds local and hostPath only", pv.Name)
	}
	path := pathOf(pv)
	if pv.Annotations[provisionedBy] == Provisioner {
		if err := m.makeProvisioned(path); err != nil {
			return "", err
		}
	} else if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("local volume: %w", err)
	}
	return path, m.give(pod, volume, path)
}

// pathOf is where a volume's data lies; empty for other kinds.
func pathOf(pv *corev1.PersistentVolume) string {
	switch {
	case pv.Spec.Local != nil:
		return pv.Spec.Local.Path
	case pv.Spec.HostPath != nil:
		return pv.Spec.HostPath.Path
	}
	return ""
}

// makeProvisioned makes the folder of a provisioned volume, for any user.
func (m *Manager) makeProvisioned(path string) error {
	if err := m.within(path); err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o777); err != nil {
		return err
	}
	return os.Chmod(path, 0o777) // whatever the umask
}

// within refuses paths that are not below VolumesDir.
func (m *Manager) within(path string) error {
	rel, err := filepath.Rel(m.VolumesDir, path)
	if m.VolumesDir == "" || err != nil || rel == "." || !filepath.IsLocal(rel) {
		return fmt.Errorf("path %q of a provisioned volume is not below %q", path, m.VolumesDir)
	}
	return nil
}

// give sets a volume's group to the pod's fsGroup, once for each pod.
func (m *Manager) give(pod *corev1.Pod, volume, path string) error {
	own := ownership(pod)
	if own.gid == nil {
		return nil
	}
	key := filepath.Join(string(pod.UID), volume)
	m.mu.Lock()
	done := m.owned[key]
	m.mu.Unlock()
	if done {
		return nil
	}
	policy := or(pod.Spec.SecurityContext.FSGroupChangePolicy, corev1.FSGroupChangeAlways)
	if err := giveVolume(path, *own.gid, policy == corev1.FSGroupChangeOnRootMismatch); err != nil {
		return fmt.Errorf("fsGroup: %w", err)
	}
	m.mu.Lock()
	m.owned[key] = true
	m.mu.Unlock()
	return nil
}

// selectedNode is Kubernetes' annotation that tells a provisioner which node a
// claim's first pod is on.
const selectedNode = "volume.kubernetes.io/selected-node"

// ephemeral is a claim that lives and dies with the pod. It is named
// <pod>-<volume> and made here if nobody else did.
func (m *Manager) ephemeral(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (string, error) {
	name := pod.Name + "-" + v.Name
	c, err := builtin.PersistentVolumeClaims.Get(ctx, m.Verbs, pod.Namespace, name)
	if apierrors.IsNotFound(err) && v.Ephemeral.VolumeClaimTemplate != nil {
		t := v.Ephemeral.VolumeClaimTemplate.DeepCopy()
		c = &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: name, Labels: t.Labels, Annotations: t.Annotations,
			OwnerReferences: []metav1.OwnerReference{object.ControllerRef(pod, builtin.Pods.Kind)},
		}, Spec: t.Spec}
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, selectedNode, m.Node)
		c, err = builtin.PersistentVolumeClaims.Create(ctx, m.Verbs, c, object.WriteOptions{FieldManager: "kubelet"})
	}
	if err != nil {
		return "", fmt.Errorf("ephemeral volume: %w", err)
	}
	if !object.ControlledBy(c, pod) {
		return "", errors.New("PVC " + pod.Namespace + "/" + name + " was not created for pod " + pod.Namespace + "/" + pod.Name + " (pod is not owner)")
	}
	return m.claim(ctx, pod, v.Name, name)
}
