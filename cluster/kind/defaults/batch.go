package defaults

import (
	"maps"
	"math"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

const backoffLimit = 6

// Job defaults a job.
func Job(j *batchv1.Job) {
	s := &j.Spec
	// Without both, one pod has to succeed; with parallelism alone, any one of
	// the pods that share the work.
	if s.Completions == nil && s.Parallelism == nil {
		setPtr(&s.Completions, 1)
	}
	setPtr(&s.Parallelism, 1)
	if s.BackoffLimitPerIndex != nil {
		setPtr(&s.BackoffLimit, math.MaxInt32)
	}
	setPtr(&s.BackoffLimit, backoffLimit)
	setPtr(&s.CompletionMode, batchv1.NonIndexedCompletion)
	setPtr(&s.Suspend, false)
	setPtr(&s.ManualSelector, false)
	if s.PodFailurePolicy != nil {
		setPtr(&s.PodReplacementPolicy, batchv1.Failed)
	}
	setPtr(&s.PodReplacementPolicy, batchv1.TerminatingOrFailed)
	if len(j.Labels) == 0 {
		j.Labels = maps.Clone(s.Template.Labels)
	}
	jobSpec(s)
}

// jobSpec defaults what jobs and the templates of cron jobs have in common.
func jobSpec(s *batchv1.JobSpec) {
	if s.PodFailurePolicy != nil {
		for i := range s.PodFailurePolicy.Rules {
			conditions := s.PodFailurePolicy.Rules[i].OnPodConditions
			for j := range conditions {
				set(&conditions[j].Status, corev1.ConditionTrue)
			}
		}
	}
	PodTemplateSpec(&s.Template)
}

// CronJob defaults a cron job.
func CronJob(c *batchv1.CronJob) {
	s := &c.Spec
	set(&s.ConcurrencyPolicy, batchv1.AllowConcurrent)
	setPtr(&s.Suspend, false)
	setPtr(&s.SuccessfulJobsHistoryLimit, 3)
	setPtr(&s.FailedJobsHistoryLimit, 1)
	jobSpec(&s.JobTemplate.Spec)
}
