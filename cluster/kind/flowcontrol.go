package kind

import (
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
)

func flowSchema() *Kind {
	k := define[flowcontrolv1.FlowSchema, flowcontrolv1.FlowSchemaList](
		flowcontrolv1.SchemeGroupVersion, "FlowSchema", "flowschemas")
	k.Generation = true
	status(k, func(to, from *flowcontrolv1.FlowSchema) { to.Status = from.Status })
	k.Default = on(defaults.FlowSchema)
	return k
}

func priorityLevelConfiguration() *Kind {
	k := define[flowcontrolv1.PriorityLevelConfiguration, flowcontrolv1.PriorityLevelConfigurationList](
		flowcontrolv1.SchemeGroupVersion, "PriorityLevelConfiguration", "prioritylevelconfigurations")
	k.Generation = true
	status(k, func(to, from *flowcontrolv1.PriorityLevelConfiguration) { to.Status = from.Status })
	k.Default = on(defaults.PriorityLevelConfiguration)
	return k
}
