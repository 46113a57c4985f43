// Package api is the Kubernetes-compatible API over a store: what kinds mean
// is in package kind, where objects are is in package store, and this package
// is all between them and the clients. Server offers the same semantics twice:
//
//   - in process, as object.Verbs, without authentication, for the parts of
//     the cluster;
//   - over HTTP (Server is an http.Handler, Serve runs it), for everybody
//     else, with authentication and authorization by functions in Config.
//
// One request, followed: route.go says what a path and method mean; http.go
// asks who it is and whether they may; the handlers in get.go, watch.go and
// write.go decode, call the verbs below, and encode. The verbs: read.go,
// stream.go (watch), create.go, update.go, patch.go, delete.go and
// subresource.go. Admission of pods and claims is in package admit, addresses
// of Services in package alloc, managedFields in package managed, bytes in
// package wire.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/api/alloc"
	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/api/managed"
	"github.com/seed38700745/pkg/cluster/api/wire"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

// Config is what a Server is made of. Store, Kinds and Authorize are required.
type Config struct {
	Store store.Store
	Kinds *kind.Registry

	// ServiceCIDR is where cluster addresses of Services come from; the first
	// one belongs to the Service default/kubernetes. Without it no Service
	// gets an address.
	ServiceCIDR netip.Prefix
	// NodePorts is the range of node ports; zero: 30000-32767.
	NodePorts alloc.Ports

	// Authenticate says who makes a request (nil: nobody known,
	// system:anonymous); its errors are answered with 401.
	Authenticate func(*http.Request) (auth.User, error)
	// Impersonate returns whom u acts as after the request's Impersonate-*
	// headers; nil refuses them.
	Impersonate func(ctx context.Context, u auth.User, h http.Header) (auth.User, error)
	// Authorize decides; reason is added to the refusal.
	Authorize func(context.Context, auth.Attributes) (allowed bool, reason string, err error)
	// CheckWrite may refuse what u is about to write although the verb is
	// allowed (privilege escalation through roles); old is nil for a creation.
	CheckWrite func(ctx context.Context, u auth.User, o, old object.Object) error

	// Connect serves the subresources that are streams or proxies, by
	// "pods/log", "pods/exec", "services/proxy", "nodes/proxy" ...
	Connect map[string]Connector
	// Virtual resources are served, but not stored.
	Virtual []Virtual
	// IssueToken answers a request for a token of sa.
	IssueToken func(ctx context.Context, sa *corev1.ServiceAccount, req *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error)
	// Prune removes from a custom resource what its schema does not know and
	// returns the paths of that ("spec.foo"); nil prunes nothing.
	Prune func(gvk schema.GroupVersionKind, o *unstructured.Unstructured) (unknown []string)

	// OpenAPI serves /openapi/v2 and /openapi/v3.
	OpenAPI http.Handler
	// Paths serves further paths that are no resources, such as
	// "/openid/v1/jwks", after authorization.
	Paths map[string]http.Handler
	// Checks are asked by /healthz, /livez and /readyz.
	Checks []Check

	// Observe is told of every request, and what it returns of the request's
	// end; nil: nobody is.
	Observe func(Observed) (ended func(Outcome))

	Version string           // "v1.36.3"
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: discards
}

// Connector serves one request to a subresource that is more than an object.
// An error, returned before anything was written, is answered as a Status.
type Connector func(w http.ResponseWriter, r *http.Request, t Target) error

// Target is the object whose subresource a Connector serves.
type Target struct {
	Resource    object.Resource
	Subresource string
	// Object is the stored object. It is shared and immutable. For
	// services/proxy and nodes/proxy, Name is the requested name with its
	// "https:" prefix and ":port" suffix, and Object is looked up without.
	Object object.Object
	Name   string
	// Path is what follows "proxy" in the URL, with its leading slash.
	Path string
	User auth.User
}

// Check is one named part of the server's health. Live checks are asked by
// /livez, too; all are asked by /readyz and /healthz.
type Check struct {
	Name  string
	Live  bool
	Probe func() error
}

// Server is the API. It implements object.Verbs and http.Handler.
type Server struct {
	Config
	managed   *managed.Fields
	services  *alloc.Services
	quotas    quotas
	snapshots snapshots
	frames    wire.FrameCache
	virtual   map[schema.GroupVersionResource]*Virtual
	discovery discoveryCache
	slots     chan struct{} // requests at work, without watches and streams
	// stopping is closed when Serve shuts down, and ends watches.
	stopping chan struct{}
}

var (
	_ object.Verbs = (*Server)(nil)
	_ http.Handler = (*Server)(nil)
)

// maxInFlight bounds the requests that are worked on at once. More wait for
// their turn; none is refused.
const maxInFlight = 600

// New returns a Server. It starts nothing.
func New(c Config) (*Server, error) {
	if c.Store == nil || c.Kinds == nil || c.Authorize == nil {
		return nil, errors.New("api: Store, Kinds and Authorize must be set")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Version == "" {
		c.Version = defaultVersion
	}
	s := &Server{
		Config: c, managed: managed.New(c.Kinds),
		virtual: map[schema.GroupVersionResource]*Virtual{},
		slots:   make(chan struct{}, maxInFlight), stopping: make(chan struct{}),
	}
	for i := range c.Virtual {
		v := &c.Virtual[i]
		s.virtual[v.GVK.GroupVersion().WithResource(v.Plural)] = v
	}
	s.services = alloc.New(c.ServiceCIDR, c.NodePorts)
	s.services.Load(c.Store.Snapshot())
	return s, nil
}

// Prepare does what the first writes would otherwise wait for: it parses the
// schemas for managedFields (some 100 ms of one core). Call it off the way to
// readiness.
func (s *Server) Prepare() { s.managed.Prepare() }
