package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Finalizers that keep claims and volumes while they are in use.
const (
	pvcProtection = "kubernetes.io/pvc-protection"
	pvProtection  = "kubernetes.io/pv-protection"
)

// claimProtection keeps a deleted claim until no pod that is on a node uses it.
type claimProtection struct{ *Set }

func newClaimProtection(s *Set) *claimProtection { return &claimProtection{s} }

func (c *claimProtection) loop() *loop {
	return &loop{
		name: "claimprotection",
		sources: []source{
			self(builtin.PersistentVolumeClaims.Resource),
			{builtin.Pods.Resource, func(ch change) []object.Key {
				if ch.new != nil && !podFinished(ch.new.(*corev1.Pod)) {
					return nil
				}
				p := ch.latest().(*corev1.Pod)
				var keys []object.Key
				for _, name := range claimsUsed(p) {
					keys = append(keys, object.Key{Namespace: p.Namespace, Name: name})
				}
				return keys
			}},
		},
		reconcile: c.reconcile,
	}
}

// claimsUsed are the names of the claims that a pod mounts.
func claimsUsed(p *corev1.Pod) []string {
	var names []string
	for _, v := range p.Spec.Volumes {
		switch {
		case v.PersistentVolumeClaim != nil:
			names = append(names, v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			names = append(names, p.Name+"-"+v.Name)
		}
	}
	return names
}

func (c *claimProtection) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	claim, err := builtin.PersistentVolumeClaims.Get(ctx, c.verbs, k.Namespace, k.Name)
	if err != nil {
		return 0, ignoreNotFound(err)
	}
	if claim.DeletionTimestamp != nil {
		pods, err := builtin.Pods.List(ctx, c.verbs, object.ListOptions{Namespace: k.Namespace})
		if err != nil {
			return 0, fmt.Errorf("list pods: %w", err)
		}
		inUse := slices.ContainsFunc(pods, func(p *corev1.Pod) bool {
			return p.Spec.NodeName != "" && slices.Contains(claimsUsed(p), claim.Name)
		})
		if inUse {
			return 0, nil
		}
	}
	changed, ok := withProtection(claim, pvcProtection)
	if !ok {
		return 0, nil
	}
	_, err = builtin.PersistentVolumeClaims.Update(ctx, c.verbs, changed, write())
	return 0, ignoreNotFound(err)
}

// withProtection adds the finalizer to an object that lives, or takes it from
// one that is being deleted; ok is false when there is nothing to do.
func withProtection[T object.Object](o T, finalizer string) (changed T, ok bool) {
	has, leaves := slices.Contains(o.GetFinalizers(), finalizer), o.GetDeletionTimestamp() != nil
	if has != leaves {
		return o, false
	}
	changed = o.DeepCopyObject().(T)
	if leaves {
		changed.SetFinalizers(without(o.GetFinalizers(), finalizer))
	} else {
		changed.SetFinalizers(append(changed.GetFinalizers(), finalizer))
	}
	return changed, true
}

func without(all []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == one })
}

// volumeProtection keeps a deleted volume until it is no longer bound.
type volumeProtection struct{ *Set }

func newVolumeProtection(s *Set) *volumeProtection { return &volumeProtection{s} }

func (c *volumeProtection) loop() *loop {
	return &loop{
		name:      "volumeprotection",
		sources:   []source{self(builtin.PersistentVolumes.Resource)},
		reconcile: c.reconcile,
	}
}

func (c *volumeProtection) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	v, err := builtin.PersistentVolumes.Get(ctx, c.verbs, "", k.Name)
	if err != nil {
		return 0, ignoreNotFound(err)
	}
	if v.DeletionTimestamp != nil && v.Status.Phase == corev1.VolumeBound {
		return 0, nil
	}
	changed, ok := withProtection(v, pvProtection)
	if !ok {
		return 0, nil
	}
	_, err = builtin.PersistentVolumes.Update(ctx, c.verbs, changed, write())
	return 0, ignoreNotFound(err)
}
