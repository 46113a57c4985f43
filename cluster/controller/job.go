package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// jobs runs each Job's pods until enough succeeded or too many failed.
//
// No pod that ended is lost to the count: pods carry a finalizer until they
// are counted. A pod that ended is first noted by UID in the status
// (uncountedTerminatedPods), then its finalizer is removed, and only when that
// is seen does the note become a number. A stop between any two of these
// neither loses nor doubles a pod.
type jobs struct {
	*Set
	events *event.Recorder
}

func newJobs(s *Set) *jobs { return &jobs{s, s.recorder("job-controller")} }

func (c *jobs) loop() *loop {
	return &loop{
		name:    "job",
		workers: 2,
		sources: []source{
			self(builtin.Jobs.Resource),
			ownedOrOrphan(builtin.Pods.Resource, "batch", "Job",
				selecting(c.verbs, builtin.Jobs, func(j *batchv1.Job) labels.Selector { return selectorOf(j.Spec.Selector) })),
		},
		reconcile: c.reconcile,
	}
}

func (c *jobs) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	job, ok, err := present(builtin.Jobs.Get(ctx, c.verbs, k.Namespace, k.Name))
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, c.letGo(ctx, k)
	}
	pods, err := claim(ctx, c.verbs, builtin.Pods, owner{job, builtin.Jobs.Kind, selectorOf(job.Spec.Selector)})
	if err != nil {
		return 0, err
	}
	plan := planJob(job, pods, c.now())
	return plan.wait, c.apply(ctx, job, plan)
}

// apply writes what a plan says: the status before anything that depends on
// its being known.
func (c *jobs) apply(ctx context.Context, job *batchv1.Job, p jobPlan) error {
	if p.expired {
		d := uidOnly(job.UID)
		d.Propagation = new(metav1.DeletePropagationForeground)
		return ignoreNotFound(builtin.Jobs.Delete(ctx, c.verbs, job.Namespace, job.Name, d))
	}
	if !equality.Semantic.DeepEqual(p.status, job.Status) {
		changed := job.DeepCopy()
		changed.Status = p.status
		if _, err := builtin.Jobs.UpdateStatus(ctx, c.verbs, changed, write()); err != nil {
			return ignoreNotFound(err)
		}
		for _, e := range p.events {
			c.event(job, e.kind, e.reason, "%s", e.message)
		}
	}
	for _, pod := range p.counted {
		if err := c.untrack(ctx, pod); err != nil {
			return err
		}
	}
	err := deletePods(ctx, c.verbs, p.remove, func(pod *corev1.Pod, err error) {
		if err != nil {
			c.event(job, corev1.EventTypeWarning, "FailedDelete", "Error deleting: %v", err)
			return
		}
		c.event(job, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: %v", pod.Name)
	})
	if err != nil {
		return err
	}
	err = createPods(ctx, c.verbs, p.create, func(pod *corev1.Pod, err error) {
		switch {
		case err == nil:
			c.event(job, corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: %v", pod.Name)
		case !namespaceGoing(err):
			c.event(job, corev1.EventTypeWarning, "FailedCreate", "Error creating: %v", err)
		}
	})
	if namespaceGoing(err) {
		return nil
	}
	return err
}

// untrack lets a pod that is counted, or need not be, go.
func (c *jobs) untrack(ctx context.Context, pod *corev1.Pod) error {
	if !tracked(pod) {
		return nil
	}
	changed := pod.DeepCopy()
	changed.Finalizers = without(pod.Finalizers, batchv1.JobTrackingFinalizer)
	if _, err := builtin.Pods.Update(ctx, c.verbs, changed, write()); ignoreNotFound(err) != nil {
		return fmt.Errorf("release pod %s: %w", pod.Name, err)
	}
	return nil
}

func tracked(p *corev1.Pod) bool { return slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer) }

// letGo takes the finalizer from the pods of a Job that is gone.
func (c *jobs) letGo(ctx context.Context, k object.Key) error {
	pods, err := builtin.Pods.List(ctx, c.verbs, object.ListOptions{Namespace: k.Namespace})
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	for _, p := range pods {
		if ref := controllerOf(p); ref != nil && ref.Kind == "Job" && ref.Name == k.Name {
			if err := c.untrack(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *jobs) event(job *batchv1.Job, kind, reason, format string, args ...any) {
	c.events.Event(job, builtin.Jobs.Kind, "", kind, reason, format, args...)
}
