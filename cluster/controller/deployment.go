package controller

import (
	"context"
	"fmt"
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

// deployments rolls each Deployment's template out through ReplicaSets: one
// for each template it had, named after the template's hash.
//
// One reconcile takes one step of a rollout (planRollout computes which); the
// change that it makes to a ReplicaSet, or that ReplicaSet's new status, leads
// to the next.
type deployments struct {
	*Set
	events *event.Recorder
}

func newDeployments(s *Set) *deployments {
	return &deployments{s, s.recorder("deployment-controller")}
}

func (c *deployments) loop() *loop {
	return &loop{
		name:    "deployment",
		workers: 2,
		sources: []source{
			self(builtin.Deployments.Resource),
			ownedOrOrphan(builtin.ReplicaSets.Resource, "apps", "Deployment",
				selecting(c.verbs, builtin.Deployments, func(d *appsv1.Deployment) labels.Selector { return selectorOf(d.Spec.Selector) })),
			{builtin.Pods.Resource, c.recreating},
		},
		reconcile: c.reconcile,
	}
}

// recreating returns the Deployment that waits for an old pod to be gone.
func (c *deployments) recreating(ch change) []object.Key {
	p, _ := ch.latest().(*corev1.Pod)
	if p == nil || (ch.new != nil && !podFinished(p)) {
		return nil
	}
	ref := controllerOf(p)
	if ref == nil || ref.Kind != "ReplicaSet" {
		return nil
	}
	set, err := builtin.ReplicaSets.Get(context.Background(), c.verbs, p.Namespace, ref.Name)
	if err != nil {
		return nil
	}
	return ownerKeys(change{new: set}, "apps", "Deployment")
}

func (c *deployments) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	d, err := builtin.Deployments.Get(ctx, c.verbs, k.Namespace, k.Name)
	if err != nil {
		return 0, ignoreNotFound(err)
	}
	selector := selectorOf(d.Spec.Selector)
	if selector.Empty() {
		c.events.Event(d, builtin.Deployments.Kind, "", corev1.EventTypeWarning, "SelectingAll",
			"This deployment is selecting all pods. A non-empty selector is required.")
		return 0, nil
	}
	sets, err := claim(ctx, c.verbs, builtin.ReplicaSets, owner{d, builtin.Deployments.Kind, selector})
	if err != nil {
		return 0, err
	}
	pods, err := builtin.Pods.List(ctx, c.verbs, object.ListOptions{Namespace: k.Namespace, Labels: selector})
	if err != nil {
		return 0, fmt.Errorf("list pods: %w", err)
	}
	plan := planRollout(d, sets, pods, c.now())
	return plan.wait, c.apply(ctx, d, plan)
}

// apply writes what a plan says. ReplicaSets go first: what they fail with
// belongs in the status.
func (c *deployments) apply(ctx context.Context, d *appsv1.Deployment, p rolloutPlan) error {
	if err := c.createSet(ctx, d, &p); err != nil {
		return err
	}
	for _, u := range p.update {
		if _, err := builtin.ReplicaSets.Update(ctx, c.verbs, u.set, write()); err != nil {
			return fmt.Errorf("update replica set %s: %w", u.set.Name, err)
		}
		if u.from != *u.set.Spec.Replicas {
			direction := "up"
			if u.from > *u.set.Spec.Replicas {
				direction = "down"
			}
			c.event(d, corev1.EventTypeNormal, "ScalingReplicaSet", "Scaled %s replica set %s from %d to %d",
				direction, u.set.Name, u.from, *u.set.Spec.Replicas)
		}
	}
	for _, old := range p.remove {
		if err := builtin.ReplicaSets.Delete(ctx, c.verbs, old.Namespace, old.Name, uidOnly(old.UID)); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete old replica set %s: %w", old.Name, err)
		}
	}
	if p.revision != "" && d.Annotations[revisionAnnotation] != p.revision {
		changed := d.DeepCopy()
		setAnnotation(changed, revisionAnnotation, p.revision)
		stored, err := builtin.Deployments.Update(ctx, c.verbs, changed, write())
		if err != nil {
			return ignoreNotFound(err)
		}
		d = stored
	}
	return c.writeStatus(ctx, d, p.status)
}

// createSet creates the new ReplicaSet, if there is one to create. A name that
// another template already has raises the collision count, which the hash of
// the next try includes.
func (c *deployments) createSet(ctx context.Context, d *appsv1.Deployment, p *rolloutPlan) error {
	if p.create == nil {
		return nil
	}
	set := p.create
	want := *set.Spec.Replicas
	stored, err := builtin.ReplicaSets.Create(ctx, c.verbs, set.DeepCopy(), write())
	switch {
	case err == nil:
		if want > 0 {
			c.event(d, corev1.EventTypeNormal, "ScalingReplicaSet", "Scaled up replica set %s from 0 to %d", stored.Name, want)
		}
		return nil
	case apierrors.IsAlreadyExists(err):
		existing, getErr := builtin.ReplicaSets.Get(ctx, c.verbs, set.Namespace, set.Name)
		if getErr != nil {
			return getErr
		}
		if object.ControlledBy(existing, d) && sameTemplate(&existing.Spec.Template, &d.Spec.Template) {
			return nil // a parallel change made it; the next reconcile uses it
		}
		status := *d.Status.DeepCopy()
		status.CollisionCount = new(value(d.Status.CollisionCount, 0) + 1)
		if err := c.writeStatus(ctx, d, status); err != nil {
			return err
		}
		return fmt.Errorf("replica set name %s is taken: trying another", set.Name)
	case namespaceGoing(err):
		return nil
	}
	message := fmt.Sprintf("Failed to create new replica set %q: %v", set.Name, err)
	status := *d.Status.DeepCopy()
	status.ObservedGeneration = d.Generation
	if d.Spec.ProgressDeadlineSeconds != nil {
		setProgress(&status, corev1.ConditionFalse, reasonCreateFailed, message, c.now())
	}
	c.event(d, corev1.EventTypeWarning, reasonCreateFailed, "%s", message)
	if err := c.writeStatus(ctx, d, status); err != nil {
		return err
	}
	return fmt.Errorf("create replica set %s: %w", set.Name, err)
}

func (c *deployments) writeStatus(ctx context.Context, d *appsv1.Deployment, status appsv1.DeploymentStatus) error {
	if equality.Semantic.DeepEqual(status, d.Status) {
		return nil
	}
	changed := d.DeepCopy()
	changed.Status = status
	_, err := builtin.Deployments.UpdateStatus(ctx, c.verbs, changed, write())
	return ignoreNotFound(err)
}

func (c *deployments) event(d *appsv1.Deployment, kind, reason, format string, args ...any) {
	c.events.Event(d, builtin.Deployments.Kind, "", kind, reason, format, args...)
}
