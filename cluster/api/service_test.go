package api_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/api"
)

func service(name string, kind corev1.ServiceType, ports ...int32) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.ServiceSpec{Type: kind, Selector: map[string]string{"app": name}}}
	for _, p := range ports {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: fmt.Sprint("p", p), Port: p})
	}
	return s
}

func TestServiceAddresses(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	svcs := cs.CoreV1().Services("default")
	k, err := svcs.Get(t.Context(), "kubernetes", metav1.GetOptions{})
	if err != nil || k.Spec.ClusterIP != "10.96.0.1" {
		t.Errorf("kubernetes has %s, %v", k.Spec.ClusterIP, err)
	}
	a, err := svcs.Create(t.Context(), service("a", "", 80), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !netip.MustParsePrefix("10.96.0.0/16").Contains(netip.MustParseAddr(a.Spec.ClusterIP)) || a.Spec.ClusterIPs[0] != a.Spec.ClusterIP ||
		a.Spec.IPFamilies[0] != corev1.IPv4Protocol || *a.Spec.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack || a.Spec.Type != corev1.ServiceTypeClusterIP {
		t.Errorf("spec %+v", a.Spec)
	}
	for ip, want := range map[string]string{
		a.Spec.ClusterIP: "provided IP is already allocated",
		"10.200.0.1":     "is not in the valid range. The range of valid IPs is 10.96.0.0/16",
		"nonsense":       "must be a valid IP address",
	} {
		s := service("b", "", 80)
		s.Spec.ClusterIP = ip
		if _, err := svcs.Create(t.Context(), s, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("address %s: %v", ip, err)
		}
	}
	head := service("head", "", 80)
	head.Spec.ClusterIP = "None"
	if head, err = svcs.Create(t.Context(), head, metav1.CreateOptions{}); err != nil || head.Spec.ClusterIPs[0] != "None" {
		t.Errorf("headless %+v, %v", head.Spec, err)
	}

	again := service("a", "", 81) // a replacement without the address keeps it
	b, err := svcs.Update(t.Context(), again, metav1.UpdateOptions{})
	if err != nil || b.Spec.ClusterIP != a.Spec.ClusterIP {
		t.Fatalf("replaced: %v, %v", b.Spec.ClusterIP, err)
	}
	other := b.DeepCopy()
	other.Spec.ClusterIP, other.Spec.ClusterIPs = "10.96.77.7", []string{"10.96.77.7"}
	if _, err := svcs.Update(t.Context(), other, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("another address: %v", err)
	}
	if err := svcs.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s := service("c", "", 80)
	s.Spec.ClusterIP = a.Spec.ClusterIP
	if _, err := svcs.Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		t.Errorf("the released address: %v", err)
	}
}

func TestServiceTypes(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	svcs := cs.CoreV1().Services("default")
	np, err := svcs.Create(t.Context(), service("np", corev1.ServiceTypeNodePort, 80, 443), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	one, two := np.Spec.Ports[0].NodePort, np.Spec.Ports[1].NodePort
	if one < 30000 || two > 32767 || one == two {
		t.Errorf("node ports %d, %d", one, two)
	}
	taken := service("taken", corev1.ServiceTypeNodePort, 80)
	taken.Spec.Ports[0].NodePort = one
	if _, err := svcs.Create(t.Context(), taken, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "provided port is already allocated") {
		t.Errorf("a taken port: %v", err)
	}
	taken.Spec.Ports[0].NodePort = 80
	if _, err := svcs.Create(t.Context(), taken, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "The range of valid ports is 30000-32767") {
		t.Errorf("a port out of range: %v", err)
	}
	patch := func(p string) *corev1.Service {
		t.Helper()
		s, err := svcs.Patch(t.Context(), "np", types.MergePatchType, []byte(p), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := patch(`{"spec":{"type":"ClusterIP"}}`); s.Spec.Ports[0].NodePort != 0 || s.Spec.ClusterIP != np.Spec.ClusterIP {
		t.Errorf("as ClusterIP: %+v", s.Spec)
	}
	if s := patch(`{"spec":{"type":"LoadBalancer","externalTrafficPolicy":"Local"}}`); s.Spec.Ports[1].NodePort == 0 || s.Spec.HealthCheckNodePort == 0 {
		t.Errorf("as LoadBalancer: %+v", s.Spec)
	}
	if s := patch(`{"spec":{"type":"ExternalName","externalName":"example.com","externalTrafficPolicy":null,"internalTrafficPolicy":null,"allocateLoadBalancerNodePorts":null}}`); s.Spec.ClusterIP != "" || s.Spec.Ports[0].NodePort != 0 {
		t.Errorf("as ExternalName: %+v", s.Spec)
	}
	taken.Spec.Ports[0].NodePort = one
	if _, err := svcs.Create(t.Context(), taken, metav1.CreateOptions{}); err != nil {
		t.Errorf("the released port: %v", err)
	}
}

// TestServiceRace makes Services at once in a range with just enough addresses.
func TestServiceRace(t *testing.T) {
	t.Parallel()
	cs := start(t, func(c *api.Config) { c.ServiceCIDR = netip.MustParsePrefix("10.1.0.0/27") }).client(t)
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for i := range 29 { // 32 without network, broadcast and kubernetes
		wg.Go(func() {
			s, err := cs.CoreV1().Services("default").Create(t.Context(), service(fmt.Sprint("s", i), "", 80), metav1.CreateOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if seen[s.Spec.ClusterIP] {
				t.Errorf("%s twice", s.Spec.ClusterIP)
			}
			seen[s.Spec.ClusterIP] = true
		})
	}
	wg.Wait()
	if _, err := cs.CoreV1().Services("default").Create(t.Context(), service("more", "", 80), metav1.CreateOptions{}); err == nil || !strings.Contains(err.Error(), "range 10.1.0.0/27 is full") {
		t.Errorf("one too many: %v", err)
	}
}
