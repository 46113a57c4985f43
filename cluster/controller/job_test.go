package controller

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

func job(image string, change func(*batchv1.Job)) *batchv1.Job {
	t := template(image)
	t.Spec.RestartPolicy = corev1.RestartPolicyNever
	j := &batchv1.Job{ObjectMeta: meta("task"), Spec: batchv1.JobSpec{
		Completions: new(int32(1)), Parallelism: new(int32(1)), BackoffLimit: new(int32(6)), Selector: webSelector(), Template: t}}
	if change != nil {
		change(j)
	}
	return j
}

func jobReason(j *batchv1.Job, t batchv1.JobConditionType) string {
	if c := jobCondition(&j.Status, t); c != nil && c.Status == corev1.ConditionTrue {
		return c.Reason
	}
	return ""
}

func TestJobCompletes(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.Jobs, job("done", func(j *batchv1.Job) {
			j.Spec.Completions, j.Spec.Parallelism = new(int32(5)), new(int32(2))
			j.Spec.TTLSecondsAfterFinished = new(int32(100))
		}))
		r.settle(5 * time.Second)
		j := get(r, builtin.Jobs, "task")
		if j.Status.Succeeded != 5 || j.Status.Active != 0 || jobReason(j, batchv1.JobComplete) != "CompletionsReached" || j.Status.CompletionTime == nil {
			t.Fatalf("status %+v", j.Status)
		}
		wantEvent(r, "task", "Completed: Job completed")
		pods := list(r, builtin.Pods)
		for _, p := range pods {
			if tracked(p) {
				t.Errorf("%s still has the tracking finalizer", p.Name)
			}
		}
		if len(pods) != 5 {
			t.Errorf("%d pods", len(pods))
		}
		r.settle(2 * time.Minute)
		if n := len(list(r, builtin.Jobs)); n != 0 {
			j := get(r, builtin.Jobs, "task")
			if j.DeletionTimestamp == nil {
				t.Errorf("job is still there after its TTL")
			}
		}
	})
}

func TestJobBacksOffAndFails(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.Jobs, job("fail", func(j *batchv1.Job) { j.Spec.BackoffLimit = new(int32(2)) }))
		for _, step := range []struct {
			wait time.Duration
			pods int
		}{{5 * time.Second, 1}, {6 * time.Second, 2}, {15 * time.Second, 2}, {6 * time.Second, 3}, {time.Hour, 3}} {
			r.settle(step.wait)
			if n := len(list(r, builtin.Pods)); n != step.pods {
				t.Errorf("%d pods, want %d", n, step.pods)
			}
		}
		j := get(r, builtin.Jobs, "task")
		if j.Status.Failed != 3 || jobReason(j, batchv1.JobFailed) != "BackoffLimitExceeded" || jobReason(j, batchv1.JobFailureTarget) == "" {
			t.Errorf("status %+v", j.Status)
		}
		wantEvent(r, "task", "BackoffLimitExceeded: Job has reached the specified backoff limit")
	})
}

func TestJobCountsPodsThatAreDeletedEarly(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.Jobs, job("ok", nil))
		r.settle(time.Second)
		remove(r, builtin.Pods, list(r, builtin.Pods)[0].Name, object.DeleteOptions{})
		r.settle(5 * time.Second)
		if j := get(r, builtin.Jobs, "task"); j.Status.Failed != 1 {
			t.Errorf("a pod deleted while it ran was not counted: %+v", j.Status)
		}
	})
}

func TestJobDeadlineAndSuspend(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.Jobs, job("ok", func(j *batchv1.Job) {
			j.Spec.ActiveDeadlineSeconds, j.Spec.Suspend = new(int64(30)), new(true)
		}))
		r.settle(time.Minute)
		j := get(r, builtin.Jobs, "task")
		if len(list(r, builtin.Pods)) != 0 || j.Status.StartTime != nil || jobReason(j, batchv1.JobSuspended) != "JobSuspended" {
			t.Fatalf("suspended: %+v", j.Status)
		}
		edit(r, builtin.Jobs, "task", func(j *batchv1.Job) { j.Spec.Suspend = new(false) })
		r.settle(20 * time.Second)
		if j = get(r, builtin.Jobs, "task"); j.Status.Active != 1 || value(j.Status.Ready, 0) != 1 {
			t.Errorf("resumed: %+v", j.Status)
		}
		r.settle(20 * time.Second)
		if j = get(r, builtin.Jobs, "task"); jobReason(j, batchv1.JobFailed) != "DeadlineExceeded" || j.Status.Active != 0 {
			t.Errorf("after the deadline: %+v", j.Status)
		}
	})
}

func TestJobIndexed(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.Jobs, job("done", func(j *batchv1.Job) {
			j.Spec.Completions, j.Spec.Parallelism = new(int32(3)), new(int32(3))
			j.Spec.CompletionMode = new(batchv1.IndexedCompletion)
		}))
		r.settle(time.Second)
		j := get(r, builtin.Jobs, "task")
		if j.Status.CompletedIndexes != "0-2" || j.Status.Succeeded != 3 || jobReason(j, batchv1.JobComplete) == "" {
			t.Errorf("status %+v", j.Status)
		}
		p := list(r, builtin.Pods)[0]
		if p.Spec.Hostname != "task-0" || p.Annotations[batchv1.JobCompletionIndexAnnotation] != "0" || p.Spec.Containers[0].Env[0].Name != indexEnv {
			t.Errorf("pod %s %v %v", p.Spec.Hostname, p.Annotations, p.Spec.Containers[0].Env)
		}
	})
}

func TestJobBackoffPerIndexAndPolicy(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.Jobs, job("fail", func(j *batchv1.Job) {
			j.Spec.Completions, j.Spec.Parallelism = new(int32(2)), new(int32(2))
			j.Spec.CompletionMode = new(batchv1.IndexedCompletion)
			j.Spec.BackoffLimitPerIndex = new(int32(1))
		}))
		r.settle(time.Minute)
		j := get(r, builtin.Jobs, "task")
		if value(j.Status.FailedIndexes, "") != "0,1" || jobReason(j, batchv1.JobFailed) != "FailedIndexes" || len(list(r, builtin.Pods)) != 4 {
			t.Errorf("status %+v, %d pods", j.Status, len(list(r, builtin.Pods)))
		}
	})
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.Jobs, job("fail", func(j *batchv1.Job) {
			j.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{Action: batchv1.PodFailurePolicyActionFailJob,
				OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}}}}
		}))
		r.settle(time.Minute)
		if j := get(r, builtin.Jobs, "task"); jobReason(j, batchv1.JobFailed) != "PodFailurePolicy" || len(list(r, builtin.Pods)) != 1 {
			t.Errorf("status %+v", j.Status)
		}
	})
}

func TestJobSuccessPolicy(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.Jobs, job("ok", func(j *batchv1.Job) {
			j.Spec.Completions, j.Spec.Parallelism = new(int32(3)), new(int32(3))
			j.Spec.CompletionMode = new(batchv1.IndexedCompletion)
			j.Spec.SuccessPolicy = &batchv1.SuccessPolicy{Rules: []batchv1.SuccessPolicyRule{{SucceededIndexes: new("0")}}}
		}))
		r.settle(time.Second)
		for _, p := range list(r, builtin.Pods) {
			if i, ok := completionIndex(p); ok && i == 0 {
				leader := p.DeepCopy()
				leader.Status.Phase = corev1.PodSucceeded
				if _, err := builtin.Pods.UpdateStatus(r.ctx, r.world, leader, object.WriteOptions{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		r.settle(5 * time.Second)
		j := get(r, builtin.Jobs, "task")
		if jobReason(j, batchv1.JobComplete) != "SuccessPolicy" || j.Status.CompletedIndexes != "0" || j.Status.Active != 0 {
			t.Errorf("status %+v", j.Status)
		}
	})
}

func TestIndexes(t *testing.T) {
	for _, text := range []string{"", "0", "0,1", "1,3-5,7,9,10", "0-99"} {
		if got := parseIndexes(text).String(); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}
