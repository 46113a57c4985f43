package dns

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/seed38700745/pkg/cluster/object"
)

// Zone holds the records of the cluster's Services. It is not safe for
// concurrent use.
type Zone struct {
	domain   string // "cluster.local."
	services map[object.Key]*service
	names    map[string]map[object.Key]bool // every name below the domain, with the Services that need it
	records  map[string]map[object.Key][]dns.RR
}

// service is what one Service contributes.
type service struct {
	object *corev1.Service
	names  []string
}

// Answer is what is known of a name.
type Answer struct {
	Records []dns.RR
	NoName  bool // the name does not exist, whatever the type
}

// NewZone returns the empty zone of a domain such as "cluster.local".
func NewZone(domain string) *Zone {
	return &Zone{
		domain:   dns.Fqdn(strings.ToLower(domain)),
		services: map[object.Key]*service{},
		names:    map[string]map[object.Key]bool{},
		records:  map[string]map[object.Key][]dns.RR{},
	}
}

// Service returns what Set was last given for a key, or nil.
func (z *Zone) Service(k object.Key) *corev1.Service {
	if s := z.services[k]; s != nil {
		return s.object
	}
	return nil
}

// Remove forgets a Service.
func (z *Zone) Remove(k object.Key) {
	s := z.services[k]
	if s == nil {
		return
	}
	for _, name := range s.names {
		for owner := name; owner != z.domain && owner != "."; owner = parent(owner) {
			drop(z.names, owner, k)
		}
		drop(z.records, name, k)
	}
	delete(z.services, k)
}

// drop removes k's share of a name, and the name when nobody shares it.
func drop[V any](m map[string]map[object.Key]V, name string, k object.Key) {
	delete(m[name], k)
	if len(m[name]) == 0 {
		delete(m, name)
	}
}

// parent is the name without its first label.
func parent(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	if rest == "" {
		return "."
	}
	return rest
}

// Set replaces the records of a Service with those that follow from it and its
// slices.
func (z *Zone) Set(svc *corev1.Service, slices map[string]*discoveryv1.EndpointSlice) {
	k := object.KeyOf(svc)
	z.Remove(k)
	z.services[k] = &service{object: svc}
	base := fmt.Sprintf("%s.%s.svc.%s", svc.Name, svc.Namespace, z.domain)
	switch {
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		z.add(k, base, &dns.CNAME{Hdr: header(base, dns.TypeCNAME), Target: dns.Fqdn(svc.Spec.ExternalName)})
	case svc.Spec.ClusterIP == corev1.ClusterIPNone:
		z.headless(k, base, slices)
	case svc.Spec.ClusterIP != "":
		z.address(k, base, svc.Spec.ClusterIP)
		for _, p := range svc.Spec.Ports {
			z.service(k, base, base, p.Name, string(p.Protocol), uint16(p.Port))
		}
		z.pointer(k, svc.Spec.ClusterIP, base)
	}
}

// headless adds one address for each endpoint that is ready, and a name of its
// own: its hostname, or its address with dashes.
func (z *Zone) headless(k object.Key, base string, all map[string]*discoveryv1.EndpointSlice) {
	z.name(k, base)
	for _, slice := range all {
		if slice.AddressType != discoveryv1.AddressTypeIPv4 {
			continue
		}
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			for _, ip := range e.Addresses {
				z.address(k, base, ip)
				host := strings.ReplaceAll(ip, ".", "-")
				if e.Hostname != nil && *e.Hostname != "" {
					host = *e.Hostname
				}
				target := host + "." + base
				z.address(k, target, ip)
				for _, p := range slice.Ports {
					if p.Port != nil {
						z.service(k, base, target, deref(p.Name), string(deref(p.Protocol)), uint16(*p.Port))
					}
				}
				if e.Hostname != nil && *e.Hostname != "" {
					z.pointer(k, ip, target)
				}
			}
		}
	}
}

func deref[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

func header(name string, t uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: t, Class: dns.ClassINET, Ttl: ttl}
}

// name makes a name exist, with all names above it.
func (z *Zone) name(k object.Key, name string) {
	z.services[k].names = append(z.services[k].names, name)
	for ; name != z.domain && name != "."; name = parent(name) {
		if z.names[name] == nil {
			z.names[name] = map[object.Key]bool{}
		}
		z.names[name][k] = true
	}
}

func (z *Zone) add(k object.Key, name string, rr dns.RR) {
	z.name(k, name)
	if z.records[name] == nil {
		z.records[name] = map[object.Key][]dns.RR{}
	}
	z.records[name][k] = append(z.records[name][k], rr)
}

func (z *Zone) address(k object.Key, name, ip string) {
	if a, err := netip.ParseAddr(ip); err == nil && a.Is4() {
		z.add(k, name, &dns.A{Hdr: header(name, dns.TypeA), A: net.IP(a.AsSlice())})
	}
}

// service adds the SRV record of a named port, and of the name itself, which
// resolvers may ask for.
func (z *Zone) service(k object.Key, base, target, port, protocol string, number uint16) {
	if port == "" {
		return
	}
	name := fmt.Sprintf("_%s._%s.%s", strings.ToLower(port), strings.ToLower(protocol), base)
	z.add(k, name, &dns.SRV{Hdr: header(name, dns.TypeSRV), Weight: 100, Port: number, Target: target})
}

func (z *Zone) pointer(k object.Key, ip, target string) {
	if name, err := dns.ReverseAddr(ip); err == nil {
		z.add(k, name, &dns.PTR{Hdr: header(name, dns.TypePTR), Ptr: target})
	}
}

// SOA is the zone's start of authority, which goes with empty answers.
func (z *Zone) SOA() dns.RR {
	return &dns.SOA{Hdr: header(z.domain, dns.TypeSOA), Ns: "ns.dns." + z.domain, Mbox: "hostmaster." + z.domain,
		Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: ttl}
}

// Answer looks a lower-case name up. ours is false for names that somebody else
// must answer. The records are copies.
func (z *Zone) Answer(name string, qtype uint16) (a Answer, ours bool) {
	var found []dns.RR
	for _, rrs := range z.records[name] {
		found = append(found, rrs...)
	}
	if !dns.IsSubDomain(z.domain, name) {
		if len(found) == 0 {
			return Answer{}, false // a reverse name that is not ours, or any other
		}
		return Answer{Records: pick(found, qtype)}, true
	}
	if name == z.domain && qtype == dns.TypeSOA {
		return Answer{Records: []dns.RR{z.SOA()}}, true
	}
	if ip, ok := z.podAddress(name); ok {
		found = append(found, &dns.A{Hdr: header(name, dns.TypeA), A: net.IP(ip.AsSlice())})
	}
	_, exists := z.names[name]
	return Answer{Records: pick(found, qtype), NoName: !exists && len(found) == 0 && name != z.domain && name != "svc."+z.domain && name != "pod."+z.domain}, true
}

// podAddress reads names such as 10-42-0-7.default.pod.cluster.local.
func (z *Zone) podAddress(name string) (netip.Addr, bool) {
	rest, ok := strings.CutSuffix(name, ".pod."+z.domain)
	if !ok {
		return netip.Addr{}, false
	}
	host, namespace, ok := strings.Cut(rest, ".")
	if !ok || namespace == "" || strings.Contains(namespace, ".") {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(strings.ReplaceAll(host, "-", "."))
	return ip, err == nil && ip.Is4()
}

// pick copies the records of a type; a CNAME answers every type. Duplicates, as
// an endpoint in two slices makes them, are dropped.
func pick(all []dns.RR, qtype uint16) []dns.RR {
	var out []dns.RR
	for _, rr := range all {
		t := rr.Header().Rrtype
		if t != qtype && qtype != dns.TypeANY && t != dns.TypeCNAME {
			continue
		}
		if !slices.ContainsFunc(out, func(o dns.RR) bool { return dns.IsDuplicate(o, rr) }) {
			out = append(out, dns.Copy(rr))
		}
	}
	return out
}
