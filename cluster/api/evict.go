package api

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
)

// Kubernetes' values: how many evictions may wait to be counted by a budget,
// and how long to wait for one that was not counted yet.
const (
	disruptedMost    = 2000
	budgetRetryAfter = 10 // seconds
)

var budgets = object.Resource{Group: "policy", Resource: "poddisruptionbudgets"}

// evict deletes a pod for somebody who asks politely: not where that would
// break a PodDisruptionBudget, which then answers 429 (kubectl drain asks
// again). An allowed disruption is taken from the budget before the pod is
// deleted, so that two evictions at once cannot both have the last one.
func (s *Server) evict(ctx context.Context, k *kind.Kind, key object.Key, e *policyv1.Eviction, w object.WriteOptions) (object.Object, error) {
	o := object.DeleteOptions{DryRun: w.DryRun}
	if d := e.DeleteOptions; d != nil {
		o.GracePeriodSeconds, o.Preconditions, o.Propagation = d.GracePeriodSeconds, d.Preconditions, d.PropagationPolicy
		o.DryRun = o.DryRun || len(d.DryRun) > 0
	}
	stored, err := s.Store.Get(pods, key)
	if err != nil {
		return nil, storeError(err, pods, key.Name)
	}
	pod := stored.(*corev1.Pod)
	if err := checkPreconditions(pods, pod, o.Preconditions); err != nil {
		return nil, err
	}
	budget, err := s.budgetOf(pod)
	if err != nil {
		return nil, err
	}
	if budget != nil && !outsideBudget(pod, budget) {
		if err := s.takeDisruption(ctx, budget, pod, o.DryRun); err != nil {
			return nil, err
		}
	}
	if !o.DryRun {
		if err := s.markEvicted(ctx, k, pod); err != nil {
			return nil, err
		}
	}
	if o.Preconditions == nil {
		o.Preconditions = &metav1.Preconditions{UID: &pod.UID}
	}
	if _, _, err := s.delete(ctx, k, key, o); err != nil {
		return nil, err
	}
	return e, nil
}

// budgetOf finds the budget that a pod counts in, or nil.
func (s *Server) budgetOf(pod *corev1.Pod) (*policyv1.PodDisruptionBudget, error) {
	if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodPending {
		return nil, nil // nobody is served by it
	}
	all, err := s.List(context.Background(), budgets, object.ListOptions{Namespace: pod.Namespace})
	if err != nil {
		return nil, err
	}
	var found *policyv1.PodDisruptionBudget
	for _, o := range all.Items {
		b := o.(*policyv1.PodDisruptionBudget)
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		if found != nil {
			return nil, apierrors.NewInternalError(errors.New("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."))
		}
		found = b
	}
	return found, nil
}

// outsideBudget tells whether a pod that is not ready may go without counting:
// always by the budget's policy, else when enough others are healthy.
func outsideBudget(pod *corev1.Pod, b *policyv1.PodDisruptionBudget) bool {
	ready := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
	if ready {
		return false
	}
	if p := b.Spec.UnhealthyPodEvictionPolicy; p != nil && *p == policyv1.AlwaysAllow {
		return true
	}
	return b.Status.CurrentHealthy >= b.Status.DesiredHealthy && b.Status.DesiredHealthy > 0
}

// takeDisruption takes one allowed disruption for a pod, or refuses.
func (s *Server) takeDisruption(ctx context.Context, b *policyv1.PodDisruptionBudget, pod *corev1.Pod, dryRun bool) error {
	k, ok := s.Kinds.ForResource(budgets)
	if !ok {
		return notServed()
	}
	opts := write{served: kind.Served{Kind: k}, fields: keepFields, retry: true}
	opts.Subresource, opts.DryRun = "status", dryRun
	_, err := s.modify(ctx, opts, object.KeyOf(b), func(old object.Object) (object.Object, error) {
		b := old.DeepCopyObject().(*policyv1.PodDisruptionBudget)
		if err := s.checkBudget(b, pod.Name); err != nil {
			return nil, err
		}
		if _, again := b.Status.DisruptedPods[pod.Name]; again {
			return b, nil // asked twice: it is counted already
		}
		b.Status.DisruptionsAllowed--
		if b.Status.DisruptionsAllowed == 0 {
			meta.SetStatusCondition(&b.Status.Conditions, metav1.Condition{Type: policyv1.DisruptionAllowedCondition,
				Status: metav1.ConditionFalse, Reason: policyv1.InsufficientPodsReason, ObservedGeneration: b.Generation})
		}
		if b.Status.DisruptedPods == nil {
			b.Status.DisruptedPods = map[string]metav1.Time{}
		}
		b.Status.DisruptedPods[pod.Name] = s.stamp()
		return b, nil
	})
	return err
}

// checkBudget refuses when a budget allows no disruption.
func (s *Server) checkBudget(b *policyv1.PodDisruptionBudget, pod string) error {
	const refused = "Cannot evict pod as it would violate the pod's disruption budget."
	_, again := b.Status.DisruptedPods[pod]
	switch {
	case b.Status.ObservedGeneration < b.Generation:
		return tooMany(refused, budgetRetryAfter, fmt.Sprintf("The disruption budget %s is still being processed by the server.", b.Name))
	case again:
		return nil
	case len(b.Status.DisruptedPods) > disruptedMost:
		return apierrors.NewForbidden(budgets, b.Name, errors.New("DisruptedPods map too big - too many evictions not confirmed by PDB controller"))
	case b.Status.DisruptionsAllowed <= 0:
		why := fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently", b.Name, b.Status.DesiredHealthy, b.Status.CurrentHealthy)
		if c := meta.FindStatusCondition(b.Status.Conditions, policyv1.DisruptionAllowedCondition); c != nil && c.Reason == policyv1.SyncFailedReason {
			why = fmt.Sprintf("The disruption budget %s does not allow evicting pods currently because it failed sync: %s", b.Name, c.Message)
		}
		return tooMany(refused, 0, why)
	}
	return nil
}

func tooMany(message string, retryAfter int, why string) error {
	err := apierrors.NewTooManyRequests(message, retryAfter)
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: why})
	return err
}

// markEvicted says at the pod that it goes because somebody asked.
func (s *Server) markEvicted(ctx context.Context, k *kind.Kind, pod *corev1.Pod) error {
	opts := write{served: kind.Served{Kind: k}, fields: keepFields, retry: true}
	opts.Subresource = "status"
	_, err := s.modify(ctx, opts, object.KeyOf(pod), func(old object.Object) (object.Object, error) {
		p := old.DeepCopyObject().(*corev1.Pod)
		if p.UID != pod.UID {
			return nil, apierrors.NewConflict(pods, p.Name, fmt.Errorf("the pod was replaced by another of its name"))
		}
		setCondition(p, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI",
			Message: "Eviction API: evicting", LastTransitionTime: s.stamp(), ObservedGeneration: p.Generation})
		return p, nil
	})
	return err
}
