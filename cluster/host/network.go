package host

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

func checkForwarding(s Subject) Finding {
	f := Finding{Name: "forwarding", Grade: OK, Detail: "net.ipv4.ip_forward is on"}
	if strings.TrimSpace(read("/proc/sys/net/ipv4/ip_forward")) == "1" {
		return f
	}
	f.Detail = "net.ipv4.ip_forward is off; the cluster turns it on while it is there"
	if s.Running {
		f.Grade, f.Detail, f.Remedy = Failed, "net.ipv4.ip_forward was turned off: pods reach nothing", "sysctl net.ipv4.ip_forward=1; something else on this machine sets it"
	}
	return f
}

// toolTimeout bounds every program and name lookup.
const toolTimeout = 3 * time.Second

// checkFirewall looks for base chains of others that drop what is forwarded or
// comes in from pods.
func checkFirewall(ctx context.Context, s Subject) Finding {
	f := Finding{Name: "firewall", Grade: OK, Detail: "no rules of others drop packets by default"}
	var managers []string
	for name, there := range map[string]bool{
		"firewalld": read("/run/firewalld.pid") != "", "ufw": strings.Contains(read("/etc/ufw/ufw.conf"), "ENABLED=yes"),
	} {
		if there {
			managers = append(managers, name)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "nft", "-j", "list", "chains").Output()
	if err != nil {
		f.Detail = "not looked at: nft cannot be asked"
		if len(managers) > 0 {
			f.Grade, f.Detail, f.Remedy = Warning, strings.Join(managers, " and ")+" is on", openFirewall(s)
		}
		return f
	}
	drops, err := droppingChains(out)
	if err != nil {
		f.Grade, f.Detail = Warning, "nft: "+err.Error()
		return f
	}
	if len(drops) > 0 {
		f.Grade, f.Detail, f.Remedy = Warning, strings.Join(append(managers, drops...), ", ")+": drops what no rule accepts", openFirewall(s)
	} else if len(managers) > 0 {
		f.Detail = strings.Join(managers, " and ") + " is on, and drops nothing by default"
	}
	return f
}

func openFirewall(s Subject) string {
	return fmt.Sprintf("accept traffic from and to %s and %s, such as: nft insert rule TABLE CHAIN ip saddr %[1]s accept, and ip daddr", s.PodCIDR, s.ServiceCIDR)
}

// droppingChains lists base chains of others with policy drop at the input and
// forward hooks, from `nft -j list chains`.
func droppingChains(output []byte) ([]string, error) {
	var all struct {
		Items []struct {
			Chain *struct{ Family, Table, Name, Hook, Policy string }
		} `json:"nftables"`
	}
	if err := json.Unmarshal(output, &all); err != nil {
		return nil, err
	}
	var out []string
	for _, i := range all.Items {
		c := i.Chain
		if c == nil || c.Policy != "drop" || c.Hook != "input" && c.Hook != "forward" || strings.HasPrefix(c.Table, "pkg-") {
			continue
		}
		out = append(out, fmt.Sprintf("chain %s of table %s %s", c.Name, c.Family, c.Table))
	}
	return out, nil
}

// checkRanges compares the cluster's ranges with the host's routes.
func checkRanges(s Subject) Finding {
	f := Finding{Name: "address ranges", Grade: OK, Detail: fmt.Sprintf("pods %s, services %s: no route overlaps", s.PodCIDR, s.ServiceCIDR)}
	for _, r := range parseRoutes(read("/proc/net/route")) {
		if s.ID != "" && strings.HasPrefix(r.link, "p"+s.ID) {
			continue // the cluster's own
		}
		for what, own := range map[string]netip.Prefix{"pods": s.PodCIDR, "services": s.ServiceCIDR} {
			if r.to.Bits() == 0 || !own.IsValid() || !own.Overlaps(r.to) {
				continue
			}
			f.Grade, f.Detail = Warning, fmt.Sprintf("the route to %s over %s%s overlaps the range of %s, %s", r.to, r.link, vpn(r.link), what, own)
			f.Remedy = "a new cluster takes the next free range by itself; an existing one keeps its own: pkg cluster delete and start again, or change that network"
			return f
		}
	}
	return f
}

func vpn(link string) string {
	for _, prefix := range []string{"tun", "tap", "wg", "ppp", "tailscale", "zt", "utun"} {
		if strings.HasPrefix(link, prefix) {
			return " (a VPN)"
		}
	}
	return ""
}

// route is one line of /proc/net/route.
type route struct {
	link string
	to   netip.Prefix
}

// parseRoutes reads /proc/net/route: interface, destination, gateway, flags,
// RefCnt, Use, Metric, mask ..., addresses as little-endian hex.
func parseRoutes(text string) []route {
	var out []route
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 8 {
			continue
		}
		to, err1 := parseHex(fields[1])
		mask, err2 := parseHex(fields[7])
		if err := errors.Join(err1, err2); err != nil {
			continue // the heading
		}
		bits, _ := net.IPMask(mask).Size()
		out = append(out, route{fields[0], netip.PrefixFrom(netip.AddrFrom4([4]byte(to)), bits)})
	}
	return out
}

func parseHex(s string) ([]byte, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 4 {
		return nil, fmt.Errorf("%q is no address", s)
	}
	return binary.BigEndian.AppendUint32(nil, binary.LittleEndian.Uint32(b)), nil
}

func checkPort(ctx context.Context, s Subject) Finding {
	f := Finding{Name: "API port", Grade: OK, Detail: fmt.Sprintf("%d is free", s.APIPort)}
	if s.Running {
		f.Detail = fmt.Sprintf("%d is the cluster's", s.APIPort)
		return f
	}
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.APIPort)))
	if err == nil {
		if err := l.Close(); err != nil {
			return Finding{Name: f.Name, Grade: Warning, Detail: err.Error()}
		}
		return f
	}
	f.Grade, f.Detail = Warning, fmt.Sprintf("%d is taken", s.APIPort)
	f.Remedy = "a new cluster takes the next free one; one that has it already needs it back: ss -ltnp says who has it"
	if s.ID != "" {
		f.Grade = Failed
	}
	return f
}

// knownName is asked for to see whether names are resolved.
const knownName = "deb.debian.org"

func checkNames(ctx context.Context) Finding {
	f := Finding{Name: "DNS", Grade: OK}
	var servers []string
	for line := range strings.Lines(read("/etc/resolv.conf")) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "nameserver" {
			servers = append(servers, fields[1])
		}
	}
	if len(servers) == 0 {
		return Finding{Name: f.Name, Grade: Warning, Detail: "/etc/resolv.conf names no server: pods resolve the cluster's names only", Remedy: "add a nameserver line"}
	}
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	begun := time.Now()
	if _, err := net.DefaultResolver.LookupHost(ctx, knownName); err != nil {
		f.Grade, f.Detail = Warning, fmt.Sprintf("%s does not resolve by %s", knownName, strings.Join(servers, ", "))
		f.Remedy = "without names no registry is reached; images from Debian packages need the archive, or the image cache"
		return f
	}
	f.Detail = fmt.Sprintf("%s answers (%s)", strings.Join(servers, ", "), time.Since(begun).Round(time.Millisecond))
	return f
}

func checkProxy(s Subject) Finding {
	f := Finding{Name: "proxy", Grade: OK, Detail: "none is set"}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		if value := s.Env(name); value != "" {
			f.Detail = name + " is set"
			if none := s.Env("NO_PROXY") + s.Env("no_proxy"); !strings.Contains(none, "127.0.0.1") && !strings.Contains(none, "localhost") {
				f.Grade, f.Remedy = Warning, "NO_PROXY should have 127.0.0.1,localhost,"+s.PodCIDR.String()+","+s.ServiceCIDR.String()
				f.Detail += ", and no exception for this machine: kubectl and helm would ask it for the cluster"
			}
			return f
		}
	}
	return f
}
