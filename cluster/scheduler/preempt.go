package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// preemption is where a pod could run if others went.
type preemption struct {
	node    string
	victims []*corev1.Pod // the most important first
	broken  int           // budgets' disruptions beyond what they allow
}

// Of many nodes where pods could go only so many are compared (Kubernetes' values).
const (
	candidatesLeast   = 100
	candidatesPercent = 10
)

// notAllowed is why a pod may not preempt, in Kubernetes' words.
const notAllowed = "not eligible due to preemptionPolicy=Never."

// preempt makes room for a pod that fits nowhere: it deletes pods of lower
// priority on the node where that costs least, gracefully, and notes the node
// at the pod, which waits for them to go. It tells where and, if nowhere, why.
func (s *Scheduler) preempt(ctx context.Context, pod *corev1.Pod, w world, why *unfit) (node string, err error) {
	if w.unfit != "" {
		return "", nil
	}
	if p := pod.Spec.PreemptionPolicy; p != nil && *p == corev1.PreemptNever {
		why.preemption = notAllowed
		return "", nil
	}
	if waitsForVictims(pod, w) {
		return pod.Status.NominatedNodeName, nil
	}
	budgets, err := builtin.PodDisruptionBudgets.List(ctx, s.verbs, object.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("list disruption budgets: %w", err)
	}
	best := choosePreemption(pod, w, budgets)
	if best == nil {
		return "", nil
	}
	for _, v := range best.victims {
		if err := s.evict(ctx, v, pod, best.node); err != nil {
			return "", fmt.Errorf("preempt pod %s: %w", object.KeyOf(v), err)
		}
	}
	return best.node, nil
}

// waitsForVictims tells whether pods of lower priority are on their way out of
// the node that was chosen before: then no more are sent away.
func waitsForVictims(pod *corev1.Pod, w world) bool {
	if pod.Status.NominatedNodeName == "" {
		return false
	}
	i := slices.IndexFunc(w.nodes, func(n *nodeInfo) bool { return n.node.Name == pod.Status.NominatedNodeName })
	return i >= 0 && slices.ContainsFunc(w.nodes[i].pods, func(p *corev1.Pod) bool {
		return p.DeletionTimestamp != nil && priority(p) < priority(pod)
	})
}

// evict says at a victim why it goes, and deletes it with its grace period.
func (s *Scheduler) evict(ctx context.Context, victim, pod *corev1.Pod, node string) error {
	if victim.DeletionTimestamp != nil {
		return nil
	}
	options := object.WriteOptions{FieldManager: manager}
	for {
		live, err := builtin.Pods.Get(ctx, s.verbs, victim.Namespace, victim.Name)
		if apierrors.IsNotFound(err) || err == nil && live.UID != victim.UID {
			return nil
		}
		if err != nil {
			return err
		}
		live = live.DeepCopy()
		setDisrupted(live, s.now())
		if _, err = builtin.Pods.UpdateStatus(ctx, s.verbs, live, options); err == nil || apierrors.IsNotFound(err) {
			break
		}
		if !apierrors.IsConflict(err) {
			return err
		}
	}
	err := builtin.Pods.Delete(ctx, s.verbs, victim.Namespace, victim.Name,
		object.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &victim.UID}})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return err
	}
	s.events.Event(victim, builtin.Pods.Kind, "", corev1.EventTypeNormal, "Preempted", "Preempted by pod %v on node %v", pod.UID, node)
	return nil
}

func setDisrupted(p *corev1.Pod, now time.Time) {
	p.Status.Conditions = slices.DeleteFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.DisruptionTarget })
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
		Reason: corev1.PodReasonPreemptionByScheduler, Message: "default-scheduler: preempting to accommodate a higher priority pod",
		LastTransitionTime: metav1.NewTime(now), ObservedGeneration: p.Generation})
}

// choosePreemption finds the node where it costs least to make room: in
// Kubernetes' order, the fewest broken budgets, the least important victim at
// the top, the lowest sum of priorities, the fewest victims, and the youngest
// of the most important ones. Nil: nowhere. Pure.
func choosePreemption(pod *corev1.Pod, w world, budgets []*policyv1.PodDisruptionBudget) *preemption {
	var best *preemption
	found := 0
	for i := range w.nodes {
		n := w.nodes[(w.start+i)%len(w.nodes)]
		if !slices.ContainsFunc(n.pods, func(p *corev1.Pod) bool { return priority(p) < priority(pod) }) {
			continue
		}
		c := makeRoom(pod, w, n, budgets)
		if c == nil {
			continue
		}
		if best == nil || cheaper(c, best) < 0 {
			best = c
		}
		if found++; found == max(candidatesLeast, len(w.nodes)*candidatesPercent/100) {
			break
		}
	}
	return best
}

func cheaper(a, b *preemption) int {
	// Each priority counts from the lowest possible, so that a sum of fewer is
	// never more only because they are negative.
	sum := func(p *preemption) (total int64) {
		for _, v := range p.victims {
			total += int64(priority(v)) + 1<<31
		}
		return total
	}
	return cmp.Or(
		cmp.Compare(a.broken, b.broken),
		cmp.Compare(priority(a.victims[0]), priority(b.victims[0])),
		cmp.Compare(sum(a), sum(b)),
		cmp.Compare(len(a.victims), len(b.victims)),
		youngestTop(b).Compare(youngestTop(a)),
	)
}

// youngestTop is when the oldest of the most important victims was started.
func youngestTop(p *preemption) time.Time {
	oldest := started(p.victims[0])
	for _, v := range p.victims[1:] {
		if t := started(v); priority(v) == priority(p.victims[0]) && t.Before(oldest) {
			oldest = t
		}
	}
	return oldest
}

func started(p *corev1.Pod) time.Time {
	if p.Status.StartTime != nil {
		return p.Status.StartTime.Time
	}
	return p.CreationTimestamp.Time
}

// makeRoom finds the fewest pods of lower priority without which pod fits on a
// node: all are taken away, and then given back as long as it still fits, the
// most important and those of budgets first. Nil: it does not fit even so.
func makeRoom(pod *corev1.Pod, w world, n *nodeInfo, budgets []*policyv1.PodDisruptionBudget) *preemption {
	var stay, lower []*corev1.Pod
	for _, p := range n.pods {
		if priority(p) < priority(pod) {
			lower = append(lower, p)
		} else {
			stay = append(stay, p)
		}
	}
	if !fitsWith(pod, w, n, stay) {
		return nil
	}
	slices.SortFunc(lower, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(priority(b), priority(a)), started(a).Compare(started(b)), cmp.Compare(a.Name, b.Name))
	})
	breaking, others := splitByBudget(lower, budgets)
	out := &preemption{node: n.node.Name}
	spare := func(group []*corev1.Pod) (gone int) {
		for _, p := range group {
			if with := append(slices.Clone(stay), p); fitsWith(pod, w, n, with) {
				stay = with
				continue
			}
			out.victims = append(out.victims, p)
			gone++
		}
		return gone
	}
	out.broken = spare(breaking)
	spare(others)
	if len(out.victims) == 0 {
		return nil // it fits already; what failed was something else
	}
	slices.SortStableFunc(out.victims, func(a, b *corev1.Pod) int { return cmp.Compare(priority(b), priority(a)) })
	return out
}

// splitByBudget finds the pods that cannot go without breaking a budget, if
// all before them go.
func splitByBudget(pods []*corev1.Pod, budgets []*policyv1.PodDisruptionBudget) (breaking, others []*corev1.Pod) {
	left := make([]int32, len(budgets))
	for i, b := range budgets {
		left[i] = b.Status.DisruptionsAllowed
	}
	for _, p := range pods {
		breaks := false
		for i, b := range budgets {
			if b.Namespace != p.Namespace || !matching(b.Spec.Selector).Matches(labels.Set(p.Labels)) {
				continue
			}
			if _, going := b.Status.DisruptedPods[p.Name]; going {
				continue
			}
			left[i]--
			breaks = breaks || left[i] < 0
		}
		if breaks {
			breaking = append(breaking, p)
		} else {
			others = append(others, p)
		}
	}
	return breaking, others
}

// fitsWith tells whether pod fits on n if exactly these pods were there.
func fitsWith(pod *corev1.Pod, w world, n *nodeInfo, pods []*corev1.Pod) bool {
	changed := newNodeInfo(n.node, pods)
	w.nodes = slices.Clone(w.nodes)
	w.nodes[slices.Index(w.nodes, n)] = changed
	return firstRefusal(filtersFor(pod, w), pod, changed) == nil
}
