package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Addresses of the network between this machine and its neighbour (RFC 5737).
const (
	machineAddress   = "192.0.2.1"
	neighbourAddress = "192.0.2.2"
)

// neighbour is another machine beside this one: its route to everywhere leads
// here, and this machine's default route leads there.
type neighbour struct {
	t  *testing.T
	ns netns.NsHandle
}

// newNeighbour makes one; the end of the test removes it.
func newNeighbour(t *testing.T) *neighbour {
	t.Helper()
	n := &neighbour{t: t}
	made := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		var err error
		n.ns, err = netns.New()
		made <- err
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.ns.Close() })
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "outside0"}, PeerName: "outside1", PeerNamespace: netlink.NsFd(n.ns)}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(netlink.LinkAdd(veth))
	t.Cleanup(func() {
		if err := netlink.LinkDel(veth); err != nil {
			t.Error(err)
		}
	})
	here, err := netlink.LinkByName("outside0")
	must(err)
	must(connect(&netlink.Handle{}, here, machineAddress, neighbourAddress))
	h, err := netlink.NewHandleAt(n.ns)
	must(err)
	defer h.Close()
	there, err := h.LinkByName("outside1")
	must(err)
	must(connect(h, there, neighbourAddress, machineAddress))
	return n
}

// connect gives a link its address and makes it the default route, via a router.
func connect(h *netlink.Handle, l netlink.Link, address, router string) error {
	net24 := &net.IPNet{IP: net.ParseIP(address), Mask: net.CIDRMask(24, 32)}
	if err := h.AddrAdd(l, &netlink.Addr{IPNet: net24}); err != nil {
		return fmt.Errorf("address %s: %w", address, err)
	}
	if err := h.LinkSetUp(l); err != nil {
		return fmt.Errorf("link %s: %w", l.Attrs().Name, err)
	}
	if err := h.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.ParseIP(router)}); err != nil {
		return fmt.Errorf("route via %s: %w", router, err)
	}
	return nil
}

// dial connects from the neighbour.
func (n *neighbour) dial(network, address string) (net.Conn, error) {
	type result struct {
		c   net.Conn
		err error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := netns.Set(n.ns); err != nil {
			done <- result{nil, err}
			return
		}
		c, err := net.DialTimeout(network, address, 2*time.Second)
		done <- result{c, err}
	}()
	r := <-done
	return r.c, r.err
}

// get fetches a path by HTTP from the neighbour, over a new connection.
func (n *neighbour) get(address, path string) (string, error) {
	c, err := n.dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.0\r\n\r\n", path); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return strings.TrimSpace(string(body)), err
}

// exchange sends a byte on a connection and returns the answer.
func exchange(c net.Conn) (string, error) {
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return "", err
	}
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	return strings.TrimSpace(string(buf[:n])), err
}
