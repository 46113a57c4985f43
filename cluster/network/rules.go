package network

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"syscall"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// masqueradeMark marks packets whose source must become the host's.
const masqueradeMark = 0x4000

// Registers of 4 bytes, for keys of several fields.
const (
	reg0 = unix.NFT_REG32_00
	reg1 = unix.NFT_REG32_01
	reg2 = unix.NFT_REG32_02
)

// apply replaces the table with what the present state wants.
func (n *Network) apply() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.applyLocked()
}

// applyLocked does nothing while rules of an earlier process are in place and
// the proxy does not know the Services yet: those rules are the better ones.
func (n *Network) applyLocked() error {
	if n.inherited {
		return nil
	}
	err := n.replaceTable(true)
	if errors.Is(err, syscall.EBUSY) {
		// Kernels before 6.5 do not always let chains that are in use be replaced one by one.
		err = n.replaceTable(false)
	}
	return err
}

func (n *Network) replaceTable(keepAffinity bool) error {
	b, err := newBatch(n, keepAffinity)
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	if err := b.build(n.ports, n.hostPorts()); err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	if err := b.conn.Flush(); err != nil {
		return fmt.Errorf("nftables: replace table %s: %w", tableName(n.config.ID), err)
	}
	return nil
}

// socketBuffer holds the kernel's answers to one transaction: it answers every
// rule and chain of it, a kilobyte each, before the first answer is read. The
// system's own limit is enough for Services with some fifty endpoints.
const socketBuffer = 64 << 20

// dial returns a connection for transactions of any size.
func dial() (*nftables.Conn, error) {
	return nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetReadBuffer(socketBuffer), c.SetWriteBuffer(socketBuffer))
	}))
}

// deleteTable removes the table of a cluster if it is there.
func deleteTable(id string) error {
	conn, err := dial()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	t := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName(id)})
	conn.DelTable(t)
	if err := conn.Flush(); err != nil && !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("nftables: delete table %s: %w", tableName(id), err)
	}
	return nil
}

// batch collects one atomic replacement of the table.
type batch struct {
	conn  *nftables.Conn
	table *nftables.Table
	net   *Network

	services  *nftables.Set   // address . protocol . port -> chain
	nodePorts *nftables.Set   // protocol . port -> chain
	empty     *nftables.Set   // address . protocol . port without endpoints
	remain    map[string]bool // affinity sets that stay as they are
}

func newBatch(n *Network, keepAffinity bool) (*batch, error) {
	conn, err := dial()
	if err != nil {
		return nil, err
	}
	t := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName(n.config.ID)}
	b := &batch{conn: conn, net: n, remain: map[string]bool{}}
	b.table = conn.AddTable(t) // so that deleting it cannot fail
	if keepAffinity {
		if err := b.emptyTable(affinitySets(n.ports)); err != nil {
			return nil, err
		}
	}
	if len(b.remain) == 0 {
		conn.DelTable(t)
		b.table = conn.AddTable(t)
	}
	return b, nil
}

// emptyTable deletes everything in the table but the sets named in keep, if
// there are any of them: they hold which client belongs to which endpoint.
func (b *batch) emptyTable(keep map[string]bool) error {
	if len(keep) == 0 {
		return nil
	}
	sets, err := b.conn.GetSets(b.table)
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list sets: %w", err)
	}
	for _, s := range sets {
		if keep[s.Name] {
			b.remain[s.Name] = true
		}
	}
	if len(b.remain) == 0 {
		return nil
	}
	chains, err := b.conn.ListChainsOfTableFamily(b.table.Family)
	if err != nil {
		return fmt.Errorf("list chains: %w", err)
	}
	b.conn.FlushTable(b.table)
	for _, s := range sets {
		if !s.Anonymous && !b.remain[s.Name] {
			b.conn.DelSet(s)
		}
	}
	for _, c := range chains {
		if c.Table.Name == b.table.Name {
			b.conn.DelChain(c)
		}
	}
	return nil
}

func (b *batch) build(ports []ServicePort, hosts []hostPort) error {
	if err := b.addSets(); err != nil {
		return err
	}
	dispatch := b.conn.AddChain(&nftables.Chain{Name: "services", Table: b.table})
	var services, nodePorts, empty []nftables.SetElement
	for _, p := range ports {
		if len(p.Endpoints) == 0 {
			for _, ip := range append([]netip.Addr{p.IP}, p.addresses()...) {
				empty = append(empty, nftables.SetElement{Key: serviceKey(ip, p.Protocol, p.Port)})
			}
			continue
		}
		chains, err := b.servicePort(p)
		if err != nil {
			return err
		}
		services = append(services, nftables.SetElement{Key: serviceKey(p.IP, p.Protocol, p.Port), VerdictData: jump(chains.internal)})
		for _, ip := range p.External {
			services = append(services, nftables.SetElement{Key: serviceKey(ip, p.Protocol, p.Port), VerdictData: jump(chains.external)})
		}
		for _, ip := range p.Balancer {
			services = append(services, nftables.SetElement{Key: serviceKey(ip, p.Protocol, p.Port), VerdictData: jump(chains.balancer)})
		}
		if p.NodePort != 0 {
			nodePorts = append(nodePorts, nftables.SetElement{Key: portKey(p.Protocol, p.NodePort), VerdictData: jump(chains.external)})
		}
	}
	services, empty = once(services), once(empty)
	for _, h := range hosts {
		b.hostPort(dispatch, h)
	}
	b.dispatch(dispatch)
	b.baseChains(dispatch)
	for set, elements := range map[*nftables.Set][]nftables.SetElement{b.services: services, b.nodePorts: nodePorts, b.empty: empty} {
		if len(elements) == 0 {
			continue
		}
		if err := b.conn.SetAddElements(set, elements); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) addSets() error {
	service := nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	port := nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService)
	b.services = &nftables.Set{Table: b.table, Name: "services", KeyType: service, IsMap: true, DataType: nftables.TypeVerdict, Concatenation: true}
	b.nodePorts = &nftables.Set{Table: b.table, Name: "nodeports", KeyType: port, IsMap: true, DataType: nftables.TypeVerdict, Concatenation: true}
	b.empty = &nftables.Set{Table: b.table, Name: "empty", KeyType: service, Concatenation: true}
	for _, s := range []*nftables.Set{b.services, b.nodePorts, b.empty} {
		if err := b.conn.AddSet(s, nil); err != nil {
			return err
		}
	}
	return nil
}

// serviceKey is address . protocol . port, each padded to 4 bytes.
func serviceKey(ip netip.Addr, protocol uint8, port uint16) []byte {
	return append(ip.AsSlice(), portKey(protocol, port)...)
}

func portKey(protocol uint8, port uint16) []byte {
	return []byte{protocol, 0, 0, 0, byte(port >> 8), byte(port), 0, 0}
}

func jump(chain string) *expr.Verdict { return &expr.Verdict{Kind: expr.VerdictGoto, Chain: chain} }

// chainName is stable for a name and short enough for nftables.
func chainName(kind, name string) string {
	h := fnv.New64a()
	h.Write([]byte(name))
	return fmt.Sprintf("%s-%016x", kind, h.Sum64())
}

// hostPort sends a port of the host to a pod.
func (b *batch) hostPort(dispatch *nftables.Chain, h hostPort) {
	protocol, ok := protocols[h.Protocol]
	if !ok {
		return
	}
	destination := localDestination()
	if ip, err := netip.ParseAddr(h.HostIP); err == nil && !ip.IsUnspecified() {
		destination = destinationIs(ip)
	}
	b.rule(dispatch, destination, protocolIs(protocol), portIs(uint16(h.HostPort)), fromOutside(b.net.config.PodCIDR), markMasquerade())
	b.rule(dispatch, destination, protocolIs(protocol), portIs(uint16(h.HostPort)),
		destinationNAT(netip.AddrPortFrom(h.ip, uint16(h.ContainerPort))))
}

// dispatch sends packets for Services to their chains.
func (b *batch) dispatch(c *nftables.Chain) {
	b.rule(c, loadAddressProtocolPort(), []expr.Any{
		&expr.Lookup{SourceRegister: reg0, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetName: b.services.Name, SetID: b.services.ID},
	})
	b.rule(c, localDestination(), loadProtocolPort(), []expr.Any{
		&expr.Lookup{SourceRegister: reg0, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetName: b.nodePorts.Name, SetID: b.nodePorts.ID},
	})
}

// baseChains hooks everything into the packets' way.
func (b *batch) baseChains(dispatch *nftables.Chain) {
	nat := func(name string, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
		return b.conn.AddChain(&nftables.Chain{Name: name, Table: b.table, Type: nftables.ChainTypeNAT, Hooknum: hook, Priority: priority})
	}
	filter := func(name string, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
		return b.conn.AddChain(&nftables.Chain{Name: name, Table: b.table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: priority})
	}
	for _, c := range []*nftables.Chain{
		nat("prerouting", nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest),
		nat("output", nftables.ChainHookOutput, nftables.ChainPriorityNATDest),
	} {
		b.rule(c, []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: dispatch.Name}})
	}
	post := nat("postrouting", nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	b.rule(post, markedMasquerade(), []expr.Any{&expr.Masq{}})
	// Pods that talk to the world outside borrow the host's address.
	b.rule(post, sourceIn(b.net.config.PodCIDR, true), destinationIn(b.net.config.PodCIDR, false),
		destinationIn(b.net.config.ServiceCIDR, false), []expr.Any{&expr.Masq{}})

	// route_localnet on the pods' links must not open 127.0.0.0/8 to pods.
	raw := filter("guard", nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	b.rule(raw, inputLinkBegins(linkPrefix(b.net.config.ID)+"-"), destinationIn(netip.MustParsePrefix("127.0.0.0/8"), true),
		[]expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}})

	// Services without endpoints refuse at once.
	refuse := []expr.Any{
		&expr.Lookup{SourceRegister: reg0, SetName: b.empty.Name, SetID: b.empty.ID},
		&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: icmpPortUnreachable},
	}
	for _, c := range []*nftables.Chain{
		filter("forward", nftables.ChainHookForward, nftables.ChainPriorityFilter),
		filter("refuse-input", nftables.ChainHookInput, nftables.ChainPriorityFilter),
		filter("refuse-output", nftables.ChainHookOutput, nftables.ChainPriorityFilter),
	} {
		b.rule(c, loadAddressProtocolPort(), refuse)
	}
}

const icmpPortUnreachable = 3

func (b *batch) rule(c *nftables.Chain, parts ...[]expr.Any) {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	b.conn.AddRule(&nftables.Rule{Table: b.table, Chain: c, Exprs: all})
}

// tableExists tells whether a cluster's table is in place.
func tableExists(id string) bool {
	conn, err := dial()
	if err != nil {
		return false
	}
	_, err = conn.ListTableOfFamily(tableName(id), nftables.TableFamilyIPv4)
	return err == nil
}
