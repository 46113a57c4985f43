package main

import (
	"context"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/api/crd"
	"github.com/seed38700745/pkg/cluster/api/openapi"
	"github.com/seed38700745/pkg/cluster/controller"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
	"github.com/seed38700745/pkg/cluster/store"
)

// testCluster is a cluster without machines: API over HTTPS, controllers, and a
// stand-in for the agent.
type testCluster struct {
	verbs      object.Verbs
	kubeconfig string
	url        string            // of the API
	server     *httptest.Server  // nil for Kubernetes itself
	env        map[string]string // of the commands, beside KUBECONFIG
	builds     *atomic.Int64     // how often the images behind all tags were built anew
}

// startTestCluster runs a cluster until the test ends.
func startTestCluster(t testing.TB) *testCluster {
	t.Helper()
	open := openTestCluster
	if programs := kubernetesPrograms(); programs != "" {
		open = func(dir string) (*testCluster, func() error, error) { return openKubernetes(programs, dir) }
	}
	c, stop, err := open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func openTestCluster(dir string) (*testCluster, func() error, error) {
	builtIn := kind.All()
	crd.Complete(builtIn)
	kinds := kind.NewRegistry(builtIn)
	db, err := store.Open(filepath.Join(dir, "db"), store.Options{Codec: api.NewCodec(kinds)})
	if err != nil {
		return nil, nil, err
	}
	documents, err := openapi.Load()
	if err != nil {
		return nil, nil, err
	}
	var crds *crd.Loop
	s, err := api.New(api.Config{
		Prune: func(gvk schema.GroupVersionKind, o *unstructured.Unstructured) []string { return crds.Prune(gvk, o) },
		Store: db, Kinds: kinds, ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), OpenAPI: documents,
		Authorize: func(context.Context, auth.Attributes) (bool, string, error) { return true, "", nil },
		Connect:   map[string]api.Connector{"pods/log": podLog, "nodes/proxy": nodeImages},
	})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := api.Bootstrap(ctx, s, netip.AddrPort{}); err != nil {
		cancel()
		return nil, nil, err
	}
	var running sync.WaitGroup
	var failed error
	running.Go(func() {
		failed = controller.New(controller.Config{Verbs: s, Resources: func() (out []controller.Resource) {
			for _, k := range kinds.All() {
				out = append(out, controller.Resource{Resource: k.Resource(), Kind: k.GVK.Kind, Namespaced: k.Namespaced})
			}
			return out
		}}).Run(ctx)
	})
	builds := &atomic.Int64{}
	running.Go(func() { runPods(ctx, s, builds) })
	crds = crd.New(crd.Config{Verbs: s, Kinds: kinds, Documents: documents, Report: func(error) {}})
	running.Go(func() { _ = crds.Run(ctx) })
	c := &testCluster{builds: builds, verbs: s, server: httptest.NewUnstartedServer(s), kubeconfig: filepath.Join(dir, "kubeconfig")}
	c.server.EnableHTTP2 = true
	c.server.StartTLS()
	c.url = c.server.URL
	stop := func() error {
		cancel()
		c.server.CloseClientConnections()
		c.server.Close()
		running.Wait()
		if err := db.Close(); err != nil {
			return err
		}
		return failed
	}
	return c, stop, c.writeKubeconfig()
}

func (c *testCluster) writeKubeconfig() error {
	ca := filepath.Join(filepath.Dir(c.kubeconfig), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		return err
	}
	return os.WriteFile(c.kubeconfig, fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: test, user: {}}]
contexts:
- {name: test, context: {cluster: test, user: test}}
- {name: shop, context: {cluster: test, user: test, namespace: shop}}
`, c.server.URL, ca), 0o600)
}

// imageDigest is what a registry would answer for an image's name after a number of
// builds.
func imageDigest(image string, builds int64) string {
	repository, _, pinned := strings.Cut(image, "@")
	if pinned {
		return image
	}
	repository = repository[:strings.LastIndex(repository, ":")]
	return fmt.Sprintf("%s@sha256:%x", repository, sha256.Sum256(fmt.Appendf(nil, "%s %d", image, builds)))
}

// podLog answers for the agent.
func podLog(w http.ResponseWriter, _ *http.Request, t api.Target) error {
	_, err := fmt.Fprintf(w, "log of %s\n", t.Object.GetName())
	return err
}

// runPods does what agents do, by the tag of a pod's first image: "crash" ends
// badly again and again, "missing" can not be pulled, "hold" does nothing. Other
// pods become ready or, if they are not to be restarted, succeed.
func runPods(ctx context.Context, verbs object.Verbs, builds *atomic.Int64) {
	_ = builtin.Pods.Follow(ctx, verbs, object.WatchOptions{}, func(p *corev1.Pod, deleted bool) {
		if deleted {
			return
		}
		if p.DeletionTimestamp != nil {
			now := int64(0)
			_, _ = verbs.Delete(ctx, builtin.Pods.Resource, object.KeyOf(p), object.DeleteOptions{GracePeriodSeconds: &now})
			return
		}
		status := podStatus(p, imageDigest(p.Spec.Containers[0].Image, builds.Load()))
		if status == "" || p.Status.Phase != "" && p.Status.Phase != corev1.PodPending {
			return
		}
		if len(p.Status.ContainerStatuses) > 0 || kubernetesPrograms() != "" && p.Spec.NodeName == "" {
			return
		}
		_, _ = verbs.Patch(ctx, builtin.Pods.Resource, object.KeyOf(p), types.MergePatchType, []byte(status),
			object.WriteOptions{Subresource: "status", FieldManager: "kubelet"})
	}, nil)
}

// podStatus is the status patch that a pod's image asks for.
func podStatus(p *corev1.Pod, imageID string) string {
	c := p.Spec.Containers[0]
	_, tag, _ := strings.Cut(c.Image[strings.LastIndex(c.Image, "/")+1:], ":")
	now := time.Now().UTC().Format(time.RFC3339)
	container := func(state string, ready bool, restarts int, last string) string {
		return fmt.Sprintf(`[{"name":%q,"image":%q,"imageID":%q,"ready":%t,"restartCount":%d,"state":{%s},"lastState":{%s}}]`, c.Name, c.Image, imageID, ready, restarts, state, last)
	}
	conditions := func(ready metav1.ConditionStatus) string {
		return fmt.Sprintf(`[{"type":"PodScheduled","status":"True"},{"type":"Ready","status":%q,"lastTransitionTime":%q},{"type":"ContainersReady","status":%[1]q}]`, ready, now)
	}
	phase, ready, statuses := "Running", metav1.ConditionTrue, container(fmt.Sprintf(`"running":{"startedAt":%q}`, now), true, 0, "")
	switch {
	case tag == "hold":
		return ""
	case tag == "crash":
		ready = metav1.ConditionFalse
		statuses = container(`"waiting":{"reason":"CrashLoopBackOff"}`, false, 2, `"terminated":{"exitCode":137,"reason":"OOMKilled"}`)
	case tag == "missing":
		phase, ready = "Pending", metav1.ConditionFalse
		statuses = container(`"waiting":{"reason":"ImagePullBackOff","message":"no such image"}`, false, 0, "")
	case tag == "fail":
		phase, ready = "Failed", metav1.ConditionFalse
		statuses = container(`"terminated":{"exitCode":1,"reason":"Error"}`, false, 0, "")
	case p.Spec.RestartPolicy == corev1.RestartPolicyNever, p.Spec.RestartPolicy == corev1.RestartPolicyOnFailure:
		phase, ready = "Succeeded", metav1.ConditionFalse
		statuses = container(`"terminated":{"exitCode":0,"reason":"Completed"}`, false, 0, "")
	}
	return fmt.Sprintf(`{"status":{"phase":%q,"conditions":%s,"containerStatuses":%s}}`, phase, conditions(ready), statuses)
}

// run runs one command line of pkg against the cluster.
func (c *testCluster) run(t testing.TB, args ...string) (code int, out, talk string) {
	t.Helper()
	return c.runAs(t, "pkg", args...)
}

func (c *testCluster) runAs(t testing.TB, name string, args ...string) (code int, out, talk string) {
	t.Helper()
	var stdout, stderr strings.Builder
	dir := filepath.Dir(c.kubeconfig)
	a := &app{
		In: strings.NewReader(""), Out: &stdout, Err: &stderr, Now: time.Now,
		Env: func(key string) string {
			if key == "KUBECONFIG" {
				return c.kubeconfig
			}
			return c.env[key]
		},
		ConfigDir: filepath.Join(dir, "config"), CacheDir: filepath.Join(dir, "cache"), asHelm: name == "helm",
	}
	code = a.main(t.Context(), args)
	return code, stdout.String(), stderr.String()
}

// mustRun fails the test unless the command ends with code.
func (c *testCluster) mustRun(t testing.TB, want int, args ...string) (out, talk string) {
	t.Helper()
	code, out, talk := c.run(t, args...)
	if code != want {
		t.Fatalf("pkg %s: exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", strings.Join(args, " "), code, want, out, talk)
	}
	return out, talk
}
