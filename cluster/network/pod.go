package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/seed38700745/pkg/cluster/cri"
)

// pod is one attachment, as it is recorded in <run>/network/<uid>.json.
type pod struct {
	IP    netip.Addr        `json:"ip"`
	Ports []cri.PortMapping `json:"ports,omitempty"`
}

func (n *Network) netnsPath(uid string) string {
	return filepath.Join(n.config.RunDir, "netns", uid)
}

func (n *Network) recordPath(uid string) string {
	return filepath.Join(n.config.RunDir, "network", uid+".json")
}

// linkName is the host side of a pod's veth: the cluster's prefix and the last
// 16 bits of the address.
func (n *Network) linkName(ip netip.Addr) string {
	b := ip.As4()
	return fmt.Sprintf("%s-%02x%02x", linkPrefix(n.config.ID), b[2], b[3])
}

func (n *Network) describe(uid string, p *pod) cri.PodNetwork {
	return cri.PodNetwork{NetNS: n.netnsPath(uid), IPs: []string{p.IP.String()}}
}

// loadPods finds the pods that are attached.
func (n *Network) loadPods() error {
	for _, dir := range []string{"netns", "network"} {
		if err := os.MkdirAll(filepath.Join(n.config.RunDir, dir), 0o755); err != nil {
			return err
		}
	}
	records, err := filepath.Glob(n.recordPath("*"))
	if err != nil {
		return err
	}
	for _, path := range records {
		uid := filepath.Base(path[:len(path)-len(".json")])
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var p pod
		if err := json.Unmarshal(data, &p); err != nil || !pinned(n.netnsPath(uid)) {
			// Cut off in the middle of attaching or detaching.
			if err := n.tearDown(uid, &p); err != nil {
				return err
			}
			continue
		}
		n.pods[uid] = &p
		if n.last.Less(p.IP) {
			n.last = p.IP
		}
	}
	return nil
}

// Attach gives a pod its namespace and address, or returns the ones it has.
func (n *Network) Attach(ctx context.Context, uid string, ports []cri.PortMapping) (cri.PodNetwork, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.pods[uid]; p != nil {
		return n.describe(uid, p), nil
	}
	ip, err := n.allocate()
	if err != nil {
		return cri.PodNetwork{}, err
	}
	p := &pod{IP: ip, Ports: ports}
	if err := n.setUp(uid, p); err != nil {
		return cri.PodNetwork{}, errors.Join(fmt.Errorf("network of pod %s: %w", uid, err), n.tearDown(uid, p))
	}
	n.pods[uid], n.last = p, ip
	if len(ports) > 0 {
		if err := n.applyLocked(); err != nil {
			return cri.PodNetwork{}, err
		}
	}
	return n.describe(uid, p), nil
}

// Detach takes a pod's namespace and address away.
func (n *Network) Detach(ctx context.Context, uid string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.pods[uid]
	if p == nil {
		return nil
	}
	if err := n.tearDown(uid, p); err != nil {
		return fmt.Errorf("network of pod %s: %w", uid, err)
	}
	delete(n.pods, uid)
	if len(p.Ports) > 0 {
		return n.applyLocked()
	}
	return nil
}

// allocate returns the free address that follows the one given out last, so
// that addresses are reused as late as possible.
func (n *Network) allocate() (netip.Addr, error) {
	used := map[netip.Addr]bool{n.gateway: true}
	for _, p := range n.pods {
		used[p.IP] = true
	}
	first := n.gateway.Next()
	ip := n.last
	for range 1 << (32 - n.config.PodCIDR.Bits()) {
		if ip = ip.Next(); !n.config.PodCIDR.Contains(ip) || ip.Less(first) {
			ip = first
		}
		if !used[ip] && n.config.PodCIDR.Contains(ip.Next()) { // the last one is the broadcast address
			return ip, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no free address in the pod range %s", n.config.PodCIDR)
}

// setUp writes the record first, so that a crash in the middle is found.
func (n *Network) setUp(uid string, p *pod) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.WriteFile(n.recordPath(uid), data, 0o644); err != nil {
		return err
	}
	path := n.netnsPath(uid)
	if err := pin(path); err != nil {
		return err
	}
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := n.setUpHost(p.IP, ns); err != nil {
		return err
	}
	return n.setUpPod(p.IP, ns)
}

// setUpHost makes the veth pair and the host's side of it.
func (n *Network) setUpHost(ip netip.Addr, ns netns.NsHandle) error {
	name := n.linkName(ip)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name, n.mtu
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns)}); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	// localhost:NodePort on the host reaches pods through this link with a
	// source of 127.0.0.1 until it is masqueraded.
	if err := os.WriteFile(sysctlPath("net/ipv4/conf/"+name+"/route_localnet"), []byte("1"), 0o644); err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: hostNet(n.gateway)}); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	return netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: hostNet(ip), Scope: netlink.SCOPE_LINK})
}

// setUpPod configures eth0 inside the pod's namespace.
func (n *Network) setUpPod(ip netip.Addr, ns netns.NsHandle) error {
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName("eth0")
	if err != nil {
		return err
	}
	if err := h.AddrAdd(link, &netlink.Addr{IPNet: hostNet(ip)}); err != nil {
		return err
	}
	if err := h.LinkSetUp(link); err != nil {
		return err
	}
	index := link.Attrs().Index
	if err := h.RouteAdd(&netlink.Route{LinkIndex: index, Dst: hostNet(n.gateway), Scope: netlink.SCOPE_LINK}); err != nil {
		return err
	}
	return h.RouteAdd(&netlink.Route{LinkIndex: index, Gw: n.gateway.AsSlice(), Src: ip.AsSlice()})
}

// tearDown removes whatever there is of a pod's attachment, its record last.
func (n *Network) tearDown(uid string, p *pod) error {
	var errs []error
	if p.IP.IsValid() {
		link, err := netlink.LinkByName(n.linkName(p.IP))
		if err == nil {
			err = netlink.LinkDel(link)
		}
		if err != nil && !gone(err) {
			errs = append(errs, err)
		}
	}
	errs = append(errs, unpin(n.netnsPath(uid)))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	err := os.Remove(n.recordPath(uid))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// gone tells whether an error says that the link is not there (any more).
func gone(err error) bool {
	return errors.As(err, new(netlink.LinkNotFoundError)) || errors.Is(err, syscall.ENODEV)
}

// hostPorts lists the attached pods' host ports, in a fixed order.
func (n *Network) hostPorts() []hostPort {
	var all []hostPort
	for _, p := range n.pods {
		for _, m := range p.Ports {
			all = append(all, hostPort{m, p.IP})
		}
	}
	slices.SortFunc(all, func(a, b hostPort) int { return int(a.HostPort) - int(b.HostPort) })
	return all
}

// hostPort is a port of the host that leads to a pod.
type hostPort struct {
	cri.PortMapping
	ip netip.Addr
}
