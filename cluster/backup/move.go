package backup

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/object"
)

// Place is where a cluster is: what of it stands in its objects.
type Place struct {
	Home          string // the data folder
	Node          string // the node's name
	PodCIDR       netip.Prefix
	ServiceCIDR   netip.Prefix
	FirstNodePort int32
	NodePorts     int32 // how many there are
}

// Move takes objects from one place to another. The service ranges must be of
// one length.
type Move struct{ From, To Place }

// Check tells why a move is impossible, if it is.
func (m Move) Check() error {
	if m.From.ServiceCIDR.Bits() != m.To.ServiceCIDR.Bits() {
		return fmt.Errorf("the backup's services are in %s, and here they would be in %s, which is of another size", m.From.ServiceCIDR, m.To.ServiceCIDR)
	}
	if m.From.NodePorts > m.To.NodePorts {
		return fmt.Errorf("the backup's cluster had %d node ports, and here there are %d", m.From.NodePorts, m.To.NodePorts)
	}
	return nil
}

// Object returns the object as it must be at the new place: o itself where
// nothing changes, else a changed copy. It may have another name. Pods that are
// not over lose what their status says of addresses and readiness: no endpoint
// must point there before they run again. Pure.
func (m Move) Object(o object.Object) object.Object {
	switch o := o.(type) {
	case *corev1.Pod:
		return m.pod(o)
	case *corev1.Node:
		return m.node(o)
	case *corev1.PersistentVolume:
		return m.volume(o)
	case *corev1.PersistentVolumeClaim:
		return m.claim(o)
	case *corev1.Service:
		return m.service(o)
	}
	return o
}

func (m Move) pod(o *corev1.Pod) object.Object {
	p := o.DeepCopy()
	if p.Spec.NodeName == m.From.Node {
		p.Spec.NodeName = m.To.Node
	}
	m.hostname(p.Spec.NodeSelector)
	if a := p.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		m.selector(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
	}
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return p
	}
	p.Status.PodIP, p.Status.PodIPs, p.Status.HostIP, p.Status.HostIPs = "", nil, "", nil
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.PodReady || c.Type == corev1.ContainersReady {
			c.Status, c.Reason, c.Message = corev1.ConditionFalse, "ContainersNotReady", "restored from a backup"
		}
	}
	for i := range p.Status.ContainerStatuses {
		p.Status.ContainerStatuses[i].Ready = false
	}
	return p
}

func (m Move) node(o *corev1.Node) object.Object {
	if o.Name != m.From.Node {
		return o
	}
	n := o.DeepCopy()
	n.Name = m.To.Node
	m.hostname(n.Labels)
	n.Spec.PodCIDR, n.Spec.PodCIDRs = m.To.PodCIDR.String(), []string{m.To.PodCIDR.String()}
	return n
}

func (m Move) volume(o *corev1.PersistentVolume) object.Object {
	v := o.DeepCopy()
	if v.Spec.Local != nil {
		v.Spec.Local.Path = m.path(v.Spec.Local.Path)
	}
	if v.Spec.HostPath != nil {
		v.Spec.HostPath.Path = m.path(v.Spec.HostPath.Path)
	}
	if v.Spec.NodeAffinity != nil {
		m.selector(v.Spec.NodeAffinity.Required)
	}
	return v
}

func (m Move) claim(o *corev1.PersistentVolumeClaim) object.Object {
	const selectedNode = "volume.kubernetes.io/selected-node"
	if o.Annotations[selectedNode] != m.From.Node {
		return o
	}
	c := o.DeepCopy()
	c.Annotations[selectedNode] = m.To.Node
	return c
}

func (m Move) service(o *corev1.Service) object.Object {
	s := o.DeepCopy()
	s.Spec.ClusterIP = m.address(s.Spec.ClusterIP)
	for i, ip := range s.Spec.ClusterIPs {
		s.Spec.ClusterIPs[i] = m.address(ip)
	}
	for i := range s.Spec.Ports {
		s.Spec.Ports[i].NodePort = m.port(s.Spec.Ports[i].NodePort)
	}
	s.Spec.HealthCheckNodePort = m.port(s.Spec.HealthCheckNodePort)
	return s
}

// path is where something of the data folder is now.
func (m Move) path(p string) string {
	if rel, ok := strings.CutPrefix(p, m.From.Home+"/"); ok {
		return filepath.Join(m.To.Home, rel)
	}
	return p
}

// hostname renames the node in labels or a selector by labels.
func (m Move) hostname(labels map[string]string) {
	if labels[corev1.LabelHostname] == m.From.Node {
		labels[corev1.LabelHostname] = m.To.Node
	}
}

// selector renames the node where a selector names it.
func (m Move) selector(s *corev1.NodeSelector) {
	if s == nil {
		return
	}
	for _, term := range s.NodeSelectorTerms {
		for _, r := range slices.Concat(term.MatchExpressions, term.MatchFields) {
			if r.Key != corev1.LabelHostname && r.Key != "metadata.name" {
				continue
			}
			for i, v := range r.Values { // shared with the term
				if v == m.From.Node {
					r.Values[i] = m.To.Node
				}
			}
		}
	}
}

// address is the one with the same distance from the start of the new service
// range; what is no address of the old one stays ("None").
func (m Move) address(text string) string {
	a, err := netip.ParseAddr(text)
	if err != nil || !m.From.ServiceCIDR.Contains(a) {
		return text
	}
	old, new := m.From.ServiceCIDR.Masked().Addr().AsSlice(), m.To.ServiceCIDR.Masked().Addr().AsSlice()
	ip := a.AsSlice()
	for i := range ip {
		ip[i] = ip[i] - old[i] + new[i] // no carries: old and new begin where their hosts' bits are 0
	}
	moved, _ := netip.AddrFromSlice(ip)
	return moved.String()
}

// port is the one with the same distance from the first node port.
func (m Move) port(p int32) int32 {
	if p < m.From.FirstNodePort || p >= m.From.FirstNodePort+m.From.NodePorts {
		return p
	}
	return p - m.From.FirstNodePort + m.To.FirstNodePort
}
