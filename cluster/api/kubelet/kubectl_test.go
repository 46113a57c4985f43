package kubelet

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
	"github.com/seed38700745/pkg/cluster/pki"
	"github.com/seed38700745/pkg/cluster/store"
)

// kubectl runs the real kubectl.
type kubectl struct {
	t    *testing.T
	path string // the kubeconfig's
}

// command prepares a call; env adds to the environment.
func (k kubectl) command(env string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(k.t.Context(), "kubectl", args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+k.path, "HOME="+filepath.Dir(k.path), env)
	return cmd
}

// newKubectl serves the real API, whose pods are those of the agent in memory:
// default/one with container c, running on n1.
func newKubectl(t *testing.T, a *agent) kubectl {
	t.Helper()
	if _, err := exec.LookPath("kubectl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no kubectl on this machine")
	}
	p, err := pki.Open(t.TempDir(), pki.Options{NodeName: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	kinds := kind.NewRegistry(kind.All())
	db, err := store.Open(filepath.Join(t.TempDir(), "db"), store.Options{Codec: api.NewCodec(kinds)})
	if err != nil {
		t.Fatal(err)
	}
	var agents *Server
	connect := func(w http.ResponseWriter, r *http.Request, t api.Target) error {
		return agents.Serve(w, r, Target{Resource: t.Resource.Resource, Namespace: t.Object.GetNamespace(), Name: t.Name, Subresource: t.Subresource, Path: t.Path})
	}
	server, err := api.New(api.Config{Store: db, Kinds: kinds,
		Connect: map[string]api.Connector{"pods/log": connect, "pods/exec": connect, "pods/attach": connect, "pods/portforward": connect},
		Authenticate: func(*http.Request) (auth.User, error) {
			return auth.User{Name: "admin", Groups: []string{"system:masters"}}, nil
		},
		Authorize: func(context.Context, auth.Attributes) (bool, string, error) { return true, "", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	dial := serveAgent(t, a, p)
	agents = New(Config{Verbs: server, TLS: p.KubeletClient(), Dial: func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }})
	t.Cleanup(agents.Close)
	populate(t, server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener, p.Server()) }() // ends with the test
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, db.Close()); err != nil {
			t.Error(err)
		}
	})
	cert, key, err := p.Admin()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, pki.Kubeconfig("https://"+listener.Addr().String(), p.CA(), cert, key), 0o600); err != nil {
		t.Fatal(err)
	}
	return kubectl{t, path}
}

func populate(t *testing.T, v object.Verbs) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: "default", Name: "default"}
	if _, err := builtin.Namespaces.Create(t.Context(), v, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, object.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := builtin.ServiceAccounts.Create(t.Context(), v, &corev1.ServiceAccount{ObjectMeta: meta}, object.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	meta.Name = "one"
	pod := &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "i", Stdin: true}}}}
	pod, err := builtin.Pods.Create(t.Context(), v, pod, object.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod = pod.DeepCopy()
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.42.0.5", PodIPs: []corev1.PodIP{{IP: "10.42.0.5"}}}
	if _, err := builtin.Pods.UpdateStatus(t.Context(), v, pod, object.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestKubectl runs kubectl's streaming commands, first as they are (WebSocket)
// and then as older ones do it (SPDY).
func TestKubectl(t *testing.T) {
	k := newKubectl(t, &agent{t: t, ended: make(chan struct{}, 8)})
	for _, env := range []string{"KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false"} {
		t.Run(env, func(t *testing.T) {
			k := kubectl{t, k.path}
			cmd := k.command(env, "exec", "-i", "one", "--", "cat", "x")
			cmd.Stdin = strings.NewReader("hello")
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Run(); err != nil || stdout.String() != "hello" || !strings.Contains(stderr.String(), "one/c [x]") {
				t.Errorf("exec: %q %q %v", stdout.String(), stderr.String(), err)
			}
			var exit *exec.ExitError
			if err := k.command(env, "exec", "one", "--", "exit").Run(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
				t.Errorf("exit: %v", err)
			}
			cmd = k.command(env, "attach", "-i", "one")
			cmd.Stdin = strings.NewReader("hello")
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "attached to one/c: hello") {
				t.Errorf("attach: %q %v", out, err)
			}
			k.portForward(strings.Replace(env, "REMOTE_COMMAND", "PORT_FORWARD", 1))
		})
	}
	if out, err := k.command("", "logs", "one", "--tail=3", "--timestamps").CombinedOutput(); err != nil || string(out) != "one\n" {
		t.Errorf("logs: %q %v", out, err)
	}
	if out, err := k.command("", "exec", "one", "-c", "x", "--", "cat").CombinedOutput(); err == nil || !strings.Contains(string(out), "container x is not valid for pod one") {
		t.Errorf("wrong container: %q %v", out, err)
	}
}

// portForward forwards a free port and talks through it.
func (k kubectl) portForward(env string) {
	k.t.Helper()
	cmd := k.command(env, "port-forward", "pod/one", ":80")
	out, err := cmd.StdoutPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		k.t.Fatalf("port-forward: %q, %v", line, err)
	}
	match := regexp.MustCompile(`127\.0\.0\.1:(\d+) -> 80`).FindStringSubmatch(line)
	if match == nil {
		k.t.Fatalf("port-forward says %q", line)
	}
	port, err := strconv.ParseUint(match[1], 10, 16)
	if err != nil {
		k.t.Fatal(err)
	}
	if got := talk(k.t, uint16(port)); got != "one says ping" {
		k.t.Errorf("%s: %q", env, got)
	}
}
