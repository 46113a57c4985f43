package main

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/seed38700745/pkg/cluster/client"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
	"github.com/seed38700745/pkg/cluster/pki"
)

// kubernetesPrograms is the folder of kube-apiserver, kube-controller-manager and
// kube-scheduler ($PKG_TEST_KUBERNETES, set by `make test-kubernetes`), or "" for tests
// on pkg's own cluster.
func kubernetesPrograms() string { return os.Getenv("PKG_TEST_KUBERNETES") }

// programTimeout bounds the start of each program of a control plane.
const programTimeout = 2 * time.Minute

// controlPlane is a Kubernetes on loopback, with etcd, in processes of their own.
type controlPlane struct {
	dir     string
	pki     *pki.PKI
	running []*exec.Cmd
}

// openKubernetes starts a control plane and what stands in for its nodes.
func openKubernetes(programs, dir string) (*testCluster, func() error, error) {
	p := &controlPlane{dir: dir}
	url, err := p.start(programs)
	if err != nil {
		p.stop()
		return nil, nil, err
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	c, err := client.Kubeconfig{Path: kubeconfig}.Load()
	if err != nil {
		p.stop()
		return nil, nil, err
	}
	plain, err := client.New(client.Config{REST: c.REST})
	if err != nil {
		p.stop()
		return nil, nil, err
	}
	verbs := typedVerbs{plain, kind.NewRegistry(kind.All())}
	ctx, cancel := context.WithCancel(context.Background())
	builds := &atomic.Int64{}
	var all sync.WaitGroup
	var kubelet *httptest.Server
	stop := func() error {
		cancel()
		all.Wait()
		p.stop()
		kubelet.Close()
		return nil
	}
	kubelet = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pod := path.Base(path.Dir(r.URL.Path)) // /containerLogs/NAMESPACE/POD/CONTAINER
		fmt.Fprintf(w, "log of %s\n", pod)
	}))
	if err := standInNode(ctx, verbs, kubelet.Listener.Addr().(*net.TCPAddr)); err != nil {
		return nil, nil, fmt.Errorf("%w; %w", err, stop())
	}
	if err := settled(ctx, verbs); err != nil {
		return nil, nil, fmt.Errorf("%w; %w", err, stop())
	}
	all.Go(func() { runPods(ctx, verbs, builds) })
	all.Go(func() { provideVolumes(ctx, verbs) })
	return &testCluster{verbs: verbs, kubeconfig: kubeconfig, url: url, builds: builds}, stop, nil
}

// start runs etcd and the control plane and waits until each answers.
func (p *controlPlane) start(programs string) (url string, err error) {
	certs := filepath.Join(p.dir, "pki")
	if p.pki, err = pki.Open(certs, pki.Options{ServiceIP: net.IPv4(10, 96, 0, 1)}); err != nil {
		return "", err
	}
	ports, err := freePorts(6)
	if err != nil {
		return "", err
	}
	at := func(n int) string { return fmt.Sprintf("127.0.0.1:%d", ports[n]) }
	url = "https://" + at(2)
	kubeconfig := filepath.Join(p.dir, "kubeconfig")
	cert, key, err := p.pki.Admin()
	if err != nil {
		return "", err
	}
	encode := base64.StdEncoding.EncodeToString
	if err := os.WriteFile(kubeconfig, fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: test, user: {client-certificate-data: %s, client-key-data: %s}}]
contexts:
- {name: test, context: {cluster: test, user: test}}
- {name: shop, context: {cluster: test, user: test, namespace: shop}}
`, url, encode(p.pki.CA()), encode(cert), encode(key)), 0o600); err != nil {
		return "", err
	}
	if err := p.run(filepath.Join(programs, "etcd"), "http://"+at(0)+"/health", "--data-dir="+filepath.Join(p.dir, "etcd"), "--unsafe-no-fsync",
		"--listen-client-urls=http://"+at(0), "--advertise-client-urls=http://"+at(0),
		"--listen-peer-urls=http://"+at(1), "--initial-advertise-peer-urls=http://"+at(1), "--initial-cluster=default=http://"+at(1)); err != nil {
		return "", err
	}
	ca, sa, server := filepath.Join(certs, "ca.pem"), filepath.Join(certs, "sa.pem"), filepath.Join(certs, "apiserver.pem")
	if err := p.run(filepath.Join(programs, "kube-apiserver"), url+"/readyz", "--etcd-servers=http://"+at(0),
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", ports[2]),
		"--tls-cert-file="+server, "--tls-private-key-file="+server, "--client-ca-file="+ca, "--authorization-mode=RBAC",
		"--service-account-key-file="+sa, "--service-account-signing-key-file="+sa, "--service-account-issuer=https://kubernetes.default.svc",
		"--service-cluster-ip-range=10.96.0.0/16"); err != nil {
		return "", err
	}
	if err := p.run(filepath.Join(programs, "kube-controller-manager"), "https://"+at(3)+"/healthz", "--kubeconfig="+kubeconfig,
		"--service-account-private-key-file="+sa, "--root-ca-file="+ca, "--leader-elect=false", "--node-monitor-grace-period=1h",
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", ports[3])); err != nil {
		return "", err
	}
	return url, p.run(filepath.Join(programs, "kube-scheduler"), "https://"+at(4)+"/healthz", "--kubeconfig="+kubeconfig, "--leader-elect=false",
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", ports[4]))
}

// run starts a program and waits until its address answers.
func (p *controlPlane) run(program, health string, args ...string) error {
	log := filepath.Join(p.dir, filepath.Base(program)+".log")
	out, err := os.Create(log)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	p.running = append(p.running, cmd)
	probe := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: time.Second}
	defer probe.CloseIdleConnections()
	deadline := time.Now().Add(programTimeout)
	for wait := time.NewTicker(50 * time.Millisecond); ; <-wait.C {
		answer, err := probe.Get(health)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode < 500 {
				return nil
			}
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log)
			return fmt.Errorf("%s does not answer: %w\n%s", program, err, text[max(0, len(text)-4000):])
		}
	}
}

// stop ends the programs, the last one first.
func (p *controlPlane) stop() {
	for n := len(p.running) - 1; n >= 0; n-- {
		_ = p.running[n].Process.Kill()
		_ = p.running[n].Wait()
	}
}

func freePorts(count int) ([]int, error) {
	var out []int
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out, nil
}

// standInNode makes the node that pods are scheduled to, whose kubelet answers with logs.
func standInNode(ctx context.Context, verbs object.Verbs, kubelet *net.TCPAddr) error {
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("256Gi"), corev1.ResourcePods: resource.MustParse("1000"),
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "stand-in"}}
	if _, err := builtin.Nodes.Create(ctx, verbs, node, object.WriteOptions{}); err != nil {
		return err
	}
	node = &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "stand-in"},
		Status: corev1.NodeStatus{
			Capacity: room, Allocatable: room,
			Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: kubelet.IP.String()}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(kubelet.Port)}},
			Conditions:      []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now()}},
		},
	}
	_, err := builtin.Nodes.UpdateStatus(ctx, verbs, node, object.WriteOptions{})
	return err
}

// settled waits until the controllers work: there is an account for pods, the roles
// that everybody knows, a node for pods, and a Deployment is seen.
func settled(ctx context.Context, verbs object.Verbs) error {
	ctx, cancel := context.WithTimeout(ctx, programTimeout)
	defer cancel()
	probe := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "probe"},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "probe"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "probe"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "registry.test/app:ok"}}},
			},
		},
	}
	if _, err := builtin.Deployments.Create(ctx, verbs, probe, object.WriteOptions{}); err != nil {
		return err
	}
	for wait := time.NewTicker(50 * time.Millisecond); ; {
		_, account := builtin.ServiceAccounts.Get(ctx, verbs, "default", "default")
		role, noRole := builtin.ClusterRoles.Get(ctx, verbs, "", "admin")
		node, noNode := builtin.Nodes.Get(ctx, verbs, "", "stand-in")
		d, unseen := builtin.Deployments.Get(ctx, verbs, "kube-system", "probe")
		if errors.Join(account, noRole, noNode, unseen) == nil && len(role.Rules) > 0 && len(node.Spec.Taints) == 0 && d.Status.ObservedGeneration > 0 {
			return builtin.Deployments.Delete(ctx, verbs, "kube-system", "probe", object.DeleteOptions{})
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the control plane does not settle: %w", errors.Join(ctx.Err(), account, noRole, noNode, unseen))
		case <-wait.C:
		}
	}
}

// provideVolumes makes a volume for each claim.
func provideVolumes(ctx context.Context, verbs object.Verbs) {
	_ = builtin.PersistentVolumeClaims.Follow(ctx, verbs, object.WatchOptions{}, func(c *corev1.PersistentVolumeClaim, deleted bool) {
		if deleted || c.Spec.VolumeName != "" {
			return
		}
		v := &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: "for-" + string(c.UID)},
			Spec: corev1.PersistentVolumeSpec{
				Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("100Gi")}, AccessModes: c.Spec.AccessModes,
				PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/nowhere"}},
				ClaimRef:               &corev1.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: c.Namespace, Name: c.Name, UID: c.UID},
			},
		}
		if _, err := builtin.PersistentVolumes.Create(ctx, verbs, v, object.WriteOptions{}); err != nil && ctx.Err() == nil {
			fmt.Fprintf(os.Stderr, "a volume for claim %s: %v\n", c.Name, err)
		}
	}, nil)
}

// typedVerbs are a client's, with the types that pkg's own parts exchange.
type typedVerbs struct {
	*client.Client
	kinds *kind.Registry
}

// typed gives an object of a built-in kind its type.
func (v typedVerbs) typed(o object.Object, err error) (object.Object, error) {
	u, ok := o.(*unstructured.Unstructured)
	if err != nil || !ok {
		return o, err
	}
	for _, k := range v.kinds.All() {
		if k.GVK == u.GroupVersionKind() {
			made := k.New()
			return made, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, made)
		}
	}
	return o, nil
}

// loose is the object as clients send it.
func (v typedVerbs) loose(r object.Resource, o object.Object) (object.Object, error) {
	if _, ok := o.(*unstructured.Unstructured); ok {
		return o, nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: content}
	for _, k := range v.kinds.All() {
		if k.Resource() == r {
			u.SetGroupVersionKind(k.GVK)
		}
	}
	return u, nil
}

func (v typedVerbs) Get(ctx context.Context, r object.Resource, k object.Key) (object.Object, error) {
	return v.typed(v.Client.Get(ctx, r, k))
}

func (v typedVerbs) List(ctx context.Context, r object.Resource, o object.ListOptions) (*object.List, error) {
	l, err := v.Client.List(ctx, r, o)
	if err != nil {
		return nil, err
	}
	for n := range l.Items {
		if l.Items[n], err = v.typed(l.Items[n], nil); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (v typedVerbs) Watch(ctx context.Context, r object.Resource, o object.WatchOptions) (watch.Interface, error) {
	w, err := v.Client.Watch(ctx, r, o)
	if err != nil {
		return nil, err
	}
	return watch.Filter(w, func(e watch.Event) (watch.Event, bool) {
		if o, ok := e.Object.(object.Object); ok {
			if t, err := v.typed(o, nil); err == nil {
				e.Object = t
			}
		}
		return e, true
	}), nil
}

func (v typedVerbs) Create(ctx context.Context, r object.Resource, o object.Object, w object.WriteOptions) (object.Object, error) {
	u, err := v.loose(r, o)
	if err != nil {
		return nil, err
	}
	return v.typed(v.Client.Create(ctx, r, u, w))
}

func (v typedVerbs) Update(ctx context.Context, r object.Resource, o object.Object, w object.WriteOptions) (object.Object, error) {
	u, err := v.loose(r, o)
	if err != nil {
		return nil, err
	}
	return v.typed(v.Client.Update(ctx, r, u, w))
}

func (v typedVerbs) Patch(ctx context.Context, r object.Resource, k object.Key, t types.PatchType, p []byte, w object.WriteOptions) (object.Object, error) {
	return v.typed(v.Client.Patch(ctx, r, k, t, p, w))
}

func (v typedVerbs) Delete(ctx context.Context, r object.Resource, k object.Key, o object.DeleteOptions) (object.Object, error) {
	return v.typed(v.Client.Delete(ctx, r, k, o))
}

// TestCredentials: client certificates, tokens, exec plugins and contexts, and rights
// for one namespace only.
func TestCredentials(t *testing.T) {
	if kubernetesPrograms() == "" {
		t.Skip("make test-kubernetes runs this against Kubernetes")
	}
	c := startTestCluster(t)
	c.mustRun(t, 0, "install", "certs", appChart, "--no-wait") // the admin's certificate
	ca, token := c.limitedToken(t, "team")
	user := func(credentials string) string {
		file := filepath.Join(t.TempDir(), "kubeconfig")
		text := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: nowhere,
clusters: [{name: k, cluster: {server: %q, certificate-authority: %q}}], users: [{name: u, user: %s}],
contexts: [{name: nowhere, context: {cluster: none, user: u}}, {name: team, context: {cluster: k, user: u, namespace: team}}]}`, c.url, ca, credentials)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	plugin := filepath.Join(t.TempDir(), "login")
	answer := fmt.Sprintf(`{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":%q}}`, token)
	if err := os.WriteFile(plugin, []byte("#!/bin/sh\ncat <<'E'\n"+answer+"\nE\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{
		"token": user(fmt.Sprintf("{token: %q}", token)),
		"exec":  user(fmt.Sprintf("{exec: {apiVersion: client.authentication.k8s.io/v1, command: %q, interactiveMode: Never}}", plugin)),
	} {
		args := func(more ...string) []string { return append(more, "--kubeconfig", file, "--kube-context", "team") }
		c.mustRun(t, 0, args("install", name, appChart)...)
		c.mustRun(t, 0, args("upgrade", name, "--set", "config=false")...)
		c.mustRun(t, 0, args("rollback", name, "1")...)
		c.mustRun(t, 0, args("diff", "live", name)...)
		c.mustRun(t, 0, args("list")...)
		_, talk := c.mustRun(t, 1, append(args("install", name, appChart), "-n", "default")...)
		wantIn(t, "another namespace", talk, "forbidden")
		c.mustRun(t, 0, args("uninstall", name)...)
	}
}

// limitedToken makes a namespace and a ServiceAccount that may do everything in it and
// nothing elsewhere; it returns the file of the server's authority and a token.
func (c *testCluster) limitedToken(t *testing.T, namespace string) (ca, token string) {
	t.Helper()
	kubectl := func(args ...string) string {
		cmd := exec.Command(filepath.Join("..", "..", "bin", "pkg-kubectl"), append(args, "--kubeconfig", c.kubeconfig)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	kubectl("create", "namespace", namespace)
	kubectl("create", "serviceaccount", "dev", "-n", namespace)
	kubectl("create", "rolebinding", "dev", "-n", namespace, "--clusterrole=admin", "--serviceaccount="+namespace+":dev")
	kubectl("create", "role", "leases", "-n", namespace, "--verb=*", "--resource=leases.coordination.k8s.io")
	kubectl("create", "rolebinding", "leases", "-n", namespace, "--role=leases", "--serviceaccount="+namespace+":dev")
	token = kubectl("create", "token", "dev", "-n", namespace)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	p, err := pki.Open(filepath.Join(filepath.Dir(c.kubeconfig), "pki"), pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca, p.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	return ca, token
}
