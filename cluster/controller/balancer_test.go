package controller

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

func balanced(name string, port int32) *corev1.Service {
	return &corev1.Service{ObjectMeta: meta(name), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer,
		Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: port, Protocol: corev1.ProtocolTCP}}}}
}

// ingress are the addresses in a Service's status.
func ingress(r *rig, name string) (all string) {
	for _, i := range get(r, builtin.Services, name).Status.LoadBalancer.Ingress {
		all += i.IP + " "
	}
	return all
}

func TestBalancerGivesNodesAddresses(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		addNode := func(name string, addresses ...corev1.NodeAddress) {
			n := readyNode(name)
			n.Status.Addresses = addresses
			create(r, builtin.Nodes, n)
		}
		addNode("node-2", corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "10.9.0.2"}, corev1.NodeAddress{Type: corev1.NodeHostName, Address: "two"})
		addNode("node-3", corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "10.9.0.3"}, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "198.51.100.3"})
		create(r, builtin.Services, balanced("first", 80))
		r.settle(time.Second)
		create(r, builtin.Services, balanced("second", 80))
		create(r, builtin.Services, balanced("other", 81))
		foreign := balanced("foreign", 82)
		foreign.Spec.LoadBalancerClass = new("example.com/lb")
		create(r, builtin.Services, foreign)
		r.settle(time.Second)
		for name, want := range map[string]string{"first": "10.9.0.2 198.51.100.3 ", "second": "", "other": "10.9.0.2 198.51.100.3 ", "foreign": ""} {
			if got := ingress(r, name); got != want {
				t.Errorf("%s has %q, want %q", name, got, want)
			}
		}
		wantEvent(r, "second", "SyncLoadBalancerFailed: Error syncing load balancer: port 80/TCP of the nodes is in use by the load balancer of service default/first")
		wantEvent(r, "first", "EnsuredLoadBalancer: Ensured load balancer")

		edit(r, builtin.Services, "first", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeClusterIP })
		remove(r, builtin.Nodes, "node-3", object.DeleteOptions{})
		r.settle(time.Second)
		for name, want := range map[string]string{"first": "", "second": "10.9.0.2 ", "other": "10.9.0.2 "} {
			if got := ingress(r, name); got != want {
				t.Errorf("%s has %q, want %q", name, got, want)
			}
		}
	})
}
