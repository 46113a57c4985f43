// Package alloc hands out what Services need once in the cluster: cluster
// addresses and node ports. It keeps in memory what the stored Services use;
// a reservation is made before a Service is written, and given back when the
// write fails or when the Service ends or needs it no more. So two writes at
// once never get the same address.
package alloc

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

// Ports is a range of ports, both ends included.
type Ports struct{ First, Last int32 }

// defaultPorts is Kubernetes' --service-node-port-range.
var defaultPorts = Ports{30000, 32767}

// Services knows all addresses and node ports in use. It is safe for
// concurrent use.
type Services struct {
	cidr  netip.Prefix
	ports Ports

	mu        sync.Mutex
	addresses map[netip.Addr]object.Key // who has it
	nodePorts map[nodePort]object.Key
}

type nodePort struct {
	protocol corev1.Protocol
	port     int32
}

// New returns Services without any in use. An invalid prefix means that no
// addresses are handed out.
func New(cidr netip.Prefix, ports Ports) *Services {
	if ports == (Ports{}) {
		ports = defaultPorts
	}
	return &Services{cidr: cidr.Masked(), ports: ports, addresses: map[netip.Addr]object.Key{}, nodePorts: map[nodePort]object.Key{}}
}

// Load takes over what the stored Services use.
func (s *Services) Load(view store.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	view.Ascend(object.Resource{Resource: "services"}, "", object.Key{}, func(o object.Object) bool {
		svc, ok := o.(*corev1.Service)
		if !ok {
			return true
		}
		for _, a := range addresses(svc) {
			s.addresses[a] = object.KeyOf(svc)
		}
		for _, p := range nodePorts(svc) {
			s.nodePorts[p] = object.KeyOf(svc)
		}
		return true
	})
}

// Allocate completes svc, which replaces old (nil when it is new), with its
// addresses, families and node ports. release gives back what svc got now.
func (s *Services) Allocate(svc, old *corev1.Service) (release func(), errs field.ErrorList) {
	carryOver(svc, old)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &taking{services: s, key: object.KeyOf(svc)}
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return func() {}, nil
	}
	errs = t.address(svc, old)
	errs = append(errs, t.ports(svc)...)
	if len(errs) > 0 {
		t.undoLocked()
		return nil, errs
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		t.undoLocked()
	}, nil
}

// Release gives back what old has and now (nil: it is deleted) has not.
func (s *Services) Release(old, now *corev1.Service) {
	keepAddr, keepPort := map[netip.Addr]bool{}, map[nodePort]bool{}
	if now != nil {
		for _, a := range addresses(now) {
			keepAddr[a] = true
		}
		for _, p := range nodePorts(now) {
			keepPort[p] = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := object.KeyOf(old)
	for _, a := range addresses(old) {
		if !keepAddr[a] && s.addresses[a] == key {
			delete(s.addresses, a)
		}
	}
	for _, p := range nodePorts(old) {
		if !keepPort[p] && s.nodePorts[p] == key {
			delete(s.nodePorts, p)
		}
	}
}

// taking is one Allocate at work: what it took so far.
type taking struct {
	services  *Services
	key       object.Key
	addresses []netip.Addr
	nodePorts []nodePort
}

func (t *taking) undoLocked() {
	for _, a := range t.addresses {
		delete(t.services.addresses, a)
	}
	for _, p := range t.nodePorts {
		delete(t.services.nodePorts, p)
	}
	t.addresses, t.nodePorts = nil, nil
}

// takeAddress reserves a; it tells whether the Service has it now.
func (t *taking) takeAddress(a netip.Addr) bool {
	owner, used := t.services.addresses[a]
	if used {
		return owner == t.key
	}
	t.services.addresses[a] = t.key
	t.addresses = append(t.addresses, a)
	return true
}

func (t *taking) takePort(p nodePort) bool {
	owner, used := t.services.nodePorts[p]
	if used {
		return owner == t.key
	}
	t.services.nodePorts[p] = t.key
	t.nodePorts = append(t.nodePorts, p)
	return true
}

// address gives svc its cluster address and the fields that follow from it.
func (t *taking) address(svc, old *corev1.Service) field.ErrorList {
	spec, path := &svc.Spec, field.NewPath("spec", "clusterIPs")
	if spec.ClusterIP == "" && len(spec.ClusterIPs) > 0 {
		spec.ClusterIP = spec.ClusterIPs[0]
	}
	if old != nil && old.Spec.ClusterIP != "" && old.Spec.Type != corev1.ServiceTypeExternalName && spec.ClusterIP != old.Spec.ClusterIP {
		return field.ErrorList{field.Invalid(path.Index(0), spec.ClusterIP, "may not change once set")}
	}
	if spec.ClusterIP != corev1.ClusterIPNone && t.services.cidr.IsValid() {
		if spec.ClusterIP != "" {
			if err := t.given(spec.ClusterIP, path.Index(0)); err != nil {
				return field.ErrorList{err}
			}
		} else {
			a, ok := t.freeAddress()
			if !ok {
				return field.ErrorList{field.InternalError(path, fmt.Errorf("failed to allocate a serviceIP: range %s is full", t.services.cidr))}
			}
			spec.ClusterIP = a.String()
		}
	}
	if spec.ClusterIP == "" {
		return nil
	}
	if len(spec.ClusterIPs) > 1 {
		return field.ErrorList{field.Invalid(path, spec.ClusterIPs, "may only hold up to 1 value: this cluster has one family of addresses")}
	}
	spec.ClusterIPs = []string{spec.ClusterIP}
	return t.families(spec)
}

func (t *taking) families(spec *corev1.ServiceSpec) field.ErrorList {
	family := corev1.IPv4Protocol
	if t.services.cidr.IsValid() && t.services.cidr.Addr().Is6() {
		family = corev1.IPv6Protocol
	}
	single := corev1.IPFamilyPolicySingleStack
	if spec.IPFamilyPolicy == nil {
		spec.IPFamilyPolicy = &single
	}
	if *spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "ipFamilyPolicy"), *spec.IPFamilyPolicy, "this cluster is not configured for dual-stack services")}
	}
	headlessWithout := spec.ClusterIP == corev1.ClusterIPNone && len(spec.Selector) == 0
	for i, f := range spec.IPFamilies {
		if f != family && !headlessWithout {
			return field.ErrorList{field.Invalid(field.NewPath("spec", "ipFamilies").Index(i), f, "not configured on this cluster")}
		}
	}
	if len(spec.IPFamilies) == 0 {
		spec.IPFamilies = []corev1.IPFamily{family}
	}
	return nil
}

// given reserves an address that the user chose.
func (t *taking) given(ip string, path *field.Path) *field.Error {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return field.Invalid(path, ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
	}
	if !t.services.cidr.Contains(a) {
		return field.Invalid(path, ip, fmt.Sprintf("failed to allocate IP %s: the provided IP (%s) is not in the valid range. The range of valid IPs is %s", ip, ip, t.services.cidr))
	}
	if !t.takeAddress(a) {
		return field.Invalid(path, ip, fmt.Sprintf("failed to allocate IP %s: provided IP is already allocated", ip))
	}
	return nil
}

// kubernetesService always has the first address of the range.
var kubernetesService = object.Key{Namespace: "default", Name: "kubernetes"}

// freeAddress reserves an address: the first one of the range for the Service
// kubernetes, else one from a random place on, leaving out the network's and
// (IPv4) broadcast addresses and the first 16, which users may ask for.
func (t *taking) freeAddress() (netip.Addr, bool) {
	first := t.services.cidr.Addr().Next()
	if t.key == kubernetesService {
		return first, t.takeAddress(first)
	}
	hostBits := t.services.cidr.Addr().BitLen() - t.services.cidr.Bits()
	size := uint64(1) << min(hostBits, 20) // more are never needed
	if size < 4 {
		return netip.Addr{}, false
	}
	low, high := uint64(2), size-2 // both included
	start := low
	if size > 64 {
		start = 16
	}
	offset := rand.Uint64N(high - start + 1)
	for i := range high - low + 1 {
		n := start + (offset+i)%(high-start+1)
		if i > high-start { // the dynamic band is full: the rest
			n = low + (i - (high - start) - 1)
		}
		a := add(t.services.cidr.Addr(), n)
		if _, used := t.services.addresses[a]; !used {
			return a, t.takeAddress(a)
		}
	}
	return netip.Addr{}, false
}

// add returns the n-th address after a.
func add(a netip.Addr, n uint64) netip.Addr {
	if a.Is4() {
		b := a.As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(n))
		return netip.AddrFrom4(b)
	}
	b := a.As16()
	binary.BigEndian.PutUint64(b[8:], binary.BigEndian.Uint64(b[8:])+n)
	return netip.AddrFrom16(b)
}

// ports gives svc the node ports that its type needs.
func (t *taking) ports(svc *corev1.Service) (errs field.ErrorList) {
	if !wantsNodePorts(svc) {
		return nil
	}
	path := field.NewPath("spec", "ports")
	for i := range svc.Spec.Ports {
		p := &svc.Spec.Ports[i]
		if p.NodePort == 0 {
			continue
		}
		at := path.Index(i).Child("nodePort")
		if r := t.services.ports; p.NodePort < r.First || p.NodePort > r.Last {
			errs = append(errs, field.Invalid(at, p.NodePort, fmt.Sprintf("provided port is not in the valid range. The range of valid ports is %d-%d", r.First, r.Last)))
		} else if !t.takePort(nodePort{p.Protocol, p.NodePort}) {
			errs = append(errs, field.Invalid(at, p.NodePort, "provided port is already allocated"))
		}
	}
	if len(errs) > 0 {
		return errs
	}
	byPort := map[int32]int32{} // one port over TCP and UDP gets one node port
	for i := range svc.Spec.Ports {
		p := &svc.Spec.Ports[i]
		if p.NodePort == 0 {
			if n := byPort[p.Port]; n != 0 && t.takePort(nodePort{p.Protocol, n}) {
				p.NodePort = n
			} else if p.NodePort = t.freePort(p.Protocol); p.NodePort == 0 {
				return append(errs, field.InternalError(path.Index(i).Child("nodePort"), fmt.Errorf("failed to allocate a nodePort: range is full")))
			}
		}
		byPort[p.Port] = p.NodePort
	}
	if wantsHealthPort(svc) {
		if h := svc.Spec.HealthCheckNodePort; h == 0 {
			svc.Spec.HealthCheckNodePort = t.freePort(corev1.ProtocolTCP)
		} else if !t.takePort(nodePort{corev1.ProtocolTCP, h}) {
			errs = append(errs, field.Invalid(field.NewPath("spec", "healthCheckNodePort"), h, "provided port is already allocated"))
		}
	}
	return errs
}

// freePort reserves a port from a random place on; 0 if there is none.
func (t *taking) freePort(protocol corev1.Protocol) int32 {
	r := t.services.ports
	size := r.Last - r.First + 1
	offset := rand.Int32N(size)
	for i := range size {
		p := nodePort{protocol, r.First + (offset+i)%size}
		if _, used := t.services.nodePorts[p]; !used && t.takePort(p) {
			return p.port
		}
	}
	return 0
}
