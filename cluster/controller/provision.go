package controller

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/volume"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

const (
	// LocalProvisioner makes volumes of folders on a node's disk.
	LocalProvisioner = "pkg.internal/local"
	// LocalVolumeFinalizer is on every volume that LocalProvisioner made. The
	// agent of the volume's node removes it, once it deleted the data of a
	// volume that is being deleted.
	LocalVolumeFinalizer = "pkg.internal/local-volume"
	// LocalClass is the StorageClass that a new cluster has as the default.
	LocalClass = "local"
	// localClassMade, on the namespace kube-system, remembers that LocalClass
	// was created once: whoever deletes it does not want it back.
	localClassMade = "pkg.internal/local-class-created"
)

// ensureClassRetry is how long to wait after LocalClass could not be made.
const ensureClassRetry = time.Second

// ensureLocalClass creates the StorageClass of local volumes in a new cluster.
func (s *Set) ensureLocalClass(ctx context.Context) error {
	for ctx.Err() == nil {
		done, err := s.makeLocalClass(ctx)
		if done {
			return nil
		}
		if err != nil && !apierrors.IsConflict(err) && ctx.Err() == nil {
			s.log.Warn("create storage class", "class", LocalClass, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(ensureClassRetry):
		}
	}
	return nil
}

func (s *Set) makeLocalClass(ctx context.Context) (done bool, err error) {
	system, err := builtin.Namespaces.Get(ctx, s.verbs, "", metav1.NamespaceSystem)
	if err != nil {
		return false, ignoreNotFound(err)
	}
	if system.Annotations[localClassMade] != "" {
		return true, nil
	}
	class := &storagev1.StorageClass{
		ObjectMeta:           metav1.ObjectMeta{Name: LocalClass, Annotations: map[string]string{defaultClassAnnotation: "true"}},
		Provisioner:          LocalProvisioner,
		ReclaimPolicy:        new(corev1.PersistentVolumeReclaimDelete),
		AllowVolumeExpansion: new(false),
		VolumeBindingMode:    new(storagev1.VolumeBindingWaitForFirstConsumer),
	}
	if _, err := builtin.StorageClasses.Create(ctx, s.verbs, class, write()); err != nil && !apierrors.IsAlreadyExists(err) {
		return false, err
	}
	changed := system.DeepCopy()
	setAnnotation(changed, localClassMade, "true")
	_, err = builtin.Namespaces.Update(ctx, s.verbs, changed, write())
	return err == nil, err
}

// provision gets a claim the volume that its class makes. Classes of other
// provisioners are told by annotation, and waited for.
func (c *claims) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	if class.Provisioner != LocalProvisioner {
		c.event(claim, corev1.EventTypeNormal, "ExternalProvisioning", "Waiting for a volume to be created either by the external provisioner '%s' "+
			"or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.",
			class.Provisioner)
		return c.announce(ctx, claim, class.Provisioner)
	}
	if claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock {
		c.event(claim, corev1.EventTypeWarning, "ProvisioningFailed", "class %q makes file systems, not block volumes", class.Name)
		return nil
	}
	node, err := c.nodeFor(ctx, claim)
	if err != nil || node == nil {
		return err
	}
	if err := c.announce(ctx, claim, class.Provisioner); err != nil {
		return err
	}
	v := localVolume(claim, class, node, c.cfg.VolumesDir)
	if _, err := builtin.PersistentVolumes.Create(ctx, c.verbs, v, write()); err != nil && !apierrors.IsAlreadyExists(err) {
		c.event(claim, corev1.EventTypeWarning, "ProvisioningFailed", "failed to provision volume with StorageClass %q: %v", class.Name, err)
		return fmt.Errorf("create volume: %w", err)
	}
	c.event(claim, corev1.EventTypeNormal, "ProvisioningSucceeded", "Successfully provisioned volume %s", volumeName(claim))
	return nil // the volume's appearance binds it
}

// announce names the provisioner at the claim, as Kubernetes does.
func (c *claims) announce(ctx context.Context, claim *corev1.PersistentVolumeClaim, provisioner string) error {
	if claim.Annotations[volume.AnnStorageProvisioner] == provisioner {
		return nil
	}
	fresh, err := builtin.PersistentVolumeClaims.Get(ctx, c.verbs, claim.Namespace, claim.Name)
	if err != nil {
		return err
	}
	changed := fresh.DeepCopy()
	setAnnotation(changed, volume.AnnStorageProvisioner, provisioner)
	setAnnotation(changed, volume.AnnBetaStorageProvisioner, provisioner)
	_, err = builtin.PersistentVolumeClaims.Update(ctx, c.verbs, changed, write())
	return err
}

// nodeFor is where the claim's volume is made: on the node that the scheduler
// chose, or on any when the class binds at once. Nil: that node is gone, and
// the scheduler must choose again.
func (c *claims) nodeFor(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*corev1.Node, error) {
	if selected := claim.Annotations[volume.AnnSelectedNode]; selected != "" {
		node, ok, err := present(builtin.Nodes.Get(ctx, c.verbs, "", selected))
		if ok || err != nil {
			return node, err
		}
		fresh, err := builtin.PersistentVolumeClaims.Get(ctx, c.verbs, claim.Namespace, claim.Name)
		if err != nil {
			return nil, ignoreNotFound(err)
		}
		changed := fresh.DeepCopy()
		delete(changed.Annotations, volume.AnnSelectedNode)
		_, err = builtin.PersistentVolumeClaims.Update(ctx, c.verbs, changed, write())
		return nil, err
	}
	nodes, err := builtin.Nodes.List(ctx, c.verbs, object.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	for _, n := range nodes {
		if !n.Spec.Unschedulable {
			return n, nil
		}
	}
	return nil, fmt.Errorf("no node to make the volume on")
}

func volumeName(claim *corev1.PersistentVolumeClaim) string { return "pvc-" + string(claim.UID) }

// localVolume makes the volume for a claim: a folder on a node, bound to the
// claim from the start.
func localVolume(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, node *corev1.Node, dir string) *corev1.PersistentVolume {
	name := volumeName(claim)
	host := node.Labels[corev1.LabelHostname]
	if host == "" {
		host = node.Name
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{volume.AnnDynamicallyProvisioned: LocalProvisioner},
			Finalizers:  []string{LocalVolumeFinalizer, pvProtection},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes: claim.Spec.AccessModes,
			VolumeMode:  new(corev1.PersistentVolumeFilesystem),
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{
				Path: filepath.Join(dir, name+"_"+claim.Namespace+"_"+claim.Name)}},
			PersistentVolumeReclaimPolicy: value(class.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete),
			StorageClassName:              class.Name,
			MountOptions:                  class.MountOptions,
			ClaimRef: &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{host}}}}}}},
		},
	}
}

func (c *claims) event(claim *corev1.PersistentVolumeClaim, kind, reason, format string, args ...any) {
	c.events.Event(claim, builtin.PersistentVolumeClaims.Kind, "", kind, reason, format, args...)
}
