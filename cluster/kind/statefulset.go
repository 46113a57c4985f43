package kind

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/validation"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func statefulSet() *Kind {
	k := defineNamespaced[appsv1.StatefulSet, appsv1.StatefulSetList](appsv1.SchemeGroupVersion, "StatefulSet", "statefulsets", "sts")
	k.Categories = []string{"all"}
	k.Acted = true
	k.Generation = true
	status(k, func(to, from *appsv1.StatefulSet) { to.Status = from.Status })
	scale(k, func(s *appsv1.StatefulSet) (int32, int32, string) {
		return orOne(s.Spec.Replicas), s.Status.Replicas, selectorString(s.Spec.Selector)
	}, func(s *appsv1.StatefulSet, n int32) { s.Spec.Replicas = &n })
	k.Default = on(defaults.StatefulSet)
	k.ValidateName = validation.NameIsDNSLabel
	k.Columns, k.Row = table.StatefulSetColumns(), row(table.StatefulSetRow)
	k.Validate = check(validate.StatefulSet)
	k.ValidateUpdate = checkBoth(validate.StatefulSetUpdate)
	k.Warnings = warn(func(s *appsv1.StatefulSet) []string { return validate.TemplateWarnings(&s.Spec.Template) })
	return k
}

func controllerRevision() *Kind {
	k := defineNamespaced[appsv1.ControllerRevision, appsv1.ControllerRevisionList](
		appsv1.SchemeGroupVersion, "ControllerRevision", "controllerrevisions")
	k.Acted = true
	k.Columns, k.Row = table.ControllerRevisionColumns(), row(table.ControllerRevisionRow)
	k.Validate = check(validate.ControllerRevision)
	k.ValidateUpdate = checkBoth(validate.ControllerRevisionUpdate)
	return k
}
