package kind

import (
	appsv1 "k8s.io/api/apps/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func daemonSet() *Kind {
	k := defineNamespaced[appsv1.DaemonSet, appsv1.DaemonSetList](appsv1.SchemeGroupVersion, "DaemonSet", "daemonsets", "ds")
	k.Categories = []string{"all"}
	k.Acted = true
	k.Generation = true
	status(k, func(to, from *appsv1.DaemonSet) { to.Status = from.Status })
	k.Default = on(defaults.DaemonSet)
	k.Columns, k.Row = table.DaemonSetColumns(), row(table.DaemonSetRow)
	k.Validate = check(validate.DaemonSet)
	k.ValidateUpdate = checkBoth(validate.DaemonSetUpdate)
	k.Warnings = warn(func(d *appsv1.DaemonSet) []string { return validate.TemplateWarnings(&d.Spec.Template) })
	return k
}
