package network

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
)

// outside makes a machine outside of the pod network with this one as its
// router, and returns its namespace.
func outside(t *testing.T, n *Network, address string) string {
	t.Helper()
	uid := "outside-" + address
	p := attach(t, n, uid)
	ip := netip.MustParseAddr(address)
	ns, err := netns.GetFromPath(p.NetNS)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	eth0, err := h.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	old := netip.MustParseAddr(p.IPs[0])
	host, err := netlink.LinkByName(n.linkName(old))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		h.AddrAdd(eth0, &netlink.Addr{IPNet: hostNet(ip)}),
		h.RouteReplace(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: n.gateway.AsSlice(), Src: ip.AsSlice()}),
		h.AddrDel(eth0, &netlink.Addr{IPNet: hostNet(old)}),
		netlink.RouteReplace(&netlink.Route{LinkIndex: host.Attrs().Index, Dst: hostNet(ip), Scope: netlink.SCOPE_LINK}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return p.NetNS
}

// backends attaches pods that answer at 8080, and returns their endpoints.
func backends(t *testing.T, n *Network, names ...string) []netip.AddrPort {
	var all []netip.AddrPort
	for _, name := range names {
		p := attach(t, n, name)
		serve(t, p.NetNS, name, 8080)
		all = append(all, netip.AddrPortFrom(netip.MustParseAddr(p.IPs[0]), 8080))
	}
	return all
}

// remembered counts the clients in affinity sets.
func remembered(t *testing.T, n *Network) (clients int) {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName(n.config.ID)}
	sets, err := conn.GetSets(table)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sets {
		if !strings.HasPrefix(s.Name, "aff-") {
			continue
		}
		elements, err := conn.GetSetElements(s)
		if err != nil {
			t.Fatal(err)
		}
		clients += len(elements)
	}
	return clients
}

func TestSessionAffinity(t *testing.T) {
	n := open(t)
	endpoints := backends(t, n, "a", "b", "c")
	client := attach(t, n, "client")
	port := ServicePort{Name: "default/s:", IP: netip.MustParseAddr("10.142.0.20"), Protocol: unix.IPPROTO_TCP, Port: 80,
		Endpoints: endpoints, Affinity: time.Hour}
	who := func() string {
		t.Helper()
		got, err := ask(t, client.NetNS, "tcp", "10.142.0.20:80")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(got)[0]
	}
	setPorts(t, n, port)
	first := who()
	for range 8 {
		if got := who(); got != first {
			t.Fatalf("the client was with %s and then with %s", first, got)
		}
	}
	for i := range 8 { // each time the rules are replaced
		setPorts(t, n, port, ServicePort{Name: fmt.Sprint("default/other", i), IP: netip.MustParseAddr("10.142.0.21"),
			Protocol: unix.IPPROTO_TCP, Port: 80, Endpoints: endpoints})
		if got := who(); got != first {
			t.Fatalf("after an update of the rules the client is with %s, was with %s", got, first)
		}
	}
	rest := port
	rest.Endpoints = nil
	for i, e := range endpoints {
		if string(rune('a'+i)) != first {
			rest.Endpoints = append(rest.Endpoints, e)
		}
	}
	setPorts(t, n, rest)
	second := who()
	if second == first {
		t.Fatalf("still with %s, which is gone", first)
	}
	setPorts(t, n, port)
	for range 8 {
		if got := who(); got != second {
			t.Fatalf("the client was with %s and went to %s when %s came back", second, got, first)
		}
	}
	port.Affinity = 2 * time.Second
	setPorts(t, n, port)
	who()
	if got := remembered(t, n); got != 1 {
		t.Errorf("%d clients are remembered, want 1", got)
	}
	for deadline := time.Now().Add(10 * time.Second); remembered(t, n) > 0; {
		if time.Now().After(deadline) {
			t.Fatal("the client is not forgotten after the timeout")
		}
	}
	port.Affinity = 0
	setPorts(t, n, port)
	who()
	if got := remembered(t, n); got != 0 {
		t.Errorf("%d clients are remembered without affinity", got)
	}
}

func TestExternalAddresses(t *testing.T) {
	n := open(t)
	endpoints := backends(t, n, "a")
	client, stranger := outside(t, n, "192.0.2.2"), outside(t, n, "203.0.113.9")
	pod := attach(t, n, "client")
	port := ServicePort{Name: "default/s:", IP: netip.MustParseAddr("10.142.0.20"), Protocol: unix.IPPROTO_TCP, Port: 80, NodePort: 30080,
		External: []netip.Addr{netip.MustParseAddr("198.51.100.7")}, Balancer: []netip.Addr{n.gateway}, Endpoints: endpoints}
	masked := "a " + n.gateway.String()
	external, balancer, node := "198.51.100.7:80", n.gateway.String()+":80", n.gateway.String()+":30080"

	setPorts(t, n, port)
	for _, address := range []string{external, balancer, node} {
		want(t, client, "tcp", address, masked)
		want(t, pod.NetNS, "tcp", address, masked)
	}
	want(t, "", "tcp", balancer, masked)

	port.ExternalLocal = true
	setPorts(t, n, port)
	for _, address := range []string{external, balancer, node} {
		want(t, client, "tcp", address, "a 192.0.2.2")
		want(t, pod.NetNS, "tcp", address, "a "+pod.IPs[0])
	}
	want(t, "", "tcp", balancer, masked)

	port.Ranges = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	setPorts(t, n, port)
	want(t, client, "tcp", balancer, "a 192.0.2.2")
	want(t, "", "tcp", balancer, masked)
	if got, err := ask(t, stranger, "tcp", balancer); err == nil {
		t.Errorf("a stranger got %q through loadBalancerSourceRanges", got)
	}
	want(t, stranger, "tcp", node, "a 203.0.113.9") // they concern the load balancer alone

	port.Endpoints = nil
	setPorts(t, n, port)
	for _, address := range []string{external, balancer} {
		start := time.Now()
		if got, err := ask(t, client, "tcp", address); err == nil || time.Since(start) > time.Second {
			t.Errorf("%s without endpoints: %q, %v after %s; want a refusal at once", address, got, err, time.Since(start))
		}
	}
}

func TestLocalPoliciesUseThisNodesEndpoints(t *testing.T) {
	n := open(t)
	endpoints := backends(t, n, "a")
	elsewhere := netip.MustParseAddrPort("192.0.2.50:8080")
	client, pod := outside(t, n, "192.0.2.2"), attach(t, n, "client")
	port := ServicePort{Name: "default/s:", IP: netip.MustParseAddr("10.142.0.20"), Protocol: unix.IPPROTO_TCP, Port: 80, NodePort: 30080,
		Endpoints: append([]netip.AddrPort{elsewhere}, endpoints...), InternalLocal: true, ExternalLocal: true}
	setPorts(t, n, port)
	for range 8 {
		want(t, pod.NetNS, "tcp", "10.142.0.20:80", "a "+pod.IPs[0])
		want(t, client, "tcp", n.gateway.String()+":30080", "a 192.0.2.2")
	}
	port.Endpoints = []netip.AddrPort{elsewhere}
	setPorts(t, n, port)
	if got, err := ask(t, pod.NetNS, "tcp", "10.142.0.20:80"); err == nil {
		t.Errorf("got %q with no endpoint on this node", got)
	}
}

// A new process leaves the rules of the one before it alone until it knows better.
func TestRestartKeepsRules(t *testing.T) {
	n := open(t)
	endpoints := backends(t, n, "a")
	client := attach(t, n, "client")
	port := ServicePort{Name: "default/s:", IP: netip.MustParseAddr("10.142.0.20"), Protocol: unix.IPPROTO_TCP, Port: 80,
		Endpoints: endpoints, Affinity: time.Hour}
	setPorts(t, n, port)
	want(t, client.NetNS, "tcp", "10.142.0.20:80", "a "+client.IPs[0])
	again, err := Open(n.config)
	if err != nil {
		t.Fatal(err)
	}
	want(t, client.NetNS, "tcp", "10.142.0.20:80", "a "+client.IPs[0])
	p := &proxy{net: again}
	if err := p.update(); err != nil { // there are no Services any more
		t.Fatal(err)
	}
	if _, err := ask(t, client.NetNS, "tcp", "10.142.0.20:80"); err == nil {
		t.Error("the Service still answers once it is known to be gone")
	}
}

func TestDesired(t *testing.T) {
	key := object.Key{Namespace: "default", Name: "s"}
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.142.0.20", ExternalIPs: []string{"198.51.100.8", "198.51.100.7", "2001:db8::1"},
		LoadBalancerSourceRanges: []string{" 10.0.0.1/8"}, SessionAffinity: corev1.ServiceAffinityClientIP,
		ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, InternalTrafficPolicy: new(corev1.ServiceInternalTrafficPolicyLocal),
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, NodePort: 30080, Protocol: corev1.ProtocolTCP}},
	}, Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{
		{IP: "192.0.2.1"}, {IP: "192.0.2.9", IPMode: new(corev1.LoadBalancerIPModeProxy)}}}}}
	slice := &discoveryv1.EndpointSlice{
		Ports:     []discoveryv1.EndpointPort{{Name: new("http"), Port: new(int32(8080))}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.42.0.7"}}},
	}
	got := desired(map[object.Key]*corev1.Service{key: s}, map[object.Key]map[string]*discoveryv1.EndpointSlice{key: {"x": slice}})
	wanted := []ServicePort{{Name: "default/s:http/TCP", IP: netip.MustParseAddr("10.142.0.20"), Protocol: unix.IPPROTO_TCP, Port: 80, NodePort: 30080,
		External: []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("198.51.100.8")},
		Balancer: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Ranges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Endpoints: []netip.AddrPort{netip.MustParseAddrPort("10.42.0.7:8080")}, InternalLocal: true, ExternalLocal: true, Affinity: 3 * time.Hour}}
	if d := cmp.Diff(wanted, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{})); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	s.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(int32(60))}}
	if got := affinity(s); got != time.Minute {
		t.Errorf("affinity %s", got)
	}
}

// The kernel answers each of some thousand chains and rules at once.
func TestServiceWithManyEndpoints(t *testing.T) {
	n := open(t)
	endpoints := backends(t, n, "a")
	client := attach(t, n, "client")
	for i := range 499 {
		endpoints = append(endpoints, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 42, 200 + byte(i>>8), byte(i)}), 8080))
	}
	port := ServicePort{Name: "default/large:", IP: netip.MustParseAddr("10.142.0.40"), Protocol: unix.IPPROTO_TCP, Port: 80, Endpoints: endpoints}
	setPorts(t, n, port)
	port.Endpoints = endpoints[:1]
	setPorts(t, n, port)
	if got, err := ask(t, client.NetNS, "tcp", "10.142.0.40:80"); err != nil || !strings.HasPrefix(got, "a ") {
		t.Errorf("the Service answers %q, %v", got, err)
	}
}
