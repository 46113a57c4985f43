package kind

import (
	networkingv1 "k8s.io/api/networking/v1"
)

func networkPolicy() *Kind {
	k := defineNamespaced[networkingv1.NetworkPolicy, networkingv1.NetworkPolicyList](
		networkingv1.SchemeGroupVersion, "NetworkPolicy", "networkpolicies", "netpol")
	k.Generation = true
	return k
}
