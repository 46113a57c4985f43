// Package kubelet serves those requests of the API that are about running
// containers: pods/log, exec, attach, portforward and the proxies of pods,
// services and nodes. It finds the pod's node and forwards to the HTTPS API of
// that node's agent, whose paths are the real kubelet's
// (/containerLogs, /exec, /attach, /portForward).
//
// Clients stream over WebSocket or SPDY, agents over SPDY 3.1:
//
//	exec, attach   WebSocket v5.channel.k8s.io is translated to SPDY; older
//	               WebSocket protocols and SPDY pass through unchanged
//	portforward    SPDY tunnelled in a WebSocket is unwrapped; plain SPDY
//	               and the old WebSocket protocol pass through
//
// The package decides nothing about permissions: its caller has authenticated
// and authorized the request.
package kubelet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Dial connects to the HTTPS API of a node's agent.
type Dial func(ctx context.Context, node string) (net.Conn, error)

// Config is what a Server needs.
type Config struct {
	Verbs object.Verbs
	// Dial reaches agents: in memory on one machine, TCP to others.
	Dial Dial
	// TLS is the API server's client configuration towards agents. Their
	// certificates are checked against the node's name.
	TLS *tls.Config
	// DialPod reaches pods' addresses, for the proxies; nil means plain TCP.
	DialPod func(ctx context.Context, network, address string) (net.Conn, error)
}

// Server serves the requests. It is safe for concurrent use.
type Server struct {
	verbs object.Verbs
	nodes *http.Transport // to agents; the URL's host is the node's name
	pods  *http.Transport // to pods
}

// Limits of connections to agents and pods.
const (
	handshakeTimeout = 10 * time.Second
	idleTimeout      = 90 * time.Second
	idlePerHost      = 4
	dialTimeout      = 5 * time.Second
)

// New returns a Server. It keeps connections to agents open for reuse.
func New(c Config) *Server {
	if c.DialPod == nil {
		c.DialPod = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	return &Server{
		verbs: c.Verbs,
		nodes: &http.Transport{
			DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				node, _, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				return c.Dial(ctx, node)
			},
			TLSClientConfig:     c.TLS,
			TLSHandshakeTimeout: handshakeTimeout,
			IdleConnTimeout:     idleTimeout,
			MaxIdleConnsPerHost: idlePerHost,
			DisableCompression:  true,
		},
		pods: &http.Transport{
			DialContext: c.DialPod,
			// A pod that serves HTTPS does so with a certificate of its own,
			// which nobody here can check; Kubernetes does not either.
			TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
			TLSHandshakeTimeout: handshakeTimeout,
			IdleConnTimeout:     idleTimeout,
			MaxIdleConnsPerHost: idlePerHost,
			DisableCompression:  true,
		},
	}
}

// Close closes idle connections. Streams end with their requests.
func (s *Server) Close() {
	s.nodes.CloseIdleConnections()
	s.pods.CloseIdleConnections()
}

// Target is what a request is about.
type Target struct {
	Resource    string // "pods", "services" or "nodes"
	Namespace   string // empty for nodes
	Name        string // for proxies also "scheme:name:port"
	Subresource string // "log", "exec", "attach", "portforward" or "proxy"
	Path        string // what follows ".../proxy", with its slash; may be empty
}

// Serve answers a request. An error means that nothing was written yet: the
// caller reports it as a Status. w must support http.Hijacker (HTTP/1.1) for
// streams and http.Flusher for logs. Errors: NotFound, BadRequest, Invalid,
// ServiceUnavailable and Internal.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request, t Target) error {
	switch t.Resource + "/" + t.Subresource {
	case "pods/log":
		return s.log(w, r, t)
	case "pods/exec":
		return s.command(w, r, t, "exec")
	case "pods/attach":
		return s.command(w, r, t, "attach")
	case "pods/portforward":
		return s.portForward(w, r, t)
	case "pods/proxy":
		return s.proxyPod(w, r, t)
	case "services/proxy":
		return s.proxyService(w, r, t)
	case "nodes/proxy":
		return s.proxyNode(w, r, t)
	}
	return apierrors.NewGenericServerResponse(http.StatusNotFound, r.Method, builtin.Pods.Resource, t.Name, "no such subresource: "+t.Subresource, 0, true)
}

// Get asks a node's agent for a path, such as "/stats/summary". The caller
// closes the response's body.
func (s *Server) Get(ctx context.Context, node, path string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, nodeURL(node, path, nil).String(), nil)
	if err != nil {
		return nil, err
	}
	return s.nodes.RoundTrip(r)
}

// kubeletPort is where kubelets listen by default. In URLs it only completes
// the host: Dial knows where the agent is.
const kubeletPort = 10250

// nodeURL is the URL of a path of a node's agent. Dots are fine in node names,
// so a name is a valid host.
func nodeURL(node, path string, query url.Values) *url.URL {
	return &url.URL{Scheme: "https", Host: net.JoinHostPort(node, strconv.Itoa(kubeletPort)), Path: path, RawQuery: query.Encode()}
}

// unreachable is the error for a node's agent that does not answer.
func unreachable(node string, err error) error {
	var api apierrors.APIStatus
	if errors.As(err, &api) {
		return err
	}
	return apierrors.NewInternalError(fmt.Errorf("node %s: %w", node, err))
}

// TCP returns a Dial that finds agents by what their Node objects say: the
// internal address and status.daemonEndpoints.kubeletEndpoint.
func TCP(v object.Verbs) Dial {
	dialer := &net.Dialer{Timeout: dialTimeout}
	return func(ctx context.Context, name string) (net.Conn, error) {
		node, err := builtin.Nodes.Get(ctx, v, "", name)
		if err != nil {
			return nil, err
		}
		port := node.Status.DaemonEndpoints.KubeletEndpoint.Port
		if port == 0 {
			port = kubeletPort
		}
		for _, a := range node.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				return dialer.DialContext(ctx, "tcp", net.JoinHostPort(a.Address, strconv.Itoa(int(port))))
			}
		}
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("node %s has no internal address yet", name))
	}
}
