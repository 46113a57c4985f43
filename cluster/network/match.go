package network

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The parts of rules. Each returns the expressions for one condition or action;
// offsets are those of the IPv4 and transport headers.

const (
	offsetSource      = 12
	offsetDestination = 16
	offsetPort        = 2 // destination port, in TCP, UDP and SCTP alike
)

// protocols are Kubernetes' names for the transport protocols.
var protocols = map[string]uint8{"": unix.IPPROTO_TCP, "TCP": unix.IPPROTO_TCP, "UDP": unix.IPPROTO_UDP, "SCTP": unix.IPPROTO_SCTP}

func loadAddress(offset, register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4}
}

func loadPort(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: offsetPort, Len: 2}
}

func loadProtocol(register uint32) expr.Any {
	return &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register}
}

// loadAddressProtocolPort fills the key of the set services.
func loadAddressProtocolPort() []expr.Any {
	return []expr.Any{loadAddress(offsetDestination, reg0), loadProtocol(reg1), loadPort(reg2)}
}

// loadProtocolPort fills the key of the set nodeports.
func loadProtocolPort() []expr.Any {
	return []expr.Any{loadProtocol(reg0), loadPort(reg1)}
}

func equals(register uint32, data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: data}
}

func sourceIs(a netip.Addr) []expr.Any {
	return []expr.Any{loadAddress(offsetSource, unix.NFT_REG_1), equals(unix.NFT_REG_1, a.AsSlice())}
}

func destinationIs(a netip.Addr) []expr.Any {
	return []expr.Any{loadAddress(offsetDestination, unix.NFT_REG_1), equals(unix.NFT_REG_1, a.AsSlice())}
}

func protocolIs(p uint8) []expr.Any {
	return []expr.Any{loadProtocol(unix.NFT_REG_1), equals(unix.NFT_REG_1, []byte{p})}
}

func portIs(p uint16) []expr.Any {
	return []expr.Any{loadPort(unix.NFT_REG_1), equals(unix.NFT_REG_1, binary.BigEndian.AppendUint16(nil, p))}
}

// inPrefix compares the address at offset with a range.
func inPrefix(offset uint32, p netip.Prefix, inside bool) []expr.Any {
	op := expr.CmpOpEq
	if !inside {
		op = expr.CmpOpNeq
	}
	mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-p.Bits()))
	return []expr.Any{
		loadAddress(offset, unix.NFT_REG_1),
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: op, Register: unix.NFT_REG_1, Data: p.Masked().Addr().AsSlice()},
	}
}

func sourceIn(p netip.Prefix, inside bool) []expr.Any { return inPrefix(offsetSource, p, inside) }

func destinationIn(p netip.Prefix, inside bool) []expr.Any {
	return inPrefix(offsetDestination, p, inside)
}

// fromOutside is true for sources outside of the pod network.
func fromOutside(pods netip.Prefix) []expr.Any { return sourceIn(pods, false) }

// localDestination is true for addresses of this host.
func localDestination() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: unix.NFT_REG_1, ResultADDRTYPE: true, FlagDADDR: true},
		equals(unix.NFT_REG_1, binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)),
	}
}

// inputLinkBegins matches the beginning of the name of the link a packet came
// in by.
func inputLinkBegins(prefix string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: unix.NFT_REG_1},
		equals(unix.NFT_REG_1, []byte(prefix)),
	}
}

// markMasquerade sets the mark, keeping other bits.
func markMasquerade() []expr.Any {
	keep := binary.NativeEndian.AppendUint32(nil, ^uint32(masqueradeMark))
	set := binary.NativeEndian.AppendUint32(nil, masqueradeMark)
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: unix.NFT_REG_1},
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 4, Mask: keep, Xor: set},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: unix.NFT_REG_1},
	}
}

// markedMasquerade is true where markMasquerade was.
func markedMasquerade() []expr.Any {
	mark := binary.NativeEndian.AppendUint32(nil, masqueradeMark)
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: unix.NFT_REG_1},
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 4, Mask: mask32(masqueradeMark), Xor: make([]byte, 4)},
		equals(unix.NFT_REG_1, mark),
	}
}

func mask32(m uint32) []byte { return binary.NativeEndian.AppendUint32(nil, m) }

// destinationNAT sends the packet to an endpoint.
func destinationNAT(e netip.AddrPort) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: unix.NFT_REG_1, Data: e.Addr().AsSlice()},
		&expr.Immediate{Register: unix.NFT_REG_2, Data: binary.BigEndian.AppendUint16(nil, e.Port())},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: unix.NFT_REG_1, RegProtoMin: unix.NFT_REG_2, Specified: true},
	}
}

// localSource is true for packets that this host itself sent.
func localSource() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: unix.NFT_REG_1, ResultADDRTYPE: true, FlagSADDR: true},
		equals(unix.NFT_REG_1, binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)),
	}
}
