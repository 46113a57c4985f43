package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// ephemeralClaims makes the claims of pods' generic ephemeral volumes, which
// the pods own.
type ephemeralClaims struct {
	*Set
	events *event.Recorder
}

func newEphemeralClaims(s *Set) *ephemeralClaims {
	return &ephemeralClaims{s, s.recorder("ephemeral_volume")}
}

func (c *ephemeralClaims) loop() *loop {
	return &loop{
		name: "ephemeralclaim",
		sources: []source{{builtin.Pods.Resource, func(ch change) []object.Key {
			if ch.new == nil || !hasEphemeral(ch.new.(*corev1.Pod)) {
				return nil
			}
			return []object.Key{object.KeyOf(ch.new)}
		}}},
		reconcile: c.reconcile,
	}
}

func hasEphemeral(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.Ephemeral != nil })
}

func (c *ephemeralClaims) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	pod, err := builtin.Pods.Get(ctx, c.verbs, k.Namespace, k.Name)
	if err != nil || pod.DeletionTimestamp != nil {
		return 0, ignoreNotFound(err)
	}
	for _, v := range pod.Spec.Volumes {
		if v.Ephemeral == nil || v.Ephemeral.VolumeClaimTemplate == nil {
			continue
		}
		t := v.Ephemeral.VolumeClaimTemplate.DeepCopy()
		claim := &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name + "-" + v.Name, Labels: maps.Clone(t.Labels),
				Annotations:     maps.Clone(t.Annotations),
				OwnerReferences: []metav1.OwnerReference{object.ControllerRef(pod, builtin.Pods.Kind)}},
			Spec: t.Spec,
		}
		_, err := builtin.PersistentVolumeClaims.Create(ctx, c.verbs, claim, write())
		if err == nil || apierrors.IsAlreadyExists(err) || namespaceGoing(err) {
			continue
		}
		c.events.Event(pod, builtin.Pods.Kind, "", corev1.EventTypeWarning, "FailedBinding", "ephemeral volume %q: %v", v.Name, err)
		return 0, fmt.Errorf("create claim of ephemeral volume %s: %w", v.Name, err)
	}
	return 0, nil
}
