package kubelet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/proxy"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

func (s *Server) findPod(ctx context.Context, t Target) (*corev1.Pod, error) {
	return builtin.Pods.Get(ctx, s.verbs, t.Namespace, t.Name)
}

// splitName takes "scheme:name:port", "name:port" or "name" apart.
func splitName(kind, s string) (scheme, name, port string, err error) {
	switch parts := strings.Split(s, ":"); {
	case len(parts) == 1:
		name = parts[0]
	case len(parts) == 2:
		name, port = parts[0], parts[1]
	case len(parts) == 3 && (parts[0] == "" || parts[0] == "http" || parts[0] == "https"):
		scheme, name, port = parts[0], parts[1], parts[2]
	default:
		return "", "", "", apierrors.NewBadRequest(fmt.Sprintf("invalid %s request %q", kind, s))
	}
	if scheme == "" {
		scheme = "http"
	}
	if name == "" {
		return "", "", "", apierrors.NewBadRequest(fmt.Sprintf("invalid %s request %q", kind, s))
	}
	return scheme, name, port, nil
}

// proxyPod serves pods/proxy: HTTP to a port of a pod, its first by default.
func (s *Server) proxyPod(w http.ResponseWriter, r *http.Request, t Target) error {
	scheme, name, port, err := splitName("pod", t.Name)
	if err != nil {
		return err
	}
	t.Name = name
	pod, err := s.findPod(r.Context(), t)
	if err != nil {
		return err
	}
	if port == "" {
		port = firstPort(pod)
	}
	if !reachable(pod.Status.PodIP) {
		return apierrors.NewBadRequest("address not allowed")
	}
	hostport := pod.Status.PodIP
	if port != "" {
		hostport = net.JoinHostPort(pod.Status.PodIP, port)
	}
	return s.proxy(w, r, t, scheme, hostport)
}

func firstPort(pod *corev1.Pod) string {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			return strconv.Itoa(int(p.ContainerPort))
		}
	}
	return ""
}

// reachable refuses addresses that would lead to this machine instead of a pod.
func reachable(address string) bool {
	ip := net.ParseIP(address)
	return ip != nil && !ip.IsUnspecified() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() && !ip.IsMulticast()
}

// proxyService serves services/proxy: HTTP to one of the service's ready
// endpoints, taken at random.
func (s *Server) proxyService(w http.ResponseWriter, r *http.Request, t Target) error {
	scheme, name, port, err := splitName("service", t.Name)
	if err != nil {
		return err
	}
	service, err := builtin.Services.Get(r.Context(), s.verbs, t.Namespace, name)
	if err != nil {
		return err
	}
	portName, err := servicePort(service, port)
	if err != nil {
		return err
	}
	slices, err := builtin.EndpointSlices.List(r.Context(), s.verbs, object.ListOptions{Namespace: t.Namespace,
		Labels: labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: name})})
	if err != nil {
		return err
	}
	ready := addresses(slices, portName)
	if len(ready) == 0 {
		return apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", name))
	}
	return s.proxy(w, r, t, scheme, ready[rand.IntN(len(ready))])
}

// servicePort returns the name of the port that a request means: by name, by
// number, or the only one.
func servicePort(service *corev1.Service, port string) (string, error) {
	if port == "" && len(service.Spec.Ports) == 1 {
		return service.Spec.Ports[0].Name, nil
	}
	for _, p := range service.Spec.Ports {
		if p.Name == port || strconv.Itoa(int(p.Port)) == port {
			return p.Name, nil
		}
	}
	return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %q found for service %q", port, service.Name))
}

// addresses lists "ip:port" of the ready endpoints of a named port.
func addresses(slices []*discoveryv1.EndpointSlice, port string) []string {
	var out []string
	for _, slice := range slices {
		for _, p := range slice.Ports {
			if p.Port == nil || p.Name != nil && *p.Name != port || p.Name == nil && port != "" {
				continue
			}
			for _, e := range slice.Endpoints {
				if (e.Conditions.Ready == nil || *e.Conditions.Ready) && len(e.Addresses) > 0 && reachable(e.Addresses[0]) {
					out = append(out, net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(*p.Port))))
				}
			}
		}
	}
	return out
}

// proxy forwards to an address. Links and redirects in the answer are changed
// to lead through the API again.
func (s *Server) proxy(w http.ResponseWriter, r *http.Request, t Target, scheme, hostport string) error {
	if redirected(w, r, t.Path) {
		return nil
	}
	to := &url.URL{Scheme: scheme, Host: hostport, Path: t.Path, RawQuery: r.URL.RawQuery}
	via := &proxy.Transport{PathPrepend: strings.TrimSuffix(r.URL.Path, t.Path), RoundTripper: s.pods}
	return forward(w, r, to, via, func(err error) error {
		return apierrors.NewServiceUnavailable(fmt.Sprintf("error trying to reach service: %v", err))
	})
}

// proxyNode serves nodes/proxy: any path of the agent.
func (s *Server) proxyNode(w http.ResponseWriter, r *http.Request, t Target) error {
	_, name, _, err := splitName("node", t.Name)
	if err != nil {
		return err
	}
	if _, err := builtin.Nodes.Get(r.Context(), s.verbs, "", name); err != nil {
		return err
	}
	if redirected(w, r, t.Path) {
		return nil
	}
	return forward(w, r, nodeURL(name, t.Path, r.URL.Query()), s.nodes, func(err error) error { return unreachable(name, err) })
}

// redirected sends a request for the root without its slash there, so that
// relative links work.
func redirected(w http.ResponseWriter, r *http.Request, path string) bool {
	if path != "" || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	location := r.URL.Path + "/"
	if r.URL.RawQuery != "" {
		location += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusMovedPermanently)
	return true
}
