package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// A packet must be accepted by every base chain of its hook: an accept in our
// table does not help against a drop in another one. So where another program
// (Docker, ufw, firewalld, an administrator) filters forwarded or incoming
// packets, rules of ours are put in front of its own, for the pod range only.

// acceptPods adds these rules where they are missing.
func (n *Network) acceptPods() error {
	conn, err := dial()
	if err != nil {
		return err
	}
	chains, err := foreignChains(conn, n.config.ID)
	if err != nil {
		return err
	}
	for _, c := range chains {
		rules, err := conn.GetRules(c.Table, c)
		if err != nil {
			return err
		}
		if filters(c, rules) && !hasOurs(rules, n.config.ID) {
			for _, exprs := range n.accepts(c) {
				conn.InsertRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: exprs,
					UserData: userdata.AppendString(nil, userdata.TypeComment, tableName(n.config.ID))})
			}
			n.config.Logger.Info("the host's firewall filters packets: pods are let through", "table", c.Table.Name, "chain", c.Name)
		}
	}
	return errors.Join(conn.Flush(), legacyAccept(n.config.ID, n.config.PodCIDR))
}

// removeAccepts removes the rules of a cluster from all foreign chains.
func removeAccepts(id string) error {
	conn, err := dial()
	if err != nil {
		return err
	}
	chains, err := foreignChains(conn, id)
	if err != nil {
		return err
	}
	for _, c := range chains {
		rules, err := conn.GetRules(c.Table, c)
		if err != nil {
			return err
		}
		for _, r := range rules {
			if ours(r, id) {
				if err := conn.DelRule(r); err != nil {
					return err
				}
			}
		}
	}
	return errors.Join(conn.Flush(), legacyRemove(id))
}

// foreignChains lists the filter chains of other tables that see IPv4 packets
// on their way to or from pods.
func foreignChains(conn *nftables.Conn, id string) ([]*nftables.Chain, error) {
	all, err := conn.ListChains()
	if err != nil {
		return nil, fmt.Errorf("list chains: %w", err)
	}
	var found []*nftables.Chain
	for _, c := range all {
		if c.Hooknum == nil || c.Type != nftables.ChainTypeFilter || strings.HasPrefix(c.Table.Name, "pkg-") {
			continue
		}
		if f := c.Table.Family; f != nftables.TableFamilyIPv4 && f != nftables.TableFamilyINet {
			continue
		}
		if h := *c.Hooknum; h == *nftables.ChainHookForward || h == *nftables.ChainHookInput {
			found = append(found, c)
		}
	}
	return found, nil
}

// filters tells whether a chain may drop something.
func filters(c *nftables.Chain, rules []*nftables.Rule) bool {
	return len(rules) > 0 || c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
}

func hasOurs(rules []*nftables.Rule, id string) bool {
	for _, r := range rules {
		if ours(r, id) {
			return true
		}
	}
	return false
}

func ours(r *nftables.Rule, id string) bool {
	comment, ok := userdata.GetString(r.UserData, userdata.TypeComment)
	return ok && comment == tableName(id)
}

// accepts are the rules for a chain: forwarded packets from and to pods, and
// pods' packets to the API and DNS on this host.
func (n *Network) accepts(c *nftables.Chain) [][]expr.Any {
	var family []expr.Any
	if c.Table.Family == nftables.TableFamilyINet {
		family = []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: unix.NFT_REG_1}, equals(unix.NFT_REG_1, []byte{unix.NFPROTO_IPV4})}
	}
	accept := func(parts ...[]expr.Any) []expr.Any {
		all := append([]expr.Any{}, family...)
		for _, p := range parts {
			all = append(all, p...)
		}
		return append(all, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept})
	}
	pods := n.config.PodCIDR
	if *c.Hooknum == *nftables.ChainHookForward {
		return [][]expr.Any{accept(sourceIn(pods, true)), accept(destinationIn(pods, true))}
	}
	return [][]expr.Any{
		accept(sourceIn(pods, true), destinationIs(n.gateway)),
		accept(sourceIn(pods, true), destinationIs(n.config.DNS)),
	}
}

// Where the kernel's older iptables is in use beside nftables, its chains are
// not visible above; the program iptables-legacy changes them.

// legacyFilter tells whether the old filter table is in use in this namespace.
func legacyFilter() (string, bool) {
	data, err := os.ReadFile("/proc/net/ip_tables_names")
	if err != nil || !strings.Contains(string(data), "filter") {
		return "", false
	}
	path, err := exec.LookPath("iptables-legacy")
	return path, err == nil
}

func legacyRules(id string, pods netip.Prefix) [][]string {
	mark := []string{"-m", "comment", "--comment", tableName(id), "-j", "ACCEPT"}
	return [][]string{
		append([]string{"FORWARD", "-s", pods.String()}, mark...),
		append([]string{"FORWARD", "-d", pods.String()}, mark...),
	}
}

func legacyAccept(id string, pods netip.Prefix) error {
	path, ok := legacyFilter()
	if !ok {
		return nil
	}
	for _, rule := range legacyRules(id, pods) {
		if exec.Command(path, append([]string{"-w", "-C"}, rule...)...).Run() == nil {
			continue
		}
		if out, err := exec.Command(path, append([]string{"-w", "-I"}, rule...)...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", path, err, out)
		}
	}
	return nil
}

// legacyRemove deletes every rule that bears the cluster's mark.
func legacyRemove(id string) error {
	path, ok := legacyFilter()
	if !ok {
		return nil
	}
	out, err := exec.Command(path, "-w", "-S", "FORWARD").Output()
	if err != nil {
		return fmt.Errorf("%s -S FORWARD: %w", path, err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "-A" || !strings.Contains(line, tableName(id)) {
			continue
		}
		fields[0] = "-D"
		if out, err := exec.Command(path, append([]string{"-w"}, fields...)...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", path, err, out)
		}
	}
	return nil
}
