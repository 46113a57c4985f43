package scheduler

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
)

// nodeInfo is a node and what its pods ask of it. It is never changed.
type nodeInfo struct {
	node        *corev1.Node
	pods        []*corev1.Pod
	allocatable amounts
	requested   amounts
	ports       map[hostPort]int // how many pods use it
	repelling   []*corev1.Pod    // those with required anti-affinity
}

// amounts are quantities of resources: CPU in thousandths, all else in units.
type amounts map[corev1.ResourceName]int64

// hostPort is a port of the node that a pod takes.
type hostPort struct {
	ip       string // "0.0.0.0": all addresses
	protocol corev1.Protocol
	port     int32
}

func newNodeInfo(n *corev1.Node, pods []*corev1.Pod) *nodeInfo {
	i := &nodeInfo{node: n, requested: amounts{}, ports: map[hostPort]int{}}
	if n != nil {
		i.allocatable = amountsOf(n.Status.Allocatable)
	}
	for _, p := range pods {
		i.add(p)
	}
	return i
}

// with returns i with one pod more.
func (i *nodeInfo) with(p *corev1.Pod) *nodeInfo {
	c := *i
	c.pods = slices.Clone(i.pods)
	c.repelling = slices.Clone(i.repelling)
	c.requested, c.ports = maps.Clone(i.requested), maps.Clone(i.ports)
	c.add(p)
	return &c
}

func (i *nodeInfo) add(p *corev1.Pod) {
	i.pods = append(i.pods, p)
	for name, n := range requests(p) {
		i.requested[name] += n
	}
	for _, hp := range hostPorts(p) {
		i.ports[hp]++
	}
	if a := p.Spec.Affinity; a != nil && a.PodAntiAffinity != nil && len(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0 {
		i.repelling = append(i.repelling, p)
	}
}

// requests are what a pod asks of its node, and one of its pods.
func requests(p *corev1.Pod) amounts {
	a := amountsOf(resource.PodRequests(p, resource.PodResourcesOptions{UseStatusResources: p.Spec.NodeName != ""}))
	a[corev1.ResourcePods] = 1
	return a
}

// countsSame tells whether two states of a pod count the same to placements.
func countsSame(a, b *corev1.Pod) bool {
	return (a.DeletionTimestamp == nil) == (b.DeletionTimestamp == nil) &&
		maps.Equal(a.Labels, b.Labels) && maps.Equal(requests(a), requests(b))
}

func amountsOf(l corev1.ResourceList) amounts {
	a := amounts{}
	for name, q := range l {
		if name == corev1.ResourceCPU {
			a[name] = q.MilliValue()
		} else {
			a[name] = q.Value()
		}
	}
	return a
}

func hostPorts(p *corev1.Pod) []hostPort {
	var all []hostPort
	for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
		for _, port := range c.Ports {
			if port.HostPort <= 0 {
				continue
			}
			hp := hostPort{port.HostIP, port.Protocol, port.HostPort}
			if hp.ip == "" {
				hp.ip = anyAddress
			}
			if hp.protocol == "" {
				hp.protocol = corev1.ProtocolTCP
			}
			all = append(all, hp)
		}
	}
	return all
}

const anyAddress = "0.0.0.0"

// clash tells whether two pods cannot both have these ports.
func (hp hostPort) clash(o hostPort) bool {
	return hp.port == o.port && hp.protocol == o.protocol &&
		(hp.ip == o.ip || hp.ip == anyAddress || o.ip == anyAddress)
}
