package kind

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func endpoints() *Kind {
	k := defineNamespaced[corev1.Endpoints, corev1.EndpointsList](corev1.SchemeGroupVersion, "Endpoints", "endpoints", "ep")
	k.Acted = true
	k.Default = on(defaults.Endpoints)
	k.Columns, k.Row = table.EndpointsColumns(), row(table.EndpointsRow)
	k.Validate = check(validate.Endpoints)
	k.Warnings = warn(validate.EndpointsWarnings)
	return k
}

func endpointSlice() *Kind {
	k := defineNamespaced[discoveryv1.EndpointSlice, discoveryv1.EndpointSliceList](
		discoveryv1.SchemeGroupVersion, "EndpointSlice", "endpointslices")
	k.Acted = true
	k.Generation = true
	k.Default = on(defaults.EndpointSlice)
	k.Columns, k.Row = table.EndpointSliceColumns(), row(table.EndpointSliceRow)
	k.Validate = check(validate.EndpointSlice)
	k.ValidateUpdate = checkBoth(validate.EndpointSliceUpdate)
	return k
}
