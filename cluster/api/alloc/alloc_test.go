package alloc_test

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/api/alloc"
)

func service(name string, kind corev1.ServiceType, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.ServiceSpec{Type: kind, Ports: ports}}
}

func port(p, node int32, protocol corev1.Protocol) corev1.ServicePort {
	return corev1.ServicePort{Port: p, NodePort: node, Protocol: protocol}
}

// TestReleaseGivesBackOnlyOwn: a failed write gives back what it took, and
// nothing that others have.
func TestReleaseGivesBackOnlyOwn(t *testing.T) {
	s := alloc.New(netip.MustParsePrefix("10.0.0.0/29"), alloc.Ports{First: 100, Last: 101})
	a := service("a", corev1.ServiceTypeNodePort, port(80, 100, "TCP"))
	if _, errs := s.Allocate(a, nil); len(errs) > 0 {
		t.Fatal(errs)
	}
	b := service("b", corev1.ServiceTypeNodePort, port(80, 0, "TCP"))
	release, errs := s.Allocate(b, nil)
	if len(errs) > 0 || b.Spec.Ports[0].NodePort != 101 {
		t.Fatalf("port %d, %v", b.Spec.Ports[0].NodePort, errs)
	}
	c := service("c", corev1.ServiceTypeNodePort, port(80, 0, "TCP"))
	if _, errs := s.Allocate(c, nil); len(errs) == 0 {
		t.Error("a third port out of two")
	}
	release()
	again := service("c", corev1.ServiceTypeNodePort, port(80, 0, "TCP"))
	if _, errs := s.Allocate(again, nil); len(errs) > 0 || again.Spec.Ports[0].NodePort != 101 {
		t.Errorf("after the release: port %d, %v", again.Spec.Ports[0].NodePort, errs)
	}
	s.Release(a, nil)
	d := service("d", corev1.ServiceTypeNodePort, port(80, 100, "TCP"))
	d.Spec.ClusterIP = a.Spec.ClusterIP
	if _, errs := s.Allocate(d, nil); len(errs) > 0 {
		t.Errorf("what a had: %v", errs)
	}
}

// TestFailureTakesNothing: of an allocation that fails in its second part, the
// first part is not kept.
func TestFailureTakesNothing(t *testing.T) {
	s := alloc.New(netip.MustParsePrefix("10.0.0.0/24"), alloc.Ports{First: 100, Last: 110})
	bad := service("bad", corev1.ServiceTypeNodePort, port(80, 100, "TCP"), port(81, 9, "TCP"))
	bad.Spec.ClusterIP = "10.0.0.9"
	if _, errs := s.Allocate(bad, nil); len(errs) != 1 || errs[0].Field != "spec.ports[1].nodePort" {
		t.Fatalf("errors %v", errs)
	}
	good := service("good", corev1.ServiceTypeNodePort, port(80, 100, "TCP"))
	good.Spec.ClusterIP = "10.0.0.9"
	if _, errs := s.Allocate(good, nil); len(errs) > 0 {
		t.Error(errs)
	}
}

func TestOnePortOverTwoProtocols(t *testing.T) {
	s := alloc.New(netip.MustParsePrefix("10.0.0.0/24"), alloc.Ports{})
	dns := service("dns", corev1.ServiceTypeNodePort, port(53, 0, "TCP"), port(53, 0, "UDP"))
	if _, errs := s.Allocate(dns, nil); len(errs) > 0 || dns.Spec.Ports[0].NodePort != dns.Spec.Ports[1].NodePort {
		t.Errorf("ports %+v, %v", dns.Spec.Ports, errs)
	}
}

func TestIPv6(t *testing.T) {
	s := alloc.New(netip.MustParsePrefix("fd00::/108"), alloc.Ports{})
	a := service("a", corev1.ServiceTypeClusterIP, port(80, 0, "TCP"))
	if _, errs := s.Allocate(a, nil); len(errs) > 0 || a.Spec.IPFamilies[0] != corev1.IPv6Protocol ||
		!netip.MustParsePrefix("fd00::/108").Contains(netip.MustParseAddr(a.Spec.ClusterIP)) {
		t.Errorf("%+v, %v", a.Spec, errs)
	}
}
