package controller

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// replicationControllers does for the older kind what replicaSets does.
type replicationControllers struct {
	*Set
	events *event.Recorder
}

func newReplicationControllers(s *Set) *replicationControllers {
	return &replicationControllers{s, s.recorder("replication-controller")}
}

func (c *replicationControllers) loop() *loop {
	return &loop{
		name: "replicationcontroller",
		sources: []source{
			self(builtin.ReplicationControllers.Resource),
			ownedOrOrphan(builtin.Pods.Resource, "", "ReplicationController",
				selecting(c.verbs, builtin.ReplicationControllers, func(r *corev1.ReplicationController) labels.Selector {
					return labels.SelectorFromSet(r.Spec.Selector)
				})),
		},
		reconcile: c.reconcile,
	}
}

func (c *replicationControllers) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	rc, err := builtin.ReplicationControllers.Get(ctx, c.verbs, k.Namespace, k.Name)
	if err != nil {
		return 0, ignoreNotFound(err)
	}
	if rc.Spec.Template == nil || len(rc.Spec.Selector) == 0 {
		return 0, nil
	}
	me := owner{rc, builtin.ReplicationControllers.Kind, labels.SelectorFromSet(rc.Spec.Selector)}
	pods, err := claim(ctx, c.verbs, builtin.Pods, me)
	if err != nil {
		return 0, err
	}
	r := replicas{Set: c.Set, events: c.events, owner: me, want: value(rc.Spec.Replicas, 1), template: rc.Spec.Template}
	failure := r.scale(ctx, pods)

	if pods, err = claim(ctx, c.verbs, builtin.Pods, me); err != nil {
		return 0, err
	}
	status, wait := replicationControllerStatus(rc, pods, failure, c.now())
	if !equality.Semantic.DeepEqual(status, rc.Status) {
		changed := rc.DeepCopy()
		changed.Status = status
		if _, err := builtin.ReplicationControllers.UpdateStatus(ctx, c.verbs, changed, write()); err != nil {
			return 0, ignoreNotFound(err)
		}
	}
	if failure != nil {
		return 0, failure.err
	}
	return wait, nil
}

func replicationControllerStatus(rc *corev1.ReplicationController, pods []*corev1.Pod, failure *replicaFailure, now time.Time) (corev1.ReplicationControllerStatus, time.Duration) {
	n := countReplicas(pods, rc.Spec.Template.Labels, time.Duration(rc.Spec.MinReadySeconds)*time.Second, now)
	s := corev1.ReplicationControllerStatus{
		Replicas:             n.active,
		FullyLabeledReplicas: n.labeled,
		ReadyReplicas:        n.ready,
		AvailableReplicas:    n.available,
		ObservedGeneration:   rc.Generation,
	}
	for _, old := range rc.Status.Conditions {
		if old.Type != corev1.ReplicationControllerReplicaFailure {
			s.Conditions = append(s.Conditions, old)
		} else if failure != nil && old.Reason == failure.reason {
			s.Conditions = append(s.Conditions, old)
			failure = nil
		}
	}
	if failure != nil {
		s.Conditions = append(s.Conditions, corev1.ReplicationControllerCondition{
			Type: corev1.ReplicationControllerReplicaFailure, Status: corev1.ConditionTrue,
			LastTransitionTime: metav1.NewTime(now), Reason: failure.reason, Message: failure.err.Error(),
		})
	}
	return s, n.wait
}
