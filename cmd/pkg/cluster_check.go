//go:build !front

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/seed38700745/pkg/cluster/host"
	"github.com/seed38700745/pkg/cluster/object"
)

func newClusterCheckCommand(a *app) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "look at what the cluster needs of this machine, and how it is",
		Long: `Look at what this machine's cluster needs of its host and at what commonly stands in its
way, before there is a cluster or while one runs. ✓ is fine, ! works but is worth a look,
✗ keeps a cluster from running; an arrow leads to what can be done.

Exit codes: 0 nothing fails, 1 something does.`,
		Example: "  sudo pkg cluster check\n  pkg cluster check -o json",
		Args:    a.argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.localCluster()
			if err != nil {
				return err
			}
			return l.check(cmd.Context(), a, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

// The ranges and the port that the first cluster of a machine takes (package instance).
const (
	firstPods     = "10.42.0.0/16"
	firstServices = "10.142.0.0/16"
	firstPort     = 6443
)

func (l *localCluster) check(ctx context.Context, a *app, output string) error {
	if output != "table" && output != "json" {
		return usagef("unknown output format %q: table or json", output)
	}
	record, err := l.record()
	if err != nil {
		return err
	}
	pid, err := l.running()
	if err != nil {
		return err
	}
	s := host.Subject{Home: l.home, PodCIDR: netip.MustParsePrefix(firstPods), ServiceCIDR: netip.MustParsePrefix(firstServices),
		APIPort: firstPort, Running: pid != 0, Env: l.proxied(a.Env)}
	if record != nil {
		s.ID, s.PodCIDR, s.ServiceCIDR, s.APIPort = record.ID, record.PodCIDR, record.ServiceCIDR, record.APIPort
	}
	all := host.Survey(ctx, s)
	switch {
	case record == nil:
		all = append(all, host.Finding{Name: "cluster", Grade: host.OK, Detail: "none yet in " + l.home, Remedy: "pkg cluster start"})
	case pid == 0:
		all = append(all, host.Finding{Name: "cluster", Grade: host.OK, Detail: "stopped, in " + l.home, Remedy: "pkg cluster start"})
	default:
		all = append(all, l.checkRunning(ctx, a, pid)...)
	}
	if err := printFindings(a, all, output); err != nil {
		return err
	}
	for _, f := range all {
		if f.Grade == host.Failed {
			return &exitError{code: exitFailed}
		}
	}
	return nil
}

func printFindings(a *app, all []host.Finding, output string) error {
	if output == "json" {
		e := json.NewEncoder(a.Out)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	paint := painter{on: a.colored("auto")}
	width, bad := 0, map[host.Grade]int{}
	for _, f := range all {
		width = max(width, len(f.Name))
		bad[f.Grade]++
	}
	for _, f := range all {
		mark := paint.green("✓")
		switch f.Grade {
		case host.Warning:
			mark = paint.paint("33", "!")
		case host.Failed:
			mark = paint.red("✗")
		}
		if _, err := fmt.Fprintf(a.Out, "%s %-*s  %s\n", mark, width, f.Name, f.Detail); err != nil {
			return err
		}
		if f.Remedy != "" {
			if _, err := fmt.Fprintf(a.Out, "  %s  -> %s\n", strings.Repeat(" ", width), f.Remedy); err != nil {
				return err
			}
		}
	}
	text := fmt.Sprintf("%d checks: ", len(all))
	switch {
	case bad[host.Failed] > 0:
		text += fmt.Sprintf("%d failed, %d worth a look", bad[host.Failed], bad[host.Warning])
	case bad[host.Warning] > 0:
		text += fmt.Sprintf("nothing fails, %d worth a look", bad[host.Warning])
	default:
		text += "all is well"
	}
	_, err := fmt.Fprintln(a.Out, text)
	return err
}

// checkTimeout bounds the questions to a running cluster.
const checkTimeout = 10 * time.Second

// checkRunning asks a running cluster how it is.
func (l *localCluster) checkRunning(ctx context.Context, a *app, pid int) []host.Finding {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	daemon := host.Finding{Name: "cluster", Grade: host.OK, Detail: fmt.Sprintf("running in %s (pid %d)", l.home, pid)}
	if group := l.group(); group != "" {
		daemon.Detail += ", shared with group " + group
	}
	local := &target{local: l, name: "this machine's cluster in " + l.home}
	local.config.Path = l.kubeconfig()
	c, err := a.connectTo(local)
	if err != nil {
		daemon.Grade, daemon.Detail = host.Warning, daemon.Detail+"; not asked: "+err.Error()
		return []host.Finding{daemon}
	}
	if err := c.Ready(ctx); err != nil {
		daemon.Grade, daemon.Detail, daemon.Remedy = host.Failed, fmt.Sprintf("pkgd (pid %d) does not answer as it should: %v", pid, err), "pkg cluster logs; pkg cluster stop; pkg cluster start"
		return []host.Finding{daemon}
	}
	return append([]host.Finding{daemon, l.checkCertificate(ctx)}, checkNodes(ctx, c)...)
}

// soonExpired is how long before its end a certificate is worth a look.
const soonExpired = 30 * 24 * time.Hour

// checkCertificate looks at what the API shows; pkgd renews its certificates when it
// starts.
func (l *localCluster) checkCertificate(ctx context.Context) host.Finding {
	f := host.Finding{Name: "certificate", Grade: host.OK}
	record, err := l.record()
	if err != nil || record == nil {
		return host.Finding{Name: f.Name, Grade: host.Warning, Detail: fmt.Sprintf("not looked at: %v", err)}
	}
	// Only the dates are read, and nothing is sent: whose it is has been checked before.
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(record.APIPort))
	if err != nil {
		return host.Finding{Name: f.Name, Grade: host.Warning, Detail: err.Error()}
	}
	defer conn.Close()
	secure, ok := conn.(*tls.Conn)
	if !ok || len(secure.ConnectionState().PeerCertificates) == 0 {
		return host.Finding{Name: f.Name, Grade: host.Warning, Detail: "the API shows none"}
	}
	end := secure.ConnectionState().PeerCertificates[0].NotAfter
	f.Detail = "the API's is valid until " + end.Local().Format(time.DateOnly)
	if left := time.Until(end); left < soonExpired {
		f.Grade, f.Remedy = host.Warning, "pkg cluster stop; pkg cluster start: it is renewed, pods keep running"
		if left < 0 {
			f.Grade = host.Failed
		}
	}
	return f
}

// checkNodes reads the nodes' conditions.
func checkNodes(ctx context.Context, c *connection) []host.Finding {
	list, err := c.List(ctx, object.Resource{Resource: "nodes"}, object.ListOptions{})
	if err != nil {
		return []host.Finding{{Name: "nodes", Grade: host.Warning, Detail: err.Error()}}
	}
	var out []host.Finding
	for _, o := range list.Items {
		u, ok := o.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		f := host.Finding{Name: "node", Grade: host.OK, Detail: u.GetName() + " is Ready"}
		conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
		for _, e := range conditions {
			condition, ok := e.(map[string]any)
			if !ok {
				continue
			}
			kind, status := fmt.Sprint(condition["type"]), fmt.Sprint(condition["status"])
			if good := kind == "Ready"; good == (status == "True") {
				continue
			}
			f.Grade, f.Detail = host.Warning, fmt.Sprintf("%s: %s is %s: %v", u.GetName(), kind, status, condition["message"])
			f.Remedy = "pkg kubectl describe node " + u.GetName()
			if kind == "Ready" {
				f.Grade = host.Failed
				break
			}
		}
		out = append(out, f)
	}
	return out
}
