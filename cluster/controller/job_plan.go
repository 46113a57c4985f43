package controller

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A pod is created again 10 s after the last failure, doubling with each
// failure in a row, up to 10 min.
const (
	jobBackoffFirst = 10 * time.Second
	jobBackoffMost  = 10 * time.Minute
)

// jobPlan is one step of a Job.
type jobPlan struct {
	status  batchv1.JobStatus
	events  []jobEvent
	counted []*corev1.Pod // to be let go
	create  []*corev1.Pod
	remove  []*corev1.Pod
	expired bool          // delete the Job (ttlSecondsAfterFinished)
	wait    time.Duration // until a deadline, a backoff or the expiry; 0: none
}

type jobEvent struct{ kind, reason, message string }

// jobState is what planJob looks at.
type jobState struct {
	job     *batchv1.Job
	pods    []*corev1.Pod
	now     time.Time
	indexed bool
	plan    jobPlan

	active, terminating []*corev1.Pod
	failedPods          []*corev1.Pod // still there, counted or not; the last to fail first
	succeeded, failed   int32         // counted, noted and just seen
	done, broken        indexes       // Indexed: completed and failed indexes
}

// planJob computes the next step of job from the pods that it owns.
func planJob(job *batchv1.Job, pods []*corev1.Pod, now time.Time) jobPlan {
	s := &jobState{job: job, pods: pods, now: now,
		indexed: job.Spec.CompletionMode != nil && *job.Spec.CompletionMode == batchv1.IndexedCompletion}
	s.plan.status = *job.Status.DeepCopy()
	if jobFinished(&job.Status) != nil {
		s.finishedJob()
		return s.plan
	}
	if job.DeletionTimestamp != nil {
		s.plan.counted = pods
		return s.plan
	}
	s.start()
	s.sort()
	s.account()
	s.decide()
	s.counts()
	return s.plan
}

// finishedJob lets the pods go that are left, and the Job when its time is up.
func (s *jobState) finishedJob() {
	s.plan.counted = s.pods
	if s.job.Spec.TTLSecondsAfterFinished == nil || s.job.DeletionTimestamp != nil {
		return
	}
	end := jobFinished(&s.job.Status).LastTransitionTime.Add(seconds(*s.job.Spec.TTLSecondsAfterFinished))
	if s.plan.wait = end.Sub(s.now); s.plan.wait <= 0 {
		s.plan.wait, s.plan.expired = 0, true
	}
}

func seconds[T int32 | int64](n T) time.Duration { return time.Duration(n) * time.Second }

// start sets the time of start, and follows suspension.
func (s *jobState) start() {
	st := &s.plan.status
	suspended := value(s.job.Spec.Suspend, false)
	noted := jobCondition(st, batchv1.JobSuspended)
	switch {
	case suspended && (noted == nil || noted.Status != corev1.ConditionTrue):
		s.set(batchv1.JobSuspended, corev1.ConditionTrue, "JobSuspended", "Job suspended")
		s.say(corev1.EventTypeNormal, "Suspended", "Job suspended")
		st.StartTime = nil
	case !suspended && noted != nil && noted.Status == corev1.ConditionTrue:
		s.set(batchv1.JobSuspended, corev1.ConditionFalse, "JobResumed", "Job resumed")
		s.say(corev1.EventTypeNormal, "Resumed", "Job resumed")
		st.StartTime = stamp(s.now)
	case !suspended && st.StartTime == nil:
		st.StartTime = stamp(s.now)
	}
}

// sort tells running, ending and failed pods apart.
func (s *jobState) sort() {
	for _, p := range s.pods {
		switch {
		case p.Status.Phase == corev1.PodFailed:
			s.failedPods = append(s.failedPods, p)
		case p.Status.Phase == corev1.PodSucceeded:
		case p.DeletionTimestamp != nil:
			s.terminating = append(s.terminating, p)
		default:
			s.active = append(s.active, p)
		}
	}
	slices.SortStableFunc(s.failedPods, func(a, b *corev1.Pod) int {
		return cmp.Or(s.endOf(b).Compare(s.endOf(a)), cmp.Compare(a.Name, b.Name))
	})
}

// account moves pods that ended towards the numbers; see jobs.
func (s *jobState) account() {
	st := &s.plan.status
	if st.UncountedTerminatedPods == nil {
		st.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
	}
	u := st.UncountedTerminatedPods
	s.done, s.broken = parseIndexes(st.CompletedIndexes), parseIndexes(value(st.FailedIndexes, ""))
	still := map[string]*corev1.Pod{}
	for _, p := range s.pods {
		if tracked(p) {
			still[string(p.UID)] = p
		}
	}
	for _, uid := range slices.Clone(u.Succeeded) {
		if still[string(uid)] == nil {
			u.Succeeded = slices.DeleteFunc(u.Succeeded, func(o typesUID) bool { return o == uid })
			st.Succeeded++
		}
	}
	for _, uid := range slices.Clone(u.Failed) {
		if still[string(uid)] == nil {
			u.Failed = slices.DeleteFunc(u.Failed, func(o typesUID) bool { return o == uid })
			st.Failed++
		}
	}
	for _, p := range s.pods {
		if tracked(p) && podFinished(p) {
			s.note(u, p)
		}
	}
	s.succeeded, s.failed = st.Succeeded+int32(len(u.Succeeded)), st.Failed+int32(len(u.Failed))
	if s.indexed {
		s.succeeded = int32(s.done.len())
		st.Succeeded, u.Succeeded = s.succeeded, nil
		st.CompletedIndexes = s.done.String()
	}
}

// note remembers one pod that ended as counted soon.
func (s *jobState) note(u *batchv1.UncountedTerminatedPods, p *corev1.Pod) {
	s.plan.counted = append(s.plan.counted, p)
	if p.Status.Phase == corev1.PodSucceeded {
		if s.indexed {
			if i, ok := completionIndex(p); ok && i < int(value(s.job.Spec.Completions, 0)) {
				s.done.add(i)
			}
		} else if !slices.Contains(u.Succeeded, p.UID) {
			u.Succeeded = append(u.Succeeded, p.UID)
		}
		return
	}
	if action, _ := s.policy(p); action == batchv1.PodFailurePolicyActionIgnore {
		return
	}
	if !slices.Contains(u.Failed, p.UID) {
		u.Failed = append(u.Failed, p.UID)
	}
}

// decide is the heart: done, failed, or pods to create or delete.
func (s *jobState) decide() {
	if c := jobCondition(&s.plan.status, batchv1.JobSuccessCriteriaMet); c != nil {
		s.finish(batchv1.JobComplete, c.Reason, c.Message)
		return
	}
	if c := jobCondition(&s.plan.status, batchv1.JobFailureTarget); c != nil {
		s.finish(batchv1.JobFailed, c.Reason, c.Message)
		return
	}
	if reason, message := s.failure(); reason != "" {
		s.set(batchv1.JobFailureTarget, corev1.ConditionTrue, reason, message)
		s.finish(batchv1.JobFailed, reason, message)
		return
	}
	if i, ok := s.policySucceeds(); ok {
		reason, message := batchv1.JobReasonSuccessPolicy, fmt.Sprintf("Matched rules at index %d", i)
		s.set(batchv1.JobSuccessCriteriaMet, corev1.ConditionTrue, reason, message)
		s.finish(batchv1.JobComplete, reason, message)
		return
	}
	if s.complete() {
		const reason, message = batchv1.JobReasonCompletionsReached, "Reached expected number of succeeded pods"
		s.set(batchv1.JobSuccessCriteriaMet, corev1.ConditionTrue, reason, message)
		s.finish(batchv1.JobComplete, reason, message)
		return
	}
	if value(s.job.Spec.Suspend, false) {
		s.plan.remove = s.active
		return
	}
	s.manage()
}

// finish stops what still runs, and ends the Job when nothing does.
func (s *jobState) finish(as batchv1.JobConditionType, reason, message string) {
	s.plan.remove = s.active
	if len(s.active)+len(s.terminating) > 0 {
		return
	}
	s.set(as, corev1.ConditionTrue, reason, message)
	if as == batchv1.JobComplete {
		s.plan.status.CompletionTime = stamp(s.now)
		s.say(corev1.EventTypeNormal, "Completed", "Job completed")
	} else {
		s.say(corev1.EventTypeWarning, reason, message)
	}
	// The pods are let go in this same step: what is noted is the count.
	u := s.plan.status.UncountedTerminatedPods
	s.plan.status.Succeeded += int32(len(u.Succeeded))
	s.plan.status.Failed += int32(len(u.Failed))
	s.plan.status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
}

// failure says why the Job failed, or nothing.
func (s *jobState) failure() (reason, message string) {
	for _, p := range s.failedPods {
		if action, why := s.policy(p); action == batchv1.PodFailurePolicyActionFailJob {
			return batchv1.JobReasonPodFailurePolicy, why
		}
	}
	if d := s.job.Spec.ActiveDeadlineSeconds; d != nil && s.plan.status.StartTime != nil && !value(s.job.Spec.Suspend, false) {
		left := s.plan.status.StartTime.Add(seconds(*d)).Sub(s.now)
		if left <= 0 {
			return batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline"
		}
		s.plan.wait = sooner(s.plan.wait, left)
	}
	if s.job.Spec.BackoffLimitPerIndex != nil {
		return s.indexFailure()
	}
	limit := value(s.job.Spec.BackoffLimit, 6)
	if s.failed > limit || s.restartsBeyond(limit) {
		return batchv1.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit"
	}
	return "", ""
}

// restartsBeyond: with restartPolicy OnFailure containers fail in their pods.
func (s *jobState) restartsBeyond(limit int32) bool {
	if s.job.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyOnFailure {
		return false
	}
	var n int32
	for _, p := range s.active {
		for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			n += c.RestartCount
		}
	}
	return n > 0 && n >= limit
}

func (s *jobState) complete() bool {
	if s.job.Spec.Completions == nil { // a work queue: one success, and all have ended
		return s.succeeded > 0 && len(s.active) == 0
	}
	return s.succeeded >= *s.job.Spec.Completions
}

// manage creates and deletes pods towards what the Job wants to run now.
func (s *jobState) manage() {
	want := value(s.job.Spec.Parallelism, 1)
	if c := s.job.Spec.Completions; c != nil {
		want = min(want, *c-s.succeeded-int32(s.broken.len()))
	} else if s.succeeded > 0 {
		want = int32(len(s.active))
	}
	want = max(want, 0)
	keep, extra := s.active, []*corev1.Pod(nil)
	if s.indexed {
		keep, extra = s.byIndex()
	}
	if n := len(keep) - int(want); n > 0 {
		deletionOrder(keep, nil, s.now)
		extra, keep = append(extra, keep[:n]...), keep[n:]
	}
	s.plan.remove = extra
	missing := int(want) - len(keep)
	if s.replacesOnlyFailed() {
		missing -= len(s.terminating)
	}
	if missing <= 0 {
		return
	}
	if s.job.Spec.BackoffLimitPerIndex == nil {
		if wait := s.backoff(s.failedPods); wait > 0 {
			s.plan.wait = sooner(s.plan.wait, wait)
			return
		}
	}
	s.createPods(min(missing, burst), keep)
}

// replacesOnlyFailed tells whether a pod is replaced only once it has ended,
// not when it is being deleted.
func (s *jobState) replacesOnlyFailed() bool {
	if p := s.job.Spec.PodReplacementPolicy; p != nil {
		return *p == batchv1.Failed
	}
	return s.job.Spec.PodFailurePolicy != nil
}

// backoff is how long to wait after the failures since the last success.
func (s *jobState) backoff(failed []*corev1.Pod) time.Duration {
	var success time.Time
	for _, p := range s.pods {
		if p.Status.Phase == corev1.PodSucceeded && s.endOf(p).After(success) {
			success = s.endOf(p)
		}
	}
	row := 0
	for _, p := range failed {
		if s.endOf(p).After(success) {
			row++
		}
	}
	if row == 0 {
		return 0
	}
	wait := jobBackoffFirst
	for i := 1; i < row && wait < jobBackoffMost; i++ {
		wait *= 2
	}
	return max(s.endOf(failed[0]).Add(min(wait, jobBackoffMost)).Sub(s.now), 0)
}

// endOf is when a pod ended, as well as its status tells.
func (s *jobState) endOf(p *corev1.Pod) time.Time {
	var end time.Time
	for _, c := range p.Status.ContainerStatuses {
		if t := c.State.Terminated; t != nil && t.FinishedAt.After(end) {
			end = t.FinishedAt.Time
		}
	}
	if end.IsZero() {
		if c := condition(p, corev1.PodReady); c != nil {
			end = c.LastTransitionTime.Time
		}
	}
	if end.IsZero() {
		end = p.CreationTimestamp.Time
	}
	return end
}

// counts fills in what is seen now.
func (s *jobState) counts() {
	st := &s.plan.status
	st.Active = int32(len(s.active))
	st.Terminating = new(int32(len(s.terminating)))
	ready := int32(0)
	for _, p := range s.active {
		if podReady(p) {
			ready++
		}
	}
	st.Ready = &ready
	// What is deleted and created in this step is seen in the next.
	st.Active += int32(len(s.plan.create))
	removed := int32(len(s.plan.remove))
	st.Active -= removed
	*st.Terminating += removed
	if jobFinished(st) != nil {
		st.Active = 0
	}
}

func (s *jobState) set(t batchv1.JobConditionType, status corev1.ConditionStatus, reason, message string) {
	c := batchv1.JobCondition{Type: t, Status: status, Reason: reason, Message: message,
		LastProbeTime: metav1.NewTime(s.now), LastTransitionTime: metav1.NewTime(s.now)}
	for i, old := range s.plan.status.Conditions {
		if old.Type == t {
			if old.Status != status || old.Reason != reason {
				s.plan.status.Conditions[i] = c
			}
			return
		}
	}
	s.plan.status.Conditions = append(s.plan.status.Conditions, c)
}

func (s *jobState) say(kind, reason, message string) {
	s.plan.events = append(s.plan.events, jobEvent{kind, reason, message})
}

func jobCondition(st *batchv1.JobStatus, t batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range st.Conditions {
		if st.Conditions[i].Type == t {
			return &st.Conditions[i]
		}
	}
	return nil
}

// jobFinished is the condition that says so, or nil.
func jobFinished(st *batchv1.JobStatus) *batchv1.JobCondition {
	for _, t := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed} {
		if c := jobCondition(st, t); c != nil && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

// policy is what the Job's podFailurePolicy says about a failed pod; without
// a rule that fits, it counts.
func (s *jobState) policy(p *corev1.Pod) (batchv1.PodFailurePolicyAction, string) {
	if s.job.Spec.PodFailurePolicy == nil {
		return batchv1.PodFailurePolicyActionCount, ""
	}
	for i, rule := range s.job.Spec.PodFailurePolicy.Rules {
		if why := ruleFits(rule, p); why != "" {
			return rule.Action, fmt.Sprintf("%s matching %v rule at index %d", why, rule.Action, i)
		}
	}
	return batchv1.PodFailurePolicyActionCount, ""
}

// ruleFits says what about the pod fits the rule, or nothing.
func ruleFits(rule batchv1.PodFailurePolicyRule, p *corev1.Pod) string {
	if on := rule.OnExitCodes; on != nil {
		for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			t := c.State.Terminated
			if t == nil || t.ExitCode == 0 || (on.ContainerName != nil && *on.ContainerName != c.Name) {
				continue
			}
			if slices.Contains(on.Values, t.ExitCode) == (on.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn) {
				return fmt.Sprintf("Container %s for pod %s/%s failed with exit code %d", c.Name, p.Namespace, p.Name, t.ExitCode)
			}
		}
	}
	for _, pattern := range rule.OnPodConditions {
		if c := condition(p, pattern.Type); c != nil && c.Status == pattern.Status {
			return fmt.Sprintf("Pod %s/%s has condition %v", p.Namespace, p.Name, pattern.Type)
		}
	}
	return ""
}
