package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/component-helpers/storage/volume"

	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// defaultClassAnnotation marks the StorageClass of claims that name none.
const defaultClassAnnotation = "storageclass.kubernetes.io/is-default-class"

// claims binds each claim to a volume: one that is there and fits, or one that
// its class makes. Binding writes the volume first; the claim is bound when
// both name each other.
type claims struct {
	*Set
	events *event.Recorder
}

func newClaims(s *Set) *claims { return &claims{s, s.recorder("persistentvolume-controller")} }

func (c *claims) loop() *loop {
	return &loop{
		name: "claim",
		sources: []source{
			self(builtin.PersistentVolumeClaims.Resource),
			{builtin.PersistentVolumes.Resource, c.claimsOf},
			{builtin.StorageClasses.Resource, func(change) []object.Key { return c.unbound() }},
		},
		reconcile: c.reconcile,
	}
}

// claimsOf returns the claim that a volume names and, for a volume that is
// free, all that could have it.
func (c *claims) claimsOf(ch change) []object.Key {
	v := ch.latest().(*corev1.PersistentVolume)
	if ref := v.Spec.ClaimRef; ref != nil {
		return []object.Key{{Namespace: ref.Namespace, Name: ref.Name}}
	}
	return c.unbound()
}

func (c *claims) unbound() []object.Key {
	all, err := builtin.PersistentVolumeClaims.List(context.Background(), c.verbs, object.ListOptions{})
	if err != nil {
		return nil
	}
	var keys []object.Key
	for _, claim := range all {
		if claim.Status.Phase != corev1.ClaimBound {
			keys = append(keys, object.KeyOf(claim))
		}
	}
	return keys
}

func (c *claims) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	claim, err := builtin.PersistentVolumeClaims.Get(ctx, c.verbs, k.Namespace, k.Name)
	if err != nil {
		return 0, ignoreNotFound(err)
	}
	volumes, err := builtin.PersistentVolumes.List(ctx, c.verbs, object.ListOptions{})
	if err != nil {
		return 0, fmt.Errorf("list persistent volumes: %w", err)
	}
	if claim.Annotations[volume.AnnBindCompleted] != "" {
		return 0, c.keepBound(ctx, claim, volumes)
	}
	if claim.DeletionTimestamp != nil {
		return 0, nil
	}
	if claim, err = c.withDefaultClass(ctx, claim); err != nil {
		return 0, err
	}
	class, err := c.class(ctx, claim)
	if err != nil {
		return 0, err
	}
	choice := chooseVolume(claim, class, volumes, c.selectedNode(ctx, claim))
	switch {
	case choice.err != nil:
		return 0, choice.err
	case choice.volume != nil:
		return 0, c.bind(ctx, claim, choice.volume)
	case choice.reason != "":
		c.events.Event(claim, builtin.PersistentVolumeClaims.Kind, "", choice.kind, choice.reason, "%s", choice.message)
	}
	if err := c.setPhase(ctx, claim, corev1.ClaimPending); err != nil || !choice.provision {
		return 0, err
	}
	return 0, c.provision(ctx, claim, class)
}

// withDefaultClass gives a claim that names no class the default one, also
// when that came later than the claim.
func (c *claims) withDefaultClass(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*corev1.PersistentVolumeClaim, error) {
	if claim.Spec.StorageClassName != nil || claim.Spec.VolumeName != "" || claim.Annotations[corev1.BetaStorageClassAnnotation] != "" {
		return claim, nil
	}
	all, err := builtin.StorageClasses.List(ctx, c.verbs, object.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list storage classes: %w", err)
	}
	class := defaultClass(all)
	if class == nil {
		return claim, nil
	}
	changed := claim.DeepCopy()
	changed.Spec.StorageClassName = &class.Name
	return builtin.PersistentVolumeClaims.Update(ctx, c.verbs, changed, write())
}

// defaultClass is the newest of those marked, or nil.
func defaultClass(all []*storagev1.StorageClass) *storagev1.StorageClass {
	var newest *storagev1.StorageClass
	for _, class := range all {
		if class.Annotations[defaultClassAnnotation] == "true" &&
			(newest == nil || newest.CreationTimestamp.Before(&class.CreationTimestamp)) {
			newest = class
		}
	}
	return newest
}

// class returns the claim's class, or nil when it names none or one that does
// not exist.
func (c *claims) class(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*storagev1.StorageClass, error) {
	name := volume.GetPersistentVolumeClaimClass(claim)
	if name == "" {
		return nil, nil
	}
	class, err := builtin.StorageClasses.Get(ctx, c.verbs, "", name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return class, err
}

// selectedNode is the node that the scheduler chose for the claim, or nil.
func (c *claims) selectedNode(ctx context.Context, claim *corev1.PersistentVolumeClaim) *corev1.Node {
	name := claim.Annotations[volume.AnnSelectedNode]
	if name == "" {
		return nil
	}
	node, err := builtin.Nodes.Get(ctx, c.verbs, "", name)
	if err != nil {
		return nil
	}
	return node
}

// claimChoice is what to do about an unbound claim. Without a volume and
// provision it waits; kind, reason and message say for what, in an Event.
type claimChoice struct {
	volume                *corev1.PersistentVolume
	provision             bool
	kind, reason, message string
	err                   error
}

// chooseVolume decides about an unbound claim. Pure.
func chooseVolume(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, volumes []*corev1.PersistentVolume, node *corev1.Node) claimChoice {
	if name := claim.Spec.VolumeName; name != "" {
		return chooseNamed(claim, name, volumes)
	}
	// A volume must be free of access modes that the claim lacks; the matching
	// in the library checks that only for the scheduler.
	fitting := slices.DeleteFunc(slices.Clone(volumes), func(v *corev1.PersistentVolume) bool {
		return !volume.IsVolumeBoundToClaim(v, claim) && !volume.CheckAccessModes(claim, v)
	})
	waits := class != nil && class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
	delay := waits && claim.Annotations[volume.AnnSelectedNode] == ""
	v, err := volume.FindMatchingVolume(claim, fitting, node, nil, delay, true)
	name := volume.GetPersistentVolumeClaimClass(claim)
	switch {
	case err != nil || v != nil:
		return claimChoice{volume: v, err: err}
	case delay:
		return claimChoice{kind: corev1.EventTypeNormal, reason: "WaitForFirstConsumer",
			message: "waiting for first consumer to be created before binding"}
	case name == "":
		return claimChoice{kind: corev1.EventTypeNormal, reason: "FailedBinding",
			message: "no persistent volumes available for this claim and no storage class is set"}
	case class == nil:
		return claimChoice{kind: corev1.EventTypeWarning, reason: "ProvisioningFailed",
			message: fmt.Sprintf("storageclass.storage.k8s.io %q not found", name)}
	case class.Provisioner == volume.NotSupportedProvisioner:
		return claimChoice{kind: corev1.EventTypeNormal, reason: "FailedBinding",
			message: "no volume plugin matched name: " + class.Provisioner}
	}
	return claimChoice{provision: true}
}

// chooseNamed decides about a claim that asks for one volume by name.
func chooseNamed(claim *corev1.PersistentVolumeClaim, name string, volumes []*corev1.PersistentVolume) claimChoice {
	i := slices.IndexFunc(volumes, func(v *corev1.PersistentVolume) bool { return v.Name == name })
	if i < 0 {
		return claimChoice{}
	}
	v := volumes[i]
	if v.Spec.ClaimRef != nil {
		if volume.IsVolumeBoundToClaim(v, claim) {
			return claimChoice{volume: v}
		}
		return claimChoice{kind: corev1.EventTypeWarning, reason: "FailedBinding",
			message: fmt.Sprintf("volume %q already bound to a different claim.", name)}
	}
	if why := mismatch(claim, v); why != "" {
		return claimChoice{kind: corev1.EventTypeWarning, reason: "VolumeMismatch",
			message: fmt.Sprintf("Cannot bind to requested volume %q: %s", name, why)}
	}
	return claimChoice{volume: v}
}

// mismatch says why a volume that a user asked for by name cannot be had.
func mismatch(claim *corev1.PersistentVolumeClaim, v *corev1.PersistentVolume) string {
	want, have := claim.Spec.Resources.Requests[corev1.ResourceStorage], v.Spec.Capacity[corev1.ResourceStorage]
	switch {
	case have.Cmp(want) < 0:
		return "requested PV is too small"
	case volume.GetPersistentVolumeClass(v) != volume.GetPersistentVolumeClaimClass(claim):
		return "storageClassName does not match"
	case volume.CheckVolumeModeMismatches(&claim.Spec, &v.Spec):
		return "incompatible volumeMode"
	case !volume.CheckAccessModes(claim, v):
		return "incompatible accessMode"
	}
	return ""
}

// bind makes volume and claim name each other.
func (c *claims) bind(ctx context.Context, claim *corev1.PersistentVolumeClaim, v *corev1.PersistentVolume) error {
	bound, changed, err := volume.GetBindVolumeToClaim(v, claim)
	if err != nil {
		return err
	}
	if changed {
		bound.Spec.ClaimRef.APIVersion, bound.Spec.ClaimRef.Kind = "v1", "PersistentVolumeClaim"
		if bound, err = builtin.PersistentVolumes.Update(ctx, c.verbs, bound, write()); err != nil {
			return fmt.Errorf("bind volume %s: %w", v.Name, err)
		}
	}
	if err := c.volumePhase(ctx, bound, corev1.VolumeBound, ""); err != nil {
		return err
	}
	next := claim.DeepCopy()
	if next.Spec.VolumeName == "" {
		next.Spec.VolumeName = bound.Name
		setAnnotation(next, volume.AnnBoundByController, "yes")
	}
	setAnnotation(next, volume.AnnBindCompleted, "yes")
	if next, err = builtin.PersistentVolumeClaims.Update(ctx, c.verbs, next, write()); err != nil {
		return fmt.Errorf("bind claim: %w", err)
	}
	return c.boundStatus(ctx, next, bound)
}

// boundStatus shows at the claim what its volume has.
func (c *claims) boundStatus(ctx context.Context, claim *corev1.PersistentVolumeClaim, v *corev1.PersistentVolume) error {
	next := claim.DeepCopy()
	next.Status.Phase = corev1.ClaimBound
	next.Status.AccessModes = v.Spec.AccessModes
	if next.Status.Capacity == nil {
		next.Status.Capacity = corev1.ResourceList{}
	}
	next.Status.Capacity[corev1.ResourceStorage] = v.Spec.Capacity[corev1.ResourceStorage]
	if equality.Semantic.DeepEqual(next.Status, claim.Status) {
		return nil
	}
	_, err := builtin.PersistentVolumeClaims.UpdateStatus(ctx, c.verbs, next, write())
	return ignoreNotFound(err)
}

// keepBound watches over a claim that was bound once: when its volume is gone
// or another's, its data is lost, which is said and never repaired.
func (c *claims) keepBound(ctx context.Context, claim *corev1.PersistentVolumeClaim, volumes []*corev1.PersistentVolume) error {
	if claim.Spec.VolumeName == "" {
		return c.lost(ctx, claim, "ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
	}
	i := slices.IndexFunc(volumes, func(v *corev1.PersistentVolume) bool { return v.Name == claim.Spec.VolumeName })
	if i < 0 {
		return c.lost(ctx, claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
	}
	v := volumes[i]
	if v.Spec.ClaimRef == nil {
		return c.bind(ctx, claim, v)
	}
	if v.Spec.ClaimRef.UID != claim.UID && !(v.Spec.ClaimRef.UID == "" && volume.IsVolumeBoundToClaim(v, claim)) {
		return c.lost(ctx, claim, "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
	}
	if v.Spec.ClaimRef.UID == "" || v.Status.Phase != corev1.VolumeBound {
		return c.bind(ctx, claim, v)
	}
	return c.boundStatus(ctx, claim, v)
}

func (c *claims) lost(ctx context.Context, claim *corev1.PersistentVolumeClaim, reason, message string) error {
	if claim.Status.Phase == corev1.ClaimLost {
		return nil
	}
	c.events.Event(claim, builtin.PersistentVolumeClaims.Kind, "", corev1.EventTypeWarning, reason, "%s", message)
	return c.setPhase(ctx, claim, corev1.ClaimLost)
}

func (c *claims) setPhase(ctx context.Context, claim *corev1.PersistentVolumeClaim, p corev1.PersistentVolumeClaimPhase) error {
	if claim.Status.Phase == p {
		return nil
	}
	next := claim.DeepCopy()
	next.Status.Phase = p
	if p == corev1.ClaimPending {
		next.Status.AccessModes, next.Status.Capacity = nil, nil
	}
	_, err := builtin.PersistentVolumeClaims.UpdateStatus(ctx, c.verbs, next, write())
	return ignoreNotFound(err)
}

// volumePhase writes a volume's phase, if it is another.
func (s *Set) volumePhase(ctx context.Context, v *corev1.PersistentVolume, p corev1.PersistentVolumePhase, message string) error {
	if v.Status.Phase == p && v.Status.Message == message {
		return nil
	}
	next := v.DeepCopy()
	if next.Status.Phase != p {
		next.Status.LastPhaseTransitionTime = stamp(s.now())
	}
	next.Status.Phase, next.Status.Message = p, message
	_, err := builtin.PersistentVolumes.UpdateStatus(ctx, s.verbs, next, write())
	return ignoreNotFound(err)
}
