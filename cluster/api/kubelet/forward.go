package kubelet

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	protocol "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// forward passes a request on to another URL, upgraded connections included,
// and each piece of the answer as it comes. explain turns a failure to reach
// the other side into the error to report.
func forward(w http.ResponseWriter, r *http.Request, to *url.URL, via http.RoundTripper, explain func(error) error) error {
	var failed error
	p := &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL = to
			pr.Out.Host = to.Host
			pr.SetXForwarded()
			// Credentials for the API are nobody else's business.
			for name := range pr.Out.Header {
				if name == "Authorization" || strings.HasPrefix(name, "Impersonate-") {
					pr.Out.Header.Del(name)
				}
			}
		},
		Transport:     via,
		FlushInterval: -1,
		ErrorHandler:  func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
		ErrorLog:      log.New(io.Discard, "", 0), // what it would log are clients that go away
	}
	p.ServeHTTP(w, r)
	if failed != nil {
		return explain(failed)
	}
	return nil
}

// portForward serves pods/portforward.
func (s *Server) portForward(w http.ResponseWriter, r *http.Request, t Target) error {
	pod, err := s.findPod(r.Context(), t)
	if err != nil {
		return err
	}
	node, err := host(pod)
	if err != nil {
		return err
	}
	if !httpstream.IsUpgradeRequest(r) {
		return apierrors.NewBadRequest("Upgrade request required")
	}
	query := url.Values{}
	if ports := r.URL.Query()["ports"]; len(ports) > 0 { // the old WebSocket protocol names its ports here
		query["port"] = strings.Split(strings.Join(ports, ","), ",")
	}
	to := nodeURL(node, "/portForward/"+pod.Namespace+"/"+pod.Name, query)
	if wsstream.IsWebSocketRequestWithTunnelingProtocol(r) {
		return s.tunnel(w, r, pod, to)
	}
	return forward(w, r, to, s.nodes, func(err error) error { return unreachable(node, err) })
}

// tunnel connects a client that speaks SPDY inside a WebSocket with the
// agent's plain SPDY.
func (s *Server) tunnel(w http.ResponseWriter, r *http.Request, pod *corev1.Pod, to *url.URL) error {
	out, err := http.NewRequestWithContext(r.Context(), http.MethodPost, to.String(), nil)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	out.Header.Set(httpstream.HeaderConnection, httpstream.HeaderUpgrade)
	out.Header.Set(httpstream.HeaderUpgrade, spdy.HeaderSpdy31)
	for _, p := range websocket.Subprotocols(r) {
		if inner, ok := strings.CutPrefix(p, protocol.WebsocketsSPDYTunnelingPrefix); ok {
			out.Header.Add(httpstream.HeaderProtocolVersion, inner)
		}
	}
	resp, err := s.nodes.RoundTrip(out)
	if err != nil {
		return unreachable(pod.Spec.NodeName, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return agentError(resp, pod.Name)
	}
	agent, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		return unreachable(pod.Spec.NodeName, errors.New("the connection cannot be upgraded"))
	}
	upgrader := websocket.Upgrader{
		CheckOrigin:  func(*http.Request) bool { return true }, // credentials are not cookies
		Subprotocols: []string{protocol.WebsocketsSPDYTunnelingPrefix + resp.Header.Get(httpstream.HeaderProtocolVersion)},
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil // the WebSocket library has answered
	}
	client := portforward.NewTunnelingConnection("server", conn)
	defer client.Close()
	done := make(chan struct{}, 2)
	join := func(to io.Writer, from io.Reader) { // both end when either side is closed below
		io.Copy(to, from)
		done <- struct{}{}
	}
	go join(agent, client)
	go join(client, agent)
	<-done
	agent.Close()
	client.Close()
	<-done
	return nil
}
