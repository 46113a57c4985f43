package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

const (
	// endpointsManagedBy marks Endpoints that this controller writes.
	endpointsManagedBy = "endpoints.kubernetes.io/managed-by"
	endpointsManager   = "endpoint-controller"
	// overCapacity tells that a Service has more endpoints than fit (value "truncated").
	overCapacity = corev1.EndpointsOverCapacity
	// mostEndpoints is how many addresses one Endpoints object may have.
	mostEndpoints = 1000
)

// endpoints writes the older form of what endpointSlices writes, for clients
// that still read it.
type endpoints struct{ *Set }

func newEndpoints(s *Set) *endpoints { return &endpoints{s} }

func (c *endpoints) loop() *loop {
	return &loop{
		name: "endpoints",
		sources: []source{
			self(builtin.Services.Resource),
			{builtin.Pods.Resource, c.servicesOf},
			{builtin.Endpoints.Resource, func(ch change) []object.Key {
				if ch.latest().GetLabels()[endpointsManagedBy] != endpointsManager {
					return nil
				}
				return []object.Key{object.KeyOf(ch.latest())}
			}},
		},
		reconcile: c.reconcile,
	}
}

func (c *endpoints) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	svc, err := builtin.Services.Get(ctx, c.verbs, k.Namespace, k.Name)
	if apierrors.IsNotFound(err) {
		return 0, ignoreNotFound(builtin.Endpoints.Delete(ctx, c.verbs, k.Namespace, k.Name, object.DeleteOptions{}))
	}
	if err != nil {
		return 0, err
	}
	if !selectsPods(svc) {
		return 0, nil
	}
	pods, err := builtin.Pods.List(ctx, c.verbs, object.ListOptions{
		Namespace: k.Namespace, Labels: labels.SelectorFromSet(svc.Spec.Selector)})
	if err != nil {
		return 0, fmt.Errorf("list pods: %w", err)
	}
	have, err := builtin.Endpoints.Get(ctx, c.verbs, k.Namespace, k.Name)
	if apierrors.IsNotFound(err) {
		_, err = builtin.Endpoints.Create(ctx, c.verbs, makeEndpoints(svc, pods, nil), write())
		if namespaceGoing(err) {
			return 0, nil
		}
		return 0, err
	}
	if err != nil {
		return 0, err
	}
	if next := makeEndpoints(svc, pods, have); !equality.Semantic.DeepEqual(next, have) {
		_, err = builtin.Endpoints.Update(ctx, c.verbs, next, write())
	}
	return 0, ignoreNotFound(err)
}

// makeEndpoints computes the Endpoints of svc, from existing ones or new.
func makeEndpoints(svc *corev1.Service, pods []*corev1.Pod, from *corev1.Endpoints) *corev1.Endpoints {
	e := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Namespace: svc.Namespace, Name: svc.Name}}
	if from != nil {
		e = from.DeepCopy()
	}
	e.Labels = maps.Clone(svc.Labels)
	if e.Labels == nil {
		e.Labels = map[string]string{}
	}
	e.Labels[endpointsManagedBy] = endpointsManager
	if svc.Spec.ClusterIP == corev1.ClusterIPNone {
		e.Labels[corev1.IsHeadlessService] = ""
	}
	e.Subsets = subsets(svc, pods)
	if truncate(e.Subsets) {
		setAnnotation(e, overCapacity, "truncated")
	} else {
		delete(e.Annotations, overCapacity)
	}
	return e
}

// subsets groups the pods by the ports that they serve.
func subsets(svc *corev1.Service, pods []*corev1.Pod) []corev1.EndpointSubset {
	byPorts := map[string]*corev1.EndpointSubset{}
	for _, p := range pods {
		ip := addressOf(p, families(svc)[0])
		if ip == "" || podFinished(p) || (p.DeletionTimestamp != nil && !svc.Spec.PublishNotReadyAddresses) {
			continue
		}
		ports := endpointPorts(svc, p)
		if len(ports) == 0 && len(svc.Spec.Ports) > 0 {
			continue // none of the named ports exists in this pod
		}
		id := fmt.Sprint(ports)
		if byPorts[id] == nil {
			byPorts[id] = &corev1.EndpointSubset{Ports: ports}
		}
		a := corev1.EndpointAddress{IP: ip,
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID}}
		if p.Spec.NodeName != "" {
			a.NodeName = new(p.Spec.NodeName)
		}
		if named(svc, p) {
			a.Hostname = p.Spec.Hostname
		}
		if s := byPorts[id]; podReady(p) || svc.Spec.PublishNotReadyAddresses {
			s.Addresses = append(s.Addresses, a)
		} else {
			s.NotReadyAddresses = append(s.NotReadyAddresses, a)
		}
	}
	var all []corev1.EndpointSubset
	for _, id := range slices.Sorted(maps.Keys(byPorts)) {
		s := byPorts[id]
		byIP := func(a, b corev1.EndpointAddress) int { return cmp.Compare(a.IP, b.IP) }
		slices.SortFunc(s.Addresses, byIP)
		slices.SortFunc(s.NotReadyAddresses, byIP)
		all = append(all, *s)
	}
	return all
}

// truncate cuts subsets to mostEndpoints addresses, the ready ones first, and
// tells whether it had to.
func truncate(subsets []corev1.EndpointSubset) bool {
	room, cut := mostEndpoints, false
	take := func(a *[]corev1.EndpointAddress) {
		if len(*a) > room {
			*a, cut = (*a)[:room], true
		}
		room -= len(*a)
	}
	for i := range subsets {
		take(&subsets[i].Addresses)
	}
	for i := range subsets {
		take(&subsets[i].NotReadyAddresses)
	}
	return cut
}

func endpointPorts(svc *corev1.Service, p *corev1.Pod) []corev1.EndpointPort {
	var ports []corev1.EndpointPort
	for i := range svc.Spec.Ports {
		sp := &svc.Spec.Ports[i]
		if number, ok := targetPort(sp, p); ok {
			ports = append(ports, corev1.EndpointPort{Name: sp.Name, Port: number, Protocol: protocolOf(sp), AppProtocol: sp.AppProtocol})
		}
	}
	return ports
}

func protocolOf(sp *corev1.ServicePort) corev1.Protocol {
	if sp.Protocol == "" {
		return corev1.ProtocolTCP
	}
	return sp.Protocol
}

// targetPort resolves a Service's port to a pod's port number. Names are those
// of the containers' ports (sidecars' included) with the same protocol.
func targetPort(sp *corev1.ServicePort, p *corev1.Pod) (int32, bool) {
	switch {
	case sp.TargetPort.Type == intstr.Int && sp.TargetPort.IntVal == 0:
		return sp.Port, true
	case sp.TargetPort.Type == intstr.Int:
		return sp.TargetPort.IntVal, true
	}
	containers := slices.Clone(p.Spec.Containers)
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers, c)
		}
	}
	for _, c := range containers {
		for _, port := range c.Ports {
			protocol := port.Protocol
			if protocol == "" {
				protocol = corev1.ProtocolTCP
			}
			if port.Name == sp.TargetPort.StrVal && protocol == protocolOf(sp) {
				return port.ContainerPort, true
			}
		}
	}
	return 0, false
}
