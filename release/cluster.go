package release

import (
	"context"
	"io"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/object"
)

// Cluster is what releases need of a Kubernetes. Its objects are
// *unstructured.Unstructured.
type Cluster interface {
	object.Verbs
	// Metadata is List of objects that may have nothing but their metadata.
	Metadata(ctx context.Context, r object.Resource, o object.ListOptions) (*object.List, error)
	// Names lists the names in a collection, at most o.Limit; whole if those are all.
	Names(ctx context.Context, r object.Resource, o object.ListOptions) (names []string, whole bool, err error)
	// At returns the verbs with objects read in a version of their group.
	At(version string) object.Verbs
	// Kind finds the collection of a kind. Errors: *meta.NoKindMatchError.
	Kind(ctx context.Context, gvk schema.GroupVersionKind) (Kind, error)
	// Refresh makes the next Kind ask the server again.
	Refresh()
	// KubeVersion is the server's, "v1.36.3".
	KubeVersion(ctx context.Context) (string, error)
	// APIVersions lists "group/version" and "group/version/Kind".
	APIVersions(ctx context.Context) ([]string, error)
	// Logs streams a container's log.
	Logs(ctx context.Context, pod object.Key, o LogOptions) (io.ReadCloser, error)
}

// Kind is where objects of a kind are.
type Kind struct {
	Resource   object.Resource
	Namespaced bool
}

// LogOptions choose the part of a container's log.
type LogOptions struct {
	Container string
	Follow    bool
	Previous  bool  // of the instance before the last restart
	Tail      int64 // last lines; 0 for all
}

// Resources that this package reads and writes by itself.
func secrets() object.Resource    { return object.Resource{Resource: "secrets"} }
func pods() object.Resource       { return object.Resource{Resource: "pods"} }
func events() object.Resource     { return object.Resource{Resource: "events"} }
func namespaces() object.Resource { return object.Resource{Resource: "namespaces"} }
func leases() object.Resource {
	return object.Resource{Group: "coordination.k8s.io", Resource: "leases"}
}
