package network

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// forgetFlows removes the kernel's memory of UDP flows that were sent to
// endpoints which are gone, or nowhere: UDP has no end of connection, so a
// client that keeps sending would be sent there until the entry times out.
func forgetFlows(before, now []ServicePort) error {
	var errs []error
	for _, p := range now {
		if p.Protocol != unix.IPPROTO_UDP {
			continue
		}
		i := slices.IndexFunc(before, func(o ServicePort) bool { return o.Name == p.Name })
		if i < 0 || slices.Equal(before[i].Endpoints, p.Endpoints) {
			continue
		}
		_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, netlink.FAMILY_V4, staleFlow{p})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// staleFlow matches flows to a service port that lead to none of its endpoints.
type staleFlow struct{ port ServicePort }

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (s staleFlow) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	if f.Forward.Protocol != s.port.Protocol {
		return false
	}
	to, _ := netip.AddrFromSlice(f.Forward.DstIP.To4())
	toService := f.Forward.DstPort == s.port.Port && (to == s.port.IP || slices.Contains(s.port.addresses(), to))
	toNode := s.port.NodePort != 0 && f.Forward.DstPort == s.port.NodePort
	if !toService && !toNode {
		return false
	}
	ip, ok := netip.AddrFromSlice(f.Reverse.SrcIP.To4())
	return !ok || !slices.Contains(s.port.Endpoints, netip.AddrPortFrom(ip, f.Reverse.SrcPort))
}
