package network

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// ServicePort is one port of one Service, as the rules need it.
type ServicePort struct {
	Name      string     // "namespace/service:port", for the names of chains
	IP        netip.Addr // the ClusterIP
	Protocol  uint8      // unix.IPPROTO_TCP, _UDP or _SCTP
	Port      uint16
	NodePort  uint16       // 0: none
	External  []netip.Addr // externalIPs
	Balancer  []netip.Addr // addresses of the load balancer
	Endpoints []netip.AddrPort

	// Ranges are who may use the load balancer's addresses; empty: everybody.
	Ranges []netip.Prefix
	// InternalLocal and ExternalLocal: only endpoints on this node serve the
	// ClusterIP, or what comes from outside, whose source is then kept.
	InternalLocal, ExternalLocal bool
	// Affinity is how long a client that came last stays with its endpoint.
	Affinity time.Duration
}

func samePort(a, b ServicePort) bool {
	return a.Name == b.Name && a.IP == b.IP && a.Protocol == b.Protocol && a.Port == b.Port && a.NodePort == b.NodePort &&
		a.InternalLocal == b.InternalLocal && a.ExternalLocal == b.ExternalLocal && a.Affinity == b.Affinity &&
		slices.Equal(a.External, b.External) && slices.Equal(a.Balancer, b.Balancer) &&
		slices.Equal(a.Ranges, b.Ranges) && slices.Equal(a.Endpoints, b.Endpoints)
}

// addresses are those besides the ClusterIP.
func (p ServicePort) addresses() []netip.Addr { return slices.Concat(p.External, p.Balancer) }

// affinitySets names the sets that remember clients.
func affinitySets(ports []ServicePort) map[string]bool {
	names := map[string]bool{}
	for _, p := range ports {
		if p.Affinity == 0 {
			continue
		}
		for _, e := range p.Endpoints {
			names[p.affinitySet(e)] = true
		}
	}
	return names
}

// affinitySet names the set of an endpoint's clients. Another timeout makes
// another set.
func (p ServicePort) affinitySet(e netip.AddrPort) string {
	return chainName("aff", fmt.Sprintf("%s/%s/%s", p.Name, e, p.Affinity))
}

// once drops the elements whose key came before: two Services may claim the
// same external address and port, and the first keeps it.
func once(all []nftables.SetElement) []nftables.SetElement {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(e nftables.SetElement) bool {
		again := seen[string(e.Key)]
		seen[string(e.Key)] = true
		return again
	})
}

// portChains are where packets for a Service's port go, by the address they
// were sent to.
type portChains struct {
	internal string // the ClusterIP
	external string // node port, externalIPs
	balancer string // the load balancer's addresses
}

// servicePort adds the chains of one port:
//
//	lb-  (if some sources may not)  -> ext- or drop
//	ext- masquerade, or (Local) only what comes from pods and this host -> svc-
//	svc- choose among all endpoints -> ep-
//	loc- (if some policy is Local) choose among those on this node -> ep-
//	ep-  remember the client, rewrite the destination
func (b *batch) servicePort(p ServicePort) (portChains, error) {
	for _, e := range p.Endpoints {
		if err := b.endpoint(p, e); err != nil {
			return portChains{}, err
		}
	}
	all, local := chainName("svc", p.Name), chainName("loc", p.Name)
	choose := b.chain(all)
	// Sources outside the pod network get the host's address, so that the
	// answer finds its way back through it.
	b.rule(choose, fromOutside(b.net.config.PodCIDR), markMasquerade())
	if err := b.choose(choose, p, p.Endpoints); err != nil {
		return portChains{}, err
	}
	if p.InternalLocal || p.ExternalLocal {
		here := slices.DeleteFunc(slices.Clone(p.Endpoints), func(e netip.AddrPort) bool { return !b.net.isLocal(e.Addr()) })
		if err := b.choose(b.chain(local), p, here); err != nil {
			return portChains{}, err
		}
	}
	chains := portChains{internal: all}
	if p.InternalLocal {
		chains.internal = local
	}
	if p.NodePort == 0 && len(p.addresses()) == 0 {
		return chains, nil
	}
	chains.external = chainName("ext", p.Name)
	external := b.chain(chains.external)
	if p.ExternalLocal {
		b.rule(external, sourceIn(b.net.config.PodCIDR, true), []expr.Any{jump(all)})
		b.rule(external, localSource(), []expr.Any{jump(all)})
		b.rule(external, []expr.Any{jump(local)})
	} else {
		b.rule(external, markMasquerade(), []expr.Any{jump(all)})
	}
	chains.balancer = chains.external
	if len(p.Ranges) > 0 {
		chains.balancer = chainName("lb", p.Name)
		guard := b.chain(chains.balancer)
		for _, r := range p.Ranges {
			b.rule(guard, sourceIn(r, true), []expr.Any{jump(chains.external)})
		}
		b.rule(guard, localSource(), []expr.Any{jump(chains.external)})
		b.rule(guard, []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}})
	}
	return chains, nil
}

func (b *batch) chain(name string) *nftables.Chain {
	return b.conn.AddChain(&nftables.Chain{Name: name, Table: b.table})
}

func endpointChain(p ServicePort, e netip.AddrPort) string {
	return chainName("ep", p.Name+"/"+e.String())
}

// endpoint adds the chain that sends packets to one endpoint.
func (b *batch) endpoint(p ServicePort, e netip.AddrPort) error {
	chain := b.chain(endpointChain(p, e))
	b.rule(chain, sourceIs(e.Addr()), markMasquerade()) // a pod that reaches itself
	if p.Affinity > 0 {
		name := p.affinitySet(e)
		if !b.remain[name] {
			clients := &nftables.Set{Table: b.table, Name: name, KeyType: nftables.TypeIPAddr, Dynamic: true, HasTimeout: true,
				Timeout: p.Affinity, Size: affinityMost}
			if err := b.conn.AddSet(clients, nil); err != nil {
				return err
			}
		}
		b.rule(chain, []expr.Any{loadAddress(offsetSource, unix.NFT_REG_1),
			&expr.Dynset{SrcRegKey: unix.NFT_REG_1, SetName: name, Operation: uint32(unix.NFT_DYNSET_OP_UPDATE), Timeout: p.Affinity}})
	}
	b.rule(chain, protocolIs(p.Protocol), destinationNAT(e))
	return nil
}

// affinityMost is how many clients one endpoint's set remembers.
const affinityMost = 65535

// choose adds the rules that send a packet to one of some endpoints: the one
// that its client had before, else any. Without endpoints it is dropped.
func (b *batch) choose(c *nftables.Chain, p ServicePort, among []netip.AddrPort) error {
	if len(among) == 0 {
		b.rule(c, []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}})
		return nil
	}
	elements := make([]nftables.SetElement, len(among))
	for i, e := range among {
		name := endpointChain(p, e)
		if p.Affinity > 0 {
			b.rule(c, []expr.Any{loadAddress(offsetSource, unix.NFT_REG_1),
				&expr.Lookup{SourceRegister: unix.NFT_REG_1, SetName: p.affinitySet(e)}, jump(name)})
		}
		index := binary.NativeEndian.AppendUint32(nil, uint32(i))
		elements[i] = nftables.SetElement{Key: index, VerdictData: jump(name)}
	}
	random := &nftables.Set{Table: b.table, Anonymous: true, Constant: true, IsMap: true,
		KeyType: nftables.TypeInteger, DataType: nftables.TypeVerdict}
	if err := b.conn.AddSet(random, elements); err != nil {
		return err
	}
	b.rule(c, []expr.Any{
		&expr.Numgen{Register: unix.NFT_REG_1, Modulus: uint32(len(elements)), Type: unix.NFT_NG_RANDOM},
		&expr.Lookup{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetID: random.ID, SetName: random.Name},
	})
	return nil
}

// isLocal tells whether an endpoint is on this node: a pod, or the node itself.
func (n *Network) isLocal(a netip.Addr) bool {
	return n.config.PodCIDR.Contains(a) || a == n.nodeIP
}
