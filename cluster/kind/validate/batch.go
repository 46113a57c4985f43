package validate

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Job checks a job, after its selector was generated.
func Job(j *batchv1.Job) field.ErrorList {
	s, p := &j.Spec, spec()
	errs := jobSpec(p, s)
	if s.Selector == nil {
		errs = append(errs, field.Required(p.Child("selector"), ""))
	} else {
		errs = append(errs, labelSelector(p.Child("selector"), s.Selector)...)
	}
	if sel, err := metav1.LabelSelectorAsSelector(s.Selector); err == nil && !sel.Matches(labels.Set(s.Template.Labels)) {
		errs = append(errs, field.Invalid(p.Child("template", "metadata", "labels"), s.Template.Labels,
			"`selector` does not match template `labels`"))
	}
	if s.CompletionMode != nil && *s.CompletionMode == batchv1.IndexedCompletion && s.Completions != nil && *s.Completions > 0 {
		// The pods' host names are the job's name and the index.
		host := fmt.Sprintf("%s-%d", j.Name, *s.Completions-1)
		if msgs := validation.IsDNS1123Label(host); len(msgs) > 0 {
			errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), j.Name,
				"will not able to create pod with invalid DNS label: "+host))
		}
	}
	return errs
}

// jobSpec checks what jobs and the templates of cron jobs have in common.
func jobSpec(p *field.Path, s *batchv1.JobSpec) errors {
	errs := nonNegativePtr(p.Child("parallelism"), s.Parallelism)
	errs = append(errs, nonNegativePtr(p.Child("completions"), s.Completions)...)
	errs = append(errs, nonNegativePtr(p.Child("activeDeadlineSeconds"), s.ActiveDeadlineSeconds)...)
	errs = append(errs, nonNegativePtr(p.Child("backoffLimit"), s.BackoffLimit)...)
	errs = append(errs, nonNegativePtr(p.Child("ttlSecondsAfterFinished"), s.TTLSecondsAfterFinished)...)
	errs = append(errs, nonNegativePtr(p.Child("backoffLimitPerIndex"), s.BackoffLimitPerIndex)...)
	errs = append(errs, nonNegativePtr(p.Child("maxFailedIndexes"), s.MaxFailedIndexes)...)
	errs = append(errs, oneOfPtr(p.Child("completionMode"), s.CompletionMode, batchv1.NonIndexedCompletion, batchv1.IndexedCompletion)...)
	indexed := s.CompletionMode != nil && *s.CompletionMode == batchv1.IndexedCompletion
	if indexed && s.Completions == nil {
		errs = append(errs, field.Required(p.Child("completions"), fmt.Sprintf("when completion mode is %s", batchv1.IndexedCompletion)))
	}
	if !indexed && s.BackoffLimitPerIndex != nil {
		errs = append(errs, field.Invalid(p.Child("backoffLimitPerIndex"), *s.BackoffLimitPerIndex, "requires indexed completion mode"))
	}
	if s.PodReplacementPolicy != nil {
		errs = append(errs, oneOfPtr(p.Child("podReplacementPolicy"), s.PodReplacementPolicy, batchv1.Failed, batchv1.TerminatingOrFailed)...)
	}
	errs = append(errs, podTemplate(p.Child("template"), &s.Template)...)
	restart := s.Template.Spec.RestartPolicy
	if restart != corev1.RestartPolicyOnFailure && restart != corev1.RestartPolicyNever {
		errs = append(errs, field.Required(p.Child("template", "spec", "restartPolicy"),
			fmt.Sprintf("valid values: %q, %q", corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)))
	}
	return append(errs, failurePolicy(p.Child("podFailurePolicy"), s)...)
}

func failurePolicy(p *field.Path, s *batchv1.JobSpec) errors {
	if s.PodFailurePolicy == nil {
		return nil
	}
	var errs errors
	if s.Template.Spec.RestartPolicy != corev1.RestartPolicyNever {
		errs = append(errs, field.Invalid(field.NewPath("spec", "template", "spec", "restartPolicy"), s.Template.Spec.RestartPolicy,
			fmt.Sprintf("only %q is supported when podFailurePolicy is specified", corev1.RestartPolicyNever)))
	}
	for i, r := range s.PodFailurePolicy.Rules {
		at := p.Child("rules").Index(i)
		errs = append(errs, oneOf(at.Child("action"), r.Action, batchv1.PodFailurePolicyActionCount,
			batchv1.PodFailurePolicyActionFailIndex, batchv1.PodFailurePolicyActionFailJob, batchv1.PodFailurePolicyActionIgnore)...)
		switch codes := r.OnExitCodes; {
		case codes == nil && len(r.OnPodConditions) == 0:
			errs = append(errs, field.Invalid(at, r, "specifying one of OnExitCodes and OnPodConditions is required"))
		case codes != nil && len(r.OnPodConditions) > 0:
			errs = append(errs, field.Invalid(at, r, "specifying both OnExitCodes and OnPodConditions is not supported"))
		case codes != nil:
			at := at.Child("onExitCodes")
			errs = append(errs, oneOf(at.Child("operator"), codes.Operator,
				batchv1.PodFailurePolicyOnExitCodesOpIn, batchv1.PodFailurePolicyOnExitCodesOpNotIn)...)
			if len(codes.Values) == 0 {
				errs = append(errs, field.Invalid(at.Child("values"), codes.Values, "at least one value is required"))
			}
		}
	}
	return errs
}

// JobUpdate checks a change. The template of a suspended job that has not
// started may get other scheduling directives.
func JobUpdate(j, old *batchv1.Job) field.ErrorList {
	p := spec()
	var errs errors
	if !elastic(&j.Spec, &old.Spec) {
		errs = append(errs, unchanged(p.Child("completions"), j.Spec.Completions, old.Spec.Completions)...)
	}
	errs = append(errs, unchanged(p.Child("selector"), j.Spec.Selector, old.Spec.Selector)...)
	template := j.Spec.Template.DeepCopy()
	if old.Spec.Suspend != nil && *old.Spec.Suspend && old.Status.StartTime == nil {
		was := old.Spec.Template
		template.Labels, template.Annotations = was.Labels, was.Annotations
		template.Spec.NodeSelector, template.Spec.Tolerations = was.Spec.NodeSelector, was.Spec.Tolerations
		template.Spec.Affinity, template.Spec.SchedulingGates = was.Spec.Affinity, was.Spec.SchedulingGates
	}
	errs = append(errs, unchanged(p.Child("template"), *template, old.Spec.Template)...)
	errs = append(errs, unchanged(p.Child("completionMode"), j.Spec.CompletionMode, old.Spec.CompletionMode)...)
	errs = append(errs, unchanged(p.Child("podFailurePolicy"), j.Spec.PodFailurePolicy, old.Spec.PodFailurePolicy)...)
	errs = append(errs, unchanged(p.Child("backoffLimitPerIndex"), j.Spec.BackoffLimitPerIndex, old.Spec.BackoffLimitPerIndex)...)
	return append(errs, unchanged(p.Child("successPolicy"), j.Spec.SuccessPolicy, old.Spec.SuccessPolicy)...)
}

// elastic tells whether an indexed job changes its completions together with
// its parallelism, which is allowed.
func elastic(s, old *batchv1.JobSpec) bool {
	indexed := old.CompletionMode != nil && *old.CompletionMode == batchv1.IndexedCompletion
	return indexed && s.Completions != nil && s.Parallelism != nil && *s.Completions == *s.Parallelism &&
		old.Completions != nil && old.Parallelism != nil && *old.Completions == *old.Parallelism
}

// maxCronJobName leaves room for the 11 characters that are added to the names
// of its jobs.
const maxCronJobName = 52

// CronJob checks a cron job.
func CronJob(c *batchv1.CronJob) field.ErrorList {
	s, p := &c.Spec, spec()
	var errs errors
	if len(c.Name) > maxCronJobName {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), c.Name,
			fmt.Sprintf("must be no more than %d characters", maxCronJobName)))
	}
	at := p.Child("schedule")
	if s.Schedule == "" {
		errs = append(errs, field.Required(at, ""))
	} else {
		if _, err := cron.ParseStandard(s.Schedule); err != nil {
			errs = append(errs, field.Invalid(at, s.Schedule, err.Error()))
		}
		if strings.Contains(s.Schedule, "TZ") {
			msg := "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
			if s.TimeZone != nil {
				msg = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
			}
			errs = append(errs, field.Invalid(at, s.Schedule, msg))
		}
	}
	errs = append(errs, timeZone(p.Child("timeZone"), s.TimeZone)...)
	errs = append(errs, nonNegativePtr(p.Child("startingDeadlineSeconds"), s.StartingDeadlineSeconds)...)
	errs = append(errs, oneOf(p.Child("concurrencyPolicy"), s.ConcurrencyPolicy,
		batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent)...)
	errs = append(errs, nonNegativePtr(p.Child("successfulJobsHistoryLimit"), s.SuccessfulJobsHistoryLimit)...)
	errs = append(errs, nonNegativePtr(p.Child("failedJobsHistoryLimit"), s.FailedJobsHistoryLimit)...)
	return append(errs, jobSpec(p.Child("jobTemplate", "spec"), &s.JobTemplate.Spec)...)
}

func timeZone(p *field.Path, zone *string) errors {
	switch {
	case zone == nil:
		return nil
	case *zone == "":
		return errors{field.Invalid(p, zone, "timeZone must be nil or non-empty string")}
	case strings.EqualFold(*zone, "Local"):
		return errors{field.Invalid(p, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones")}
	}
	if _, err := time.LoadLocation(*zone); err != nil {
		return errors{field.Invalid(p, zone, err.Error())}
	}
	return nil
}
