package kubelet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/client-go/util/exec"

	"github.com/seed38700745/pkg/cluster/cri"
)

// node is a kubelet API over TLS, with a runtime that runs functions.
type node struct {
	address string
	ca      []byte
	logs    string
	netns   string
	running atomic.Bool
	exec    func(cri.ExecConfig) (int, error)
	images  fakeImages
	sign    func(name, group string) (cert, key []byte)
}

func (n *node) Sandbox(context.Context, string) (cri.Sandbox, bool, error) {
	state := cri.Exited
	if n.running.Load() {
		state = cri.Running
	}
	return cri.Sandbox{Ready: true, Containers: []cri.Container{
		{ID: "old", Name: "main", Attempt: 0, State: cri.Exited}, {ID: "id", PodUID: "u1", Name: "main", Attempt: 1, State: state, StartedAt: time.Unix(1000, 0), ImageName: "registry/image:1"}}}, true, nil
}
func (n *node) Exec(_ context.Context, uid, id string, e cri.ExecConfig) (int, error) {
	if uid != "u1" || id != "id" {
		return 0, fmt.Errorf("exec in %s/%s", uid, id)
	}
	return n.exec(e)
}
func (n *node) Attach(_ context.Context, _, _ string, e cri.ExecConfig) error {
	_, err := io.WriteString(e.Stdout, "attached")
	return err
}
func (n *node) Stats(context.Context, string, string) (cri.Stats, error) {
	return cri.Stats{Time: time.UnixMilli(5000), Cgroup: "/main", CPUNanoseconds: 2_500_000_000, MemoryWorkingSet: 77,
		Disks: []cri.DiskIO{{Device: "/dev/sda", WriteBytes: 7}}}, nil
}
func (n *node) PodStats(context.Context, string) (cri.Stats, error) {
	return cri.Stats{Time: time.UnixMilli(5000), Cgroup: "/pod", CPUNanoseconds: 3_000_000_000, MemoryWorkingSet: 99}, nil
}

type fakeImages struct {
	loaded  string
	removed []string
}

func (f *fakeImages) Ensure(_ context.Context, name string, p cri.PullPolicy, _ cri.Credentials, progress func(cri.ImageProgress)) (cri.Image, error) {
	progress(cri.ImageProgress{Name: name, Stage: "downloading", Done: 1, Total: 2})
	if name == "bad" {
		return cri.Image{}, errors.New("no such image")
	}
	return cri.Image{ID: "sha256:1", Name: name}, nil
}
func (f *fakeImages) List() ([]cri.Image, error) {
	return []cri.Image{{ID: "sha256:1", Name: "x"}}, nil
}
func (f *fakeImages) Load(_ context.Context, tar io.Reader) ([]cri.Image, error) {
	b, err := io.ReadAll(tar)
	f.loaded = string(b)
	return []cri.Image{{Name: "loaded"}}, err
}
func (f *fakeImages) Save(_ context.Context, names []string, w io.Writer) error {
	_, err := io.WriteString(w, "tar of "+strings.Join(names, ","))
	return err
}
func (f *fakeImages) Remove(name string) error { f.removed = append(f.removed, name); return nil }
func (f *fakeImages) Prune(keep func(string) bool) ([]string, int64, error) {
	var removed []string
	for _, id := range []string{"used", "revision", "unused"} {
		if !keep(id) {
			removed = append(removed, id)
		}
	}
	return removed, 5, nil
}

// authority makes certificates.
func authority(t *testing.T) (ca []byte, sign func(name, group string) (cert, key []byte)) {
	t.Helper()
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	rootKey := newKey()
	der, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return ca, func(name, group string) (cert, key []byte) {
		k := newKey()
		leaf := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour), Subject: pkix.Name{CommonName: name},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
		if group != "" {
			leaf.Subject.Organization = []string{group}
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, root, k.Public(), rootKey)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := x509.MarshalECPrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
	}
}

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{logs: t.TempDir()}
	n.running.Store(true)
	n.ca, n.sign = authority(t)
	cert, key := n.sign("n1", "")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(n.ca)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "u1"}}
	pod.Spec.Containers = []corev1.Container{{Name: "main"}, {Name: "other"}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "other", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}}}
	h := New(Config{Metrics: prometheus.NewRegistry(), Probes: prometheus.NewRegistry(), Disk: "/", NodeName: "n1", Pods: func() []*corev1.Pod { return []*corev1.Pod{pod} }, Runtime: n, Images: &n.images,
		InUse: func(_ context.Context, history bool) (map[string]bool, error) {
			if history {
				return map[string]bool{"used": true, "revision": true}, nil
			}
			return map[string]bool{"used": true}, nil
		},
		Addresses: func(string) (string, error) { return n.netns, nil },
		LogDir:    func(ns, name, uid string) string { return filepath.Join(n.logs, ns+"_"+name+"_"+uid) },
		Logger:    slog.New(slog.NewTextHandler(io.Discard, nil))})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, l, h, &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool}, []string{"apiserver"})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return n
}

func (n *node) config(name, group string) *rest.Config {
	cert, key := n.sign(name, group)
	return &rest.Config{Host: "https://" + n.address, TLSClientConfig: rest.TLSClientConfig{CAData: n.ca, CertData: cert, KeyData: key}}
}

func (n *node) do(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	c, err := rest.HTTPClientFor(n.config("apiserver", ""))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(method, "https://"+n.address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

func TestOnlyTheAPIServerGetsIn(t *testing.T) {
	n := newNode(t)
	for _, c := range []struct {
		name, group string
		want        int
	}{{"apiserver", "", 200}, {"admin", "system:masters", 200}, {"someone", "", 403}} {
		client, err := rest.HTTPClientFor(n.config(c.name, c.group))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Get("https://" + n.address + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", c.name, answer.StatusCode, c.want)
		}
	}
	bare := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	if answer, err := bare.Get("https://" + n.address + "/healthz"); err == nil {
		answer.Body.Close()
		t.Errorf("without a certificate: %d", answer.StatusCode)
	}
	if err := Serve(context.Background(), nil, nil, &tls.Config{}, nil); err == nil {
		t.Error("served without knowing its clients' authority")
	}
}

func (n *node) stream(t *testing.T, webSocket bool, path string, o remotecommand.StreamOptions) error {
	t.Helper()
	u := "https://" + n.address + path
	c := n.config("apiserver", "")
	var e remotecommand.Executor
	var err error
	if webSocket {
		e, err = remotecommand.NewWebSocketExecutorForProtocols(c, "GET", u, "v4.channel.k8s.io")
	} else {
		at, parseErr := url.Parse(u)
		if parseErr != nil {
			t.Fatal(parseErr)
		}
		e, err = remotecommand.NewSPDYExecutor(c, "POST", at)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return e.StreamWithContext(ctx, o)
}

func TestExec(t *testing.T) {
	n := newNode(t)
	n.exec = func(e cri.ExecConfig) (int, error) {
		if !cmp.Equal(e.Args, []string{"cat", "a b"}) || e.TTY {
			return 0, fmt.Errorf("args %q tty %v", e.Args, e.TTY)
		}
		fmt.Fprint(e.Stderr, "to stderr")
		if e.Stdin != nil {
			line := make([]byte, 5)
			if _, err := io.ReadFull(e.Stdin, line); err != nil {
				return 0, err
			}
			e.Stdout.Write(line)
		}
		return 7, nil
	}
	for _, webSocket := range []bool{false, true} {
		var out, errs bytes.Buffer
		err := n.stream(t, webSocket, "/exec/default/web/main?command=cat&command=a+b&input=1&output=1&error=1",
			remotecommand.StreamOptions{Stdin: strings.NewReader("hello"), Stdout: &out, Stderr: &errs})
		var exit utilexec.CodeExitError
		if !errors.As(err, &exit) || exit.Code != 7 {
			t.Errorf("websocket %v: %v, want exit code 7", webSocket, err)
		}
		if out.String() != "hello" || errs.String() != "to stderr" {
			t.Errorf("websocket %v: %q, %q", webSocket, out.String(), errs.String())
		}
	}
	n.exec = func(cri.ExecConfig) (int, error) { return 0, errors.New("helper lost") }
	if err := n.stream(t, false, "/exec/default/web/u1/main?command=x&stdout=true", remotecommand.StreamOptions{Stdout: io.Discard}); err == nil || !strings.Contains(err.Error(), "helper lost") {
		t.Errorf("failed exec: %v", err)
	}
	n.running.Store(false)
	if status, body := n.do(t, "POST", "/exec/default/web/main?command=x&output=1", ""); status != 404 {
		t.Errorf("exec in a container that ended: %d %s", status, body)
	}
}

// sizes hands out one terminal size.
type sizes chan remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize {
	if size, ok := <-s; ok {
		return &size
	}
	return nil
}

func TestTerminal(t *testing.T) {
	n := newNode(t)
	n.exec = func(e cri.ExecConfig) (int, error) {
		size := <-e.Resize
		fmt.Fprintf(e.Stdout, "%v %dx%d", e.TTY, size.Width, size.Height)
		return 0, nil
	}
	var out bytes.Buffer
	s := make(sizes, 1)
	s <- remotecommand.TerminalSize{Width: 80, Height: 25}
	defer close(s)
	if err := n.stream(t, false, "/exec/default/web/main?command=sh&input=1&output=1&tty=1",
		remotecommand.StreamOptions{Stdin: strings.NewReader(""), Stdout: &out, Tty: true, TerminalSizeQueue: s}); err != nil {
		t.Fatal(err)
	}
	if out.String() != "true 80x25" {
		t.Errorf("%q", out.String())
	}
}

func TestAttach(t *testing.T) {
	n := newNode(t)
	var out bytes.Buffer
	if err := n.stream(t, false, "/attach/default/web/main?output=1", remotecommand.StreamOptions{Stdout: &out}); err != nil || out.String() != "attached" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// inNamespace listens on the loopback of a new network namespace, whose path
// it returns.
func inNamespace(t *testing.T) (netns string, l net.Listener) {
	t.Helper()
	type result struct {
		fd  int
		l   net.Listener
		err error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- result{err: err}
			return
		}
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			made <- result{err: err}
			return
		}
		fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			made <- result{err: err}
			return
		}
		l, err := net.Listen("tcp4", "127.0.0.1:8080")
		made <- result{fd, l, err}
	}()
	r := <-made
	if r.err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("network namespace: %v", r.err)
		}
		t.Skipf("network namespace: %v", r.err)
	}
	t.Cleanup(func() { r.l.Close(); unix.Close(r.fd) })
	return fmt.Sprintf("/proc/self/fd/%d", r.fd), r.l
}

func TestPortForward(t *testing.T) {
	n := newNode(t)
	var l net.Listener
	n.netns, l = inNamespace(t)
	go func() { // until l is closed
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 4)
			if _, err := io.ReadFull(c, b); err == nil {
				fmt.Fprintf(c, "got %s", b)
			}
			c.Close()
		}
	}()
	c := n.config("apiserver", "")
	transport, upgrader, err := spdy.RoundTripperFor(c)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse("https://" + n.address + "/portForward/default/web")
	if err != nil {
		t.Fatal(err)
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	f, err := portforward.New(spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", u), []string{"0:8080"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	ports, err := f.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "ping"); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || string(b) != "got ping" {
			t.Errorf("%q, %v", b, err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestLogs(t *testing.T) {
	n := newNode(t)
	dir := filepath.Join(n.logs, "default_web_u1", "main")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"0.log": "before", "1.log": "now", "9.log.20260101-000000.000": "rotated"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("2026-01-01T00:00:00Z stdout F "+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"main":                 "200 now\n",
		"main?previous=true":   "200 before\n",
		"main?timestamps=true": "200 2026-01-01T00:00:00Z now\n",
		"main?sinceSeconds=1":  "200 ",
		"main?tailLines=x":     "400 tailLines: \"x\" is not a whole number\n",
		"none":                 "404 container \"none\" not found in pod \"web\"\n",
		"other":                "400 container \"other\" in pod \"web\" is waiting to start: ContainerCreating\n",
		"other?previous=true":  "400 previous terminated container \"other\" in pod \"web\" not found\n",
	} {
		if status, body := n.do(t, "GET", "/containerLogs/default/web/"+path, ""); fmt.Sprint(status, " ", body) != want {
			t.Errorf("%s: %d %q, want %q", path, status, body, want)
		}
	}
	if status, _ := n.do(t, "GET", "/containerLogs/default/nobody/main", ""); status != 404 {
		t.Errorf("log of no pod: %d", status)
	}
}

func TestFollowedLogEndsWithItsContainer(t *testing.T) {
	n := newNode(t)
	dir := filepath.Join(n.logs, "default_web_u1", "main")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "1.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := rest.HTTPClientFor(n.config("apiserver", ""))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Get("https://" + n.address + "/containerLogs/default/web/main?follow=true")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.WriteString(f, "2026-01-01T00:00:00Z stdout F line\n"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(answer.Body, b); err != nil || string(b) != "line\n" {
		t.Fatalf("%q, %v", b, err)
	}
	n.running.Store(false)
	if rest, err := io.ReadAll(answer.Body); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestImages(t *testing.T) {
	n := newNode(t)
	if status, body := n.do(t, "POST", "/pkg/images/load", "a tarball"); status != 200 || n.images.loaded != "a tarball" || !strings.Contains(body, "loaded") {
		t.Errorf("load: %d %s", status, body)
	}
	if status, body := n.do(t, "GET", "/pkg/images/save?name=a&name=b", ""); status != 200 || body != "tar of a,b" {
		t.Errorf("save: %d %s", status, body)
	}
	if status, _ := n.do(t, "DELETE", "/pkg/images?name=a", ""); status != 200 || !cmp.Equal(n.images.removed, []string{"a"}) {
		t.Errorf("remove: %d %q", status, n.images.removed)
	}
	var pruned Pruned
	if _, body := n.do(t, "POST", "/pkg/images/prune", ""); json.Unmarshal([]byte(body), &pruned) != nil || !cmp.Equal(pruned, Pruned{[]string{"unused"}, 5, 1}) {
		t.Errorf("prune: %s", body)
	}
	pruned = Pruned{}
	if _, body := n.do(t, "POST", "/pkg/images/prune?all=true", ""); json.Unmarshal([]byte(body), &pruned) != nil || !cmp.Equal(pruned, Pruned{[]string{"revision", "unused"}, 5, 0}) {
		t.Errorf("prune of all: %s", body)
	}
	var list []cri.Image
	if _, body := n.do(t, "GET", "/pkg/images", ""); json.Unmarshal([]byte(body), &list) != nil || len(list) != 1 {
		t.Errorf("list: %s", body)
	}
	for name, want := range map[string]ImageLine{"good": {Image: &cri.Image{ID: "sha256:1", Name: "good"}}, "bad": {Error: "no such image"}} {
		_, body := n.do(t, "POST", "/pkg/images/pull?name="+name, "")
		d := json.NewDecoder(strings.NewReader(body))
		var first, last ImageLine
		if err := errors.Join(d.Decode(&first), d.Decode(&last)); err != nil || first.Progress == nil || first.Progress.Total != 2 {
			t.Errorf("pull %s: %v in %s", name, err, body)
		}
		if diff := cmp.Diff(want, last); diff != "" {
			t.Errorf("pull %s:\n%s", name, diff)
		}
	}
}

func TestStats(t *testing.T) {
	n := newNode(t)
	var s summary
	if _, body := n.do(t, "GET", "/stats/summary", ""); json.Unmarshal([]byte(body), &s) != nil || len(s.Pods) != 1 ||
		s.Pods[0].Memory.WorkingSetBytes != 99 || s.Pods[0].Containers[0].CPU.UsageCoreNanoSeconds != 2_500_000_000 || s.Node.Memory.UsageBytes == 0 {
		t.Errorf("summary: %s", body)
	}
	_, text := n.do(t, "GET", "/metrics/resource", "")
	for _, want := range []string{
		`container_cpu_usage_seconds_total{container="main",namespace="default",pod="web"} 2.5 5000`,
		`pod_memory_working_set_bytes{namespace="default",pod="web"} 99 5000`, "node_cpu_usage_seconds_total ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	_, text = n.do(t, "GET", "/metrics/cadvisor", "")
	for _, want := range []string{
		`container_cpu_usage_seconds_total{container="main",cpu="total",id="/main",image="registry/image:1",name="id",namespace="default",pod="web"} 2.5 5000`,
		`container_memory_working_set_bytes{container="",id="/pod",image="",name="",namespace="default",pod="web"} 99 5000`,
		`container_memory_working_set_bytes{container="",id="/",image="",name="",namespace="",pod=""} `,
		`container_fs_writes_bytes_total{container="main",device="/dev/sda",id="/main",image="registry/image:1",name="id",namespace="default",pod="web"} 7 5000`,
		`container_fs_limit_bytes{container="",device="`, "\nmachine_cpu_cores{", "# TYPE container_memory_rss gauge\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	var pods corev1.PodList
	if _, body := n.do(t, "GET", "/pods", ""); json.Unmarshal([]byte(body), &pods) != nil || len(pods.Items) != 1 {
		t.Errorf("pods: %s", body)
	}
}
