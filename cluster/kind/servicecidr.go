package kind

import (
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/seed38700745/pkg/cluster/kind/table"
)

func ipAddress() *Kind {
	k := define[networkingv1.IPAddress, networkingv1.IPAddressList](networkingv1.SchemeGroupVersion, "IPAddress", "ipaddresses", "ip")
	k.Columns, k.Row = table.IPAddressColumns(), row(table.IPAddressRow)
	return k
}

func serviceCIDR() *Kind {
	k := define[networkingv1.ServiceCIDR, networkingv1.ServiceCIDRList](networkingv1.SchemeGroupVersion, "ServiceCIDR", "servicecidrs")
	status(k, func(to, from *networkingv1.ServiceCIDR) { to.Status = from.Status })
	k.Columns, k.Row = table.ServiceCIDRColumns(), row(table.ServiceCIDRRow)
	return k
}
