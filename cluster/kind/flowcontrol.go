package kind

import (
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
)

func flowSchema() *Kind {
	k := define[flowcontrolv1.FlowSchema, flowcontrolv1.FlowSchemaList](
		flowcontrolv1.SchemeGroupVersion, "FlowSchema", "flowschemas")
	k.Generation = true
	status(k, func(to, from *flowcontrolv1.FlowSchema) { to.Status = from.Status })
	k.Default = on(defaults.FlowSchema)
	k.Columns, k.Row = table.FlowSchemaColumns(), row(table.FlowSchemaRow)
	return k
}

func priorityLevelConfiguration() *Kind {
	k := define[flowcontrolv1.PriorityLevelConfiguration, flowcontrolv1.PriorityLevelConfigurationList](
		flowcontrolv1.SchemeGroupVersion, "PriorityLevelConfiguration", "prioritylevelconfigurations")
	k.Generation = true
	status(k, func(to, from *flowcontrolv1.PriorityLevelConfiguration) { to.Status = from.Status })
	k.Default = on(defaults.PriorityLevelConfiguration)
	k.Columns, k.Row = table.PriorityLevelConfigurationColumns(), row(table.PriorityLevelConfigurationRow)
	return k
}
