package network

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/isolate"
)

func TestMain(m *testing.M) {
	os.Exit(isolate.Main(m, isolate.Isolation{Namespaces: unix.CLONE_NEWNET | unix.CLONE_NEWNS}))
}

func config(t *testing.T) Config {
	run := t.TempDir()
	return Config{
		ID: "0badcafe", RunDir: run,
		PodCIDR: netip.MustParsePrefix("10.42.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.142.0.0/16"),
		DNS: netip.MustParseAddr("10.142.0.10"), SysctlRecord: filepath.Join(run, "sysctls.json"),
	}
}

func open(t *testing.T) *Network {
	t.Helper()
	c := config(t)
	n, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Cleanup(c.ID, c.RunDir, c.SysctlRecord, true); err != nil {
			t.Error(err)
		}
	})
	return n
}

func attach(t *testing.T, n *Network, uid string, ports ...cri.PortMapping) cri.PodNetwork {
	t.Helper()
	p, err := n.Attach(t.Context(), uid, ports)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// in calls f on a thread in a network namespace; empty means this one.
func in(t *testing.T, path string, f func() error) error {
	t.Helper()
	if path == "" {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		ns, err := netns.GetFromPath(path)
		if err == nil {
			defer ns.Close()
			err = netns.Set(ns)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// serve answers every connection or packet at port of a pod with its name and
// the client's address.
func serve(t *testing.T, ns, name string, port int) {
	t.Helper()
	err := in(t, ns, func() error {
		l, err := net.Listen("tcp4", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		u, err := net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close(); u.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
				fmt.Fprintf(c, "%s %s\n", name, host)
				c.Close()
			}
		}()
		go func() {
			buf := make([]byte, 64)
			for {
				_, from, err := u.ReadFrom(buf)
				if err != nil {
					return
				}
				host, _, _ := net.SplitHostPort(from.String())
				u.WriteTo(fmt.Appendf(nil, "%s %s\n", name, host), from)
			}
		}()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ask connects from a namespace and returns the answer.
func ask(t *testing.T, ns, network, address string) (answer string, err error) {
	t.Helper()
	err = in(t, ns, func() error {
		c, err := net.DialTimeout(network, address, 2*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(2 * time.Second))
		if network == "udp" {
			if _, err := io.WriteString(c, "?"); err != nil {
				return err
			}
		}
		answer, err = bufio.NewReader(c).ReadString('\n')
		return err
	})
	return strings.TrimSpace(answer), err
}

func want(t *testing.T, ns, network, address, wanted string) {
	t.Helper()
	got, err := ask(t, ns, network, address)
	if err != nil || got != wanted {
		t.Errorf("%s %s from %q: got %q, %v; want %q", network, address, filepath.Base(ns), got, err, wanted)
	}
}

func setPorts(t *testing.T, n *Network, ports ...ServicePort) {
	t.Helper()
	n.mu.Lock()
	n.ports = ports
	n.mu.Unlock()
	if err := n.apply(); err != nil {
		t.Fatal(err)
	}
}

func TestPodsReachEachOtherAndServices(t *testing.T) {
	n := open(t)
	a, b := attach(t, n, "a"), attach(t, n, "b")
	serve(t, a.NetNS, "a", 8080)
	want(t, b.NetNS, "tcp", a.IPs[0]+":8080", "a "+b.IPs[0])
	want(t, "", "tcp", a.IPs[0]+":8080", "a "+n.gateway.String())

	ip := netip.MustParseAddr("10.142.0.20")
	endpoints := []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(a.IPs[0]), 8080)}
	setPorts(t, n,
		ServicePort{Name: "default/s:tcp", IP: ip, Protocol: unix.IPPROTO_TCP, Port: 80, NodePort: 30080, Endpoints: endpoints},
		ServicePort{Name: "default/s:udp", IP: ip, Protocol: unix.IPPROTO_UDP, Port: 80, NodePort: 30080, Endpoints: endpoints},
		ServicePort{Name: "default/none", IP: ip, Protocol: unix.IPPROTO_TCP, Port: 81},
	)
	for _, network := range []string{"tcp", "udp"} {
		want(t, b.NetNS, network, "10.142.0.20:80", "a "+b.IPs[0])
		want(t, a.NetNS, network, "10.142.0.20:80", "a "+n.gateway.String()) // itself, through its Service
		want(t, "", network, "10.142.0.20:80", "a "+n.gateway.String())
		want(t, "", network, "127.0.0.1:30080", "a "+n.gateway.String())
		want(t, b.NetNS, network, n.gateway.String()+":30080", "a "+n.gateway.String())
	}
	for _, ns := range []string{"", b.NetNS} {
		start := time.Now()
		if _, err := ask(t, ns, "tcp", "10.142.0.20:81"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a Service without endpoints, from %q: %v after %v; want connection refused", ns, err, time.Since(start))
		}
	}
}

func TestUDPFlowsFollowTheEndpoints(t *testing.T) {
	n := open(t)
	a, b, client := attach(t, n, "a"), attach(t, n, "b"), attach(t, n, "c")
	serve(t, a.NetNS, "a", 53)
	serve(t, b.NetNS, "b", 53)
	port := func(p cri.PodNetwork) []ServicePort {
		return []ServicePort{{Name: "default/dns", IP: netip.MustParseAddr("10.142.0.21"), Protocol: unix.IPPROTO_UDP, Port: 53,
			Endpoints: []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(p.IPs[0]), 53)}}}
	}
	setPorts(t, n, port(a)...)
	var c net.Conn
	if err := in(t, client.NetNS, func() (err error) {
		c, err = net.Dial("udp", "10.142.0.21:53")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	exchange := func() string {
		c.SetDeadline(time.Now().Add(2 * time.Second))
		io.WriteString(c, "?")
		buf := make([]byte, 64)
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(buf[:n]))[0]
	}
	if got := exchange(); got != "a" {
		t.Fatalf("got %q, want a", got)
	}
	setPorts(t, n, port(b)...)
	if err := forgetFlows(port(a), port(b)); err != nil {
		t.Fatal(err)
	}
	if got := exchange(); got != "b" {
		t.Errorf("the same socket still reaches %q after the endpoints changed to b", got)
	}
}

func TestHostPort(t *testing.T) {
	n := open(t)
	a := attach(t, n, "a", cri.PortMapping{HostPort: 8081, ContainerPort: 8080, Protocol: "TCP"})
	serve(t, a.NetNS, "a", 8080)
	want(t, "", "tcp", "127.0.0.1:8081", "a "+n.gateway.String())
	if err := n.Detach(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t, "", "tcp", "127.0.0.1:8081"); err == nil {
		t.Error("the host port still answers after the pod was detached")
	}
}

func TestPodsCannotReachTheHostsLoopback(t *testing.T) {
	n := open(t)
	serve(t, "", "host", 9000)
	a := attach(t, n, "a")
	err := in(t, a.NetNS, func() error {
		h, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/eth0/route_localnet", []byte("1"), 0o644); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetDown(lo); err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: h.Attrs().Index, Gw: n.gateway.AsSlice(), Dst: &net.IPNet{IP: net.IPv4(127, 0, 0, 2), Mask: net.CIDRMask(32, 32)}})
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ask(t, a.NetNS, "tcp", "127.0.0.2:9000"); err == nil {
		t.Errorf("a pod reached a listener on the host's 127.0.0.2: %q", got)
	}
}

// A host firewall with the policy drop, as Docker and ufw set it, must not cut
// pods off; removing the cluster removes what let them through.
func TestForeignFirewall(t *testing.T) {
	n := open(t)
	a, b := attach(t, n, "a"), attach(t, n, "b")
	serve(t, a.NetNS, "a", 8080)
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	drop := nftables.ChainPolicyDrop
	for _, f := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyINet} {
		table := conn.AddTable(&nftables.Table{Family: f, Name: "filter"})
		conn.AddChain(&nftables.Chain{Name: "FORWARD", Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &drop})
		t.Cleanup(func() { conn.DelTable(table); conn.Flush() })
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t, b.NetNS, "tcp", a.IPs[0]+":8080"); err == nil {
		t.Fatal("the firewall of this test drops nothing")
	}
	for range 2 { // the second time must not add anything
		if err := n.acceptPods(); err != nil {
			t.Fatal(err)
		}
	}
	want(t, b.NetNS, "tcp", a.IPs[0]+":8080", "a "+b.IPs[0])
	count := func() (rules int) {
		chains, err := foreignChains(conn, n.config.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range chains {
			all, err := conn.GetRules(c.Table, c)
			if err != nil {
				t.Fatal(err)
			}
			rules += len(all)
		}
		return rules
	}
	if got := count(); got != 4 {
		t.Errorf("%d rules in foreign chains, want 2 in each of 2", got)
	}
	if err := removeAccepts(n.config.ID); err != nil {
		t.Fatal(err)
	}
	if got := count(); got != 0 {
		t.Errorf("%d rules left in foreign chains", got)
	}
}

func TestRestartFindsPods(t *testing.T) {
	n := open(t)
	a := attach(t, n, "a")
	b := attach(t, n, "b")
	os.Remove(n.netnsPath("b")) // busy: still mounted
	again, err := Open(n.config)
	if err != nil {
		t.Fatal(err)
	}
	found, err := again.Attached()
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || found["a"].IPs[0] != a.IPs[0] || found["b"].IPs[0] != b.IPs[0] {
		t.Errorf("found %v, want %v and %v", found, a, b)
	}
	c := attach(t, again, "c")
	if c.IPs[0] == a.IPs[0] || c.IPs[0] == b.IPs[0] {
		t.Errorf("address %s was given out twice", c.IPs[0])
	}
}

func TestCleanupLeavesNothing(t *testing.T) {
	state := func() string {
		var b strings.Builder
		links, err := netlink.LinkList()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			fmt.Fprintln(&b, "link", l.Attrs().Name)
		}
		conn, err := nftables.New()
		if err != nil {
			t.Fatal(err)
		}
		tables, err := conn.ListTables()
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range tables {
			fmt.Fprintln(&b, "table", x.Name)
		}
		mounts, err := os.ReadFile("/proc/self/mounts")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, strings.Count(string(mounts), "nsfs"), "namespaces")
		forward, err := os.ReadFile(sysctlPath("net/ipv4/ip_forward"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "ip_forward %s", forward)
		return b.String()
	}
	before := state()
	c := config(t)
	n, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, uid := range []string{"a", "b", "c"} {
		attach(t, n, uid)
	}
	if state() == before {
		t.Fatal("nothing was set up")
	}
	if err := Cleanup(c.ID, c.RunDir, c.SysctlRecord, true); err != nil {
		t.Fatal(err)
	}
	if after := state(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
