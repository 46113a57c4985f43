package kind

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// prepareServiceCreate makes clusterIP and clusterIPs agree. What is still
// empty the API allocates.
func prepareServiceCreate(s *corev1.Service) {
	s.Status = corev1.ServiceStatus{}
	if s.Spec.ClusterIP != "" && len(s.Spec.ClusterIPs) == 0 {
		s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
	}
}

// prepareServiceUpdate keeps what was allocated where the update leaves it out,
// and drops what the new type has no use for, unless the user set it anew.
func prepareServiceUpdate(s, old *corev1.Service) {
	normalizeClusterIPs(s, old)
	if hasClusterIP(old) && hasClusterIP(s) {
		keepClusterIPs(&s.Spec, &old.Spec)
	}
	if hasNodePorts(old) && hasNodePorts(s) {
		keepNodePorts(s.Spec.Ports, old.Spec.Ports)
	}
	if hasHealthCheckPort(old) && hasHealthCheckPort(s) && s.Spec.HealthCheckNodePort == 0 {
		s.Spec.HealthCheckNodePort = old.Spec.HealthCheckNodePort
	}
	dropUnused(s, old)
}

// normalizeClusterIPs follows a change of clusterIP in clusterIPs, for clients
// that know only the older field.
func normalizeClusterIPs(s, old *corev1.Service) {
	if s.Spec.ClusterIP == old.Spec.ClusterIP || !slices.Equal(s.Spec.ClusterIPs, old.Spec.ClusterIPs) {
		if len(s.Spec.ClusterIPs) == 0 && s.Spec.ClusterIP != "" && s.Spec.ClusterIP != old.Spec.ClusterIP {
			s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
		}
		return
	}
	switch {
	case s.Spec.ClusterIP == "":
		s.Spec.ClusterIPs = nil
	case len(s.Spec.ClusterIPs) > 0:
		s.Spec.ClusterIPs = append([]string{s.Spec.ClusterIP}, s.Spec.ClusterIPs[1:]...)
	default:
		s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
	}
}

func keepClusterIPs(s, old *corev1.ServiceSpec) {
	if s.ClusterIP == "" {
		s.ClusterIP = old.ClusterIP
	}
	if len(s.ClusterIPs) == 0 && s.ClusterIP == old.ClusterIP {
		s.ClusterIPs = slices.Clone(old.ClusterIPs)
	}
	if len(s.IPFamilies) == 0 {
		s.IPFamilies = slices.Clone(old.IPFamilies)
	}
	if s.IPFamilyPolicy == nil && old.IPFamilyPolicy != nil {
		p := *old.IPFamilyPolicy
		s.IPFamilyPolicy = &p
	}
}

func keepNodePorts(ports, old []corev1.ServicePort) {
	type key struct {
		protocol corev1.Protocol
		port     int32
	}
	allocated := map[key]int32{}
	for _, p := range old {
		allocated[key{p.Protocol, p.Port}] = p.NodePort
	}
	used := map[int32]bool{}
	for _, p := range ports {
		used[p.NodePort] = true
	}
	for i := range ports {
		p := &ports[i]
		if n := allocated[key{p.Protocol, p.Port}]; p.NodePort == 0 && !used[n] {
			p.NodePort = n
			used[n] = true
		}
	}
}

// dropUnused clears allocated values that a change of type leaves without use
// if the user kept them as they were.
func dropUnused(s, old *corev1.Service) {
	if hasClusterIP(old) && !hasClusterIP(s) && s.Spec.ClusterIP == old.Spec.ClusterIP {
		s.Spec.ClusterIP, s.Spec.ClusterIPs = "", nil
		s.Spec.IPFamilies, s.Spec.IPFamilyPolicy = nil, nil
	}
	if hasNodePorts(old) && !hasNodePorts(s) && sameNodePorts(s.Spec.Ports, old.Spec.Ports) {
		for i := range s.Spec.Ports {
			s.Spec.Ports[i].NodePort = 0
		}
	}
	if hasHealthCheckPort(old) && !hasHealthCheckPort(s) && s.Spec.HealthCheckNodePort == old.Spec.HealthCheckNodePort {
		s.Spec.HealthCheckNodePort = 0
	}
	if old.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.Type != corev1.ServiceTypeLoadBalancer {
		if equalBool(s.Spec.AllocateLoadBalancerNodePorts, old.Spec.AllocateLoadBalancerNodePorts) {
			s.Spec.AllocateLoadBalancerNodePorts = nil
		}
		s.Spec.LoadBalancerClass = nil
	}
	if !hasNodePorts(s) && len(s.Spec.ExternalIPs) == 0 && s.Spec.ExternalTrafficPolicy == old.Spec.ExternalTrafficPolicy {
		s.Spec.ExternalTrafficPolicy = ""
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName && old.Spec.Type != corev1.ServiceTypeExternalName {
		s.Spec.InternalTrafficPolicy = nil
	}
}

func sameNodePorts(a, b []corev1.ServicePort) bool {
	return slices.EqualFunc(a, b, func(a, b corev1.ServicePort) bool { return a.NodePort == b.NodePort })
}

func equalBool(a, b *bool) bool { return a == b || a != nil && b != nil && *a == *b }

func hasClusterIP(s *corev1.Service) bool { return s.Spec.Type != corev1.ServiceTypeExternalName }

func hasNodePorts(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer
}

func hasHealthCheckPort(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer &&
		s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}
