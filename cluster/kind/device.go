package kind

import (
	resourcev1 "k8s.io/api/resource/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
)

func deviceClass() *Kind {
	k := define[resourcev1.DeviceClass, resourcev1.DeviceClassList](resourcev1.SchemeGroupVersion, "DeviceClass", "deviceclasses")
	k.Generation = true
	k.Columns, k.Row = ageTable()
	return k
}

func resourceClaim() *Kind {
	k := defineNamespaced[resourcev1.ResourceClaim, resourcev1.ResourceClaimList](
		resourcev1.SchemeGroupVersion, "ResourceClaim", "resourceclaims")
	status(k, func(to, from *resourcev1.ResourceClaim) { to.Status = from.Status })
	k.Default = on(defaults.ResourceClaim)
	k.Columns, k.Row = table.ResourceClaimColumns(), row(table.ResourceClaimRow)
	return k
}

func resourceClaimTemplate() *Kind {
	k := defineNamespaced[resourcev1.ResourceClaimTemplate, resourcev1.ResourceClaimTemplateList](
		resourcev1.SchemeGroupVersion, "ResourceClaimTemplate", "resourceclaimtemplates")
	k.Default = on(defaults.ResourceClaimTemplate)
	k.Columns, k.Row = ageTable()
	return k
}

func resourceSlice() *Kind {
	k := define[resourcev1.ResourceSlice, resourcev1.ResourceSliceList](
		resourcev1.SchemeGroupVersion, "ResourceSlice", "resourceslices")
	k.Generation = true
	selectable(k, []string{"spec.driver", "spec.nodeName"}, func(s *resourcev1.ResourceSlice) []string {
		node := ""
		if s.Spec.NodeName != nil {
			node = *s.Spec.NodeName
		}
		return []string{s.Spec.Driver, node}
	})
	k.Columns, k.Row = table.ResourceSliceColumns(), row(table.ResourceSliceRow)
	return k
}
