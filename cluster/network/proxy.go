package network

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"golang.org/x/sync/errgroup"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// How often rules are looked after.
const (
	settle  = 20 * time.Millisecond // changes within it are applied together, and
	share   = 4                     // within this many times what the last apply took, but
	latest  = 500 * time.Millisecond
	retry   = time.Second      // after a failed apply
	recheck = 30 * time.Second // of foreign firewalls, which may be reloaded
)

// proxy keeps the rules in step with Services and their EndpointSlices.
type proxy struct {
	net *Network

	mu       sync.Mutex
	services map[object.Key]*corev1.Service                       // guarded by mu
	slices   map[object.Key]map[string]*discoveryv1.EndpointSlice // by Service; guarded by mu
	changed  chan struct{}
}

// Run follows Services and EndpointSlices and keeps the rules in step, until
// ctx ends. The rules stay.
func (n *Network) Run(ctx context.Context, v object.Verbs) error {
	p := &proxy{net: n,
		services: map[object.Key]*corev1.Service{},
		slices:   map[object.Key]map[string]*discoveryv1.EndpointSlice{},
		changed:  make(chan struct{}, 1),
	}
	// Nothing is applied before both are complete: after a restart the rules
	// in place are better than half of the new ones.
	ready := make(chan struct{})
	var synced atomic.Int32
	done := func() {
		if synced.Add(1) == 2 {
			close(ready)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return builtin.Services.Follow(ctx, v, object.WatchOptions{}, p.serviceChanged, done)
	})
	g.Go(func() error {
		return builtin.EndpointSlices.Follow(ctx, v, object.WatchOptions{}, p.sliceChanged, done)
	})
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-ready:
			return p.loop(ctx)
		}
	})
	return g.Wait()
}

func (p *proxy) serviceChanged(s *corev1.Service, deleted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if deleted {
		delete(p.services, object.KeyOf(s))
	} else {
		p.services[object.KeyOf(s)] = s
	}
	p.notify()
}

func (p *proxy) sliceChanged(s *discoveryv1.EndpointSlice, deleted bool) {
	name := s.Labels[discoveryv1.LabelServiceName]
	if name == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	k := object.Key{Namespace: s.Namespace, Name: name}
	if p.slices[k] == nil {
		p.slices[k] = map[string]*discoveryv1.EndpointSlice{}
	}
	if deleted {
		delete(p.slices[k], s.Name)
	} else {
		p.slices[k][s.Name] = s
	}
	p.notify()
}

func (p *proxy) notify() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// loop applies changes, and looks at foreign firewalls now and then.
func (p *proxy) loop(ctx context.Context) error {
	check := time.NewTicker(recheck)
	defer check.Stop()
	p.notify()
	p.accept()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-check.C:
			p.accept()
			continue
		case <-p.changed:
		}
		began := time.Now()
		err := p.update()
		wait := min(max(settle, share*time.Since(began)), latest)
		if err != nil {
			p.net.config.Logger.Error("cannot update service rules", "error", err)
			p.notify()
			wait = retry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

func (p *proxy) accept() {
	if err := p.net.acceptPods(); err != nil {
		p.net.config.Logger.Error("cannot let pods' packets through the host's firewall", "error", err)
	}
}

// update applies the present state if it differs from what is in place.
func (p *proxy) update() error {
	p.mu.Lock()
	want := desired(p.services, p.slices)
	p.mu.Unlock()
	p.net.mu.Lock()
	before := p.net.ports
	if !p.net.inherited && slices.EqualFunc(before, want, samePort) {
		p.net.mu.Unlock()
		return nil
	}
	inherited := p.net.inherited
	p.net.ports, p.net.inherited = want, false
	err := p.net.applyLocked()
	if err != nil {
		p.net.ports, p.net.inherited = before, inherited
	}
	p.net.mu.Unlock()
	if err == nil {
		err = forgetFlows(before, want)
	}
	return err
}

// desired computes the rules' input from the objects. It is sorted by name.
func desired(services map[object.Key]*corev1.Service, all map[object.Key]map[string]*discoveryv1.EndpointSlice) []ServicePort {
	var ports []ServicePort
	for k, s := range services {
		ip, err := netip.ParseAddr(s.Spec.ClusterIP)
		if err != nil || !ip.Is4() || s.Spec.Type == corev1.ServiceTypeExternalName {
			continue
		}
		whole := ServicePort{
			IP: ip, External: addresses(s.Spec.ExternalIPs), Balancer: balancerAddresses(s), Ranges: sourceRanges(s),
			InternalLocal: s.Spec.InternalTrafficPolicy != nil && *s.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal,
			ExternalLocal: s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
			Affinity:      affinity(s),
		}
		for _, sp := range s.Spec.Ports {
			protocol, ok := protocols[string(sp.Protocol)]
			if !ok {
				continue
			}
			port := whole
			port.Name = k.String() + ":" + sp.Name + "/" + string(sp.Protocol)
			port.Protocol, port.Port, port.NodePort = protocol, uint16(sp.Port), uint16(sp.NodePort)
			port.Endpoints = endpoints(all[k], sp.Name, sp.Protocol)
			ports = append(ports, port)
		}
	}
	slices.SortFunc(ports, func(a, b ServicePort) int { return cmp.Compare(a.Name, b.Name) })
	return ports
}

// endpoints lists the ready endpoints of a port, or where none is ready the
// terminating ones that still serve, as Kubernetes does.
func endpoints(all map[string]*discoveryv1.EndpointSlice, port string, protocol corev1.Protocol) []netip.AddrPort {
	var ready, serving []netip.AddrPort
	for _, slice := range all {
		for _, sp := range slice.Ports {
			if sp.Port == nil || deref(sp.Name) != port || sp.Protocol != nil && *sp.Protocol != protocol {
				continue
			}
			for _, e := range slice.Endpoints {
				for _, address := range e.Addresses {
					ip, err := netip.ParseAddr(address)
					if err != nil || !ip.Is4() {
						continue
					}
					target := netip.AddrPortFrom(ip, uint16(*sp.Port))
					switch c := e.Conditions; {
					case c.Ready == nil || *c.Ready:
						ready = append(ready, target)
					case deref(c.Serving) && deref(c.Terminating):
						serving = append(serving, target)
					}
				}
			}
		}
	}
	if len(ready) == 0 {
		ready = serving
	}
	slices.SortFunc(ready, netip.AddrPort.Compare)
	return slices.Compact(ready)
}

// affinity is how long a client stays with an endpoint; 0: it does not.
func affinity(s *corev1.Service) time.Duration {
	if s.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	if c := s.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		return time.Duration(*c.ClientIP.TimeoutSeconds) * time.Second
	}
	return time.Duration(corev1.DefaultClientIPServiceAffinitySeconds) * time.Second
}

// balancerAddresses are those that the status promises and that lead to this
// cluster's rules (ipMode VIP).
func balancerAddresses(s *corev1.Service) []netip.Addr {
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return nil
	}
	var all []string
	for _, i := range s.Status.LoadBalancer.Ingress {
		if i.IPMode == nil || *i.IPMode == corev1.LoadBalancerIPModeVIP {
			all = append(all, i.IP)
		}
	}
	return addresses(all)
}

// sourceRanges are who may use the load balancer's addresses; empty: everybody.
func sourceRanges(s *corev1.Service) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range s.Spec.LoadBalancerSourceRanges {
		if p, err := netip.ParsePrefix(strings.TrimSpace(text)); err == nil && p.Addr().Is4() {
			all = append(all, p.Masked())
		}
	}
	return all
}

// addresses parses those of IPv4, sorted.
func addresses(texts []string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		if ip, err := netip.ParseAddr(text); err == nil && ip.Is4() {
			all = append(all, ip)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

func deref[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}
