package dns

import (
	"net"
	"os"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Limits of forwarding.
const (
	forwardTimeout = 2 * time.Second // for one resolver, as resolv.conf's default of 5 s is too long behind ndots:5
	reread         = 5 * time.Second // how old what resolv.conf said may get
)

// forwarder asks the host's resolvers.
type forwarder struct {
	path string
	self string // our own address: never ask ourselves

	mu      sync.Mutex
	checked time.Time // when path was last looked at; guarded by mu
	modTime time.Time // guarded by mu
	servers []string  // "host:port"; guarded by mu
}

func newForwarder(path, self string) *forwarder { return &forwarder{path: path, self: self} }

// upstreams returns the resolvers that the host uses now.
func (f *forwarder) upstreams() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.checked) < reread {
		return f.servers
	}
	f.checked = time.Now()
	info, err := os.Stat(f.path)
	if err != nil {
		f.servers = nil
		return nil
	}
	if info.ModTime().Equal(f.modTime) {
		return f.servers
	}
	c, err := dns.ClientConfigFromFile(f.path)
	if err != nil {
		f.servers = nil
		return nil
	}
	f.modTime, f.servers = info.ModTime(), nil
	for _, s := range c.Servers {
		if s != f.self {
			f.servers = append(f.servers, net.JoinHostPort(s, c.Port))
		}
	}
	return f.servers
}

// exchange returns the first answer of a resolver, or SERVFAIL.
func (f *forwarder) exchange(q *dns.Msg, network string) *dns.Msg {
	c := &dns.Client{Net: network, Timeout: forwardTimeout}
	for _, server := range f.upstreams() {
		if r, _, err := c.Exchange(q, server); err == nil {
			r.Id = q.Id
			return r
		}
	}
	return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
}
