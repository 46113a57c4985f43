package kind

import (
	appsv1 "k8s.io/api/apps/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func deployment() *Kind {
	k := defineNamespaced[appsv1.Deployment, appsv1.DeploymentList](appsv1.SchemeGroupVersion, "Deployment", "deployments", "deploy")
	k.Categories = []string{"all"}
	k.Acted = true
	k.Generation = true
	status(k, func(to, from *appsv1.Deployment) { to.Status = from.Status })
	scale(k, func(d *appsv1.Deployment) (int32, int32, string) {
		return orOne(d.Spec.Replicas), d.Status.Replicas, selectorString(d.Spec.Selector)
	}, func(d *appsv1.Deployment, n int32) { d.Spec.Replicas = &n })
	k.Default = on(defaults.Deployment)
	k.Columns, k.Row = table.DeploymentColumns(), row(table.DeploymentRow)
	k.Validate = check(validate.Deployment)
	k.ValidateUpdate = checkBoth(validate.DeploymentUpdate)
	k.Warnings = warn(func(d *appsv1.Deployment) []string { return validate.TemplateWarnings(&d.Spec.Template) })
	return k
}
