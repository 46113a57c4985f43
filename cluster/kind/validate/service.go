package validate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Service checks a service. Whether its IPs and node ports are free and in
// range is for those who allocate them.
func Service(s *corev1.Service) field.ErrorList {
	p := spec()
	headless := s.Spec.ClusterIP == corev1.ClusterIPNone
	var errs errors
	if len(s.Spec.Ports) == 0 && !headless && s.Spec.Type != corev1.ServiceTypeExternalName {
		errs = append(errs, field.Required(p.Child("ports"), ""))
	}
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer && headless {
		errs = append(errs, field.Invalid(p.Child("clusterIPs").Index(0), s.Spec.ClusterIP, "may not be set to 'None' for LoadBalancer services"))
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		errs = append(errs, externalName(p, s)...)
	}
	errs = append(errs, servicePorts(p.Child("ports"), s)...)
	errs = append(errs, metavalidation.ValidateLabels(s.Spec.Selector, p.Child("selector"))...)
	errs = append(errs, oneOf(p.Child("sessionAffinity"), s.Spec.SessionAffinity,
		corev1.ServiceAffinityClientIP, corev1.ServiceAffinityNone)...)
	errs = append(errs, affinityTimeout(p.Child("sessionAffinityConfig"), s)...)
	errs = append(errs, clusterIPs(p, s)...)
	for i, ip := range s.Spec.ExternalIPs {
		at := p.Child("externalIPs").Index(i)
		if bad := ipAddress(at, ip); len(bad) > 0 {
			errs = append(errs, bad...)
		} else {
			errs = append(errs, unusableIP(at, ip)...)
		}
	}
	errs = append(errs, oneOf(p.Child("type"), s.Spec.Type, corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName,
		corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort)...)
	return append(errs, trafficPolicies(p, s)...)
}

func externalName(p *field.Path, s *corev1.Service) errors {
	var errs errors
	if s.Spec.ClusterIP != "" {
		errs = append(errs, field.Forbidden(p.Child("clusterIPs"), "may not be set for ExternalName services"))
	}
	// A final dot makes a name absolute.
	name := strings.TrimSuffix(s.Spec.ExternalName, ".")
	if name == "" {
		return append(errs, field.Required(p.Child("externalName"), ""))
	}
	return append(errs, each(p.Child("externalName"), s.Spec.ExternalName, validation.IsDNS1123Subdomain(name))...)
}

func servicePorts(p *field.Path, s *corev1.Service) errors {
	type key struct {
		Protocol corev1.Protocol `json:"protocol"`
		Port     int32           `json:"port"`
	}
	var errs errors
	names, ports, nodePorts := map[string]bool{}, map[key]bool{}, map[key]bool{}
	for i, port := range s.Spec.Ports {
		at := p.Index(i)
		switch {
		case port.Name == "" && len(s.Spec.Ports) > 1:
			errs = append(errs, field.Required(at.Child("name"), ""))
		case port.Name != "":
			errs = append(errs, dnsLabel(at.Child("name"), port.Name)...)
			if names[port.Name] {
				errs = append(errs, field.Duplicate(at.Child("name"), port.Name))
			}
			names[port.Name] = true
		}
		errs = append(errs, portNumber(at.Child("port"), port.Port)...)
		errs = append(errs, protocol(at.Child("protocol"), port.Protocol)...)
		errs = append(errs, portOrName(at.Child("targetPort"), port.TargetPort)...)
		if port.AppProtocol != nil {
			errs = append(errs, each(at.Child("appProtocol"), *port.AppProtocol, validation.IsQualifiedName(*port.AppProtocol))...)
		}
		k := key{port.Protocol, port.Port}
		if ports[k] {
			errs = append(errs, field.Duplicate(at, k))
		}
		ports[k] = true
		if port.NodePort == 0 {
			continue
		}
		if t := s.Spec.Type; t != corev1.ServiceTypeNodePort && t != corev1.ServiceTypeLoadBalancer {
			errs = append(errs, field.Forbidden(at.Child("nodePort"), fmt.Sprintf("may not be used when `type` is '%s'", t)))
		}
		n := key{port.Protocol, port.NodePort}
		if nodePorts[n] {
			errs = append(errs, field.Duplicate(at.Child("nodePort"), port.NodePort))
		}
		nodePorts[n] = true
	}
	return errs
}

// maxAffinitySeconds bounds ClientIP affinity: a day.
const maxAffinitySeconds = 86400

func affinityTimeout(p *field.Path, s *corev1.Service) errors {
	c := s.Spec.SessionAffinityConfig
	switch s.Spec.SessionAffinity {
	case corev1.ServiceAffinityNone:
		if c != nil {
			return errors{field.Forbidden(p, "must not be set when session affinity is None")}
		}
	case corev1.ServiceAffinityClientIP:
		at := p.Child("clientIP", "timeoutSeconds")
		if c == nil || c.ClientIP == nil || c.ClientIP.TimeoutSeconds == nil {
			return errors{field.Required(at, "when session affinity type is ClientIP")}
		}
		if t := *c.ClientIP.TimeoutSeconds; t <= 0 || t > maxAffinitySeconds {
			return errors{field.Invalid(at, t, fmt.Sprintf("must be greater than 0 and less than %d", maxAffinitySeconds))}
		}
	}
	return nil
}

func clusterIPs(p *field.Path, s *corev1.Service) errors {
	var errs errors
	ips := s.Spec.ClusterIPs
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	if len(ips) > 0 && s.Spec.ClusterIP != ips[0] {
		errs = append(errs, field.Invalid(p.Child("clusterIPs"), ips, "first value must match `clusterIP`"))
	}
	if len(ips) == 0 && s.Spec.ClusterIP != "" {
		ips = []string{s.Spec.ClusterIP}
	}
	for i, ip := range ips {
		at := p.Child("clusterIPs").Index(i)
		switch {
		case i > 0 && ip == corev1.ClusterIPNone:
			errs = append(errs, field.Invalid(at, ip, "must be a single value of 'None'"))
		case ip != corev1.ClusterIPNone && ip != "":
			errs = append(errs, ipAddress(at, ip)...)
		}
	}
	return errs
}

func trafficPolicies(p *field.Path, s *corev1.Service) errors {
	var errs errors
	external := s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer ||
		s.Spec.Type == corev1.ServiceTypeClusterIP && len(s.Spec.ExternalIPs) > 0
	at := p.Child("externalTrafficPolicy")
	switch policy := s.Spec.ExternalTrafficPolicy; {
	case !external && policy != "":
		errs = append(errs, field.Invalid(at, policy, "may only be set for externally-accessible services"))
	case external:
		errs = append(errs, oneOf(at, policy, corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal)...)
	}
	if n := s.Spec.HealthCheckNodePort; n != 0 &&
		!(s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal) {
		errs = append(errs, field.Invalid(p.Child("healthCheckNodePort"), n,
			"may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"))
	}
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer {
		if len(s.Spec.LoadBalancerSourceRanges) > 0 {
			errs = append(errs, field.Forbidden(p.Child("LoadBalancerSourceRanges"), "may only be used when `type` is 'LoadBalancer'"))
		}
		if s.Spec.AllocateLoadBalancerNodePorts != nil {
			errs = append(errs, field.Forbidden(p.Child("allocateLoadBalancerNodePorts"), "may only be used when `type` is 'LoadBalancer'"))
		}
		if s.Spec.LoadBalancerClass != nil {
			errs = append(errs, field.Forbidden(p.Child("loadBalancerClass"), "may only be used when `type` is 'LoadBalancer'"))
		}
	}
	return append(errs, oneOfPtr(p.Child("internalTrafficPolicy"), s.Spec.InternalTrafficPolicy,
		corev1.ServiceInternalTrafficPolicyCluster, corev1.ServiceInternalTrafficPolicyLocal)...)
}

// ServiceUpdate checks a change: cluster IPs stay as long as the type has
// them.
func ServiceUpdate(s, old *corev1.Service) field.ErrorList {
	if s.Spec.Type == corev1.ServiceTypeExternalName || old.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	before, after := old.Spec.ClusterIPs, s.Spec.ClusterIPs
	if len(before) == 0 || before[0] == "" || slices.Equal(before, after) {
		return nil
	}
	at := spec().Child("clusterIPs")
	if len(after) == 0 || after[0] != before[0] {
		return errors{field.Invalid(at.Index(0), after, "may not change once set")}
	}
	return nil
}

// ServiceWarnings tells about fields that are deprecated or have no effect.
func ServiceWarnings(s *corev1.Service) []string {
	var out []string
	if s.Spec.LoadBalancerIP != "" {
		out = append(out, "spec.loadBalancerIP is deprecated in v1.24+")
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName && len(s.Spec.ExternalIPs) > 0 {
		out = append(out, "spec.externalIPs is ignored when spec.type is \"ExternalName\"")
	}
	return out
}
