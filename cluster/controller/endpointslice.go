package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

const (
	// perSlice is how many endpoints a slice holds at most (Kubernetes' default).
	perSlice = 100
	// slicesManager marks the slices that this controller writes.
	slicesManager = "endpointslice-controller.k8s.io"
)

// endpointSlices tells who serves each Service that selects pods: the pods'
// addresses and whether they are ready, in slices that the network and DNS
// follow. Services without a selector are their creators' to fill.
type endpointSlices struct{ *Set }

func newEndpointSlices(s *Set) *endpointSlices { return &endpointSlices{s} }

func (c *endpointSlices) loop() *loop {
	return &loop{
		name:    "endpointslice",
		workers: 2,
		sources: []source{
			self(builtin.Services.Resource),
			{builtin.Pods.Resource, c.servicesOf},
			{builtin.EndpointSlices.Resource, func(ch change) []object.Key {
				o := ch.latest()
				if o.GetLabels()[discoveryv1.LabelManagedBy] != slicesManager {
					return nil
				}
				return []object.Key{{Namespace: o.GetNamespace(), Name: o.GetLabels()[discoveryv1.LabelServiceName]}}
			}},
		},
		reconcile: c.reconcile,
	}
}

// servicesOf returns the Services that select a pod, or did before it changed.
func (s *Set) servicesOf(ch change) []object.Key {
	services, err := builtin.Services.List(context.Background(), s.verbs, object.ListOptions{Namespace: ch.latest().GetNamespace()})
	if err != nil {
		return nil
	}
	var keys []object.Key
	for _, svc := range services {
		if len(svc.Spec.Selector) == 0 {
			continue
		}
		selector := labels.SelectorFromSet(svc.Spec.Selector)
		if (ch.old != nil && selector.Matches(labels.Set(ch.old.GetLabels()))) ||
			(ch.new != nil && selector.Matches(labels.Set(ch.new.GetLabels()))) {
			keys = append(keys, object.KeyOf(svc))
		}
	}
	return keys
}

// selectsPods tells whether the Service's endpoints are ours to write.
func selectsPods(svc *corev1.Service) bool {
	return len(svc.Spec.Selector) > 0 && svc.Spec.Type != corev1.ServiceTypeExternalName && svc.DeletionTimestamp == nil
}

func (c *endpointSlices) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	svc, err := builtin.Services.Get(ctx, c.verbs, k.Namespace, k.Name)
	if err != nil {
		return 0, ignoreNotFound(err) // the garbage collector takes the slices
	}
	if !selectsPods(svc) {
		return 0, nil
	}
	pods, err := builtin.Pods.List(ctx, c.verbs, object.ListOptions{
		Namespace: k.Namespace, Labels: labels.SelectorFromSet(svc.Spec.Selector)})
	if err != nil {
		return 0, fmt.Errorf("list pods: %w", err)
	}
	have, err := builtin.EndpointSlices.List(ctx, c.verbs, object.ListOptions{
		Namespace: k.Namespace,
		Labels:    labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: k.Name, discoveryv1.LabelManagedBy: slicesManager})})
	if err != nil {
		return 0, fmt.Errorf("list endpoint slices: %w", err)
	}
	return 0, c.write(ctx, planSlices(svc, pods, have))
}

// write brings slices up to date: creations and updates first, so that no
// endpoint is missing for a moment.
func (c *endpointSlices) write(ctx context.Context, p slicePlan) error {
	for _, s := range p.create {
		if _, err := builtin.EndpointSlices.Create(ctx, c.verbs, s, write()); err != nil {
			if namespaceGoing(err) {
				return nil
			}
			return fmt.Errorf("create endpoint slice: %w", err)
		}
	}
	for _, s := range p.update {
		if _, err := builtin.EndpointSlices.Update(ctx, c.verbs, s, write()); ignoreNotFound(err) != nil {
			return fmt.Errorf("update endpoint slice %s: %w", s.Name, err)
		}
	}
	for _, s := range p.remove {
		if err := builtin.EndpointSlices.Delete(ctx, c.verbs, s.Namespace, s.Name, uidOnly(s.UID)); ignoreNotFound(err) != nil {
			return fmt.Errorf("delete endpoint slice %s: %w", s.Name, err)
		}
	}
	return nil
}

// slicePlan is what changes about a Service's slices.
type slicePlan struct {
	create, update, remove []*discoveryv1.EndpointSlice
}

// portGroup is endpoints with the same address family and port numbers: a
// named target port may be another number in each pod.
type portGroup struct {
	family    discoveryv1.AddressType
	ports     []discoveryv1.EndpointPort
	endpoints map[string]discoveryv1.Endpoint // by pod UID
}

// planSlices computes the slices of svc. Endpoints stay in the slice in which
// they are, so that one pod's change rewrites one slice.
func planSlices(svc *corev1.Service, pods []*corev1.Pod, have []*discoveryv1.EndpointSlice) slicePlan {
	groups := portGroups(svc, pods)
	var p slicePlan
	left := slices.Clone(have)
	for _, id := range slices.Sorted(maps.Keys(groups)) {
		g := groups[id]
		var mine []*discoveryv1.EndpointSlice
		left = slices.DeleteFunc(left, func(s *discoveryv1.EndpointSlice) bool {
			if groupID(s.AddressType, s.Ports) != id {
				return false
			}
			mine = append(mine, s)
			return true
		})
		p.group(svc, g, mine)
	}
	p.remove = append(p.remove, left...)
	return p
}

// group plans the slices of one port group.
func (p *slicePlan) group(svc *corev1.Service, g *portGroup, have []*discoveryv1.EndpointSlice) {
	slices.SortFunc(have, func(a, b *discoveryv1.EndpointSlice) int {
		return cmp.Or(cmp.Compare(len(b.Endpoints), len(a.Endpoints)), cmp.Compare(a.Name, b.Name))
	})
	kept := make([][]discoveryv1.Endpoint, len(have))
	placed := map[string]bool{}
	for i, s := range have {
		for _, e := range s.Endpoints {
			uid := endpointUID(e)
			if now, ok := g.endpoints[uid]; ok && !placed[uid] && len(kept[i]) < perSlice {
				kept[i] = append(kept[i], now)
				placed[uid] = true
			}
		}
	}
	var rest []discoveryv1.Endpoint
	for _, uid := range slices.Sorted(maps.Keys(g.endpoints)) {
		if !placed[uid] {
			rest = append(rest, g.endpoints[uid])
		}
	}
	for i, s := range have {
		n := min(perSlice-len(kept[i]), len(rest))
		kept[i], rest = append(kept[i], rest[:n]...), rest[n:]
		if len(kept[i]) == 0 && (len(g.endpoints) > 0 || i > 0) {
			p.remove = append(p.remove, s)
			continue
		}
		if next := makeSlice(svc, g, kept[i], s); !equality.Semantic.DeepEqual(s, next) {
			p.update = append(p.update, next)
		}
	}
	for chunk := range slices.Chunk(rest, perSlice) {
		p.create = append(p.create, makeSlice(svc, g, chunk, nil))
	}
	if len(g.endpoints) == 0 && len(have) == 0 {
		p.create = append(p.create, makeSlice(svc, g, nil, nil))
	}
}

// makeSlice makes a slice with the given endpoints, from an existing one or new.
func makeSlice(svc *corev1.Service, g *portGroup, endpoints []discoveryv1.Endpoint, from *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{}
	if from != nil {
		s = from.DeepCopy()
	} else {
		s.Namespace, s.GenerateName = svc.Namespace, svc.Name+"-"
		s.OwnerReferences = []metav1.OwnerReference{object.ControllerRef(svc, builtin.Services.Kind)}
	}
	s.AddressType, s.Ports, s.Endpoints = g.family, g.ports, endpoints
	s.Labels = map[string]string{}
	for k, v := range svc.Labels {
		if k != discoveryv1.LabelServiceName && k != discoveryv1.LabelManagedBy && k != corev1.IsHeadlessService {
			s.Labels[k] = v
		}
	}
	s.Labels[discoveryv1.LabelServiceName] = svc.Name
	s.Labels[discoveryv1.LabelManagedBy] = slicesManager
	if svc.Spec.ClusterIP == corev1.ClusterIPNone {
		s.Labels[corev1.IsHeadlessService] = ""
	}
	return s
}

// portGroups sorts the pods' endpoints. A family without endpoints has one
// empty group, so that there is always a slice to see.
func portGroups(svc *corev1.Service, pods []*corev1.Pod) map[string]*portGroup {
	groups := map[string]*portGroup{}
	for _, family := range families(svc) {
		empty := true
		for _, pod := range pods {
			ip := addressOf(pod, family)
			if ip == "" || podFinished(pod) {
				continue
			}
			ports := slicePorts(svc, pod)
			id := groupID(family, ports)
			if groups[id] == nil {
				groups[id] = &portGroup{family, ports, map[string]discoveryv1.Endpoint{}}
			}
			groups[id].endpoints[string(pod.UID)] = endpointOf(svc, pod, ip)
			empty = false
		}
		if empty {
			groups[groupID(family, nil)] = &portGroup{family: family}
		}
	}
	return groups
}

func families(svc *corev1.Service) []discoveryv1.AddressType {
	if len(svc.Spec.IPFamilies) == 0 {
		return []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4}
	}
	var all []discoveryv1.AddressType
	for _, f := range svc.Spec.IPFamilies {
		all = append(all, discoveryv1.AddressType(f))
	}
	return all
}

// addressOf is the pod's address of a family, or empty.
func addressOf(p *corev1.Pod, family discoveryv1.AddressType) string {
	ips := p.Status.PodIPs
	if len(ips) == 0 && p.Status.PodIP != "" {
		ips = []corev1.PodIP{{IP: p.Status.PodIP}}
	}
	for _, ip := range ips {
		if strings.Contains(ip.IP, ":") == (family == discoveryv1.AddressTypeIPv6) {
			return ip.IP
		}
	}
	return ""
}

func endpointOf(svc *corev1.Service, p *corev1.Pod, ip string) discoveryv1.Endpoint {
	serving, terminating := podReady(p), p.DeletionTimestamp != nil
	ready := svc.Spec.PublishNotReadyAddresses || (serving && !terminating)
	e := discoveryv1.Endpoint{
		Addresses:  []string{ip},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID},
	}
	if p.Spec.NodeName != "" {
		e.NodeName = new(p.Spec.NodeName)
	}
	if named(svc, p) {
		e.Hostname = new(p.Spec.Hostname)
	}
	return e
}

// named tells whether p has a DNS name of its own under svc.
func named(svc *corev1.Service, p *corev1.Pod) bool {
	return p.Spec.Hostname != "" && p.Spec.Subdomain == svc.Name && p.Namespace == svc.Namespace
}

func endpointUID(e discoveryv1.Endpoint) string {
	if e.TargetRef == nil {
		return ""
	}
	return string(e.TargetRef.UID)
}

// slicePorts resolves the Service's ports for one pod. A named target port
// that the pod does not have is left out.
func slicePorts(svc *corev1.Service, p *corev1.Pod) []discoveryv1.EndpointPort {
	ports := []discoveryv1.EndpointPort{}
	for i := range svc.Spec.Ports {
		sp := &svc.Spec.Ports[i]
		number, ok := targetPort(sp, p)
		if !ok {
			continue
		}
		ports = append(ports, discoveryv1.EndpointPort{
			Name: new(sp.Name), Protocol: new(protocolOf(sp)), Port: new(number), AppProtocol: sp.AppProtocol})
	}
	return ports
}

// groupID tells groups of endpoints apart that cannot share a slice.
func groupID(family discoveryv1.AddressType, ports []discoveryv1.EndpointPort) string {
	ids := make([]string, 0, len(ports))
	for _, p := range ports {
		ids = append(ids, fmt.Sprint(value(p.Name, ""), "/", value(p.Protocol, ""), "/", value(p.Port, 0), "/", value(p.AppProtocol, "")))
	}
	slices.Sort(ids)
	return string(family) + ":" + strings.Join(ids, ",")
}
