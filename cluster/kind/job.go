package kind

import (
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
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
	return k
}

func cronJob() *Kind {
	k := defineNamespaced[batchv1.CronJob, batchv1.CronJobList](batchv1.SchemeGroupVersion, "CronJob", "cronjobs", "cj")
	k.Categories = []string{"all"}
	k.Generation = true
	status(k, func(to, from *batchv1.CronJob) { to.Status = from.Status })
	k.Default = on(defaults.CronJob)
	return k
}
