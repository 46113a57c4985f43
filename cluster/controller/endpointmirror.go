package controller

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// mirrored marks slices that mirror Endpoints which a user wrote.
const mirrored = "endpointslicemirroring-controller.k8s.io"

// endpointMirror shows Endpoints that users write for Services without a
// selector as slices, since only slices are followed.
type endpointMirror struct{ *Set }

func newEndpointMirror(s *Set) *endpointMirror { return &endpointMirror{s} }

func (c *endpointMirror) loop() *loop {
	return &loop{
		name: "endpointmirror",
		sources: []source{
			self(builtin.Services.Resource),
			self(builtin.Endpoints.Resource),
		},
		reconcile: c.reconcile,
	}
}

func (c *endpointMirror) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	have, err := builtin.EndpointSlices.List(ctx, c.verbs, object.ListOptions{Namespace: k.Namespace,
		Labels: labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: k.Name, discoveryv1.LabelManagedBy: mirrored})})
	if err != nil {
		return 0, err
	}
	var want []*discoveryv1.EndpointSlice
	svc, err := builtin.Services.Get(ctx, c.verbs, k.Namespace, k.Name)
	if ignoreNotFound(err) != nil {
		return 0, err
	}
	if err == nil && len(svc.Spec.Selector) == 0 && svc.Spec.Type != corev1.ServiceTypeExternalName {
		e, err := builtin.Endpoints.Get(ctx, c.verbs, k.Namespace, k.Name)
		if ignoreNotFound(err) != nil {
			return 0, err
		}
		if err == nil && e.DeletionTimestamp == nil && e.Labels[discoveryv1.LabelSkipMirror] != "true" &&
			e.Labels[endpointsManagedBy] != endpointsManager {
			want = mirror(svc, e)
		}
	}
	return 0, (&endpointSlices{c.Set}).write(ctx, planMirror(want, have))
}

// mirror makes one slice a subset, of the addresses of the Service's family.
func mirror(svc *corev1.Service, e *corev1.Endpoints) []*discoveryv1.EndpointSlice {
	var all []*discoveryv1.EndpointSlice
	for _, sub := range e.Subsets {
		g := &portGroup{family: families(svc)[0], ports: []discoveryv1.EndpointPort{}}
		for _, p := range sub.Ports {
			g.ports = append(g.ports, discoveryv1.EndpointPort{Name: new(p.Name), Port: new(p.Port), Protocol: new(p.Protocol), AppProtocol: p.AppProtocol})
		}
		var list []discoveryv1.Endpoint
		add := func(addresses []corev1.EndpointAddress, ready bool) {
			for _, a := range addresses {
				m := discoveryv1.Endpoint{Addresses: []string{a.IP}, NodeName: a.NodeName, TargetRef: a.TargetRef,
					Conditions: discoveryv1.EndpointConditions{Ready: new(ready)}}
				if a.Hostname != "" {
					m.Hostname = new(a.Hostname)
				}
				list = append(list, m)
			}
		}
		add(sub.Addresses, true)
		add(sub.NotReadyAddresses, false)
		s := makeSlice(svc, g, list[:min(len(list), mostEndpoints)], nil)
		s.Labels[discoveryv1.LabelManagedBy] = mirrored
		s.OwnerReferences = []metav1.OwnerReference{object.ControllerRef(e, builtin.Endpoints.Kind)}
		all = append(all, s)
	}
	return all
}

// planMirror matches slices by their ports.
func planMirror(want, have []*discoveryv1.EndpointSlice) slicePlan {
	p := slicePlan{remove: slices.Clone(have)}
	for _, w := range want {
		i := slices.IndexFunc(p.remove, func(h *discoveryv1.EndpointSlice) bool {
			return groupID(h.AddressType, h.Ports) == groupID(w.AddressType, w.Ports)
		})
		if i < 0 {
			p.create = append(p.create, w)
			continue
		}
		next := p.remove[i].DeepCopy()
		next.Endpoints, next.Labels = w.Endpoints, w.Labels
		if !equality.Semantic.DeepEqual(next, p.remove[i]) {
			p.update = append(p.update, next)
		}
		p.remove = slices.Delete(p.remove, i, i+1)
	}
	return p
}
