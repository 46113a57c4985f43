package kind

import (
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func ipAddress() *Kind {
	k := define[networkingv1.IPAddress, networkingv1.IPAddressList](networkingv1.SchemeGroupVersion, "IPAddress", "ipaddresses", "ip")
	k.Columns, k.Row = table.IPAddressColumns(), row(table.IPAddressRow)
	k.Validate = check(validate.IPAddress)
	k.ValidateUpdate = checkBoth(validate.IPAddressUpdate)
	return k
}

func serviceCIDR() *Kind {
	k := define[networkingv1.ServiceCIDR, networkingv1.ServiceCIDRList](networkingv1.SchemeGroupVersion, "ServiceCIDR", "servicecidrs")
	status(k, func(to, from *networkingv1.ServiceCIDR) { to.Status = from.Status })
	k.Columns, k.Row = table.ServiceCIDRColumns(), row(table.ServiceCIDRRow)
	k.Validate = check(validate.ServiceCIDR)
	k.ValidateUpdate = checkBoth(validate.ServiceCIDRUpdate)
	return k
}
