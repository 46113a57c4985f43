package validate

import (
	"net"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Ingress checks an ingress.
func Ingress(i *networkingv1.Ingress) field.ErrorList {
	s, p := &i.Spec, spec()
	var errs errors
	if len(s.Rules) == 0 && s.DefaultBackend == nil {
		errs = append(errs, field.Invalid(p, s.Rules, "either `defaultBackend` or `rules` must be specified"))
	}
	if s.DefaultBackend != nil {
		errs = append(errs, backend(p.Child("defaultBackend"), s.DefaultBackend)...)
	}
	for j, r := range s.Rules {
		errs = append(errs, ingressRule(p.Child("rules").Index(j), r)...)
	}
	for j, t := range s.TLS {
		for k, host := range t.Hosts {
			errs = append(errs, hostName(p.Child("tls").Index(j).Child("hosts").Index(k), host)...)
		}
		errs = append(errs, optionalName(p.Child("tls").Index(j).Child("secretName"), t.SecretName)...)
	}
	if s.IngressClassName != nil {
		errs = append(errs, dnsSubdomain(p.Child("ingressClassName"), *s.IngressClassName)...)
		if class, ok := i.Annotations[annotationIngressClass]; ok && class != *s.IngressClassName {
			errs = append(errs, field.Invalid(field.NewPath("annotations").Child(annotationIngressClass), class,
				"must match `ingressClassName` when both are specified"))
		}
	}
	return errs
}

const annotationIngressClass = "kubernetes.io/ingress.class"

// IngressWarnings tells about the deprecated annotation.
func IngressWarnings(i *networkingv1.Ingress) []string {
	if _, ok := i.Annotations[annotationIngressClass]; ok {
		return []string{`annotation "kubernetes.io/ingress.class" is deprecated, please use 'spec.ingressClassName' instead`}
	}
	return nil
}

func hostName(p *field.Path, host string) errors {
	if strings.Contains(host, "*") {
		return each(p, host, validation.IsWildcardDNS1123Subdomain(host))
	}
	return dnsSubdomain(p, host)
}

func ingressRule(p *field.Path, r networkingv1.IngressRule) errors {
	var errs errors
	if r.Host != "" {
		if net.ParseIP(r.Host) != nil {
			errs = append(errs, field.Invalid(p.Child("host"), r.Host, "must be a DNS name, not an IP address"))
		} else {
			errs = append(errs, hostName(p.Child("host"), r.Host)...)
		}
	}
	if r.HTTP == nil {
		return errs
	}
	paths := p.Child("http", "paths")
	if len(r.HTTP.Paths) == 0 {
		return append(errs, field.Required(paths, ""))
	}
	for i := range r.HTTP.Paths {
		errs = append(errs, ingressPath(paths.Index(i), &r.HTTP.Paths[i])...)
		errs = append(errs, backend(paths.Index(i).Child("backend"), &r.HTTP.Paths[i].Backend)...)
	}
	return errs
}

func ingressPath(p *field.Path, path *networkingv1.HTTPIngressPath) errors {
	if path.PathType == nil {
		return errors{field.Required(p.Child("pathType"), "pathType must be specified")}
	}
	switch *path.PathType {
	case networkingv1.PathTypeExact, networkingv1.PathTypePrefix:
		if !strings.HasPrefix(path.Path, "/") {
			return errors{field.Invalid(p.Child("path"), path.Path, "must be an absolute path")}
		}
		var errs errors
		for _, bad := range []string{"//", "/./", "/../", "%2f", "%2F"} {
			if strings.Contains(path.Path, bad) {
				errs = append(errs, field.Invalid(p.Child("path"), path.Path, "must not contain '"+bad+"'"))
			}
		}
		for _, bad := range []string{"/..", "/."} {
			if strings.HasSuffix(path.Path, bad) {
				errs = append(errs, field.Invalid(p.Child("path"), path.Path, "cannot end with '"+bad+"'"))
			}
		}
		return errs
	case networkingv1.PathTypeImplementationSpecific:
		if path.Path != "" && !strings.HasPrefix(path.Path, "/") {
			return errors{field.Invalid(p.Child("path"), path.Path, "must be an absolute path")}
		}
		return nil
	}
	return errors{field.NotSupported(p.Child("pathType"), *path.PathType, []networkingv1.PathType{
		networkingv1.PathTypeExact, networkingv1.PathTypePrefix, networkingv1.PathTypeImplementationSpecific})}
}

func backend(p *field.Path, b *networkingv1.IngressBackend) errors {
	switch {
	case b.Resource != nil && b.Service != nil:
		return errors{field.Invalid(p, "", "cannot set both resource and service backends")}
	case b.Resource != nil:
		return append(required(p.Child("resource", "kind"), b.Resource.Kind), required(p.Child("resource", "name"), b.Resource.Name)...)
	case b.Service == nil:
		return errors{field.Required(p, "")}
	}
	s := b.Service
	var errs errors
	if s.Name == "" {
		errs = append(errs, field.Required(p.Child("service", "name"), ""))
	} else {
		errs = append(errs, each(p.Child("service", "name"), s.Name, validation.IsDNS1035Label(s.Name))...)
	}
	port := p.Child("service", "port")
	switch {
	case s.Port.Name != "" && s.Port.Number != 0:
		errs = append(errs, field.Invalid(p, "", "cannot set both port name & port number"))
	case s.Port.Name != "":
		errs = append(errs, each(port.Child("name"), s.Port.Name, validation.IsValidPortName(s.Port.Name))...)
	case s.Port.Number != 0:
		errs = append(errs, portNumber(port.Child("number"), s.Port.Number)...)
	default:
		errs = append(errs, field.Required(p, "port name or number is required"))
	}
	return errs
}

// IngressClass checks an ingress class.
func IngressClass(c *networkingv1.IngressClass) field.ErrorList {
	at := spec().Child("controller")
	if c.Spec.Controller == "" {
		return errors{field.Required(at, "")}
	}
	return validation.IsDomainPrefixedPath(at, c.Spec.Controller)
}

// IngressClassUpdate checks a change.
func IngressClassUpdate(c, old *networkingv1.IngressClass) field.ErrorList {
	return unchanged(spec().Child("controller"), c.Spec.Controller, old.Spec.Controller)
}

// NetworkPolicy checks a network policy.
func NetworkPolicy(n *networkingv1.NetworkPolicy) field.ErrorList {
	s, p := &n.Spec, spec()
	errs := labelSelector(p.Child("podSelector"), &s.PodSelector)
	for i, r := range s.Ingress {
		at := p.Child("ingress").Index(i)
		errs = append(errs, policyPorts(at.Child("ports"), r.Ports)...)
		for j, peer := range r.From {
			errs = append(errs, policyPeer(at.Child("from").Index(j), peer)...)
		}
	}
	for i, r := range s.Egress {
		at := p.Child("egress").Index(i)
		errs = append(errs, policyPorts(at.Child("ports"), r.Ports)...)
		for j, peer := range r.To {
			errs = append(errs, policyPeer(at.Child("to").Index(j), peer)...)
		}
	}
	if len(s.PolicyTypes) > 2 {
		return append(errs, field.Invalid(p.Child("policyTypes"), s.PolicyTypes, "may not specify more than two policyTypes"))
	}
	for i, t := range s.PolicyTypes {
		errs = append(errs, oneOf(p.Child("policyTypes").Index(i), t, networkingv1.PolicyTypeEgress, networkingv1.PolicyTypeIngress)...)
	}
	return errs
}

func policyPorts(p *field.Path, ports []networkingv1.NetworkPolicyPort) errors {
	var errs errors
	for i, port := range ports {
		at := p.Index(i)
		if port.Protocol != nil {
			errs = append(errs, protocol(at.Child("protocol"), *port.Protocol)...)
		}
		if port.Port != nil {
			errs = append(errs, portOrName(at.Child("port"), *port.Port)...)
		}
		if end := port.EndPort; end != nil {
			switch {
			case port.Port == nil:
				errs = append(errs, field.Required(at.Child("port"), "must be specified when `endPort` is specified"))
			case port.Port.Type == intstr.String:
				errs = append(errs, field.Invalid(at.Child("endPort"), *end, "may not be specified when `port` is non-numeric"))
			case *end < port.Port.IntVal:
				errs = append(errs, field.Invalid(at.Child("endPort"), *end, "must be greater than or equal to `port`"))
			default:
				errs = append(errs, portNumber(at.Child("endPort"), *end)...)
			}
		}
	}
	return errs
}

func policyPeer(p *field.Path, peer networkingv1.NetworkPolicyPeer) errors {
	var errs errors
	if peer.PodSelector != nil {
		errs = append(errs, labelSelector(p.Child("podSelector"), peer.PodSelector)...)
	}
	if peer.NamespaceSelector != nil {
		errs = append(errs, labelSelector(p.Child("namespaceSelector"), peer.NamespaceSelector)...)
	}
	b := peer.IPBlock
	switch {
	case b == nil && peer.PodSelector == nil && peer.NamespaceSelector == nil:
		return append(errs, field.Required(p, "must specify a peer"))
	case b == nil:
		return errs
	case peer.PodSelector != nil || peer.NamespaceSelector != nil:
		errs = append(errs, field.Forbidden(p, "may not specify both ipBlock and another peer"))
	}
	at := p.Child("ipBlock")
	if b.CIDR == "" {
		return append(errs, field.Required(at.Child("cidr"), ""))
	}
	errs = append(errs, validation.IsValidCIDRForLegacyField(at.Child("cidr"), b.CIDR, false, nil)...)
	_, block, err := net.ParseCIDR(b.CIDR)
	if err != nil {
		return errs
	}
	for i, e := range b.Except {
		at := at.Child("except").Index(i)
		errs = append(errs, validation.IsValidCIDRForLegacyField(at, e, false, nil)...)
		ip, except, err := net.ParseCIDR(e)
		if err != nil {
			continue
		}
		outer, _ := block.Mask.Size()
		inner, _ := except.Mask.Size()
		if !block.Contains(ip) || inner <= outer {
			errs = append(errs, field.Invalid(at, e, "must be a strict subset of `cidr`"))
		}
	}
	return errs
}

// ServiceCIDR checks a service range.
func ServiceCIDR(c *networkingv1.ServiceCIDR) field.ErrorList {
	at := spec().Child("cidrs")
	switch n := len(c.Spec.CIDRs); {
	case n == 0:
		return errors{field.Required(at, "at least one CIDR required")}
	case n > 2:
		return errors{field.Invalid(at, c.Spec.CIDRs, "may only hold up to 2 values")}
	}
	var errs errors
	for i, cidr := range c.Spec.CIDRs {
		errs = append(errs, validation.IsValidCIDR(at.Index(i), cidr)...)
	}
	return errs
}

// ServiceCIDRUpdate checks a change.
func ServiceCIDRUpdate(c, old *networkingv1.ServiceCIDR) field.ErrorList {
	return unchanged(spec().Child("cidrs"), c.Spec.CIDRs, old.Spec.CIDRs)
}

// IPAddress checks an IP address, which is its name.
func IPAddress(a *networkingv1.IPAddress) field.ErrorList {
	errs := validation.IsValidIP(field.NewPath("metadata", "name"), a.Name)
	at := spec().Child("parentRef")
	if a.Spec.ParentRef == nil {
		return append(errs, field.Required(at, ""))
	}
	errs = append(errs, required(at.Child("resource"), a.Spec.ParentRef.Resource)...)
	return append(errs, required(at.Child("name"), a.Spec.ParentRef.Name)...)
}

// IPAddressUpdate checks a change.
func IPAddressUpdate(a, old *networkingv1.IPAddress) field.ErrorList {
	return unchanged(spec().Child("parentRef"), a.Spec.ParentRef, old.Spec.ParentRef)
}
