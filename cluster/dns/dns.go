// Package dns answers the names of Services and their pods, as Kubernetes'
// DNS specification (version 1.1) lays them down, and forwards all others to
// the host's resolvers.
//
// A Zone holds the records and is a pure structure; a Server follows Services
// and EndpointSlices, keeps its Zone in step, and serves it over UDP and TCP.
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"golang.org/x/sync/errgroup"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Config says what a Server needs.
type Config struct {
	Verbs  object.Verbs
	Domain string // "cluster.local"
	Listen string // "10.142.0.10:53"; the address may come up later
	// ResolvConf names the host's resolvers; empty means /etc/resolv.conf.
	ResolvConf string
	Logger     *slog.Logger
}

// ttl of our records in seconds: CoreDNS' default for cluster names.
const ttl = 5

// Server is the cluster's DNS server.
type Server struct {
	config  Config
	domain  string // fully qualified: "cluster.local."
	forward *forwarder

	mu     sync.RWMutex
	zone   *Zone                                                // guarded by mu
	slices map[object.Key]map[string]*discoveryv1.EndpointSlice // by Service, then name; guarded by mu
}

// New returns a Server that has not started.
func New(c Config) *Server {
	if c.ResolvConf == "" {
		c.ResolvConf = "/etc/resolv.conf"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	host, _, _ := net.SplitHostPort(c.Listen)
	return &Server{
		config:  c,
		domain:  dns.Fqdn(c.Domain),
		forward: newForwarder(c.ResolvConf, host),
		zone:    NewZone(c.Domain),
		slices:  map[object.Key]map[string]*discoveryv1.EndpointSlice{},
	}
}

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	udp, tcp, err := s.listen(ctx)
	if err != nil {
		return fmt.Errorf("dns: %w", err)
	}
	handler := dns.HandlerFunc(s.serve)
	servers := []*dns.Server{
		{PacketConn: udp, Handler: handler},
		{Listener: tcp, Handler: handler},
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, srv := range servers {
		g.Go(func() error {
			err := srv.ActivateAndServe()
			if ctx.Err() != nil {
				return nil
			}
			return err
		})
	}
	g.Go(func() error {
		<-ctx.Done()
		udp.Close()
		tcp.Close()
		return nil
	})
	g.Go(func() error { return s.followServices(ctx) })
	g.Go(func() error { return s.followSlices(ctx) })
	return g.Wait()
}

// listen opens both sockets. IP_FREEBIND lets that happen before the address
// exists, so that nothing waits for the network to be set up.
func (s *Server) listen(ctx context.Context) (net.PacketConn, net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var serr error
		err := c.Control(func(fd uintptr) {
			serr = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_FREEBIND, 1)
		})
		return errors.Join(err, serr)
	}}
	udp, err := lc.ListenPacket(ctx, "udp4", s.config.Listen)
	if err != nil {
		return nil, nil, err
	}
	tcp, err := lc.Listen(ctx, "tcp4", udp.LocalAddr().String())
	if err != nil {
		udp.Close()
		return nil, nil, err
	}
	return udp, tcp, nil
}

func (s *Server) followServices(ctx context.Context) error {
	return builtin.Services.Follow(ctx, s.config.Verbs, object.WatchOptions{}, func(svc *corev1.Service, deleted bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		k := object.KeyOf(svc)
		if deleted {
			s.zone.Remove(k)
			return
		}
		s.zone.Set(svc, s.slices[k])
	}, nil)
}

func (s *Server) followSlices(ctx context.Context) error {
	return builtin.EndpointSlices.Follow(ctx, s.config.Verbs, object.WatchOptions{}, func(slice *discoveryv1.EndpointSlice, deleted bool) {
		name := slice.Labels[discoveryv1.LabelServiceName]
		if name == "" {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		k := object.Key{Namespace: slice.Namespace, Name: name}
		if s.slices[k] == nil {
			s.slices[k] = map[string]*discoveryv1.EndpointSlice{}
		}
		if deleted {
			delete(s.slices[k], slice.Name)
		} else {
			s.slices[k][slice.Name] = slice
		}
		if len(s.slices[k]) == 0 {
			delete(s.slices, k)
		}
		if svc := s.zone.Service(k); svc != nil {
			s.zone.Set(svc, s.slices[k])
		}
	}, nil)
}

// maxAliases bounds the CNAMEs that are followed for one answer.
const maxAliases = 8

// follow completes an answer that ends in a CNAME, as an ExternalName Service
// has it, with what its target has: the C library's resolver expects that of a
// server that recurses.
func (s *Server) follow(q *dns.Msg, records []dns.RR, network string) []dns.RR {
	qtype := q.Question[0].Qtype
	for range maxAliases {
		if len(records) == 0 || qtype == dns.TypeCNAME || qtype == dns.TypeANY {
			return records
		}
		alias, ok := records[len(records)-1].(*dns.CNAME)
		if !ok {
			return records
		}
		s.mu.RLock()
		answer, ours := s.zone.Answer(strings.ToLower(alias.Target), qtype)
		s.mu.RUnlock()
		if !ours {
			next := new(dns.Msg).SetQuestion(alias.Target, qtype)
			return append(records, s.forward.exchange(next, network).Answer...)
		}
		if len(answer.Records) == 0 {
			return records
		}
		records = append(records, answer.Records...)
	}
	return records
}

// serve answers one question.
func (s *Server) serve(w dns.ResponseWriter, q *dns.Msg) {
	if q.Opcode != dns.OpcodeQuery || len(q.Question) != 1 {
		m := new(dns.Msg).SetRcode(q, dns.RcodeNotImplemented)
		w.WriteMsg(m)
		return
	}
	name := strings.ToLower(q.Question[0].Name)
	s.mu.RLock()
	answer, ours := s.zone.Answer(name, q.Question[0].Qtype)
	s.mu.RUnlock()
	if !ours {
		w.WriteMsg(s.forward.exchange(q, w.RemoteAddr().Network()))
		return
	}
	m := new(dns.Msg).SetReply(q)
	m.Authoritative, m.RecursionAvailable = true, true
	m.Answer = s.follow(q, answer.Records, w.RemoteAddr().Network())
	if answer.NoName {
		m.Rcode = dns.RcodeNameError
	}
	if len(answer.Records) == 0 {
		m.Ns = []dns.RR{s.zone.SOA()}
	}
	for _, rr := range m.Answer {
		// The client's spelling comes back, as resolvers that randomise case expect.
		if strings.EqualFold(rr.Header().Name, q.Question[0].Name) {
			rr.Header().Name = q.Question[0].Name
		}
	}
	if w.RemoteAddr().Network() == "udp" {
		size := dns.MinMsgSize
		if o := q.IsEdns0(); o != nil {
			size = max(size, int(o.UDPSize()))
		}
		m.Truncate(size)
	}
	w.WriteMsg(m)
}
