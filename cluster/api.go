package cluster

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/api/alloc"
	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/api/crd"
	"github.com/seed38700745/pkg/cluster/api/kubelet"
	"github.com/seed38700745/pkg/cluster/api/metrics"
	"github.com/seed38700745/pkg/cluster/backup/archive"
	"github.com/seed38700745/pkg/cluster/object"
)

// newAPI builds the API server, who may use it, and what it forwards to the node
// agent. These need the verbs that the server implements, so they are built
// after it, and the server reaches them through the cluster.
func (k *Cluster) newAPI() error {
	r := k.config.Record
	var (
		authorizer *auth.Authorizer
		tokens     *auth.Tokens
		reviewer   *auth.Reviewer
		agents     *kubelet.Server
	)
	server, err := api.New(api.Config{
		Store: k.store, Kinds: k.kinds, ServiceCIDR: r.ServiceCIDR,
		NodePorts: alloc.Ports{First: int32(r.NodePortBase), Last: int32(r.NodePortBase + r.NodePortSize - 1)},
		Authenticate: func(q *http.Request) (auth.User, error) {
			return (&auth.Authenticator{Tokens: tokens}).Authenticate(q)
		},
		Impersonate: func(ctx context.Context, u auth.User, h http.Header) (auth.User, error) {
			return authorizer.Impersonate(ctx, u, h)
		},
		Authorize: func(ctx context.Context, a auth.Attributes) (bool, string, error) {
			return authorizer.Authorize(ctx, a)
		},
		CheckWrite: func(ctx context.Context, u auth.User, o, old object.Object) error {
			return authorizer.CheckEscalation(ctx, u, o, old)
		},
		Connect: connectors(func() *kubelet.Server { return agents }),
		Virtual: slices.Concat(
			api.Reviews(func(ctx context.Context, u auth.User, o runtime.Object) (runtime.Object, error) {
				return reviewer.Review(ctx, u, o)
			}),
			[]api.Virtual{api.Components()},
			metrics.Virtual(func() *metrics.Sampler { return k.metrics }),
		),
		IssueToken: func(ctx context.Context, sa *corev1.ServiceAccount, q *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
			return tokens.Issue(ctx, sa, q)
		},
		Prune: func(gvk schema.GroupVersionKind, o *unstructured.Unstructured) []string {
			return k.crds.Prune(gvk, o)
		},
		OpenAPI: k.documents,
		Observe: k.meter.Begin,
		Paths: map[string]http.Handler{
			"/metrics": k.meter,
			// Profiles, as kube-apiserver serves them: for administrators.
			"/debug/pprof/profile":   http.HandlerFunc(pprof.Profile),
			"/debug/pprof/heap":      pprof.Handler("heap"),
			"/debug/pprof/goroutine": pprof.Handler("goroutine"),
			archive.Path:             http.HandlerFunc(k.serveBackup),
			auth.ConfigurationPath:   http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { tokens.Configuration(w, q) }),
			auth.KeysPath:            http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { tokens.Keys(w, q) }),
		},
		Version: k.config.Kubernetes, Logger: k.log,
	})
	if err != nil {
		return err
	}
	k.api = server
	authorizer = auth.NewAuthorizer(server)
	if tokens, err = auth.NewTokens(k.pki.SigningKey(), server, Domain, nil); err != nil {
		return err
	}
	reviewer = &auth.Reviewer{Authorizer: authorizer, Tokens: tokens}
	agents = kubelet.New(kubelet.Config{Verbs: server, Dial: k.dialAgent, TLS: k.pki.KubeletClient()})
	k.metrics = metrics.New(metrics.Config{Verbs: server, Get: agents.Get, Logger: k.log})
	k.crds = crd.New(crd.Config{
		Verbs: server, Kinds: k.kinds, Documents: k.documents,
		Report: func(err error) { k.log.Error("custom resources", "error", err) },
	})
	return nil
}

// dialAgent reaches a node's agent: this machine's in memory.
func (k *Cluster) dialAgent(ctx context.Context, node string) (net.Conn, error) {
	if node != k.nodeName {
		return nil, fmt.Errorf("node %s is not this machine, %s", node, k.nodeName)
	}
	return k.agentPipe.Dial(ctx)
}

// connectors are the subresources that the node agent serves.
func connectors(agents func() *kubelet.Server) map[string]api.Connector {
	all := map[string]api.Connector{}
	for _, name := range []string{"pods/log", "pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy", "nodes/proxy"} {
		all[name] = func(w http.ResponseWriter, r *http.Request, t api.Target) error {
			return agents().Serve(w, r, kubelet.Target{
				Resource: t.Resource.Resource, Namespace: t.Object.GetNamespace(), Name: t.Name, Subresource: t.Subresource, Path: t.Path,
			})
		}
	}
	return all
}
