package kind

import (
	"maps"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func job() *Kind {
	k := defineNamespaced[batchv1.Job, batchv1.JobList](batchv1.SchemeGroupVersion, "Job", "jobs")
	k.Categories = []string{"all"}
	k.Acted = true
	k.Generation = true
	// As in Kubernetes, for compatibility; kubectl asks for background.
	k.DefaultPropagation = metav1.DeletePropagationOrphan
	status(k, func(to, from *batchv1.Job) { to.Status = from.Status })
	selectable(k, []string{"status.successful"}, func(j *batchv1.Job) []string {
		return []string{strconv.Itoa(int(j.Status.Succeeded))}
	})
	k.Default = on(defaults.Job)
	k.PrepareCreate = on(prepareJob)
	k.Columns, k.Row = table.JobColumns(), row(table.JobRow)
	k.Validate = check(validate.Job)
	k.ValidateUpdate = checkBoth(validate.JobUpdate)
	k.Warnings = warn(func(j *batchv1.Job) []string { return validate.TemplateWarnings(&j.Spec.Template) })
	return k
}

func cronJob() *Kind {
	k := defineNamespaced[batchv1.CronJob, batchv1.CronJobList](batchv1.SchemeGroupVersion, "CronJob", "cronjobs", "cj")
	k.Categories = []string{"all"}
	k.Acted = true
	k.Generation = true
	status(k, func(to, from *batchv1.CronJob) { to.Status = from.Status })
	k.Default = on(defaults.CronJob)
	k.Columns, k.Row = table.CronJobColumns(), row(table.CronJobRow)
	k.Validate = check(validate.CronJob)
	return k
}

// prepareJob gives a job, unless it selects its pods by hand, labels and a
// selector that only its own pods have. The API has set its UID by then.
func prepareJob(j *batchv1.Job) {
	j.Status = batchv1.JobStatus{}
	if j.Spec.ManualSelector != nil && *j.Spec.ManualSelector {
		return
	}
	if j.Spec.Template.Labels == nil {
		j.Spec.Template.Labels = map[string]string{}
	}
	labels, uid := j.Spec.Template.Labels, string(j.UID)
	// The names without prefix are the older ones.
	for name, value := range map[string]string{
		"controller-uid":           uid,
		"job-name":                 j.Name,
		batchv1.ControllerUidLabel: uid,
		batchv1.JobNameLabel:       j.Name,
	} {
		// A wrong value is left for validation to report.
		if _, ok := labels[name]; !ok {
			labels[name] = value
		}
	}
	// The job itself has its pods' labels unless it was given others.
	if len(j.Labels) == 0 {
		j.Labels = maps.Clone(labels)
	}
	if j.Spec.Selector == nil {
		j.Spec.Selector = &metav1.LabelSelector{}
	}
	if j.Spec.Selector.MatchLabels == nil {
		j.Spec.Selector.MatchLabels = map[string]string{}
	}
	if _, ok := j.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel]; !ok {
		j.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel] = uid
	}
}
