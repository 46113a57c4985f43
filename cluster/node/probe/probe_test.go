package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// serve starts a server on loopback and returns the target with its port,
// which is also named "web".
func serve(t *testing.T, h http.Handler, protocols func(*http.Protocols)) (Target, int32) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	if protocols != nil {
		s.Config.Protocols = new(http.Protocols)
		protocols(s.Config.Protocols)
	}
	s.Start()
	t.Cleanup(s.Close)
	port := int32(s.Listener.Addr().(*net.TCPAddr).Port)
	return Target{IP: "127.0.0.1", Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: port}}}, port
}

func get(path string) corev1.ProbeHandler {
	return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("web")}}
}

func TestHTTP(t *testing.T) {
	target, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			io.WriteString(w, r.Host+" "+r.Header.Get("X-A")+" "+r.UserAgent()+" "+r.URL.RawQuery)
		case "/bad":
			w.WriteHeader(503)
		case "/to":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/away":
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
		case "/slow":
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Second):
			}
		}
	}), nil)
	p := New()
	ok := get("/ok?q=1")
	ok.HTTPGet.HTTPHeaders = []corev1.HTTPHeader{{Name: "Host", Value: "other.example"}, {Name: "X-A", Value: "a"}}
	if well, message := p.Run(context.Background(), ok, target, time.Second); !well || message != "other.example a kube-probe/1.36 q=1" {
		t.Errorf("%v %q", well, message)
	}
	for path, want := range map[string]string{"/bad": "HTTP probe failed with statuscode: 503", "/slow": "deadline exceeded"} {
		if well, message := p.Run(context.Background(), get(path), target, 300*time.Millisecond); well || !strings.Contains(message, want) {
			t.Errorf("%s: %v %q", path, well, message)
		}
	}
	for _, path := range []string{"/to", "/away"} {
		if well, message := p.Run(context.Background(), get(path), target, time.Second); !well {
			t.Errorf("%s: %q", path, message)
		}
	}
	if well, message := p.Run(context.Background(), corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromString("none")}}, target, time.Second); well || message != `couldn't find port: "none"` {
		t.Errorf("%v %q", well, message)
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	h := corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt(port)}}
	if well, message := New().Run(context.Background(), h, Target{IP: "127.0.0.1"}, time.Second); !well {
		t.Error(message)
	}
	l.Close()
	if well, message := New().Run(context.Background(), h, Target{IP: "127.0.0.1"}, time.Second); well || !strings.Contains(message, "connection refused") {
		t.Errorf("%v %q", well, message)
	}
}

func TestExec(t *testing.T) {
	h := corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"a", "b"}}}
	for _, c := range []struct {
		code int
		err  error
		well bool
		want string
	}{{0, nil, true, "out"}, {1, nil, false, "out"}, {0, errors.New("no container"), false, "no container"}} {
		target := Target{Exec: func(context.Context, []string, time.Duration) (int, string, error) { return c.code, "out", c.err }}
		if well, message := New().Run(context.Background(), h, target, time.Second); well != c.well || message != c.want {
			t.Errorf("%v %q, want %v %q", well, message, c.well, c.want)
		}
	}
	slow := Target{Exec: func(ctx context.Context, _ []string, _ time.Duration) (int, string, error) {
		<-ctx.Done()
		return 0, "", ctx.Err()
	}}
	if well, message := New().Run(context.Background(), h, slow, 10*time.Millisecond); well || message != `command timed out: "a b" timed out after 10ms` {
		t.Errorf("%v %q", well, message)
	}
}

func TestGRPC(t *testing.T) {
	target, port := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/grpc.health.v1.Health/Check" || r.ProtoMajor != 2 || binary.BigEndian.Uint32(body[1:]) != uint32(len(body)-5) {
			t.Errorf("request %s %d %x", r.URL.Path, r.ProtoMajor, body)
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		service := ""
		if len(body) > 7 {
			service = string(body[7:])
		}
		switch service {
		case "":
			w.Write([]byte{0, 0, 0, 0, 2, 8, 1})
		case "down":
			w.Write([]byte{0, 0, 0, 0, 2, 8, 2})
		default:
			w.Header().Set("Grpc-Status", "5")
			return
		}
		w.Header().Set("Grpc-Status", "0")
	}), func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })
	p := New()
	for _, c := range []struct {
		service string
		well    bool
		want    string
	}{{"", true, "service healthy"}, {"down", false, `service unhealthy (responded with "NOT_SERVING")`}, {"none", false, "error: health rpc probe failed: status 5 "}} {
		h := corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: port, Service: &c.service}}
		if well, message := p.Run(context.Background(), h, target, 2*time.Second); well != c.well || message != c.want {
			t.Errorf("%q: %v %q", c.service, well, message)
		}
	}
}
