package controller

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// burst is how many pods one reconcile creates or deletes at most, and
// slowStart how many it tries first; each batch that succeeds doubles the next
// (Kubernetes' values). A template that the API rejects costs one request.
const (
	burst     = 500
	slowStart = 1
)

// condition returns the pod's condition of a type, or nil.
func condition(p *corev1.Pod, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == t {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

func podReady(p *corev1.Pod) bool {
	c := condition(p, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

// podAvailable tells whether p has been ready for minReady, and if it is ready
// only since less, how long that still takes.
func podAvailable(p *corev1.Pod, minReady time.Duration, now time.Time) (available bool, wait time.Duration) {
	if !podReady(p) {
		return false, 0
	}
	if minReady == 0 {
		return true, 0
	}
	wait = condition(p, corev1.PodReady).LastTransitionTime.Add(minReady).Sub(now)
	return wait <= 0, max(wait, 0)
}

// podFinished tells whether no container of p will run again.
func podFinished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// podActive tells whether p runs or will run, and nobody asked it to go.
func podActive(p *corev1.Pod) bool { return !podFinished(p) && p.DeletionTimestamp == nil }

func activePods(pods []*corev1.Pod) []*corev1.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool { return !podActive(p) })
}

// fromTemplate makes the pod that a controller's template describes. The API
// completes its name.
func fromTemplate(t *corev1.PodTemplateSpec, o owner) *corev1.Pod {
	t = t.DeepCopy()
	prefix := o.object.GetName() + "-"
	if len(validation.NameIsDNSSubdomain(prefix, true)) > 0 {
		prefix = o.object.GetName()
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName:    prefix,
			Namespace:       o.object.GetNamespace(),
			Labels:          maps.Clone(t.Labels),
			Annotations:     maps.Clone(t.Annotations),
			Finalizers:      slices.Clone(t.Finalizers),
			OwnerReferences: []metav1.OwnerReference{object.ControllerRef(o.object, o.kind)},
		},
		Spec: t.Spec,
	}
}

// createPods creates pods in batches that double from slowStart, and stops at
// the first batch in which one fails. done is told each outcome, from several
// goroutines. It returns the first error.
func createPods(ctx context.Context, v object.Verbs, pods []*corev1.Pod, done func(p *corev1.Pod, err error)) error {
	for batch := slowStart; len(pods) > 0; batch *= 2 {
		n := min(batch, len(pods))
		var group errgroup.Group
		group.SetLimit(64)
		for _, p := range pods[:n] {
			group.Go(func() error {
				stored, err := builtin.Pods.Create(ctx, v, p, write())
				if err != nil {
					stored = p
				}
				done(stored, err)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		pods = pods[n:]
	}
	return nil
}

// deletePods deletes pods, by UID so that a namesake is safe. Pods that are
// gone are no error and not told.
func deletePods(ctx context.Context, v object.Verbs, pods []*corev1.Pod, done func(p *corev1.Pod, err error)) error {
	var group errgroup.Group
	group.SetLimit(64)
	for _, p := range pods {
		group.Go(func() error {
			err := builtin.Pods.Delete(ctx, v, p.Namespace, p.Name, uidOnly(p.UID))
			if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
				return nil
			}
			done(p, err)
			return err
		})
	}
	return group.Wait()
}

func uidOnly(uid types.UID) object.DeleteOptions {
	return object.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}
}

// namespaceGoing tells whether a create failed because its namespace is being
// deleted; then trying again is pointless.
func namespaceGoing(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// deletionOrder sorts pods by how little is lost when they go, in Kubernetes'
// order: unassigned, then pending, not ready, cheaper by their own annotation,
// doubled up on a node, ready for less time, restarted more, younger.
// related counts the active pods of sibling controllers by node.
func deletionOrder(pods []*corev1.Pod, related map[string]int, now time.Time) {
	phase := map[corev1.PodPhase]int{corev1.PodPending: 0, "": 0, corev1.PodUnknown: 1, corev1.PodRunning: 2}
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(
			boolOrder(a.Spec.NodeName != "", b.Spec.NodeName != ""),
			cmp.Compare(phase[a.Status.Phase], phase[b.Status.Phase]),
			boolOrder(podReady(a), podReady(b)),
			cmp.Compare(deletionCost(a), deletionCost(b)),
			cmp.Compare(related[b.Spec.NodeName], related[a.Spec.NodeName]),
			readyOrder(a, b, now),
			cmp.Compare(restarts(b), restarts(a)),
			b.CreationTimestamp.Compare(a.CreationTimestamp.Time),
			cmp.Compare(a.Name, b.Name),
		)
	})
}

// boolOrder sorts false before true.
func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// readyOrder sorts the pod that became ready later first.
func readyOrder(a, b *corev1.Pod, now time.Time) int {
	since := func(p *corev1.Pod) time.Duration {
		if c := condition(p, corev1.PodReady); c != nil && c.Status == corev1.ConditionTrue {
			return now.Sub(c.LastTransitionTime.Time)
		}
		return 0
	}
	return cmp.Compare(since(a), since(b))
}

func deletionCost(p *corev1.Pod) int64 {
	cost, err := strconv.ParseInt(p.Annotations[corev1.PodDeletionCost], 10, 32)
	if err != nil {
		return 0
	}
	return cost
}

// restarts is the most restarts of any container.
func restarts(p *corev1.Pod) int32 {
	most := int32(0)
	for _, c := range p.Status.ContainerStatuses {
		most = max(most, c.RestartCount)
	}
	return most
}

func value[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// sooner is the shorter of two waits, where 0 means none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || (b > 0 && b < a) {
		return b
	}
	return a
}
