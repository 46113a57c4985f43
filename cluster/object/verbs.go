package object

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// Verbs is the contract between the API and everybody who reads and writes
// objects. Semantics and errors are Kubernetes': every error that the API
// itself raises is an *errors.StatusError of apimachinery (IsNotFound,
// IsConflict, IsInvalid ... hold); others come from the context or transport.
//
// Built-in kinds are exchanged as their k8s.io/api types in the stored
// version, custom resources as *unstructured.Unstructured. Results are shared
// and immutable. Arguments belong to the callee once passed: the caller must
// not change them afterwards.
//
// A write that returned without error is on disk. The named exceptions are
// Leases and node status (memory only) and Events (batched).
type Verbs interface {
	// Get returns one object. Errors: NotFound.
	Get(ctx context.Context, r Resource, k Key) (Object, error)

	// List returns a consistent snapshot, sorted by namespace and name.
	// Errors: Invalid or BadRequest for selectors on unsupported fields,
	// Expired for a Continue token that is too old.
	List(ctx context.Context, r Resource, o ListOptions) (*List, error)

	// Watch delivers changes in the order of their revision, each once and
	// with no gap. Its channel closes when ctx ends, Stop is called, or after
	// an Error event (a *metav1.Status; code 410 means: list again).
	// Errors: Expired (410) when o.ResourceVersion is compacted.
	Watch(ctx context.Context, r Resource, o WatchOptions) (watch.Interface, error)

	// Create stores a new object, or acts on a subresource of an existing
	// one: "binding" of pods takes a *v1.Binding, "eviction" a *policyv1.Eviction,
	// "token" of serviceaccounts a *authenticationv1.TokenRequest (which it
	// returns with its status filled). The object's own name and namespace
	// say which. metadata.generateName is honoured.
	// Errors: AlreadyExists, Invalid, NotFound (namespace), Forbidden
	// (terminating namespace).
	Create(ctx context.Context, r Resource, o Object, w WriteOptions) (Object, error)

	// Update replaces an object, or with w.Subresource "status" its status
	// alone, "scale" its scale, "finalize" a namespace's finalizers. A
	// resourceVersion in o must be the current one. An update that changes
	// nothing is not written and returns the stored object.
	// Errors: NotFound, Conflict, Invalid.
	Update(ctx context.Context, r Resource, o Object, w WriteOptions) (Object, error)

	// Patch applies p of the given type. types.ApplyPatchType is server-side
	// apply; it creates what is missing and needs w.FieldManager.
	// Errors: NotFound, Conflict, Invalid, BadRequest, UnsupportedMediaType.
	Patch(ctx context.Context, r Resource, k Key, t types.PatchType, p []byte, w WriteOptions) (Object, error)

	// Delete removes an object or, while finalizers or a grace period hold
	// it, sets its deletionTimestamp. It returns the object as it was left.
	// Errors: NotFound, Conflict (preconditions).
	Delete(ctx context.Context, r Resource, k Key, o DeleteOptions) (Object, error)
}

// ListOptions narrow a List. The zero value lists everything there is now.
type ListOptions struct {
	Namespace string          // empty: all namespaces
	Labels    labels.Selector // nil: everything
	Fields    fields.Selector // nil: everything
	Limit     int64           // 0: no limit
	Continue  string          // from the previous page's List
	// ResourceVersion and Match have Kubernetes' meaning; the zero values
	// ask for the latest state.
	ResourceVersion string
	Match           metav1.ResourceVersionMatch
}

// List is one page of a collection.
type List struct {
	Items           []Object
	ResourceVersion string // of the snapshot
	Continue        string // empty on the last page
	Remaining       *int64 // how many follow, where known
}

// WatchOptions start a watch. Without ResourceVersion it starts with synthetic
// ADDED events for what exists now.
type WatchOptions struct {
	Namespace       string
	Labels          labels.Selector
	Fields          fields.Selector
	ResourceVersion string
	// SendInitialEvents asks for WatchList: synthetic ADDED events for the
	// current state, then a BOOKMARK annotated
	// metav1.InitialEventsAnnotationKey, then changes.
	SendInitialEvents bool
	AllowBookmarks    bool
	Timeout           time.Duration // 0: none
}

// WriteOptions qualify Create, Update and Patch.
type WriteOptions struct {
	Subresource     string // "": the object itself
	FieldManager    string // recorded in managedFields
	Force           bool   // server-side apply: take over conflicting fields
	DryRun          bool
	FieldValidation string       // Ignore, Warn or Strict; where bytes are decoded
	Warn            func(string) // receives warnings for the user; may be nil
	// Brief says that of the answer only name, namespace, uid, generation and
	// resourceVersion are needed: over HTTPS no more comes.
	Brief bool
}

// DeleteOptions qualify Delete.
type DeleteOptions struct {
	GracePeriodSeconds *int64
	Preconditions      *metav1.Preconditions
	Propagation        *metav1.DeletionPropagation // nil: the kind's default
	DryRun             bool
}
