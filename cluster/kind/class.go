package kind

import (
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func priorityClass() *Kind {
	k := define[schedulingv1.PriorityClass, schedulingv1.PriorityClassList](
		schedulingv1.SchemeGroupVersion, "PriorityClass", "priorityclasses", "pc")
	k.Acted = true
	k.Generation = true
	k.Default = on(defaults.PriorityClass)
	k.Columns, k.Row = table.PriorityClassColumns(), row(table.PriorityClassRow)
	k.Validate = check(validate.PriorityClass)
	k.ValidateUpdate = checkBoth(validate.PriorityClassUpdate)
	return k
}

func runtimeClass() *Kind {
	k := define[nodev1.RuntimeClass, nodev1.RuntimeClassList](nodev1.SchemeGroupVersion, "RuntimeClass", "runtimeclasses")
	k.Columns, k.Row = table.RuntimeClassColumns(), row(table.RuntimeClassRow)
	k.Validate = check(validate.RuntimeClass)
	k.ValidateUpdate = checkBoth(validate.RuntimeClassUpdate)
	return k
}
