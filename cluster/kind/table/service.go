package table

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// ServiceColumns are the columns of services.
func ServiceColumns() Columns {
	spec := corev1.ServiceSpec{}.SwaggerDoc()
	return Columns{
		nameColumn(),
		text("Type", spec["type"]),
		text("Cluster-IP", spec["clusterIP"]),
		text("External-IP", spec["externalIPs"]),
		text("Port(s)", spec["ports"]),
		ageColumn(),
		selectorColumn(spec["selector"]),
	}
}

// ServiceRow shows a service.
func ServiceRow(s *corev1.Service, now time.Time) []any {
	var ports []string
	for _, p := range s.Spec.Ports {
		if p.NodePort > 0 {
			ports = append(ports, fmt.Sprintf("%d:%d/%s", p.Port, p.NodePort, p.Protocol))
		} else {
			ports = append(ports, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
		}
	}
	return []any{
		s.Name, string(s.Spec.Type), or(s.Spec.ClusterIP, none), externalIPs(s),
		or(strings.Join(ports, ","), none), age(s.CreationTimestamp, now), labels.FormatLabels(s.Spec.Selector),
	}
}

func externalIPs(s *corev1.Service) string {
	switch s.Spec.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort:
		return or(strings.Join(s.Spec.ExternalIPs, ","), none)
	case corev1.ServiceTypeLoadBalancer:
		var ips []string
		for _, in := range s.Status.LoadBalancer.Ingress {
			ips = append(ips, or(in.IP, in.Hostname))
		}
		return or(strings.Join(append(unique(ips), s.Spec.ExternalIPs...), ","), "<pending>")
	case corev1.ServiceTypeExternalName:
		return s.Spec.ExternalName
	}
	return unknown
}

// unique sorts and drops empty and repeated strings.
func unique(list []string) []string {
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(s string) bool { return s == "" })
}

// EndpointsColumns are the columns of endpoints.
func EndpointsColumns() Columns {
	return Columns{nameColumn(), text("Endpoints", corev1.Endpoints{}.SwaggerDoc()["subsets"]), ageColumn()}
}

// EndpointsRow shows endpoints.
func EndpointsRow(e *corev1.Endpoints, now time.Time) []any {
	var list []string
	for _, subset := range e.Subsets {
		// Headless services may have no ports.
		if len(subset.Ports) == 0 {
			for _, a := range subset.Addresses {
				list = append(list, a.IP)
			}
		}
		for _, p := range subset.Ports {
			for _, a := range subset.Addresses {
				list = append(list, net.JoinHostPort(a.IP, strconv.Itoa(int(p.Port))))
			}
		}
	}
	cell := short(list)
	if len(e.Subsets) == 0 {
		cell = none
	}
	return []any{e.Name, cell, age(e.CreationTimestamp, now)}
}

// EndpointSliceColumns are the columns of endpoint slices.
func EndpointSliceColumns() Columns {
	doc := discoveryv1.EndpointSlice{}.SwaggerDoc()
	return Columns{
		nameColumn(),
		text("AddressType", doc["addressType"]),
		text("Ports", doc["ports"]),
		text("Endpoints", doc["endpoints"]),
		ageColumn(),
	}
}

// EndpointSliceRow shows an endpoint slice.
func EndpointSliceRow(s *discoveryv1.EndpointSlice, now time.Time) []any {
	var ports, addresses []string
	for _, p := range s.Ports {
		switch {
		case p.Port != nil:
			ports = append(ports, strconv.Itoa(int(*p.Port)))
		case p.Name != nil && *p.Name != "":
			ports = append(ports, *p.Name)
		default:
			ports = append(ports, "*")
		}
	}
	for _, e := range s.Endpoints {
		addresses = append(addresses, e.Addresses...)
	}
	return []any{
		s.Name, string(s.AddressType), or(short(ports), unset), or(short(addresses), unset), age(s.CreationTimestamp, now),
	}
}
