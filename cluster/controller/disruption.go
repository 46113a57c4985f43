package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// disruptionTimeout is how long an eviction that was allowed may take to
// delete its pod before the disruption is given back (Kubernetes' value).
const disruptionTimeout = 2 * time.Minute

// disruptions keeps the status of PodDisruptionBudgets: how many of their pods
// may go. The API's eviction takes from that.
type disruptions struct {
	*Set
	events *event.Recorder
}

func newDisruptions(s *Set) *disruptions { return &disruptions{s, s.recorder("controllermanager")} }

func (c *disruptions) loop() *loop {
	ofPods := selecting(c.verbs, builtin.PodDisruptionBudgets,
		func(b *policyv1.PodDisruptionBudget) labels.Selector { return selectorOf(b.Spec.Selector) })
	inNamespace := func(ch change) []object.Key { return c.budgetsIn(ch.latest().GetNamespace()) }
	return &loop{
		name: "disruption",
		sources: []source{
			self(builtin.PodDisruptionBudgets.Resource),
			{builtin.Pods.Resource, func(ch change) []object.Key {
				keys := ofPods(ch.latest())
				if ch.old != nil && ch.new != nil {
					keys = append(keys, ofPods(ch.old)...)
				}
				return append(keys, c.selectingAll(ch.latest().GetNamespace())...)
			}},
			// Their scale is what is expected.
			{builtin.Deployments.Resource, inNamespace},
			{builtin.ReplicaSets.Resource, inNamespace},
			{builtin.StatefulSets.Resource, inNamespace},
			{builtin.ReplicationControllers.Resource, inNamespace},
		},
		reconcile: c.reconcile,
	}
}

func (c *disruptions) budgetsIn(namespace string) []object.Key {
	return c.keys(namespace, func(*policyv1.PodDisruptionBudget) bool { return true })
}

// selectingAll are the budgets with an empty selector, which matches every pod.
func (c *disruptions) selectingAll(namespace string) []object.Key {
	return c.keys(namespace, func(b *policyv1.PodDisruptionBudget) bool {
		return b.Spec.Selector != nil && selectorOf(b.Spec.Selector).Empty()
	})
}

func (c *disruptions) keys(namespace string, fits func(*policyv1.PodDisruptionBudget) bool) []object.Key {
	all, err := builtin.PodDisruptionBudgets.List(context.Background(), c.verbs, object.ListOptions{Namespace: namespace})
	if err != nil {
		return nil
	}
	var keys []object.Key
	for _, b := range all {
		if fits(b) {
			keys = append(keys, object.KeyOf(b))
		}
	}
	return keys
}

func (c *disruptions) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	budget, err := builtin.PodDisruptionBudgets.Get(ctx, c.verbs, k.Namespace, k.Name)
	if err != nil {
		return 0, ignoreNotFound(err)
	}
	all, err := builtin.Pods.List(ctx, c.verbs, object.ListOptions{Namespace: k.Namespace})
	if err != nil {
		return 0, fmt.Errorf("list pods: %w", err)
	}
	selector := selectorOf(budget.Spec.Selector)
	pods := slices.DeleteFunc(all, func(p *corev1.Pod) bool { return !selector.Matches(labels.Set(p.Labels)) })
	if len(pods) == 0 {
		c.event(budget, corev1.EventTypeNormal, "NoPods", "No matching pods found")
	}
	scale, err := c.scale(ctx, budget, pods)
	if err != nil {
		c.event(budget, corev1.EventTypeWarning, "CalculateExpectedPodCountFailed", "Failed to calculate the number of expected pods: %v", err)
		status := *budget.Status.DeepCopy()
		status.DisruptionsAllowed, status.ObservedGeneration = 0, budget.Generation
		setAllowed(&status, policyv1.SyncFailedReason, err.Error(), budget.Generation, c.now())
		return 0, c.writeStatus(ctx, budget, status)
	}
	plan := planBudget(budget, pods, scale, c.now())
	for _, p := range plan.stayed {
		c.events.Event(p, builtin.Pods.Kind, "", corev1.EventTypeWarning, "NotDeleted",
			"Pod was expected by PDB %s/%s to be deleted but it wasn't", budget.Namespace, budget.Name)
	}
	return plan.wait, c.writeStatus(ctx, budget, plan.status)
}

// scale is how many pods the owners of a budget's pods want in all. Pods
// without an owner count for nothing, which an event says.
func (c *disruptions) scale(ctx context.Context, budget *policyv1.PodDisruptionBudget, pods []*corev1.Pod) (int, error) {
	if m := budget.Spec.MinAvailable; m != nil && m.Type == intstr.Int && budget.Spec.MaxUnavailable == nil {
		return len(pods), nil // a number: nobody needs the scale
	}
	total, unmanaged := 0, false
	seen := map[types.UID]bool{}
	for _, p := range pods {
		ref := controllerOf(p)
		if ref == nil {
			unmanaged = true
			continue
		}
		owner, n, err := c.ownerScale(ctx, p.Namespace, ref)
		if err != nil {
			return 0, err
		}
		if !seen[owner] {
			seen[owner] = true
			total += n
		}
	}
	if unmanaged {
		c.event(budget, corev1.EventTypeWarning, "UnmanagedPods",
			"Pods selected by this PodDisruptionBudget (selector: %v) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value.",
			selectorOf(budget.Spec.Selector))
	}
	return total, nil
}

// ownerScale finds who decides how many pods there are, and how many. An owner
// that is gone wants none.
func (c *disruptions) ownerScale(ctx context.Context, namespace string, ref *metav1.OwnerReference) (types.UID, int, error) {
	switch groupKind(ref.APIVersion, ref.Kind) {
	case builtin.ReplicaSets.Kind.GroupKind():
		set, ok, err := present(builtin.ReplicaSets.Get(ctx, c.verbs, namespace, ref.Name))
		if err != nil || !ok || set.UID != ref.UID {
			return ref.UID, 0, err
		}
		if up := controllerOf(set); up != nil && up.Kind == builtin.Deployments.Kind.Kind {
			d, ok, err := present(builtin.Deployments.Get(ctx, c.verbs, namespace, up.Name))
			if err != nil || !ok || d.UID != up.UID {
				return up.UID, 0, err
			}
			return d.UID, int(value(d.Spec.Replicas, 1)), nil
		}
		return set.UID, int(value(set.Spec.Replicas, 1)), nil
	case builtin.StatefulSets.Kind.GroupKind():
		set, ok, err := present(builtin.StatefulSets.Get(ctx, c.verbs, namespace, ref.Name))
		if err != nil || !ok || set.UID != ref.UID {
			return ref.UID, 0, err
		}
		return set.UID, int(value(set.Spec.Replicas, 1)), nil
	case builtin.ReplicationControllers.Kind.GroupKind():
		rc, ok, err := present(builtin.ReplicationControllers.Get(ctx, c.verbs, namespace, ref.Name))
		if err != nil || !ok || rc.UID != ref.UID {
			return ref.UID, 0, err
		}
		return rc.UID, int(value(rc.Spec.Replicas, 1)), nil
	}
	return ref.UID, 0, fmt.Errorf("%s %s does not implement the scale subresource", ref.Kind, ref.Name)
}

func (c *disruptions) writeStatus(ctx context.Context, budget *policyv1.PodDisruptionBudget, status policyv1.PodDisruptionBudgetStatus) error {
	if equality.Semantic.DeepEqual(status, budget.Status) {
		return nil
	}
	changed := budget.DeepCopy()
	changed.Status = status
	_, err := builtin.PodDisruptionBudgets.UpdateStatus(ctx, c.verbs, changed, write())
	return ignoreNotFound(err)
}

func (c *disruptions) event(b *policyv1.PodDisruptionBudget, kind, reason, format string, args ...any) {
	c.events.Event(b, builtin.PodDisruptionBudgets.Kind, "", kind, reason, format, args...)
}

// budgetPlan is the status of a budget.
type budgetPlan struct {
	status policyv1.PodDisruptionBudgetStatus
	stayed []*corev1.Pod // whose eviction was allowed and that are still here
	wait   time.Duration // until an allowed eviction is given up; 0: none
}

// planBudget counts a budget's pods. expected is how many there should be. Pure.
func planBudget(b *policyv1.PodDisruptionBudget, pods []*corev1.Pod, expected int, now time.Time) budgetPlan {
	var plan budgetPlan
	st := &plan.status
	desired := 0
	switch {
	case b.Spec.MaxUnavailable != nil:
		desired = max(expected-scaled(b.Spec.MaxUnavailable, expected), 0)
	case b.Spec.MinAvailable != nil:
		desired = scaled(b.Spec.MinAvailable, expected)
	}
	healthy := 0
	for _, p := range pods {
		evicted, waits := b.Status.DisruptedPods[p.Name]
		if p.DeletionTimestamp != nil {
			continue
		}
		if left := evicted.Add(disruptionTimeout).Sub(now); waits && left > 0 {
			if st.DisruptedPods == nil {
				st.DisruptedPods = map[string]metav1.Time{}
			}
			st.DisruptedPods[p.Name] = evicted
			plan.wait = sooner(plan.wait, left)
			continue
		}
		if waits {
			plan.stayed = append(plan.stayed, p)
		}
		if podReady(p) {
			healthy++
		}
	}
	st.ExpectedPods, st.CurrentHealthy, st.DesiredHealthy = int32(expected), int32(healthy), int32(desired)
	if expected > 0 {
		st.DisruptionsAllowed = int32(max(healthy-desired, 0))
	}
	st.ObservedGeneration = b.Generation
	for _, c := range b.Status.Conditions {
		st.Conditions = append(st.Conditions, *c.DeepCopy())
	}
	reason := policyv1.InsufficientPodsReason
	if st.DisruptionsAllowed > 0 {
		reason = policyv1.SufficientPodsReason
	}
	setAllowed(st, reason, "", b.Generation, now)
	return plan
}

// setAllowed says why, or why not, pods may be evicted.
func setAllowed(st *policyv1.PodDisruptionBudgetStatus, reason, message string, generation int64, now time.Time) {
	c := metav1.Condition{Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: reason,
		Message: message, ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(now)}
	if reason == policyv1.SufficientPodsReason {
		c.Status = metav1.ConditionTrue
	}
	apimeta.SetStatusCondition(&st.Conditions, c)
}
