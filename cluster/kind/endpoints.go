package kind

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

func endpoints() *Kind {
	k := defineNamespaced[corev1.Endpoints, corev1.EndpointsList](corev1.SchemeGroupVersion, "Endpoints", "endpoints", "ep")
	k.Acted = true
	return k
}

func endpointSlice() *Kind {
	k := defineNamespaced[discoveryv1.EndpointSlice, discoveryv1.EndpointSliceList](
		discoveryv1.SchemeGroupVersion, "EndpointSlice", "endpointslices")
	k.Acted = true
	k.Generation = true
	return k
}
