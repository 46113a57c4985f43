package dns

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func testService(name, ip string, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       corev1.ServiceSpec{ClusterIP: ip, Ports: ports},
	}
}

func endpoint(ip, hostname string, ready bool) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{ip}, Hostname: &hostname, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}
}

func testZone() *Zone {
	z := NewZone("cluster.local")
	mysql := corev1.ServicePort{Name: "mysql", Port: 3306, Protocol: corev1.ProtocolTCP}
	z.Set(testService("web", "10.142.0.5", corev1.ServicePort{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}), nil)
	name, port, tcp := "mysql", int32(3306), corev1.ProtocolTCP
	z.Set(testService("db", corev1.ClusterIPNone, mysql), map[string]*discoveryv1.EndpointSlice{"db-1": {
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{endpoint("10.42.0.7", "db-0", true), endpoint("10.42.0.8", "db-1", false), endpoint("10.42.0.9", "", true)},
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &tcp}},
	}})
	external := testService("old", "")
	external.Spec.Type, external.Spec.ExternalName = corev1.ServiceTypeExternalName, "db.example.com"
	z.Set(external, nil)
	return z
}

func TestZone(t *testing.T) {
	z := testZone()
	for _, c := range []struct {
		name string
		kind uint16
		want []string // the records' data; nil: none
		none bool     // the name does not exist
	}{
		{"web.default.svc.cluster.local.", dns.TypeA, []string{"10.142.0.5"}, false},
		{"web.default.svc.cluster.local.", dns.TypeAAAA, nil, false},
		{"nobody.default.svc.cluster.local.", dns.TypeA, nil, true},
		{"default.svc.cluster.local.", dns.TypeA, nil, false},
		{"_http._tcp.web.default.svc.cluster.local.", dns.TypeSRV, []string{"0 100 80 web.default.svc.cluster.local."}, false},
		{"5.0.142.10.in-addr.arpa.", dns.TypePTR, []string{"web.default.svc.cluster.local."}, false},
		{"db.default.svc.cluster.local.", dns.TypeA, []string{"10.42.0.7", "10.42.0.9"}, false},
		{"db-0.db.default.svc.cluster.local.", dns.TypeA, []string{"10.42.0.7"}, false},
		{"db-1.db.default.svc.cluster.local.", dns.TypeA, nil, true}, // not ready
		{"10-42-0-9.db.default.svc.cluster.local.", dns.TypeA, []string{"10.42.0.9"}, false},
		{"_mysql._tcp.db.default.svc.cluster.local.", dns.TypeSRV, []string{"0 100 3306 10-42-0-9.db.default.svc.cluster.local.", "0 100 3306 db-0.db.default.svc.cluster.local."}, false},
		{"7.0.42.10.in-addr.arpa.", dns.TypePTR, []string{"db-0.db.default.svc.cluster.local."}, false},
		{"old.default.svc.cluster.local.", dns.TypeA, []string{"db.example.com."}, false},
		{"10-42-0-3.default.pod.cluster.local.", dns.TypeA, []string{"10.42.0.3"}, false},
	} {
		a, ours := z.Answer(c.name, c.kind)
		if !ours {
			t.Errorf("%s: not answered", c.name)
			continue
		}
		var got []string
		for _, rr := range a.Records {
			got = append(got, rr.String()[len(rr.Header().String()):])
		}
		slices.Sort(got)
		if diff := cmp.Diff(c.want, got); diff != "" || a.NoName != c.none {
			t.Errorf("%s %s: no such name %v, want %v; records (-want +got):\n%s", c.name, dns.TypeToString[c.kind], a.NoName, c.none, diff)
		}
	}
	for _, foreign := range []string{"example.com.", "9.9.9.9.in-addr.arpa."} {
		if _, ours := z.Answer(foreign, dns.TypeA); ours {
			t.Errorf("%s is answered, not forwarded", foreign)
		}
	}
}

func TestZoneForgets(t *testing.T) {
	z := testZone()
	for k := range z.services {
		z.Remove(k)
	}
	if len(z.names)+len(z.records) != 0 {
		t.Errorf("after removing all Services: names %v, records %v", z.names, z.records)
	}
}

// upstream answers every question with one address.
func upstream(t *testing.T) (port string) {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Answer = []dns.RR{&dns.A{Hdr: header(q.Question[0].Name, dns.TypeA), A: net.IPv4(192, 0, 2, 1)}}
		w.WriteMsg(m)
	})}
	go s.ActivateAndServe()
	t.Cleanup(func() { s.ShutdownContext(context.Background()) })
	_, port, _ = net.SplitHostPort(pc.LocalAddr().String())
	return port
}

func TestForward(t *testing.T) {
	resolv := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := newForwarder(resolv, "10.142.0.10")
	f.upstreams()
	f.servers = []string{"127.0.0.1:" + upstream(t)} // resolv.conf cannot name a port
	q := new(dns.Msg).SetQuestion("example.com.", dns.TypeA)
	r := f.exchange(q, "udp")
	if len(r.Answer) != 1 || r.Id != q.Id {
		t.Errorf("got %v", r)
	}
	f.servers = nil
	if r := f.exchange(q, "udp"); r.Rcode != dns.RcodeServerFailure {
		t.Errorf("without resolvers: %s, want SERVFAIL", dns.RcodeToString[r.Rcode])
	}
}

func TestFollow(t *testing.T) {
	resolv := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := &Server{zone: testZone(), forward: newForwarder(resolv, "10.142.0.10")}
	s.forward.upstreams()
	s.forward.servers = []string{"127.0.0.1:" + upstream(t)}
	for target, want := range map[string]string{"db.example.com": "192.0.2.1", "web.default.svc.cluster.local": "10.142.0.5"} {
		alias := testService("alias", "")
		alias.Spec.Type, alias.Spec.ExternalName = corev1.ServiceTypeExternalName, target
		s.zone.Set(alias, nil)
		q := new(dns.Msg).SetQuestion("alias.default.svc.cluster.local.", dns.TypeA)
		answer, _ := s.zone.Answer(q.Question[0].Name, dns.TypeA)
		got := s.follow(q, answer.Records, "udp")
		if len(got) != 2 || got[1].(*dns.A).A.String() != want {
			t.Errorf("alias of %s: %v, want the CNAME and %s", target, got, want)
		}
	}
	loop := testService("loop", "")
	loop.Spec.Type, loop.Spec.ExternalName = corev1.ServiceTypeExternalName, "loop.default.svc.cluster.local"
	s.zone.Set(loop, nil)
	q := new(dns.Msg).SetQuestion("loop.default.svc.cluster.local.", dns.TypeA)
	answer, _ := s.zone.Answer(q.Question[0].Name, dns.TypeA)
	if got := s.follow(q, answer.Records, "udp"); len(got) > maxAliases+1 {
		t.Errorf("a loop gives %d records", len(got))
	}
}

func TestForwarderReadsResolvConf(t *testing.T) {
	resolv := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver 10.142.0.10\nnameserver 192.0.2.53\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(newForwarder(resolv, "10.142.0.10").upstreams())
	if got != "[192.0.2.53:53]" {
		t.Errorf("resolvers %s; want all but the cluster's own", got)
	}
}
