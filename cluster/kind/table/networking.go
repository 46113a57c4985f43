package table

import (
	"fmt"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// IngressColumns are the columns of ingresses.
func IngressColumns() Columns {
	return Columns{
		nameColumn(),
		text("Class", "The name of the IngressClass resource that should be used for additional configuration"),
		text("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
		text("Address", "Address is a list containing ingress points for the load-balancer"),
		text("Ports", "Ports of TLS configurations that open"),
		ageColumn(),
	}
}

// IngressRow shows an ingress.
func IngressRow(i *networkingv1.Ingress, now time.Time) []any {
	class := none
	if i.Spec.IngressClassName != nil {
		class = *i.Spec.IngressClassName
	}
	var hosts, addresses []string
	for _, r := range i.Spec.Rules {
		if r.Host != "" {
			hosts = append(hosts, r.Host)
		}
	}
	for _, in := range i.Status.LoadBalancer.Ingress {
		addresses = append(addresses, or(in.IP, in.Hostname))
	}
	ports := "80"
	if len(i.Spec.TLS) > 0 {
		ports = "80, 443"
	}
	return []any{
		i.Name, class, or(short(hosts), "*"), strings.Join(unique(addresses), ","), ports, age(i.CreationTimestamp, now),
	}
}

// IngressClassColumns are the columns of ingress classes.
func IngressClassColumns() Columns {
	return Columns{
		nameColumn(),
		text("Controller", "Controller that is responsible for handling this class"),
		text("Parameters", "A reference to a resource with additional parameters"),
		ageColumn(),
	}
}

// IngressClassRow shows an ingress class.
func IngressClassRow(c *networkingv1.IngressClass, now time.Time) []any {
	parameters := none
	if p := c.Spec.Parameters; p != nil {
		parameters = p.Kind
		if p.APIGroup != nil {
			parameters += "." + *p.APIGroup
		}
		parameters += "/" + p.Name
	}
	return []any{c.Name, c.Spec.Controller, parameters, age(c.CreationTimestamp, now)}
}

// NetworkPolicyColumns are the columns of network policies.
func NetworkPolicyColumns() Columns {
	return Columns{nameColumn(), text("Pod-Selector", networkingv1.NetworkPolicySpec{}.SwaggerDoc()["podSelector"]), ageColumn()}
}

// NetworkPolicyRow shows a network policy.
func NetworkPolicyRow(p *networkingv1.NetworkPolicy, now time.Time) []any {
	return []any{p.Name, metav1.FormatLabelSelector(&p.Spec.PodSelector), age(p.CreationTimestamp, now)}
}

// ServiceCIDRColumns are the columns of service ranges.
func ServiceCIDRColumns() Columns {
	return Columns{nameColumn(), text("CIDRs", networkingv1.ServiceCIDRSpec{}.SwaggerDoc()["cidrs"]), ageColumn()}
}

// ServiceCIDRRow shows a service range.
func ServiceCIDRRow(c *networkingv1.ServiceCIDR, now time.Time) []any {
	return []any{c.Name, strings.Join(c.Spec.CIDRs, ","), age(c.CreationTimestamp, now)}
}

// IPAddressColumns are the columns of IP addresses.
func IPAddressColumns() Columns {
	return Columns{nameColumn(), text("ParentRef", networkingv1.IPAddressSpec{}.SwaggerDoc()["parentRef"])}
}

// IPAddressRow shows an IP address.
func IPAddressRow(a *networkingv1.IPAddress, _ time.Time) []any {
	parent := none
	if ref := a.Spec.ParentRef; ref != nil {
		gr := schema.GroupResource{Group: ref.Group, Resource: ref.Resource}
		if ref.Namespace != "" {
			parent = fmt.Sprintf("%s/%s/%s", gr, ref.Namespace, ref.Name)
		} else {
			parent = fmt.Sprintf("%s/%s", gr, ref.Name)
		}
	}
	return []any{a.Name, parent}
}
