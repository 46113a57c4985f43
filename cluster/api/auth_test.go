package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/object"
)

// TestAuthorization: bob may do what the verbs in the map say, nothing else.
func TestAuthorization(t *testing.T) {
	t.Parallel()
	c := start(t, func(c *api.Config) {
		c.Authenticate = func(r *http.Request) (auth.User, error) {
			switch r.Header.Get("Authorization") {
			case "Bearer bob":
				return auth.User{Name: "bob", Groups: []string{"system:authenticated"}}, nil
			case "":
				return auth.Anonymous(), nil
			}
			return auth.User{}, errors.New("who?")
		}
		c.Authorize = func(_ context.Context, a auth.Attributes) (bool, string, error) {
			return a.Path == "/readyz" || a.Name != "" && a.Resource == "configmaps" && a.Verb == "patch" && a.User.Name == "bob", "", nil
		}
	})
	status := func(token, method, path, body, contentType string) (int, string) {
		headers := []string{"Content-Type", contentType}
		if token != "" {
			headers = append(headers, "Authorization", "Bearer "+token)
		}
		resp, data := c.fetch(t, method, path, body, headers...)
		return resp.StatusCode, string(data)
	}
	for _, x := range []struct {
		token, method, path, body, contentType string
		code                                   int
		text                                   string
	}{
		{"", "GET", "/readyz", "", "", 200, "ok"},
		{"", "GET", "/api/v1/nodes", "", "", 403, `nodes is forbidden: User \"system:anonymous\" cannot list resource \"nodes\" in API group \"\" at the cluster scope`},
		{"mallory", "GET", "/readyz", "", "", 401, "Unauthorized"},
		{"bob", "GET", "/apis/apps/v1/namespaces/y/deployments", "", "", 403, `deployments.apps is forbidden: User \"bob\" cannot list resource \"deployments\" in API group \"apps\" in the namespace \"y\"`},
		{"bob", "GET", "/api/v1/namespaces/y/pods/p/log", "", "", 403, `pods \"p\" is forbidden: User \"bob\" cannot get resource \"pods/log\" in API group \"\" in the namespace \"y\"`},
		{"bob", "GET", "/metrics", "", "", 403, `User \"bob\" cannot get path \"/metrics\"`},
		{"bob", "PATCH", "/api/v1/namespaces/default/configmaps/c?fieldManager=m", `{"apiVersion":"v1","kind":"ConfigMap"}`, "application/apply-patch+yaml", 403, `cannot create resource \"configmaps\"`},
	} {
		if code, text := status(x.token, x.method, x.path, x.body, x.contentType); code != x.code || !strings.Contains(text, x.text) {
			t.Errorf("%s %s as %q: %d %s", x.method, x.path, x.token, code, text)
		}
	}
}

// TestRBAC wires the real authorizer and reviewer.
func TestRBAC(t *testing.T) {
	t.Parallel()
	var c *cluster
	var z *auth.Authorizer
	c = start(t, func(cfg *api.Config) {
		cfg.Authorize = func(ctx context.Context, a auth.Attributes) (bool, string, error) { return z.Authorize(ctx, a) }
		cfg.Impersonate = func(ctx context.Context, u auth.User, h http.Header) (auth.User, error) {
			return z.Impersonate(ctx, u, h)
		}
		cfg.CheckWrite = func(ctx context.Context, u auth.User, o, old object.Object) error {
			return z.CheckEscalation(ctx, u, o, old)
		}
		cfg.Virtual = append(api.Reviews(func(ctx context.Context, u auth.User, o runtime.Object) (runtime.Object, error) {
			return (&auth.Reviewer{Authorizer: z}).Review(ctx, u, o)
		}), api.Virtual{
			GVK: schema.GroupVersionKind{Group: "metrics.k8s.io", Version: "v1beta1", Kind: "NodeMetrics"}, Plural: "nodes",
			New: func() object.Object { return &unstructured.Unstructured{Object: map[string]any{}} },
			List: func(context.Context, string, labels.Selector) ([]object.Object, error) {
				return []object.Object{&unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "n1"},
					"timestamp": "2026-01-01T00:00:00Z", "window": "10s", "usage": map[string]any{"cpu": "250m", "memory": "64Mi"}}}}, nil
			},
		})
		cfg.IssueToken = func(_ context.Context, sa *corev1.ServiceAccount, r *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
			r.Status.Token = "token of " + sa.Name
			return r, nil
		}
	})
	z = auth.NewAuthorizer(c)
	if err := auth.EnsureRoles(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	k := newKubectl(t, c)
	k.want("", words("create serviceaccount robot"), "created")
	k.want("", words("create rolebinding robot --clusterrole=view --serviceaccount=default:robot"), "created")
	const as = "--as=system:serviceaccount:default:robot"
	k.want("", words("get configmaps "+as), "No resources found")
	if out, err := k.try("", words("create configmap x "+as)...); err == nil || !strings.Contains(out, `cannot create resource "configmaps" in API group "" in the namespace "default"`) {
		t.Errorf("create as robot: %s", out)
	}
	k.want("", words("auth can-i delete pods"), "yes")
	if out, _ := k.try("", words("auth can-i delete pods "+as)...); !strings.Contains(out, "no") {
		t.Errorf("can-i: %s", out)
	}
	k.want("", words("create token robot"), "token of robot")
	k.want("", words("auth whoami "+as), "system:serviceaccount:default:robot", "system:authenticated")
	k.want("", words("auth can-i --list "+as), "configmaps", "[get list watch]")
	k.want("", words("get --raw /apis/metrics.k8s.io/v1beta1/nodes"), `"kind":"NodeMetricsList"`, `"cpu":"250m"`)
	if out, err := k.try("", words("create clusterrole root --verb=* --resource=* "+as)...); err == nil {
		t.Errorf("robot made a role: %s", out)
	}
}

func TestPanicsAreHidden(t *testing.T) {
	t.Parallel()
	c := start(t, func(c *api.Config) {
		c.Logger = nil
		c.Connect = map[string]api.Connector{
			"pods/log": func(http.ResponseWriter, *http.Request, api.Target) error { panic("secret detail") },
			"nodes/proxy": func(w http.ResponseWriter, _ *http.Request, t api.Target) error {
				_, err := w.Write([]byte(t.Object.GetName() + " " + t.Name + " " + t.Path))
				return err
			},
		}
	})
	cs := c.client(t)
	if _, err := cs.CoreV1().Pods("default").Create(t.Context(), pod("p"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	resp, data := c.fetch(t, "GET", "/api/v1/namespaces/default/pods/p/log", "")
	if resp.StatusCode != 500 || strings.Contains(string(data), "secret") || !strings.Contains(string(data), `"kind":"Status"`) {
		t.Errorf("%d %s", resp.StatusCode, data)
	}
	if _, err := cs.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, data = c.fetch(t, "GET", "/api/v1/nodes/https:n:10250/proxy/stats/summary?x=1", ""); string(data) != "n https:n:10250 /stats/summary" {
		t.Errorf("proxy target: %s", data)
	}
	if _, err := cs.CoreV1().Pods("default").GetLogs("none", &corev1.PodLogOptions{}).DoRaw(t.Context()); !apierrors.IsNotFound(err) {
		t.Errorf("log of no pod: %v", err)
	}
	// A node's status is not written to disk, but seen.
	n, err := cs.CoreV1().Nodes().Patch(t.Context(), "n", types.MergePatchType, []byte(`{"status":{"phase":"Running"}}`), metav1.PatchOptions{}, "status")
	if err != nil || n.Status.Phase != "Running" {
		t.Errorf("node status: %v", err)
	}
}
