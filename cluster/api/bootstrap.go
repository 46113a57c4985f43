package api

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Bootstrap makes what every cluster has before anybody uses it, and corrects
// what of it is wrong: the namespaces, the priority classes of the system, and
// the Service kubernetes, whose one endpoint is the API server's address.
// The address must be one that pods can reach: the API refuses endpoints on
// loopback. Without a valid endpoint the Service is left out.
func Bootstrap(ctx context.Context, v object.Verbs, endpoint netip.AddrPort) error {
	for _, name := range []string{"default", "kube-system", "kube-public", "kube-node-lease"} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := ensure(ctx, v, builtin.Namespaces.Resource, ns); err != nil {
			return err
		}
	}
	for name, value := range map[string]int32{"system-cluster-critical": 2000000000, "system-node-critical": 2000001000} {
		class := &schedulingv1.PriorityClass{
			ObjectMeta:  metav1.ObjectMeta{Name: name},
			Value:       value,
			Description: fmt.Sprintf("Used for system critical pods that must %s", criticalUse(name)),
		}
		if err := ensure(ctx, v, object.Resource{Group: "scheduling.k8s.io", Resource: "priorityclasses"}, class); err != nil {
			return err
		}
	}
	if !endpoint.IsValid() {
		return nil
	}
	return bootstrapService(ctx, v, endpoint)
}

func criticalUse(class string) string {
	if class == "system-node-critical" {
		return "not be moved from their current node."
	}
	return "run in the cluster, but can be moved to another node if necessary."
}

// ensure creates o if there is none of its name.
func ensure(ctx context.Context, v object.Verbs, r object.Resource, o object.Object) error {
	if _, err := v.Get(ctx, r, object.KeyOf(o)); !apierrors.IsNotFound(err) {
		return err
	}
	_, err := v.Create(ctx, r, o, object.WriteOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// bootstrapService makes default/kubernetes, its Endpoints and EndpointSlice.
// The labels keep the endpoint controllers away from them.
func bootstrapService(ctx context.Context, v object.Verbs, endpoint netip.AddrPort) error {
	const name, port = "kubernetes", "https"
	provider := map[string]string{"component": "apiserver", "provider": "kubernetes"}
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: provider},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Ports: []corev1.ServicePort{{
			Name: port, Port: 443, TargetPort: intstr.FromInt32(int32(endpoint.Port())), Protocol: corev1.ProtocolTCP,
		}}},
	}
	old, err := builtin.Services.Get(ctx, v, "default", name)
	if err == nil && old.Spec.Ports[0].TargetPort.IntVal != int32(endpoint.Port()) {
		again := old.DeepCopy()
		again.Spec.Ports = svc.Spec.Ports
		_, err = builtin.Services.Update(ctx, v, again, object.WriteOptions{})
	}
	if apierrors.IsNotFound(err) {
		_, err = builtin.Services.Create(ctx, v, svc, object.WriteOptions{})
	}
	if err != nil {
		return fmt.Errorf("service default/kubernetes: %w", err)
	}

	endpoints := &corev1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{discoveryv1.LabelSkipMirror: "true"}},
		Subsets: []corev1.EndpointSubset{{
			Addresses: []corev1.EndpointAddress{{IP: endpoint.Addr().String()}},
			Ports:     []corev1.EndpointPort{{Name: port, Port: int32(endpoint.Port()), Protocol: corev1.ProtocolTCP}},
		}},
	}
	have, err := builtin.Endpoints.Get(ctx, v, "default", name)
	switch {
	case apierrors.IsNotFound(err):
		_, err = builtin.Endpoints.Create(ctx, v, endpoints, object.WriteOptions{})
	case err == nil && !equality.Semantic.DeepEqual(have.Subsets, endpoints.Subsets):
		again := have.DeepCopy()
		again.Subsets = endpoints.Subsets
		_, err = builtin.Endpoints.Update(ctx, v, again, object.WriteOptions{})
	}
	if err != nil {
		return fmt.Errorf("endpoints default/kubernetes: %w", err)
	}
	return bootstrapSlice(ctx, v, name, port, endpoint)
}

func bootstrapSlice(ctx context.Context, v object.Verbs, name, port string, endpoint netip.AddrPort) error {
	family := discoveryv1.AddressTypeIPv4
	if endpoint.Addr().Is6() {
		family = discoveryv1.AddressTypeIPv6
	}
	ready, number, protocol := true, int32(endpoint.Port()), corev1.ProtocolTCP
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: family,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{endpoint.Addr().String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
		Ports:       []discoveryv1.EndpointPort{{Name: &port, Port: &number, Protocol: &protocol}},
	}
	have, err := builtin.EndpointSlices.Get(ctx, v, "default", name)
	switch {
	case apierrors.IsNotFound(err):
		_, err = builtin.EndpointSlices.Create(ctx, v, slice, object.WriteOptions{})
	case err == nil && (!equality.Semantic.DeepEqual(have.Endpoints, slice.Endpoints) || !equality.Semantic.DeepEqual(have.Ports, slice.Ports)):
		again := have.DeepCopy()
		again.Endpoints, again.Ports = slice.Endpoints, slice.Ports
		_, err = builtin.EndpointSlices.Update(ctx, v, again, object.WriteOptions{})
	}
	if err != nil {
		return fmt.Errorf("endpoint slice default/kubernetes: %w", err)
	}
	return nil
}
