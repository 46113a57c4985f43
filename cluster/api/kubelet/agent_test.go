package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/exec"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
	"github.com/seed38700745/pkg/cluster/pki"
)

// fixed is a read-only world of objects.
type fixed struct {
	object.Verbs // nil: the other verbs are not used
	all          map[object.Resource][]object.Object
}

func (f fixed) Get(_ context.Context, r object.Resource, k object.Key) (object.Object, error) {
	for _, o := range f.all[r] {
		if object.KeyOf(o) == k {
			return o, nil
		}
	}
	return nil, apierrors.NewNotFound(r, k.Name)
}

func (f fixed) List(_ context.Context, r object.Resource, o object.ListOptions) (*object.List, error) {
	return &object.List{Items: f.all[r]}, nil
}

// agent is a node's HTTPS API with containers in memory, built on the library
// that the real agent uses.
type agent struct {
	t     *testing.T
	ended chan struct{} // one value a command whose client went away
	query sync.Map      // path -> the last query
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.query.Store(r.URL.Path, r.URL.RawQuery)
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch parts[0] {
	case "containerLogs":
		a.log(w, r)
	case "exec", "attach":
		o, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		serve := remotecommand.ServeAttach
		if parts[0] == "exec" {
			remotecommand.ServeExec(w, r, a, parts[2], "", parts[3], r.URL.Query()["command"], o, time.Minute, time.Minute, remotecommand.SupportedStreamingProtocols)
			return
		}
		serve(w, r, a, parts[2], "", parts[3], o, time.Minute, time.Minute, remotecommand.SupportedStreamingProtocols)
	case "portForward":
		portforward.ServePortForward(w, r, a, parts[2], "", &portforward.V4Options{}, time.Minute, time.Minute, portforward.SupportedProtocols)
	default:
		fmt.Fprintf(w, "agent %s %s?%s", r.Method, r.URL.Path, r.URL.RawQuery)
	}
}

// log writes "one", waits for the client to have asked for follow, and ends.
func (a *agent) log(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/waiting") {
		http.Error(w, `container "waiting" in pod "two" is waiting to start: ContainerCreating`, http.StatusBadRequest)
		return
	}
	io.WriteString(w, "one\n")
	if r.URL.Query().Get("follow") == "true" {
		http.NewResponseController(w).Flush()
		<-r.Context().Done() // until the client goes away
		a.ended <- struct{}{}
	}
}

// ExecInContainer knows a few commands: "cat" copies its input, "exit" ends
// with code 7, "size" prints the first terminal size, "hang" waits for the end.
func (a *agent) ExecInContainer(ctx context.Context, pod, _, container string, command []string, in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	switch command[0] {
	case "cat":
		if errOut != nil {
			fmt.Fprintf(errOut, "%s/%s %v", pod, container, command[1:])
		}
		_, err := io.Copy(out, in)
		return err
	case "exit":
		return exec.CodeExitError{Err: errors.New("exit status 7"), Code: 7}
	case "size":
		size := <-resize
		fmt.Fprintf(out, "%dx%d tty=%v", size.Width, size.Height, tty)
		return nil
	case "hang":
		fmt.Fprint(out, "here")
		io.Copy(io.Discard, in)
		a.ended <- struct{}{}
		return nil
	}
	return fmt.Errorf("%s: not found", command[0])
}

// AttachContainer greets, then echoes.
func (a *agent) AttachContainer(_ context.Context, pod, _, container string, in io.Reader, out, _ io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize) error {
	fmt.Fprintf(out, "attached to %s/%s: ", pod, container)
	if in != nil {
		io.Copy(out, in)
	}
	return nil
}

// PortForward answers as port 80 of the pod; nothing listens on others.
func (a *agent) PortForward(_ context.Context, pod, _ string, port int32, stream io.ReadWriteCloser) error {
	if port != 80 {
		return fmt.Errorf("nothing listens on %d", port)
	}
	line := make([]byte, 4)
	if _, err := io.ReadFull(stream, line); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stream, "%s says %s", pod, line)
	return err
}

// setup starts an agent for node n1 and an API with the streaming
// subresources, and returns the API's server.
func setup(t *testing.T) (*agent, *httptest.Server) {
	t.Helper()
	p, err := pki.Open(t.TempDir(), pki.Options{NodeName: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{t: t, ended: make(chan struct{}, 8)}
	dial := serveAgent(t, a, p)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/page" {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, `<a href="/next">next</a>`)
			return
		}
		fmt.Fprintf(w, "pod %s %s?%s auth=%q", r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("Authorization"))
	}))
	t.Cleanup(backend.Close)

	s := New(Config{Verbs: world(), TLS: p.KubeletClient(),
		Dial: func(ctx context.Context, name string) (net.Conn, error) {
			if name != "n1" {
				return nil, fmt.Errorf("no route")
			}
			return dial(ctx)
		},
		DialPod: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "10.42.0.5:8080" {
				return nil, fmt.Errorf("dial %s", address)
			}
			return (&net.Dialer{}).DialContext(ctx, network, backend.Listener.Addr().String())
		},
	})
	t.Cleanup(s.Close)
	api := httptest.NewServer(apiHandler(s))
	t.Cleanup(api.Close)
	return a, api
}

// serveAgent serves a until the test ends, and returns how to reach it.
func serveAgent(t *testing.T, a *agent, p *pki.PKI) func(context.Context) (net.Conn, error) {
	t.Helper()
	node := httptest.NewUnstartedServer(a)
	node.TLS = p.KubeletServer()
	node.StartTLS()
	t.Cleanup(node.Close)
	return func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", node.Listener.Addr().String())
	}
}

// apiHandler routes /api/v1/[namespaces/NS/]RESOURCE/NAME/SUBRESOURCE[/PATH].
func apiHandler(s *Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/api/v1/"), "/", 6)
		t := Target{}
		if parts[0] == "namespaces" {
			t.Namespace, parts = parts[1], parts[2:]
		}
		t.Resource, t.Name, t.Subresource = parts[0], parts[1], parts[2]
		if _, path, ok := strings.Cut(r.URL.Path, "/"+parts[1]+"/proxy"); ok {
			t.Path = path
		}
		if err := s.Serve(w, r, t); err != nil {
			status := apierrors.NewInternalError(err).Status()
			var api apierrors.APIStatus
			if errors.As(err, &api) {
				status = api.Status()
			}
			http.Error(w, status.Message, int(status.Code))
		}
	})
}

func world() fixed {
	pod := func(name, node string, containers ...string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)}, Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{PodIP: "10.42.0.5"}}
		for _, c := range containers {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: c, Ports: []corev1.ContainerPort{{ContainerPort: 8080}}})
		}
		return p
	}
	two := pod("two", "n1", "app", "waiting")
	two.Spec.InitContainers = []corev1.Container{{Name: "prepare"}}
	loop := pod("loop", "n1", "c")
	loop.Status.PodIP = "127.0.0.1"
	port, name, ready, unready := int32(8080), "http", true, false
	return fixed{all: map[object.Resource][]object.Object{
		builtin.Pods.Resource:  {pod("one", "n1", "c"), two, pod("pending", "", "c"), pod("far", "n2", "c"), loop},
		builtin.Nodes.Resource: {&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}},
		builtin.Services.Resource: {&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
			Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "idle", Port: 81}}}}},
		builtin.EndpointSlices.Resource: {&discoveryv1.EndpointSlice{Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
			Endpoints: []discoveryv1.Endpoint{
				{Addresses: []string{"10.42.0.9"}, Conditions: discoveryv1.EndpointConditions{Ready: &unready}},
				{Addresses: []string{"10.42.0.5"}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}}}},
	}}
}
