package kind

import (
	networkingv1 "k8s.io/api/networking/v1"
)

func ipAddress() *Kind {
	k := define[networkingv1.IPAddress, networkingv1.IPAddressList](networkingv1.SchemeGroupVersion, "IPAddress", "ipaddresses", "ip")
	return k
}

func serviceCIDR() *Kind {
	k := define[networkingv1.ServiceCIDR, networkingv1.ServiceCIDRList](networkingv1.SchemeGroupVersion, "ServiceCIDR", "servicecidrs")
	status(k, func(to, from *networkingv1.ServiceCIDR) { to.Status = from.Status })
	return k
}
