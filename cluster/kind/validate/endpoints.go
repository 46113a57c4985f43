package validate

import (
	"net"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Endpoints checks endpoints.
func Endpoints(e *corev1.Endpoints) field.ErrorList {
	var errs errors
	for i, s := range e.Subsets {
		at := field.NewPath("subsets").Index(i)
		if len(s.Addresses) == 0 && len(s.NotReadyAddresses) == 0 {
			errs = append(errs, field.Required(at, "must specify `addresses` or `notReadyAddresses`"))
		}
		for j, a := range s.Addresses {
			errs = append(errs, endpointIP(at.Child("addresses").Index(j).Child("ip"), a.IP)...)
		}
		for j, a := range s.NotReadyAddresses {
			errs = append(errs, endpointIP(at.Child("notReadyAddresses").Index(j).Child("ip"), a.IP)...)
		}
		for j, port := range s.Ports {
			at := at.Child("ports").Index(j)
			if port.Name == "" && len(s.Ports) > 1 {
				errs = append(errs, field.Required(at.Child("name"), ""))
			} else if port.Name != "" {
				errs = append(errs, dnsLabel(at.Child("name"), port.Name)...)
			}
			errs = append(errs, portNumber(at.Child("port"), port.Port)...)
			errs = append(errs, protocol(at.Child("protocol"), port.Protocol)...)
		}
	}
	return errs
}

// EndpointsWarnings tells that endpoint slices are the kind to use.
func EndpointsWarnings(*corev1.Endpoints) []string {
	return []string{"v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"}
}

func endpointIP(p *field.Path, ip string) errors {
	if errs := ipAddress(p, ip); len(errs) > 0 {
		return errs
	}
	return unusableIP(p, ip)
}

// unusableIP finds addresses to which nothing can be sent across nodes.
func unusableIP(p *field.Path, value string) errors {
	ip := net.ParseIP(value)
	switch {
	case ip == nil:
		return nil
	case ip.IsUnspecified():
		return errors{field.Invalid(p, value, "may not be unspecified (0.0.0.0 or ::)")}
	case ip.IsLoopback():
		return errors{field.Invalid(p, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)")}
	case ip.IsLinkLocalUnicast():
		return errors{field.Invalid(p, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")}
	case ip.IsLinkLocalMulticast():
		return errors{field.Invalid(p, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")}
	}
	return nil
}

// Bounds of endpoint slices.
const (
	maxEndpoints         = 1000
	maxSlicePorts        = 20000
	maxEndpointAddresses = 100
)

// EndpointSlice checks an endpoint slice.
func EndpointSlice(s *discoveryv1.EndpointSlice) field.ErrorList {
	errs := oneOf(field.NewPath("addressType"), s.AddressType,
		discoveryv1.AddressTypeFQDN, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6)
	if len(s.Endpoints) > maxEndpoints {
		errs = append(errs, field.TooMany(field.NewPath("endpoints"), len(s.Endpoints), maxEndpoints))
	}
	for i, e := range s.Endpoints {
		at := field.NewPath("endpoints").Index(i)
		if len(e.Addresses) == 0 {
			errs = append(errs, field.Required(at.Child("addresses"), "must contain at least 1 address"))
		} else if len(e.Addresses) > maxEndpointAddresses {
			errs = append(errs, field.TooMany(at.Child("addresses"), len(e.Addresses), maxEndpointAddresses))
		}
		for j, a := range e.Addresses {
			at := at.Child("addresses").Index(j)
			if s.AddressType == discoveryv1.AddressTypeFQDN {
				errs = append(errs, dnsSubdomain(at, a)...)
			} else {
				errs = append(errs, endpointIP(at, a)...)
			}
		}
		if e.Hostname != nil {
			errs = append(errs, dnsLabel(at.Child("hostname"), *e.Hostname)...)
		}
	}
	if len(s.Ports) > maxSlicePorts {
		errs = append(errs, field.TooMany(field.NewPath("ports"), len(s.Ports), maxSlicePorts))
	}
	names := map[string]bool{}
	for i, port := range s.Ports {
		at := field.NewPath("ports").Index(i)
		name := ""
		if port.Name != nil {
			name = *port.Name
		}
		if name != "" {
			errs = append(errs, dnsLabel(at.Child("name"), name)...)
		}
		if names[name] {
			errs = append(errs, field.Duplicate(at.Child("name"), name))
		}
		names[name] = true
		if port.Protocol == nil {
			errs = append(errs, field.Required(at.Child("protocol"), ""))
		} else {
			errs = append(errs, protocol(at.Child("protocol"), *port.Protocol)...)
		}
	}
	return errs
}

// EndpointSliceUpdate checks a change.
func EndpointSliceUpdate(s, old *discoveryv1.EndpointSlice) field.ErrorList {
	return unchanged(field.NewPath("addressType"), s.AddressType, old.AddressType)
}
