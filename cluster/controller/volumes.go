package controller

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/volume"

	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// volumes keeps the phase of each volume, and applies its reclaim policy when
// its claim is gone. Claims are bound by the claims loop.
type volumes struct {
	*Set
	events *event.Recorder
}

func newVolumes(s *Set) *volumes { return &volumes{s, s.recorder("persistentvolume-controller")} }

func (c *volumes) loop() *loop {
	return &loop{
		name: "volume",
		sources: []source{
			self(builtin.PersistentVolumes.Resource),
			{builtin.PersistentVolumeClaims.Resource, c.volumesOf},
		},
		reconcile: c.reconcile,
	}
}

// volumesOf returns the volume that a claim names, or that names the claim.
func (c *volumes) volumesOf(ch change) []object.Key {
	claim := ch.latest().(*corev1.PersistentVolumeClaim)
	if claim.Spec.VolumeName != "" {
		return []object.Key{{Name: claim.Spec.VolumeName}}
	}
	all, err := builtin.PersistentVolumes.List(context.Background(), c.verbs, object.ListOptions{})
	if err != nil {
		return nil
	}
	var keys []object.Key
	for _, v := range all {
		if volume.IsVolumeBoundToClaim(v, claim) {
			keys = append(keys, object.KeyOf(v))
		}
	}
	return keys
}

func (c *volumes) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	v, err := builtin.PersistentVolumes.Get(ctx, c.verbs, "", k.Name)
	if err != nil {
		return 0, ignoreNotFound(err)
	}
	var claim *corev1.PersistentVolumeClaim
	if ref := v.Spec.ClaimRef; ref != nil {
		if claim, err = builtin.PersistentVolumeClaims.Get(ctx, c.verbs, ref.Namespace, ref.Name); ignoreNotFound(err) != nil {
			return 0, err
		}
		if err != nil {
			claim = nil
		}
	}
	phase, reclaim := volumeState(v, claim)
	if phase != "" {
		if err := c.volumePhase(ctx, v, phase, ""); err != nil {
			return 0, err
		}
	}
	if !reclaim {
		return 0, nil
	}
	return 0, c.reclaim(ctx, v)
}

// volumeState computes the phase of v ("": as it is), and whether its reclaim
// policy applies now. claim is the one that v names, or nil. Pure.
func volumeState(v *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) (phase corev1.PersistentVolumePhase, reclaim bool) {
	ref := v.Spec.ClaimRef
	switch {
	case ref == nil || ref.UID == "":
		return corev1.VolumeAvailable, false // free, or kept by a user for a claim to come
	case claim == nil || claim.UID != ref.UID:
		if v.Status.Phase == corev1.VolumeFailed {
			return "", false
		}
		return corev1.VolumeReleased, true
	case claim.Spec.VolumeName == v.Name:
		return corev1.VolumeBound, false
	}
	return "", false // being bound
}

// reclaim applies the policy of a released volume. A volume of our own
// provisioner is deleted; the node agent deletes its data and then lets go of
// the object (see LocalVolumeFinalizer).
func (c *volumes) reclaim(ctx context.Context, v *corev1.PersistentVolume) error {
	if v.DeletionTimestamp != nil {
		return nil
	}
	switch v.Spec.PersistentVolumeReclaimPolicy {
	case corev1.PersistentVolumeReclaimDelete:
		switch v.Annotations[volume.AnnDynamicallyProvisioned] {
		case LocalProvisioner:
			err := builtin.PersistentVolumes.Delete(ctx, c.verbs, "", v.Name, uidOnly(v.UID))
			return ignoreNotFound(err)
		case "":
			return c.failed(ctx, v, "VolumeFailedDelete", "error getting deleter volume plugin for volume %q: no deletable volume plugin matched", v.Name)
		}
		return nil // another provisioner's to delete
	case corev1.PersistentVolumeReclaimRecycle:
		return c.failed(ctx, v, "VolumeFailedRecycle", "no volume plugin matched")
	}
	return nil
}

func (c *volumes) failed(ctx context.Context, v *corev1.PersistentVolume, reason, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	c.events.Event(v, builtin.PersistentVolumes.Kind, "", corev1.EventTypeWarning, reason, "%s", message)
	fresh, err := builtin.PersistentVolumes.Get(ctx, c.verbs, "", v.Name)
	if err != nil {
		return ignoreNotFound(err)
	}
	return c.volumePhase(ctx, fresh, corev1.VolumeFailed, message)
}

func stamp(t time.Time) *metav1.Time { return new(metav1.NewTime(t)) }

// present makes a NotFound error the absence that it is.
func present[T any](o T, err error) (T, bool, error) {
	if apierrors.IsNotFound(err) {
		return o, false, nil
	}
	return o, err == nil, err
}
