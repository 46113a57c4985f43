// Package probe asks a container once whether it is well: by a command in it,
// HTTP, TCP or the gRPC health protocol, with the rules and messages of the
// kubelet. How often, and what follows, is the caller's.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Target is a running container.
type Target struct {
	IP    string // of the pod
	Ports []corev1.ContainerPort
	// Exec runs a command in the container and returns its exit code and the
	// beginning of its output.
	Exec func(ctx context.Context, args []string, timeout time.Duration) (code int, output string, err error)
}

// Prober holds the connections' settings; one serves all probes.
type Prober struct {
	http *http.Client
	grpc *http.Client
}

// New returns a Prober.
func New() *Prober { return &Prober{http: newHTTPClient(), grpc: newGRPCClient()} }

// Run probes once. The message says what failed, or what was answered.
func (p *Prober) Run(ctx context.Context, h corev1.ProbeHandler, t Target, timeout time.Duration) (ok bool, message string) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	switch {
	case h.Exec != nil:
		return runExec(ctx, h.Exec.Command, t, timeout)
	case h.HTTPGet != nil:
		return p.get(ctx, h.HTTPGet, t)
	case h.TCPSocket != nil:
		return dial(ctx, h.TCPSocket, t)
	case h.GRPC != nil:
		return p.check(ctx, h.GRPC, t)
	}
	return false, "missing probe handler"
}

func runExec(ctx context.Context, args []string, t Target, timeout time.Duration) (bool, string) {
	code, output, err := t.Exec(ctx, args, timeout)
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return false, fmt.Sprintf("command timed out: %q timed out after %v", strings.Join(args, " "), timeout)
	case err != nil:
		return false, err.Error()
	}
	return code == 0, output
}

func dial(ctx context.Context, a *corev1.TCPSocketAction, t Target) (bool, string) {
	address, err := t.address(a.Host, a.Port)
	if err != nil {
		return false, err.Error()
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return false, err.Error()
	}
	c.Close() // nothing was sent
	return true, ""
}

// address resolves a port, which may be a container port's name.
func (t Target) address(host string, port intstr.IntOrString) (string, error) {
	if host == "" {
		host = t.IP
	}
	n := port.IntValue()
	if port.Type == intstr.String {
		n = 0
		for _, p := range t.Ports {
			if p.Name == port.StrVal {
				n = int(p.ContainerPort)
			}
		}
		if n == 0 {
			var err error
			if n, err = strconv.Atoi(port.StrVal); err != nil {
				return "", fmt.Errorf("couldn't find port: %q", port.StrVal)
			}
		}
	}
	if n < 1 || n > 65535 {
		return "", fmt.Errorf("invalid port number: %d", n)
	}
	return net.JoinHostPort(host, strconv.Itoa(n)), nil
}
