package client

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

// server is a real API over HTTPS. Its handler may be wrapped.
type server struct {
	*httptest.Server
	discoveries atomic.Int64
}

func serve(t *testing.T, wrap func(http.Handler) http.Handler) *server {
	t.Helper()
	kinds := kind.NewRegistry(kind.All())
	db, err := store.Open(filepath.Join(t.TempDir(), "db"), store.Options{Codec: api.NewCodec(kinds)})
	if err != nil {
		t.Fatal(err)
	}
	h, err := api.New(api.Config{Store: db, Kinds: kinds,
		Authorize: func(context.Context, auth.Attributes) (bool, string, error) { return true, "", nil },
		Connect: map[string]api.Connector{"pods/log": func(w http.ResponseWriter, r *http.Request, _ api.Target) error {
			_, err := io.WriteString(w, "log "+r.URL.RawQuery)
			return err
		}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := api.Bootstrap(t.Context(), h, netip.AddrPort{}); err != nil {
		t.Fatal(err)
	}
	s := &server{}
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/apis" {
			s.discoveries.Add(1)
		}
		h.ServeHTTP(w, r)
	})
	var all http.Handler = counted
	if wrap != nil {
		all = wrap(counted)
	}
	s.Server = httptest.NewUnstartedServer(all)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *server) client(t *testing.T, c Config) *Client {
	t.Helper()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	c.REST = &rest.Config{Host: s.URL, TLSClientConfig: rest.TLSClientConfig{CAData: ca}}
	k, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var configMaps = object.Resource{Resource: "configmaps"}

func configMap(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": name, "namespace": "default"}, "data": map[string]any{"a": "1"}}}
}

func TestVerbs(t *testing.T) {
	c := serve(t, nil).client(t, Config{})
	ctx, key := t.Context(), object.Key{Namespace: "default", Name: "m"}
	if _, err := c.Get(ctx, configMaps, key); !apierrors.IsNotFound(err) {
		t.Errorf("get of nothing: %v", err)
	}
	o, err := c.Create(ctx, configMaps, configMap("m"), object.WriteOptions{FieldManager: "test"})
	if err != nil || o.GetUID() == "" {
		t.Fatalf("create: %v, %v", o, err)
	}
	if _, err := c.Create(ctx, configMaps, configMap("m"), object.WriteOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("create again: %v", err)
	}
	typed := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "typed", Namespace: "default"}} // no kind in it
	if _, err := c.Create(ctx, configMaps, typed, object.WriteOptions{}); err != nil {
		t.Errorf("create of a typed object: %v", err)
	}
	u := o.(*unstructured.Unstructured).DeepCopy()
	u.SetResourceVersion("1")
	if _, err := c.Update(ctx, configMaps, u, object.WriteOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("update of an old state: %v", err)
	}
	body := []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"},"data":{"a":"2"}}`)
	if _, err := c.Patch(ctx, configMaps, key, types.ApplyPatchType, body, object.WriteOptions{FieldManager: "other"}); !apierrors.IsConflict(err) {
		t.Errorf("apply of another's field: %v", err)
	}
	o, err = c.Patch(ctx, configMaps, key, types.ApplyPatchType, body, object.WriteOptions{FieldManager: "other", Force: true})
	if v, _, _ := unstructured.NestedString(o.(*unstructured.Unstructured).Object, "data", "a"); err != nil || v != "2" {
		t.Errorf("forced apply: %v, %v", o, err)
	}
	if _, err := c.Delete(ctx, configMaps, key, object.DeleteOptions{DryRun: true}); err != nil {
		t.Error(err)
	}
	if _, err := c.Delete(ctx, configMaps, key, object.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := c.Delete(ctx, configMaps, key, object.DeleteOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("delete again: %v", err)
	}
	roles := object.Resource{Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}
	odd := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
		"metadata": map[string]any{"name": "system:a?b#c"}}}
	if _, err := c.Create(ctx, roles, odd, object.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if o, err := c.Get(ctx, roles, object.Key{Name: "system:a?b#c"}); err != nil || o.GetName() != "system:a?b#c" {
		t.Errorf("an odd name: %v", err)
	}
}

func TestListInPages(t *testing.T) {
	c := serve(t, nil).client(t, Config{})
	const many = pageSize + 3
	for n := range many {
		if _, err := c.Create(t.Context(), configMaps, configMap(fmt.Sprintf("m%04d", n)), object.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := c.List(t.Context(), configMaps, object.ListOptions{Namespace: "default"})
	if err != nil || len(l.Items) != many || l.Items[many-1].GetName() != fmt.Sprintf("m%04d", many-1) {
		t.Errorf("%d objects, %v", len(l.Items), err)
	}
	l, err = c.List(t.Context(), configMaps, object.ListOptions{Namespace: "default", Limit: 2})
	if err != nil || len(l.Items) != 2 || l.Continue == "" {
		t.Errorf("one page: %d objects, %v", len(l.Items), err)
	}
}

// TestWatch runs against servers with and without WatchList.
func TestWatch(t *testing.T) {
	for name, wrap := range map[string]func(http.Handler) http.Handler{
		"watch list": nil, "older server": refuseInitialEvents, "older etcd": failInitialEvents,
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, wrap).client(t, Config{})
			if _, err := c.Create(t.Context(), configMaps, configMap("a"), object.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			w, err := c.Watch(t.Context(), configMaps, object.WatchOptions{Namespace: "default", SendInitialEvents: true, AllowBookmarks: true})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Stop()
			got := []string{next(t, w), next(t, w)}
			if _, err := c.Create(t.Context(), configMaps, configMap("b"), object.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			got = append(got, next(t, w))
			if want := []string{"ADDED a", "BOOKMARK end of initial events", "ADDED b"}; !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			w.Stop()
			for range w.ResultChan() { // ends because of Stop
			}
		})
	}
}

func refuseInitialEvents(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("sendInitialEvents") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnprocessableEntity)
			io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422,"message":"sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"}`)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// failInitialEvents answers as a kube-apiserver whose etcd does not tell progress.
func failInitialEvents(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("sendInitialEvents") {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"a watch stream was requested by the client but the required storage feature RequestWatchProgress is disabled","reason":"InternalError","code":500}}`+"\n")
			return
		}
		h.ServeHTTP(w, r)
	})
}

func next(t *testing.T, w watch.Interface) string {
	t.Helper()
	select {
	case e := <-w.ResultChan():
		o, ok := e.Object.(object.Object)
		if !ok {
			t.Fatalf("event %v", e)
		}
		if e.Type == watch.Bookmark && o.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
			return "BOOKMARK end of initial events"
		}
		return string(e.Type) + " " + o.GetName()
	case <-time.After(10 * time.Second):
		t.Fatal("no event")
		return ""
	}
}

func TestDiscoveryCache(t *testing.T) {
	s, dir := serve(t, nil), t.TempDir()
	now := time.Now()
	clock := func() time.Time { return now }
	kindOf := func(name string) error {
		_, err := s.client(t, Config{CacheDir: dir, Now: clock}).Kind(t.Context(), schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: name})
		return err
	}
	for range 3 {
		if err := kindOf("Deployment"); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.discoveries.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	if err := kindOf("Unheard"); !meta.IsNoMatchError(err) {
		t.Errorf("unknown kind: %v", err)
	}
	if n := s.discoveries.Load(); n != 2 {
		t.Errorf("asked %d times: a missing kind must be asked for", n)
	}
	now = now.Add(2 * cacheLife)
	if err := kindOf("Deployment"); err != nil || s.discoveries.Load() != 3 {
		t.Errorf("an old cache was used: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "discovery", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("cache files %v, %v", files, err)
	}
	now = time.Now()
	if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := kindOf("Deployment"); err != nil {
		t.Errorf("with a broken cache: %v", err)
	}
}

func TestWarningsAndLogs(t *testing.T) {
	var warned []string
	c := serve(t, nil).client(t, Config{Warn: func(text string) { warned = append(warned, text) }})
	ingress := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
		"metadata": map[string]any{"name": "p", "namespace": "default"}, "spec": map[string]any{"podSelector": map[string]any{}}}}
	r := object.Resource{Group: "networking.k8s.io", Resource: "networkpolicies"}
	if _, err := c.Create(t.Context(), r, ingress, object.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "nothing in this cluster acts on it") {
		t.Errorf("warned %q", warned)
	}
	if _, err := c.Logs(t.Context(), object.Key{Namespace: "default", Name: "none"}, LogOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("log of no pod: %v", err)
	}
}

func TestOtherAnswers(t *testing.T) {
	var tries atomic.Int64
	s := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/html"):
				http.Error(w, "<html>bad gateway</html>", http.StatusBadGateway)
			case strings.HasSuffix(r.URL.Path, "/busy") && tries.Add(1) == 1:
				w.Header().Set("Retry-After", "1")
				http.Error(w, "later", http.StatusTooManyRequests)
			default:
				h.ServeHTTP(w, r)
			}
		})
	})
	c := s.client(t, Config{})
	_, err := c.Get(t.Context(), configMaps, object.Key{Namespace: "default", Name: "html"})
	if err == nil || !strings.Contains(err.Error(), "502 Bad Gateway: <html>bad gateway</html>") {
		t.Errorf("a proxy's answer: %v", err)
	}
	if _, err := c.Get(t.Context(), configMaps, object.Key{Namespace: "default", Name: "busy"}); !apierrors.IsNotFound(err) || tries.Load() != 2 {
		t.Errorf("after 429: %v, %d tries", err, tries.Load())
	}
	s.Close()
	var gone *UnreachableError
	if _, err := c.Version(t.Context()); !errors.As(err, &gone) {
		t.Errorf("without a server: %v", err)
	}
}

func TestKubeconfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	text := `{apiVersion: v1, kind: Config, current-context: a,
clusters: [{name: one, cluster: {server: "https://one:6443"}}], users: [{name: u, user: {token: secret}}],
contexts: [{name: a, context: {cluster: one, user: u}}, {name: b, context: {cluster: one, user: u, namespace: shop}}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Kubeconfig{Path: path, Context: "b", Server: "https://two"}.Load()
	if err != nil || l.Namespace != "shop" || l.REST.Host != "https://two" || l.REST.BearerToken != "secret" {
		t.Errorf("%+v, %v", l, err)
	}
	if l, err = (Kubeconfig{Path: path}).Load(); err != nil || l.Context != "a" || l.REST.Host != "https://one:6443" {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := (Kubeconfig{Path: path, Context: "c"}).Load(); err == nil || !strings.Contains(err.Error(), `no context "c"`) {
		t.Errorf("a missing context: %v", err)
	}
	if _, err := (Kubeconfig{Path: path + "x"}).Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if l, err = (Kubeconfig{Server: "https://three", Token: "t"}).Load(); err != nil || l.REST.Host != "https://three" {
		t.Errorf("without a file: %+v, %v", l, err)
	}
}

// TestQPS lets one request go and refuses one that would have to wait too long.
func TestQPS(t *testing.T) {
	c := serve(t, nil).client(t, Config{QPS: 0.001, Burst: 1})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := c.Version(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Version(ctx); err == nil {
		t.Error("the second request did not have to wait")
	}
}
