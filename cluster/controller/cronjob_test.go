package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// cronJob runs an image every minute. The bubble's time begins at midnight.
func cronJob(image string, change func(*batchv1.CronJobSpec)) *batchv1.CronJob {
	t := job(image, nil).Spec
	t.Selector, t.Template.Labels = nil, nil
	c := &batchv1.CronJob{ObjectMeta: meta("tick"), Spec: batchv1.CronJobSpec{
		Schedule: "* * * * *", ConcurrencyPolicy: batchv1.AllowConcurrent, Suspend: new(false),
		SuccessfulJobsHistoryLimit: new(int32(3)), FailedJobsHistoryLimit: new(int32(1)),
		JobTemplate: batchv1.JobTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"cron": "tick"}}, Spec: t},
	}}
	if change != nil {
		change(&c.Spec)
	}
	return c
}

func jobNames(r *rig) (names []string) {
	for _, j := range list(r, builtin.Jobs) {
		if j.DeletionTimestamp == nil {
			names = append(names, j.Name)
		}
	}
	return names
}

func TestCronJobRunsAndForgets(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		start := time.Now().Unix() / 60
		create(r, builtin.CronJobs, cronJob("done", nil))
		r.settle(59 * time.Second)
		if got := jobNames(r); len(got) != 0 {
			t.Fatalf("jobs %v before the first minute was over", got)
		}
		r.settle(2 * time.Second)
		name := fmt.Sprintf("tick-%d", start+1)
		if got := jobNames(r); len(got) != 1 || got[0] != name {
			t.Fatalf("jobs %v, want %s", got, name)
		}
		j := get(r, builtin.Jobs, name)
		if j.Labels["cron"] != "tick" || j.Annotations[batchv1.CronJobScheduledTimestampAnnotation] == "" || controllerOf(j) == nil {
			t.Errorf("job %v %v %v", j.Labels, j.Annotations, j.OwnerReferences)
		}
		r.settle(5 * time.Minute)
		c := get(r, builtin.CronJobs, "tick")
		if got := jobNames(r); len(got) != 3 || got[2] != fmt.Sprintf("tick-%d", start+6) {
			t.Errorf("jobs %v, want the last 3", got)
		}
		if len(c.Status.Active) != 0 || c.Status.LastSuccessfulTime == nil || c.Status.LastScheduleTime.Unix()/60 != start+6 {
			t.Errorf("status %+v", c.Status)
		}
		wantEvent(r, "tick", "SuccessfulCreate: Created job "+name)
		wantEvent(r, "tick", "SawCompletedJob: Saw completed job: "+name+", condition: Complete")
		edit(r, builtin.CronJobs, "tick", func(c *batchv1.CronJob) { c.Spec.Suspend = new(true) })
		r.settle(3 * time.Minute)
		if got := jobNames(r); len(got) != 3 || got[2] != fmt.Sprintf("tick-%d", start+6) {
			t.Errorf("suspended, and jobs are %v", got)
		}
	})
}

func TestCronJobConcurrency(t *testing.T) {
	for policy, want := range map[batchv1.ConcurrencyPolicy]struct{ jobs, last int }{
		batchv1.AllowConcurrent:   {3, 3},
		batchv1.ForbidConcurrent:  {1, 1},
		batchv1.ReplaceConcurrent: {1, 3},
	} {
		t.Run(string(policy), func(t *testing.T) {
			withRig(t, Config{}, func(r *rig) {
				start := int(time.Now().Unix() / 60)
				create(r, builtin.CronJobs, cronJob("ok", func(s *batchv1.CronJobSpec) { s.ConcurrencyPolicy = policy }))
				r.settle(3*time.Minute + 30*time.Second)
				c, got := get(r, builtin.CronJobs, "tick"), jobNames(r)
				if len(got) != want.jobs || got[len(got)-1] != fmt.Sprintf("tick-%d", start+want.last) || len(c.Status.Active) != want.jobs {
					t.Errorf("jobs %v, active %v; want %+v", got, c.Status.Active, want)
				}
				if policy == batchv1.ForbidConcurrent {
					wantEvent(r, "tick", "JobAlreadyActive: Not starting job because prior execution is running and concurrency policy is Forbid")
				}
			})
		})
	}
}

// cronAt plans for a CronJob that was last scheduled, at a time.
func cronAt(t *testing.T, schedule, last, now string, change func(*batchv1.CronJobSpec)) cronPlan {
	t.Helper()
	parse := func(s string) time.Time {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	c := cronJob("done", change)
	c.Spec.Schedule = schedule
	c.Status.LastScheduleTime = &metav1.Time{Time: parse(last)}
	return planCron(c, nil, parse(now))
}

func said(p cronPlan) string {
	var all []string
	for _, e := range p.events {
		all = append(all, e.reason)
	}
	return strings.Join(all, " ")
}

func TestCronPlan(t *testing.T) {
	utc := func(s *batchv1.CronJobSpec) { s.TimeZone = new("Etc/UTC") }
	for _, c := range []struct {
		name, schedule, last, now string
		change                    func(*batchv1.CronJobSpec)
		due, said                 string // due: of the job to create
	}{
		{"last of a few missed", "0 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T05:30:00Z", utc, "2026-01-01T05:00:00Z", ""},
		{"too many missed", "* * * * *", "2026-01-01T00:00:00Z", "2026-01-02T00:00:30Z", utc, "2026-01-02T00:00:00Z", "TooManyMissedTimes"},
		{"a deadline shortens what was missed", "* * * * *", "2026-01-01T00:00:00Z", "2026-01-02T00:00:30Z",
			func(s *batchv1.CronJobSpec) { utc(s); s.StartingDeadlineSeconds = new(int64(90)) }, "2026-01-02T00:00:00Z", ""},
		{"past the deadline", "0 0 * * *", "2026-01-01T00:00:00Z", "2026-01-02T00:05:00Z",
			func(s *batchv1.CronJobSpec) { utc(s); s.StartingDeadlineSeconds = new(int64(60)) }, "", ""},
		{"on week days", "30 9 * * 1-5", "2026-01-02T09:30:00Z", "2026-01-05T09:31:00Z", utc, "2026-01-05T09:30:00Z", ""},
		{"a time zone", "0 9 * * *", "2026-07-01T07:00:00Z", "2026-07-02T07:00:01Z",
			func(s *batchv1.CronJobSpec) { s.TimeZone = new("Europe/Berlin") }, "2026-07-02T09:00:00+02:00", ""},
		{"nowhere", "0 9 * * *", "2026-07-01T07:00:00Z", "2026-07-02T07:00:01Z",
			func(s *batchv1.CronJobSpec) { s.TimeZone = new("Moon/Crater") }, "", "UnknownTimeZone"},
		{"never", "0 0 31 2 *", "2026-07-01T07:00:00Z", "2026-07-02T07:00:01Z", utc, "", "InvalidSchedule"},
		{"not a schedule", "often", "2026-07-01T07:00:00Z", "2026-07-02T07:00:01Z", utc, "", "UnparseableSchedule"},
	} {
		p := cronAt(t, c.schedule, c.last, c.now, c.change)
		due := ""
		if p.create != nil {
			due = p.create.Annotations[batchv1.CronJobScheduledTimestampAnnotation]
		}
		if due != c.due || said(p) != c.said {
			t.Errorf("%s: due %q, events %q; want %q, %q", c.name, due, said(p), c.due, c.said)
		}
	}
}

// lastDue must agree with walking through every due time.
func TestLastDueAgreesWithWalking(t *testing.T) {
	since := time.Date(2026, 3, 1, 4, 17, 0, 0, time.UTC)
	for _, text := range []string{"* * * * *", "*/7 * * * *", "* 9 * * *", "0 9-17 * * 1-5", "15 3 1 * *", "59 23 28-31 * *", "@every 90s"} {
		schedule, err := cron.ParseStandard(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, after := range []time.Duration{30 * time.Second, time.Minute, 3 * time.Minute, 25 * time.Hour, 40 * 24 * time.Hour} {
			now := since.Add(after)
			var want time.Time
			for next := schedule.Next(since); !next.After(now); next = schedule.Next(next) {
				want = next
			}
			if text == "@every 90s" { // counts from wherever it is asked
				if got, _ := lastDue(schedule, since, now); got.After(now) || now.Sub(got) > 90*time.Second && !want.IsZero() {
					t.Errorf("%s after %s: %s", text, after, got)
				}
				continue
			}
			if got, _ := lastDue(schedule, since, now); !got.Equal(want) {
				t.Errorf("%s after %s: %s, want %s", text, after, got, want)
			}
		}
	}
}
