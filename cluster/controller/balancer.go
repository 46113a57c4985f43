package controller

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// balancers gives Services of type LoadBalancer the nodes' own addresses, as
// k3s does: there is no load balancer to ask for others. A port of a node is
// given to one Service only, the oldest that wants it; the others stay pending.
// Services with a loadBalancerClass are somebody else's.
type balancers struct {
	*Set
	events *event.Recorder
}

func newBalancers(s *Set) *balancers { return &balancers{s, s.recorder("service-controller")} }

// loop has one key, as Services compete for ports.
func (c *balancers) loop() *loop {
	all := []object.Key{{Name: "services"}}
	return &loop{
		name: "balancer",
		sources: []source{
			{builtin.Services.Resource, func(ch change) []object.Key {
				for _, o := range []object.Object{ch.old, ch.new} {
					if o == nil {
						continue
					}
					if s := o.(*corev1.Service); s.Spec.Type == corev1.ServiceTypeLoadBalancer || len(s.Status.LoadBalancer.Ingress) > 0 {
						return all
					}
				}
				return nil
			}},
			{builtin.Nodes.Resource, func(ch change) []object.Key {
				if ch.old != nil && ch.new != nil && slices.Equal(nodeAddresses(ch.old.(*corev1.Node)), nodeAddresses(ch.new.(*corev1.Node))) {
					return nil
				}
				return all
			}},
		},
		reconcile: c.reconcile,
	}
}

func (c *balancers) reconcile(ctx context.Context, _ object.Key) (time.Duration, error) {
	services, err := builtin.Services.List(ctx, c.verbs, object.ListOptions{})
	if err != nil {
		return 0, fmt.Errorf("list services: %w", err)
	}
	nodes, err := builtin.Nodes.List(ctx, c.verbs, object.ListOptions{})
	if err != nil {
		return 0, fmt.Errorf("list nodes: %w", err)
	}
	for _, p := range planBalancers(services, nodes) {
		if p.taken != "" {
			c.events.Event(p.service, builtin.Services.Kind, "", corev1.EventTypeWarning, "SyncLoadBalancerFailed",
				"Error syncing load balancer: %s", p.taken)
		}
		if equality.Semantic.DeepEqual(p.status, p.service.Status.LoadBalancer) {
			continue
		}
		changed := p.service.DeepCopy()
		changed.Status.LoadBalancer = p.status
		if _, err := builtin.Services.UpdateStatus(ctx, c.verbs, changed, write()); ignoreNotFound(err) != nil {
			return 0, fmt.Errorf("service %s: %w", object.KeyOf(p.service), err)
		}
		if len(p.status.Ingress) > 0 {
			c.events.Event(p.service, builtin.Services.Kind, "", corev1.EventTypeNormal, "EnsuredLoadBalancer", "Ensured load balancer")
		}
	}
	return 0, nil
}

// balancerPlan is what a Service's status should say.
type balancerPlan struct {
	service *corev1.Service
	status  corev1.LoadBalancerStatus
	taken   string // why it stays pending; "": it does not
}

// nodePort is a port on the nodes.
type nodePort struct {
	protocol corev1.Protocol
	port     int32
}

// planBalancers gives ports away, to the oldest Service first; one that has
// them keeps them. Services that are none of ours are left out. Pure.
func planBalancers(services []*corev1.Service, nodes []*corev1.Node) []balancerPlan {
	var addresses []string
	for _, n := range nodes {
		addresses = append(addresses, nodeAddresses(n)...)
	}
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	services = slices.Clone(services)
	slices.SortFunc(services, func(a, b *corev1.Service) int {
		return cmp.Or(
			boolOrder(len(a.Status.LoadBalancer.Ingress) == 0, len(b.Status.LoadBalancer.Ingress) == 0),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(object.KeyOf(a).String(), object.KeyOf(b).String()))
	})
	owners := map[nodePort]object.Key{}
	var plans []balancerPlan
	for _, s := range services {
		if s.Spec.LoadBalancerClass != nil {
			continue
		}
		p := balancerPlan{service: s}
		if s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.DeletionTimestamp == nil {
			if p.taken = takePorts(s, owners); p.taken == "" {
				for _, a := range addresses {
					p.status.Ingress = append(p.status.Ingress, corev1.LoadBalancerIngress{IP: a, IPMode: new(corev1.LoadBalancerIPModeVIP)})
				}
			}
		} else if len(s.Status.LoadBalancer.Ingress) == 0 {
			continue
		}
		plans = append(plans, p)
	}
	return plans
}

// takePorts gives a Service all its ports, or says which is another's.
func takePorts(s *corev1.Service, owners map[nodePort]object.Key) (taken string) {
	for _, p := range s.Spec.Ports {
		if by, ok := owners[nodePort{p.Protocol, p.Port}]; ok {
			return fmt.Sprintf("port %d/%s of the nodes is in use by the load balancer of service %s", p.Port, p.Protocol, by)
		}
	}
	for _, p := range s.Spec.Ports {
		owners[nodePort{p.Protocol, p.Port}] = object.KeyOf(s)
	}
	return ""
}

// nodeAddresses are where a node is reached: its external IPv4 addresses or,
// without any, its internal ones. None if it is to be left out. Whether it is
// ready does not matter, as in Kubernetes: nodes that come and go must not
// make addresses do so.
func nodeAddresses(n *corev1.Node) []string {
	if _, excluded := n.Labels[corev1.LabelNodeExcludeBalancers]; excluded || n.DeletionTimestamp != nil {
		return nil
	}
	byType := map[corev1.NodeAddressType][]string{}
	for _, a := range n.Status.Addresses {
		if ip, err := netip.ParseAddr(a.Address); err == nil && ip.Is4() {
			byType[a.Type] = append(byType[a.Type], a.Address)
		}
	}
	if external := byType[corev1.NodeExternalIP]; len(external) > 0 {
		return external
	}
	return byType[corev1.NodeInternalIP]
}
