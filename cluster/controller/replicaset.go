package controller

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// replicaSets keeps as many pods of each ReplicaSet as it asks for.
type replicaSets struct {
	*Set
	events *event.Recorder
}

func newReplicaSets(s *Set) *replicaSets {
	return &replicaSets{s, s.recorder("replicaset-controller")}
}

func (c *replicaSets) loop() *loop {
	return &loop{
		name:    "replicaset",
		workers: 4,
		sources: []source{
			self(builtin.ReplicaSets.Resource),
			ownedOrOrphan(builtin.Pods.Resource, "apps", "ReplicaSet",
				selecting(c.verbs, builtin.ReplicaSets, func(r *appsv1.ReplicaSet) labels.Selector { return selectorOf(r.Spec.Selector) })),
		},
		reconcile: c.reconcile,
	}
}

func (c *replicaSets) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	set, err := builtin.ReplicaSets.Get(ctx, c.verbs, k.Namespace, k.Name)
	if err != nil {
		return 0, ignoreNotFound(err)
	}
	me := owner{set, builtin.ReplicaSets.Kind, selectorOf(set.Spec.Selector)}
	pods, err := claim(ctx, c.verbs, builtin.Pods, me)
	if err != nil {
		return 0, err
	}
	r := replicas{Set: c.Set, events: c.events, owner: me, want: value(set.Spec.Replicas, 1), template: &set.Spec.Template,
		related: func() map[string]int { return c.siblings(ctx, set) }}
	failure := r.scale(ctx, pods)

	if pods, err = claim(ctx, c.verbs, builtin.Pods, me); err != nil {
		return 0, err
	}
	status, wait := replicaSetStatus(set, pods, failure, c.now())
	if !equality.Semantic.DeepEqual(status, set.Status) {
		changed := set.DeepCopy()
		changed.Status = status
		if _, err := builtin.ReplicaSets.UpdateStatus(ctx, c.verbs, changed, write()); err != nil {
			return 0, ignoreNotFound(err)
		}
	}
	if failure != nil {
		return 0, failure.err
	}
	return wait, nil
}

// siblings counts the active pods by node of all ReplicaSets that the same
// owner manages.
func (c *replicaSets) siblings(ctx context.Context, set *appsv1.ReplicaSet) map[string]int {
	ref := controllerOf(set)
	if ref == nil {
		return nil
	}
	sets, err := builtin.ReplicaSets.List(ctx, c.verbs, object.ListOptions{Namespace: set.Namespace})
	if err != nil {
		return nil
	}
	same := map[string]bool{}
	for _, s := range sets {
		if metav1.IsControlledBy(s, &metav1.ObjectMeta{UID: ref.UID}) {
			same[string(s.UID)] = true
		}
	}
	pods, err := builtin.Pods.List(ctx, c.verbs, object.ListOptions{Namespace: set.Namespace})
	if err != nil {
		return nil
	}
	count := map[string]int{}
	for _, p := range pods {
		if r := controllerOf(p); r != nil && same[string(r.UID)] && podActive(p) {
			count[p.Spec.NodeName]++
		}
	}
	return count
}

// replicaSetStatus computes the status, and when it will change by time alone.
func replicaSetStatus(set *appsv1.ReplicaSet, pods []*corev1.Pod, failure *replicaFailure, now time.Time) (appsv1.ReplicaSetStatus, time.Duration) {
	n := countReplicas(pods, set.Spec.Template.Labels, time.Duration(set.Spec.MinReadySeconds)*time.Second, now)
	s := appsv1.ReplicaSetStatus{
		Replicas:             n.active,
		FullyLabeledReplicas: n.labeled,
		ReadyReplicas:        n.ready,
		AvailableReplicas:    n.available,
		TerminatingReplicas:  &n.terminating,
		ObservedGeneration:   set.Generation,
	}
	for _, old := range set.Status.Conditions {
		if old.Type != appsv1.ReplicaSetReplicaFailure {
			s.Conditions = append(s.Conditions, old)
		} else if failure != nil && old.Reason == failure.reason {
			s.Conditions = append(s.Conditions, old)
			failure = nil
		}
	}
	if failure != nil {
		s.Conditions = append(s.Conditions, appsv1.ReplicaSetCondition{
			Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue,
			LastTransitionTime: metav1.NewTime(now), Reason: failure.reason, Message: failure.err.Error(),
		})
	}
	return s, n.wait
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
