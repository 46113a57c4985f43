package alloc

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
)

// addresses are the cluster addresses that a Service has.
func addresses(svc *corev1.Service) (out []netip.Addr) {
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	for _, ip := range svc.Spec.ClusterIPs {
		if a, err := netip.ParseAddr(ip); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// nodePorts are the node ports that a Service has.
func nodePorts(svc *corev1.Service) (out []nodePort) {
	for _, p := range svc.Spec.Ports {
		if p.NodePort != 0 {
			out = append(out, nodePort{p.Protocol, p.NodePort})
		}
	}
	if h := svc.Spec.HealthCheckNodePort; h != 0 {
		out = append(out, nodePort{corev1.ProtocolTCP, h})
	}
	return out
}

func wantsNodePorts(svc *corev1.Service) bool {
	switch svc.Spec.Type {
	case corev1.ServiceTypeNodePort:
		return true
	case corev1.ServiceTypeLoadBalancer:
		if a := svc.Spec.AllocateLoadBalancerNodePorts; a == nil || *a {
			return true
		}
		for _, p := range svc.Spec.Ports {
			if p.NodePort != 0 {
				return true
			}
		}
	}
	return false
}

func wantsHealthPort(svc *corev1.Service) bool {
	return svc.Spec.Type == corev1.ServiceTypeLoadBalancer && svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// carryOver keeps in svc what old was given and the user left out, and drops
// what the new type has no use for (Kubernetes: registry/core/service/storage,
// patchAllocatedValues and dropTypeDependentFields).
func carryOver(svc, old *corev1.Service) {
	spec := &svc.Spec
	if spec.Type == corev1.ServiceTypeExternalName {
		if old != nil && old.Spec.Type != corev1.ServiceTypeExternalName {
			spec.ClusterIP, spec.ClusterIPs, spec.IPFamilies, spec.IPFamilyPolicy = "", nil, nil, nil
			spec.HealthCheckNodePort = 0
			for i := range spec.Ports {
				spec.Ports[i].NodePort = 0
			}
		}
		return
	}
	if old == nil {
		return
	}
	if old.Spec.Type != corev1.ServiceTypeExternalName {
		if spec.ClusterIP == "" {
			spec.ClusterIP = old.Spec.ClusterIP
		}
		if len(spec.ClusterIPs) == 0 && spec.ClusterIP == old.Spec.ClusterIP {
			spec.ClusterIPs = old.Spec.ClusterIPs
		}
		if len(spec.IPFamilies) == 0 {
			spec.IPFamilies = old.Spec.IPFamilies
		}
		if spec.IPFamilyPolicy == nil {
			spec.IPFamilyPolicy = old.Spec.IPFamilyPolicy
		}
	}
	if wantsNodePorts(svc) && wantsNodePorts(old) {
		keepNodePorts(spec.Ports, old.Spec.Ports)
	}
	if !wantsNodePorts(svc) && wantsNodePorts(old) && sameNodePorts(spec.Ports, old.Spec.Ports) {
		for i := range spec.Ports {
			spec.Ports[i].NodePort = 0
		}
	}
	switch {
	case !wantsHealthPort(svc):
		if spec.HealthCheckNodePort == old.Spec.HealthCheckNodePort {
			spec.HealthCheckNodePort = 0
		}
	case wantsHealthPort(old) && spec.HealthCheckNodePort == 0:
		spec.HealthCheckNodePort = old.Spec.HealthCheckNodePort
	}
}

// keepNodePorts fills in the node ports that the same ports had, unless the
// user gives them to other ports now.
func keepNodePorts(ports, old []corev1.ServicePort) {
	had, taken := map[corev1.Protocol]map[int32]int32{}, map[nodePort]bool{}
	for _, p := range old {
		if had[p.Protocol] == nil {
			had[p.Protocol] = map[int32]int32{}
		}
		had[p.Protocol][p.Port] = p.NodePort
	}
	for _, p := range ports {
		taken[nodePort{p.Protocol, p.NodePort}] = true
	}
	for i := range ports {
		p := &ports[i]
		if n := had[p.Protocol][p.Port]; p.NodePort == 0 && n != 0 && !taken[nodePort{p.Protocol, n}] {
			p.NodePort = n
			taken[nodePort{p.Protocol, n}] = true
		}
	}
}

// sameNodePorts: the user did not touch the node ports.
func sameNodePorts(ports, old []corev1.ServicePort) bool {
	had := map[nodePort]bool{}
	for _, p := range old {
		had[nodePort{p.Protocol, p.NodePort}] = true
	}
	for _, p := range ports {
		if p.NodePort != 0 && !had[nodePort{p.Protocol, p.NodePort}] {
			return false
		}
	}
	return true
}
