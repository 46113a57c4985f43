// Package network connects pods: a routed veth for each pod, and nftables rules
// that turn Services' addresses and node ports into pods' addresses.
//
//	pod eth0 10.42.0.7/32, default via 10.42.0.1
//	  |  veth
//	host p<id>-0007 10.42.0.1/32, route 10.42.0.7/32 dev p<id>-0007
//
// There is no bridge between pods: the host routes. One bridge without ports,
// p<id>d, holds the addresses that the cluster itself answers on: the gateway
// (first of the pod range) and DNS. All rules live in one table, pkg-<id>,
// which is replaced atomically whenever Services or host ports change, all but
// the sets that remember clients (session affinity); what a
// host firewall would drop is let through by rules of ours in its chains,
// marked with that name.
//
// Everything is found again by name after a restart, and Cleanup removes it
// knowing nothing but the cluster's id.
package network

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"

	"github.com/seed38700745/pkg/cluster/cri"
)

// Config says which addresses belong to whom.
type Config struct {
	ID          string       // of the cluster, 8 hex digits
	RunDir      string       // for pinned namespaces and records; emptied by a reboot
	PodCIDR     netip.Prefix // of this node; its first address is the gateway
	ServiceCIDR netip.Prefix
	DNS         netip.Addr
	// APIPort is where the API listens on the gateway address.
	APIPort uint16
	// SysctlRecord keeps what the host's sysctls were, for Cleanup.
	SysctlRecord string
	Logger       *slog.Logger
}

// Network is this node's part of the pod network.
type Network struct {
	config  Config
	gateway netip.Addr
	nodeIP  netip.Addr
	mtu     int

	mu    sync.Mutex
	pods  map[string]*pod // by UID; guarded by mu
	last  netip.Addr      // the address given out last; guarded by mu
	ports []ServicePort   // what the proxy wants; guarded by mu
	// inherited: the table is that of an earlier process, and the proxy has
	// not said yet what it wants; guarded by mu.
	inherited bool
}

// Open sets up what all pods share and finds the pods that are attached.
func Open(c Config) (*Network, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Network{config: c, gateway: Gateway(c.PodCIDR), pods: map[string]*pod{}}
	n.nodeIP, n.mtu = hostAddress(n.gateway)
	if err := setSysctls(c.SysctlRecord); err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	if err := n.setUpBridge(); err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	if err := n.loadPods(); err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	if n.inherited = tableExists(c.ID); n.inherited {
		return n, nil
	}
	if err := n.apply(); err != nil {
		return nil, err
	}
	return n, nil
}

// Gateway is the host's address towards pods: the first of their range.
func Gateway(pods netip.Prefix) netip.Addr { return pods.Masked().Addr().Next() }

// NodeIP is the address by which others reach this machine; the gateway where
// it has none.
func (n *Network) NodeIP() string { return n.nodeIP.String() }

// linkPrefix begins the names of all links of a cluster.
func linkPrefix(id string) string { return "p" + id }

func tableName(id string) string { return "pkg-" + id }

// hostAddress returns the source address and MTU of the default route.
func hostAddress(fallback netip.Addr) (netip.Addr, int) {
	const ethernet = 1500
	routes, err := complete(func() ([]netlink.Route, error) { return netlink.RouteList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return fallback, ethernet
	}
	for _, r := range routes {
		if r.Dst != nil && !r.Dst.IP.IsUnspecified() {
			continue
		}
		link, err := netlink.LinkByIndex(r.LinkIndex)
		if err != nil {
			continue
		}
		if src, ok := netip.AddrFromSlice(r.Src.To4()); ok {
			return src, link.Attrs().MTU
		}
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil || len(addrs) == 0 {
			continue
		}
		if a, ok := netip.AddrFromSlice(addrs[0].IP.To4()); ok {
			return a, link.Attrs().MTU
		}
	}
	return fallback, ethernet
}

// setUpBridge makes the link that holds the cluster's own addresses, and the
// route that sends the host's packets for Services into the rules.
func (n *Network) setUpBridge() error {
	name := linkPrefix(n.config.ID) + "d"
	link, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
		link, err = netlink.LinkByName(name)
	}
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	for _, a := range []netip.Addr{n.gateway, n.config.DNS} {
		if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: hostNet(a)}); err != nil {
			return fmt.Errorf("address %s on %s: %w", a, name, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	route := &netlink.Route{
		LinkIndex: link.Attrs().Index,
		Dst:       prefixNet(n.config.ServiceCIDR),
		Src:       n.gateway.AsSlice(),
		Scope:     netlink.SCOPE_LINK,
	}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("route %s: %w", n.config.ServiceCIDR, err)
	}
	return nil
}

func hostNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

func prefixNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// Overlaps tells which route of the host a range collides with, or "".
func Overlaps(p netip.Prefix) string {
	routes, err := complete(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return ""
	}
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		ones, _ := r.Dst.Mask.Size()
		a, ok := netip.AddrFromSlice(r.Dst.IP.To4())
		if !ok || ones == 0 || !netip.PrefixFrom(a, ones).Overlaps(p) {
			continue
		}
		if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
			return fmt.Sprintf("the route to %s on %s", r.Dst, link.Attrs().Name)
		}
		return fmt.Sprintf("the route to %s", r.Dst)
	}
	return ""
}

// Cleanup removes all that a cluster's network left on this machine: links,
// namespaces, rules, and (last: no other cluster is left) sysctls.
func Cleanup(id, runDir, sysctlRecord string, last bool) error {
	var errs []error
	namespaces, err := filepath.Glob(filepath.Join(runDir, "netns", "*"))
	errs = append(errs, err)
	for _, path := range namespaces {
		errs = append(errs, unpin(path))
	}
	links, err := complete(netlink.LinkList)
	errs = append(errs, err)
	for _, l := range links {
		// A veth may have vanished with its namespace meanwhile.
		if strings.HasPrefix(l.Attrs().Name, linkPrefix(id)) {
			if err := netlink.LinkDel(l); err != nil && !gone(err) {
				errs = append(errs, fmt.Errorf("link %s: %w", l.Attrs().Name, err))
			}
		}
	}
	errs = append(errs, deleteTable(id), removeAccepts(id))
	if last {
		errs = append(errs, restoreSysctls(sysctlRecord))
	}
	errs = append(errs, os.RemoveAll(filepath.Join(runDir, "netns")), os.RemoveAll(filepath.Join(runDir, "network")))
	return errors.Join(errs...)
}

// Attached lists the pods that have a namespace.
func (n *Network) Attached() (map[string]cri.PodNetwork, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := map[string]cri.PodNetwork{}
	for uid, p := range n.pods {
		all[uid] = n.describe(uid, p)
	}
	return all, nil
}

// complete lists again when something changed in the middle of the list, as the
// kernel then says.
func complete[T any](list func() ([]T, error)) (all []T, err error) {
	for range 10 {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}
