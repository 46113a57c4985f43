package kubelet

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"
)

const patience = 10 * time.Second

// executors are the ways in which clients run commands: what kubectl does
// first, and what it falls back to.
func executors(t *testing.T, api *httptest.Server, path string) map[string]remotecommand.Executor {
	t.Helper()
	config := &rest.Config{Host: api.URL}
	u, err := url.Parse(api.URL + "/api/v1/namespaces/default/pods/" + path)
	if err != nil {
		t.Fatal(err)
	}
	v5, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, u.String())
	if err != nil {
		t.Fatal(err)
	}
	v4, err := remotecommand.NewWebSocketExecutorForProtocols(config, http.MethodGet, u.String(), "v4.channel.k8s.io")
	if err != nil {
		t.Fatal(err)
	}
	s, err := remotecommand.NewSPDYExecutor(config, http.MethodPost, u)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]remotecommand.Executor{"v5": v5, "v4": v4, "spdy": s}
}

func TestExec(t *testing.T) {
	_, api := setup(t)
	big := strings.Repeat("0123456789abcdef", 1<<14) // more than any buffer on the way
	for name, e := range executors(t, api, "two/exec?container=app&command=cat&command=a+b&stdin=true&stdout=true&stderr=true") {
		if name == "v4" {
			continue // it cannot say that the input ends
		}
		var out, errOut bytes.Buffer
		err := e.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: strings.NewReader(big), Stdout: &out, Stderr: &errOut})
		if err != nil || out.String() != big || errOut.String() != "two/app [a b]" {
			t.Errorf("%s: %d bytes, stderr %q, %v", name, out.Len(), errOut.String(), err)
		}
	}
	for name, e := range executors(t, api, "one/exec?command=exit&stdout=true&stderr=true") {
		err := e.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard})
		var exit exec.CodeExitError
		if !errors.As(err, &exit) || exit.ExitStatus() != 7 {
			t.Errorf("%s: exit: %v", name, err)
		}
	}
	for name, e := range executors(t, api, "one/exec?command=no&stdout=true") {
		err := e.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: io.Discard})
		if err == nil || !strings.Contains(err.Error(), "no: not found") {
			t.Errorf("%s: unknown command: %v", name, err)
		}
	}
}

// oneSize is a terminal that never changes.
type oneSize chan remotecommand.TerminalSize

func (q oneSize) Next() *remotecommand.TerminalSize {
	s, ok := <-q
	if !ok {
		return nil
	}
	return &s
}

func TestExecTerminal(t *testing.T) {
	_, api := setup(t)
	for name, e := range executors(t, api, "one/exec?command=size&stdin=true&stdout=true&stderr=true&tty=true") {
		size := make(oneSize, 1)
		size <- remotecommand.TerminalSize{Width: 120, Height: 40}
		var out bytes.Buffer
		input, hold := io.Pipe()
		err := e.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: input, Stdout: &out, Tty: true, TerminalSizeQueue: size})
		hold.Close()
		close(size)
		if err != nil || out.String() != "120x40 tty=true" {
			t.Errorf("%s: %q, %v", name, out.String(), err)
		}
	}
}

func TestExecEndsWhenTheClientGoes(t *testing.T) {
	a, api := setup(t)
	for name, e := range executors(t, api, "one/exec?command=hang&stdin=true&stdout=true") {
		ctx, cancel := context.WithCancel(t.Context())
		input, hold := io.Pipe()
		output, write := io.Pipe()
		done := make(chan error, 1)
		go func() {
			done <- e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: input, Stdout: write})
		}()
		if _, err := io.ReadFull(output, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		cancel()
		select {
		case <-a.ended:
		case <-time.After(patience):
			t.Errorf("%s: the command goes on", name)
		}
		hold.Close()
		<-done
	}
}

func TestAttach(t *testing.T) {
	_, api := setup(t)
	for name, e := range executors(t, api, "one/attach?stdin=true&stdout=true") {
		if name == "v4" {
			continue // it cannot say that the input ends
		}
		var out bytes.Buffer
		err := e.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: strings.NewReader("hello"), Stdout: &out})
		if err != nil || out.String() != "attached to one/c: hello" {
			t.Errorf("%s: %q, %v", name, out.String(), err)
		}
	}
}

func TestPortForward(t *testing.T) {
	_, api := setup(t)
	config := &rest.Config{Host: api.URL}
	u, err := url.Parse(api.URL + "/api/v1/namespaces/default/pods/one/portforward")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := portforward.NewSPDYOverWebsocketDialerForStreaming(u, config)
	if err != nil {
		t.Fatal(err)
	}
	tripper, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		t.Fatal(err)
	}
	plain := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: tripper}, http.MethodPost, u)
	for name, dialer := range map[string]httpstream.Dialer{"websocket": socket, "spdy": plain} {
		stop, ready := make(chan struct{}), make(chan struct{})
		f, err := portforward.NewForStreaming(dialer, []string{":80"}, stop, ready, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- f.ForwardPorts() }()
		select {
		case <-ready:
		case err := <-done:
			t.Fatalf("%s: %v", name, err)
		}
		ports, err := f.GetPorts()
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // several connections over one session
			if got := talk(t, ports[0].Local); got != "one says ping" {
				t.Errorf("%s: %q", name, got)
			}
		}
		close(stop)
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func get(t *testing.T, api *httptest.Server, path string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL+"/api/v1/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer secret")
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(body))
}

func TestLog(t *testing.T) {
	a, api := setup(t)
	code, body := get(t, api, "namespaces/default/pods/one/log?previous=true&tailLines=5&timestamps=true&sinceTime=2026-01-02T03:04:05Z&limitBytes=10")
	if code != http.StatusOK || body != "one" {
		t.Errorf("%d %s", code, body)
	}
	sent, _ := a.query.Load("/containerLogs/default/one/c")
	if want := "limitBytes=10&previous=true&sinceTime=2026-01-02T03%3A04%3A05Z&tailLines=5&timestamps=true"; sent != want {
		t.Errorf("the agent was asked %v, want %s", sent, want)
	}
	if code, body := get(t, api, "namespaces/default/pods/pending/log"); code != http.StatusOK || body != "" {
		t.Errorf("pending: %d %s", code, body)
	}
}

func TestLogFollowsAtOnce(t *testing.T) {
	a, api := setup(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, api.URL+"/api/v1/namespaces/default/pods/one/log?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || line != "one\n" {
		t.Errorf("%q, %v", line, err)
	}
	resp.Body.Close()
	select {
	case <-a.ended:
	case <-ctx.Done():
		t.Error("the agent goes on following")
	}
}

func TestErrors(t *testing.T) {
	_, api := setup(t)
	tests := []struct {
		path, want string
		code       int
	}{
		{"pods/none/log", `pods "none" not found`, 404},
		{"pods/two/log", "a container name must be specified for pod two, choose one of: [app waiting] or one of the init containers: [prepare]", 400},
		{"pods/two/log?container=x", "container x is not valid for pod two", 400},
		{"pods/two/log?container=waiting", `container "waiting" in pod "two" is waiting to start: ContainerCreating`, 400},
		{"pods/far/log", "node n2: no route", 500},
		{"pods/one/log?tailLines=-1", "PodLogOptions \"one\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0", 422},
		{"pods/one/log?limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0", 422},
		{"pods/one/log?sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0", 422},
		{"pods/one/log?sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z", "at most one of `sinceTime` or `sinceSeconds` may be specified", 422},
		{"pods/one/log?tailLines=x", "parameter tailLines", 400},
		{"pods/one/log?stream=Both", `stream: Unsupported value: "Both"`, 422},
		{"pods/pending/exec?stdout=true&command=a", "pod pending does not have a host assigned", 400},
		{"pods/one/exec?command=a", "you must specify at least 1 of stdin, stdout, stderr", 400},
		{"pods/one/exec?stdout=true&command=a", "Upgrade request required", 400},
		{"pods/two/attach?stdout=true", "a container name must be specified", 400},
		{"pods/pending/portforward", "pod pending does not have a host assigned", 400},
		{"pods/one/portforward", "Upgrade request required", 400},
		{"pods/a:b:c:d/proxy/", `invalid pod request "a:b:c:d"`, 400},
		{"pods/one:1234/proxy/", "error trying to reach service: dial 10.42.0.5:1234", 503},
		{"pods/loop/proxy/", "address not allowed", 400},
		{"services/web:99/proxy/", `no service port "99" found for service "web"`, 503},
		{"services/web:idle/proxy/", `no endpoints available for service "web"`, 503},
		{"services/none/proxy/", `services "none" not found`, 404},
	}
	for _, test := range tests {
		code, body := get(t, api, "namespaces/default/"+test.path)
		if code != test.code || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d %s\nwant %d %s", test.path, code, body, test.code, test.want)
		}
	}
}

func TestProxies(t *testing.T) {
	_, api := setup(t)
	tests := []struct{ path, want string }{
		{"namespaces/default/pods/one/proxy/a/b?x=1", `pod GET /a/b?x=1 auth=""`},
		{"namespaces/default/pods/http:one:8080/proxy/", `pod GET /? auth=""`},
		{"namespaces/default/services/web:http/proxy/s", `pod GET /s? auth=""`},
		{"namespaces/default/services/web:80/proxy/s", `pod GET /s? auth=""`},
		{"nodes/n1/proxy/stats/summary?only=1", "agent GET /stats/summary?only=1"},
		{"namespaces/default/pods/one/proxy/page", `<a href="/api/v1/namespaces/default/pods/one/proxy/next">next</a>`},
	}
	for _, test := range tests {
		if code, body := get(t, api, test.path); code != http.StatusOK || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d %s, want %s", test.path, code, body, test.want)
		}
	}
	if code, _ := get(t, api, "namespaces/default/pods/one/proxy"); code != http.StatusMovedPermanently {
		t.Errorf("without slash: %d", code)
	}
}

func TestDefaultContainerAnnotation(t *testing.T) {
	p := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}, {Name: "b"}}}}
	p.Annotations = map[string]string{defaultContainer: "b"}
	if got, err := chooseContainer(p, ""); err != nil || got != "b" {
		t.Errorf("%q, %v", got, err)
	}
}

// talk says "ping" to a forwarded port and returns the answer.
func talk(t *testing.T, port uint16) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "ping"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}
