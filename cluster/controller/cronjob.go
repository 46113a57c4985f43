package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// cronJobs starts a Job whenever a schedule says so. The names of Jobs are made
// of the time they were due, so none starts twice.
type cronJobs struct {
	*Set
	events *event.Recorder
}

func newCronJobs(s *Set) *cronJobs { return &cronJobs{s, s.recorder("cronjob-controller")} }

func (c *cronJobs) loop() *loop {
	return &loop{
		name: "cronjob",
		sources: []source{
			self(builtin.CronJobs.Resource),
			owned(builtin.Jobs.Resource, "batch", "CronJob"),
		},
		reconcile: c.reconcile,
	}
}

func (c *cronJobs) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	cron, err := builtin.CronJobs.Get(ctx, c.verbs, k.Namespace, k.Name)
	if err != nil {
		return 0, ignoreNotFound(err)
	}
	all, err := builtin.Jobs.List(ctx, c.verbs, object.ListOptions{Namespace: k.Namespace})
	if err != nil {
		return 0, fmt.Errorf("list jobs: %w", err)
	}
	jobs := slices.DeleteFunc(all, func(j *batchv1.Job) bool { return !object.ControlledBy(j, cron) })
	plan := planCron(cron, jobs, c.now())
	for _, e := range plan.events {
		c.event(cron, e.kind, e.reason, "%s", e.message)
	}
	err = c.apply(ctx, cron, &plan)
	if statusErr := c.writeStatus(ctx, cron, plan.status); err == nil {
		err = statusErr
	}
	return plan.wait, err
}

// apply deletes and creates Jobs, and notes in the plan's status what came of it.
func (c *cronJobs) apply(ctx context.Context, cron *batchv1.CronJob, p *cronPlan) error {
	for _, j := range p.remove {
		if err := c.remove(ctx, cron, j); err != nil {
			return err
		}
		p.status.Active = slices.DeleteFunc(p.status.Active, func(r corev1.ObjectReference) bool { return r.UID == j.UID })
	}
	if p.create == nil {
		return nil
	}
	due := *p.status.LastScheduleTime
	p.status.LastScheduleTime = cron.Status.LastScheduleTime // until it has started
	job, err := builtin.Jobs.Create(ctx, c.verbs, p.create.DeepCopy(), write())
	switch {
	case apierrors.IsAlreadyExists(err):
		if job, err = builtin.Jobs.Get(ctx, c.verbs, cron.Namespace, p.create.Name); err != nil {
			return err
		}
		if !object.ControlledBy(job, cron) {
			c.event(cron, corev1.EventTypeWarning, "FailedCreate", "Error creating job: job name %q is already in use and is not controlled by this CronJob", job.Name)
			return nil
		}
	case namespaceGoing(err):
		return nil
	case err != nil:
		c.event(cron, corev1.EventTypeWarning, "FailedCreate", "Error creating job: %v", err)
		return fmt.Errorf("create job %s: %w", p.create.Name, err)
	default:
		c.event(cron, corev1.EventTypeNormal, "SuccessfulCreate", "Created job %v", job.Name)
	}
	p.status.LastScheduleTime = &due
	p.status.Active = append(slices.Clone(p.status.Active), jobReference(job))
	return nil
}

func (c *cronJobs) remove(ctx context.Context, cron *batchv1.CronJob, j *batchv1.Job) error {
	d := uidOnly(j.UID)
	d.Propagation = new(metav1.DeletePropagationBackground)
	err := builtin.Jobs.Delete(ctx, c.verbs, j.Namespace, j.Name, d)
	switch {
	case apierrors.IsNotFound(err) || apierrors.IsConflict(err):
		return nil
	case err != nil:
		c.event(cron, corev1.EventTypeWarning, "FailedDelete", "Deleted job: %v", err)
		return fmt.Errorf("delete job %s: %w", j.Name, err)
	}
	c.event(cron, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted job %v", j.Name)
	return nil
}

func jobReference(j *batchv1.Job) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: builtin.Jobs.Kind.GroupVersion().String(), Kind: builtin.Jobs.Kind.Kind,
		Namespace: j.Namespace, Name: j.Name, UID: j.UID, ResourceVersion: j.ResourceVersion}
}

func (c *cronJobs) writeStatus(ctx context.Context, cron *batchv1.CronJob, status batchv1.CronJobStatus) error {
	if equality.Semantic.DeepEqual(status, cron.Status) {
		return nil
	}
	changed := cron.DeepCopy()
	changed.Status = status
	_, err := builtin.CronJobs.UpdateStatus(ctx, c.verbs, changed, write())
	return ignoreNotFound(err)
}

func (c *cronJobs) event(cron *batchv1.CronJob, kind, reason, format string, args ...any) {
	c.events.Event(cron, builtin.CronJobs.Kind, "", kind, reason, format, args...)
}

// refersTo tells whether a status lists the Job.
func refersTo(active []corev1.ObjectReference, uid types.UID) bool {
	return slices.ContainsFunc(active, func(r corev1.ObjectReference) bool { return r.UID == uid })
}
