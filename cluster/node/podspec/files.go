package podspec

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// HostsFile returns the pod's /etc/hosts. hostFile is the host's own, used
// with hostNetwork.
func HostsFile(pod *corev1.Pod, clusterDomain string, ips []string, hostFile string) string {
	var b strings.Builder
	if pod.Spec.HostNetwork {
		b.WriteString("# Kubernetes-managed hosts file (host network).\n")
		b.WriteString(hostFile)
	} else {
		b.WriteString("# Kubernetes-managed hosts file.\n" +
			"127.0.0.1\tlocalhost\n" +
			"::1\tlocalhost ip6-localhost ip6-loopback\n" +
			"fe00::0\tip6-localnet\n" +
			"fe00::0\tip6-mcastprefix\n" +
			"fe00::1\tip6-allnodes\n" +
			"fe00::2\tip6-allrouters\n")
		name, fqdn := Hostname(pod, clusterDomain)
		for _, ip := range ips {
			b.WriteString(ip + "\t")
			if fqdn != "" {
				b.WriteString(fqdn + "\t")
			}
			b.WriteString(name + "\n")
		}
	}
	if len(pod.Spec.HostAliases) > 0 {
		b.WriteString("\n# Entries added by HostAliases.\n")
		for _, a := range pod.Spec.HostAliases {
			b.WriteString(a.IP + "\t" + strings.Join(a.Hostnames, "\t") + "\n")
		}
	}
	return b.String()
}

// Limits of the resolver as Kubernetes enforces them.
const (
	maxNameservers = 3
	maxSearch      = 32
)

// Resolver is what stands in a resolv.conf.
type Resolver struct {
	Nameservers, Search, Options []string
}

// ParseResolver reads a resolv.conf.
func ParseResolver(text string) Resolver {
	var r Resolver
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			r.Nameservers = append(r.Nameservers, f[1])
		case "search", "domain":
			r.Search = nil
			for _, s := range f[1:] {
				if s != "." {
					r.Search = append(r.Search, strings.TrimSuffix(s, "."))
				}
			}
		case "options":
			r.Options = f[1:]
		}
	}
	return r
}

// PodResolver returns the pod's resolv.conf by its dnsPolicy and dnsConfig.
func PodResolver(pod *corev1.Pod, server, domain string, host Resolver) Resolver {
	policy := pod.Spec.DNSPolicy
	if policy == corev1.DNSClusterFirst && pod.Spec.HostNetwork {
		policy = corev1.DNSDefault
	}
	var r Resolver
	switch {
	case policy == corev1.DNSNone:
	case policy == corev1.DNSDefault || server == "":
		r = Resolver{slices.Clone(host.Nameservers), slices.Clone(host.Search), slices.Clone(host.Options)}
	default:
		r.Nameservers = []string{server}
		r.Search = append([]string{pod.Namespace + ".svc." + domain, "svc." + domain, domain}, host.Search...)
		r.Options = []string{"ndots:5"}
	}
	if c := pod.Spec.DNSConfig; c != nil {
		r.Nameservers = append(r.Nameservers, c.Nameservers...)
		r.Search = append(r.Search, c.Searches...)
		for _, o := range c.Options {
			r.setOption(o)
		}
	}
	r.Nameservers, r.Search = unique(r.Nameservers, maxNameservers), unique(r.Search, maxSearch)
	return r
}

// setOption adds an option or replaces the one of the same name.
func (r *Resolver) setOption(o corev1.PodDNSConfigOption) {
	text := o.Name
	if o.Value != nil {
		text += ":" + *o.Value
	}
	for i, old := range r.Options {
		if name, _, _ := strings.Cut(old, ":"); name == o.Name {
			r.Options[i] = text
			return
		}
	}
	r.Options = append(r.Options, text)
}

// String returns the text of the file.
func (r Resolver) String() string {
	var b strings.Builder
	if len(r.Search) > 0 {
		b.WriteString("search " + strings.Join(r.Search, " ") + "\n")
	}
	for _, n := range r.Nameservers {
		b.WriteString("nameserver " + n + "\n")
	}
	if len(r.Options) > 0 {
		b.WriteString("options " + strings.Join(r.Options, " ") + "\n")
	}
	return b.String()
}

// unique drops repetitions and all beyond the first n.
func unique(in []string, n int) []string {
	var out []string
	for _, s := range in {
		if !slices.Contains(out, s) && len(out) < n {
			out = append(out, s)
		}
	}
	return out
}
