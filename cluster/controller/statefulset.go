package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// statefulSets keeps pods with an identity: a number, a name made of it, and
// claims of their own that outlive them.
type statefulSets struct {
	*Set
	events *event.Recorder
}

func newStatefulSets(s *Set) *statefulSets {
	return &statefulSets{s, s.recorder("statefulset-controller")}
}

func (c *statefulSets) loop() *loop {
	selects := func(s *appsv1.StatefulSet) labels.Selector { return selectorOf(s.Spec.Selector) }
	return &loop{
		name:    "statefulset",
		workers: 2,
		sources: []source{
			self(builtin.StatefulSets.Resource),
			ownedOrOrphan(builtin.Pods.Resource, "apps", "StatefulSet", selecting(c.verbs, builtin.StatefulSets, selects)),
			owned(builtin.ControllerRevisions.Resource, "apps", "StatefulSet"),
		},
		reconcile: c.reconcile,
	}
}

func (c *statefulSets) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	set, err := builtin.StatefulSets.Get(ctx, c.verbs, k.Namespace, k.Name)
	if err != nil {
		return 0, ignoreNotFound(err)
	}
	selector := selectorOf(set.Spec.Selector)
	if selector.Empty() {
		return 0, nil
	}
	me := owner{set, builtin.StatefulSets.Kind, selector}
	history, err := claim(ctx, c.verbs, builtin.ControllerRevisions, me)
	if err != nil {
		return 0, err
	}
	pods, err := c.claimPods(ctx, me, set)
	if err != nil {
		return 0, err
	}
	if set.DeletionTimestamp != nil {
		return 0, nil
	}
	revisions, err := c.revisions(ctx, set, history)
	if err != nil {
		return 0, err
	}
	plan, err := planStateful(set, pods, revisions, c.now())
	if err != nil {
		return 0, err
	}
	err = c.apply(ctx, set, pods, plan)
	if statusErr := c.writeStatus(ctx, set, plan.status); err == nil {
		err = statusErr
	}
	if err == nil {
		err = c.truncateHistory(ctx, set, pods, history, revisions)
	}
	return plan.wait, err
}

// claimPods is claim for pods, of which only those with a name of the set's
// are its own.
func (c *statefulSets) claimPods(ctx context.Context, me owner, set *appsv1.StatefulSet) ([]*corev1.Pod, error) {
	all, err := builtin.Pods.List(ctx, c.verbs, object.ListOptions{Namespace: set.Namespace})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	foreign := func(p *corev1.Pod) bool { _, ok := ordinal(set, p); return !ok && controllerOf(p) == nil }
	mine, adopt, release := claimed(me, slices.DeleteFunc(all, foreign))
	for _, p := range adopt {
		changed := p.DeepCopy()
		changed.OwnerReferences = append(changed.OwnerReferences, object.ControllerRef(set, me.kind))
		stored, err := builtin.Pods.Update(ctx, c.verbs, changed, write())
		if err != nil {
			return nil, fmt.Errorf("adopt pod %s: %w", p.Name, err)
		}
		mine = append(mine, stored)
	}
	for _, p := range release {
		changed := p.DeepCopy()
		changed.OwnerReferences = withoutOwner(changed.OwnerReferences, set.UID)
		if _, err := builtin.Pods.Update(ctx, c.verbs, changed, write()); ignoreNotFound(err) != nil {
			return nil, fmt.Errorf("release pod %s: %w", p.Name, err)
		}
	}
	return mine, nil
}

// apply writes a plan: claims before the pods that need them.
func (c *statefulSets) apply(ctx context.Context, set *appsv1.StatefulSet, pods []*corev1.Pod, p statefulPlan) error {
	if err := c.ownClaims(ctx, set, pods); err != nil {
		return err
	}
	for _, pod := range p.repair {
		if err := c.ensureClaims(ctx, set, pod); err != nil {
			return err
		}
		if _, err := builtin.Pods.Update(ctx, c.verbs, pod, write()); ignoreNotFound(err) != nil {
			return fmt.Errorf("update pod %s: %w", pod.Name, err)
		}
	}
	for _, pod := range p.claims {
		if err := c.ensureClaims(ctx, set, pod); err != nil {
			return err
		}
	}
	for _, pod := range p.create {
		if err := c.create(ctx, set, pod); err != nil {
			return err
		}
	}
	for _, d := range p.remove {
		if d.reason != "" {
			c.event(set, corev1.EventTypeWarning, d.reason, "StatefulSet %s/%s is recreating %s Pod %s",
				set.Namespace, set.Name, strings.ToLower(string(d.pod.Status.Phase)), d.pod.Name)
		}
		err := builtin.Pods.Delete(ctx, c.verbs, d.pod.Namespace, d.pod.Name, uidOnly(d.pod.UID))
		if ignoreNotFound(err) != nil {
			c.event(set, corev1.EventTypeWarning, "FailedDelete", "delete Pod %s in StatefulSet %s failed error: %s", d.pod.Name, set.Name, err)
			return fmt.Errorf("delete pod %s: %w", d.pod.Name, err)
		}
		c.event(set, corev1.EventTypeNormal, "SuccessfulDelete", "delete Pod %s in StatefulSet %s successful", d.pod.Name, set.Name)
	}
	return nil
}

func (c *statefulSets) create(ctx context.Context, set *appsv1.StatefulSet, pod *corev1.Pod) error {
	err := c.ensureClaims(ctx, set, pod)
	if err == nil {
		_, err = builtin.Pods.Create(ctx, c.verbs, pod.DeepCopy(), write())
	}
	switch {
	case err == nil:
		c.event(set, corev1.EventTypeNormal, "SuccessfulCreate", "create Pod %s in StatefulSet %s successful", pod.Name, set.Name)
		return nil
	case namespaceGoing(err):
		return nil
	}
	c.event(set, corev1.EventTypeWarning, "FailedCreate", "create Pod %s in StatefulSet %s failed error: %s", pod.Name, set.Name, err)
	return fmt.Errorf("create pod %s: %w", pod.Name, err)
}

func (c *statefulSets) writeStatus(ctx context.Context, set *appsv1.StatefulSet, status appsv1.StatefulSetStatus) error {
	if equality.Semantic.DeepEqual(status, set.Status) {
		return nil
	}
	changed := set.DeepCopy()
	changed.Status = status
	_, err := builtin.StatefulSets.UpdateStatus(ctx, c.verbs, changed, write())
	return ignoreNotFound(err)
}

func (c *statefulSets) event(set *appsv1.StatefulSet, kind, reason, format string, args ...any) {
	c.events.Event(set, builtin.StatefulSets.Kind, "", kind, reason, format, args...)
}

// ensureClaims creates the claims of one pod that are missing, and waits, by
// an error, for those that are being deleted.
func (c *statefulSets) ensureClaims(ctx context.Context, set *appsv1.StatefulSet, pod *corev1.Pod) error {
	for _, want := range claimsOf(set, pod) {
		have, err := builtin.PersistentVolumeClaims.Get(ctx, c.verbs, want.Namespace, want.Name)
		switch {
		case err == nil && have.DeletionTimestamp != nil:
			return fmt.Errorf("pvc %s is being deleted", want.Name)
		case err == nil:
			continue
		case !apierrors.IsNotFound(err):
			return err
		}
		if _, err := builtin.PersistentVolumeClaims.Create(ctx, c.verbs, want, write()); err != nil && !apierrors.IsAlreadyExists(err) {
			if !namespaceGoing(err) {
				c.event(set, corev1.EventTypeWarning, "FailedCreate", "create Claim %s Pod %s in StatefulSet %s failed error: %s", want.Name, pod.Name, set.Name, err)
			}
			return fmt.Errorf("create claim %s: %w", want.Name, err)
		}
		c.event(set, corev1.EventTypeNormal, "SuccessfulCreate", "create Claim %s Pod %s in StatefulSet %s success", want.Name, pod.Name, set.Name)
	}
	return nil
}

// ownClaims gives the existing pods' claims the owners that the retention
// policy asks for, before a pod that takes its claims along is deleted.
func (c *statefulSets) ownClaims(ctx context.Context, set *appsv1.StatefulSet, pods []*corev1.Pod) error {
	if len(set.Spec.VolumeClaimTemplates) == 0 {
		return nil
	}
	for _, pod := range pods {
		for _, want := range claimsOf(set, pod) {
			have, err := builtin.PersistentVolumeClaims.Get(ctx, c.verbs, want.Namespace, want.Name)
			if apierrors.IsNotFound(err) {
				continue
			}
			if err != nil {
				return err
			}
			refs, changed := claimOwners(set, pod, have.OwnerReferences)
			if !changed {
				continue
			}
			next := have.DeepCopy()
			next.OwnerReferences = refs
			if _, err := builtin.PersistentVolumeClaims.Update(ctx, c.verbs, next, write()); ignoreNotFound(err) != nil {
				return fmt.Errorf("set owner of claim %s: %w", have.Name, err)
			}
		}
	}
	return nil
}
