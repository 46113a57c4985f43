package controller

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
	_ "time/tzdata" // a host need not have time zones installed

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

const (
	// missedMost is how many missed starts are too many to be usual.
	missedMost = 100
	// scheduleDelta is added to the wait for the next start, so that it is
	// surely due when the wait is over.
	scheduleDelta = 100 * time.Millisecond
)

// cronPlan is one step of a CronJob.
type cronPlan struct {
	create *batchv1.Job // and then status.LastScheduleTime is set to its time
	remove []*batchv1.Job
	status batchv1.CronJobStatus
	events []jobEvent
	wait   time.Duration // until the next start; 0: none
}

// cronState is what planCron looks at.
type cronState struct {
	cron *batchv1.CronJob
	jobs []*batchv1.Job
	now  time.Time
	plan cronPlan
}

// planCron computes the next step: it notes which Jobs ended, deletes the
// oldest of those beyond the history limits, and starts a Job if one is due and
// the concurrency policy and starting deadline let it. Of several missed starts
// only the last is made up for. Pure.
func planCron(c *batchv1.CronJob, jobs []*batchv1.Job, now time.Time) cronPlan {
	s := &cronState{cron: c, jobs: jobs, now: now}
	s.plan.status = *c.Status.DeepCopy()
	s.account()
	if c.DeletionTimestamp == nil {
		s.start()
		s.forget(batchv1.JobComplete, value(c.Spec.SuccessfulJobsHistoryLimit, -1))
		s.forget(batchv1.JobFailed, value(c.Spec.FailedJobsHistoryLimit, -1))
	}
	return s.plan
}

// account brings the list of active Jobs up to date.
func (s *cronState) account() {
	st := &s.plan.status
	for _, j := range s.jobs {
		end, active := jobFinished(&j.Status), refersTo(st.Active, j.UID)
		switch {
		case !active && end == nil && j.DeletionTimestamp == nil:
			s.say(corev1.EventTypeWarning, "UnexpectedJob", "Saw a job that the controller did not create or forgot: %s", j.Name)
		case active && end != nil:
			st.Active = slices.DeleteFunc(st.Active, func(r corev1.ObjectReference) bool { return r.UID == j.UID })
			s.say(corev1.EventTypeNormal, "SawCompletedJob", "Saw completed job: %s, condition: %v", j.Name, end.Type)
		}
		if end != nil && end.Type == batchv1.JobComplete && j.Status.CompletionTime != nil &&
			(st.LastSuccessfulTime == nil || j.Status.CompletionTime.After(st.LastSuccessfulTime.Time)) {
			st.LastSuccessfulTime = j.Status.CompletionTime.DeepCopy()
		}
	}
	st.Active = slices.DeleteFunc(st.Active, func(r corev1.ObjectReference) bool {
		missing := !slices.ContainsFunc(s.jobs, func(j *batchv1.Job) bool { return j.UID == r.UID })
		if missing {
			s.say(corev1.EventTypeNormal, "MissingJob", "Active job went missing: %v", r.Name)
		}
		return missing
	})
	if len(st.Active) == 0 {
		st.Active = nil
	}
}

// start plans the Job that is due, if one is.
func (s *cronState) start() {
	c, st := s.cron, &s.plan.status
	zone := time.Local
	if c.Spec.TimeZone != nil {
		var err error
		if zone, err = time.LoadLocation(*c.Spec.TimeZone); err != nil {
			s.say(corev1.EventTypeWarning, "UnknownTimeZone", "invalid timeZone: %q: %s", *c.Spec.TimeZone, err)
			return
		}
	}
	if value(c.Spec.Suspend, false) {
		return
	}
	schedule, err := cron.ParseStandard(c.Spec.Schedule)
	if err != nil {
		s.say(corev1.EventTypeWarning, "UnparseableSchedule", "unparseable schedule: %q : %s", c.Spec.Schedule, err)
		return
	}
	now := s.now.In(zone)
	next := schedule.Next(now)
	if next.IsZero() {
		s.say(corev1.EventTypeWarning, "InvalidSchedule", "invalid schedule: %s : it is never due", c.Spec.Schedule)
		return
	}
	s.plan.wait = next.Add(scheduleDelta).Sub(s.now)
	due, missed := lastDue(schedule, s.since().In(zone), now)
	if missed > missedMost {
		s.say(corev1.EventTypeWarning, "TooManyMissedTimes",
			"too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew")
	}
	if due.IsZero() {
		return
	}
	job := s.newJob(due)
	switch {
	case c.Spec.StartingDeadlineSeconds != nil && due.Add(seconds(*c.Spec.StartingDeadlineSeconds)).Before(s.now):
		s.say(corev1.EventTypeWarning, "MissSchedule", "Missed scheduled time to start a job: %s", due.UTC().Format(time.RFC1123Z))
		return
	case slices.ContainsFunc(st.Active, func(r corev1.ObjectReference) bool { return r.Name == job.Name }):
		return
	case c.Spec.ConcurrencyPolicy == batchv1.ForbidConcurrent && len(st.Active) > 0:
		s.say(corev1.EventTypeNormal, "JobAlreadyActive",
			"Not starting job because prior execution is running and concurrency policy is Forbid")
		return
	case c.Spec.ConcurrencyPolicy == batchv1.ReplaceConcurrent:
		for _, j := range s.jobs {
			if refersTo(st.Active, j.UID) {
				s.plan.remove = append(s.plan.remove, j)
			}
		}
	}
	s.plan.create = job
	st.LastScheduleTime = &metav1.Time{Time: due}
}

// since is the time after which starts may have been missed.
func (s *cronState) since() time.Time {
	since := s.cron.CreationTimestamp.Time
	if s.cron.Status.LastScheduleTime != nil {
		since = s.cron.Status.LastScheduleTime.Time
	}
	if d := s.cron.Spec.StartingDeadlineSeconds; d != nil {
		if earliest := s.now.Add(-seconds(*d)); earliest.After(since) {
			since = earliest
		}
	}
	return since
}

// lastDue is the last time after since and until now at which a schedule was
// due, or zero, and about how often it was. It does not walk through years of
// missed minutes: it begins shortly before now, judging by the first interval.
func lastDue(schedule cron.Schedule, since, now time.Time) (due time.Time, missed int64) {
	first := schedule.Next(since)
	if first.IsZero() || first.After(now) {
		return time.Time{}, 0
	}
	due, missed = first, 1
	if second := schedule.Next(first); !second.IsZero() && !second.After(now) {
		interval := max(second.Sub(first), time.Second)
		missed = int64(now.Sub(first)/interval) + 1
		if near := first.Add(time.Duration(missed-2) * interval); near.After(first) {
			due = cmp.Or(schedule.Next(near.Add(-time.Second)), first)
			if due.After(now) { // irregular: the guess went too far
				due = first
			}
		}
	}
	for next := schedule.Next(due); !next.IsZero() && !next.After(now); next = schedule.Next(next) {
		due = next
	}
	return due, missed
}

// newJob makes the Job that was due at a time.
func (s *cronState) newJob(due time.Time) *batchv1.Job {
	t := s.cron.Spec.JobTemplate.DeepCopy()
	annotations := maps.Clone(t.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[batchv1.CronJobScheduledTimestampAnnotation] = due.Format(time.RFC3339)
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name:            fmt.Sprintf("%s-%d", s.cron.Name, due.Unix()/60),
			Namespace:       s.cron.Namespace,
			Labels:          t.Labels,
			Annotations:     annotations,
			OwnerReferences: []metav1.OwnerReference{object.ControllerRef(s.cron, builtin.CronJobs.Kind)},
		},
		Spec: t.Spec,
	}
}

// forget plans to delete the oldest of the Jobs that ended in a way, beyond a
// limit; a negative one means none.
func (s *cronState) forget(how batchv1.JobConditionType, limit int32) {
	var ended []*batchv1.Job
	for _, j := range s.jobs {
		if end := jobFinished(&j.Status); end != nil && end.Type == how && j.DeletionTimestamp == nil {
			ended = append(ended, j)
		}
	}
	if limit < 0 || len(ended) <= int(limit) {
		return
	}
	slices.SortFunc(ended, func(a, b *batchv1.Job) int {
		return cmp.Or(jobStart(a).Compare(jobStart(b)), cmp.Compare(a.Name, b.Name))
	})
	s.plan.remove = append(s.plan.remove, ended[:len(ended)-int(limit)]...)
}

func jobStart(j *batchv1.Job) time.Time {
	if j.Status.StartTime != nil {
		return j.Status.StartTime.Time
	}
	return j.CreationTimestamp.Time
}

func (s *cronState) say(kind, reason, format string, args ...any) {
	s.plan.events = append(s.plan.events, jobEvent{kind, reason, fmt.Sprintf(format, args...)})
}
