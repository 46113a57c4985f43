// Package kind has one entry for each built-in kind: its type and names, its
// defaults, validation, selectable fields, table columns and subresources. The
// API serves what it finds here; lint checks manifests with it. Nothing here
// knows how objects are stored or served.
package kind

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/seed38700745/pkg/cluster/object"
)

// Kind describes one kind of object in the version in which it is stored.
// Function fields may be nil where a kind needs nothing of that sort.
// Functions that change an object are given a private copy.
type Kind struct {
	GVK        schema.GroupVersionKind
	Plural     string // "deployments"
	Singular   string // "deployment"
	ShortNames []string
	Categories []string // "all"
	Namespaced bool

	New     func() object.Object
	NewList func() runtime.Object

	// Acted tells whether some part of the cluster acts on the kind. The API
	// warns about the others: they are stored, and nothing happens.
	Acted bool
	// Volatile kinds live in memory only (Lease); Lazy ones reach the disk
	// in batches (Event).
	Volatile, Lazy bool

	// HasStatus: the kind has a "status" subresource. Then writes of the
	// object itself keep the old status, and writes of the status keep all
	// else; CopyStatus(to, from) copies the status.
	HasStatus  bool
	CopyStatus func(to, from object.Object)
	// Scale is set for kinds with a "scale" subresource.
	Scale *Scale
	// More lists further subresources for discovery ("pods/log" is "log").
	More []Subresource

	// Generation: metadata.generation counts changes of anything but
	// metadata and status.
	Generation bool

	Default func(o object.Object)
	// PrepareCreate and PrepareUpdate set or reset what users may not
	// (status at creation, fields that keep their old value). They run after
	// defaulting and before validation. At creation the UID is already set; on
	// update the status is already that of old.
	PrepareCreate func(o object.Object)
	PrepareUpdate func(o, old object.Object)
	// ValidateName checks metadata.name; nil means a DNS-1123 subdomain. It
	// has the form of apimachinery's validation.ValidateNameFunc.
	ValidateName func(name string, prefix bool) []string
	// Validate checks all but ObjectMeta, which the API checks. Messages are
	// in Kubernetes' wording.
	Validate func(o object.Object) field.ErrorList
	// ValidateUpdate checks what may change; it runs besides Validate.
	ValidateUpdate       func(o, old object.Object) field.ErrorList
	ValidateStatusUpdate func(o, old object.Object) field.ErrorList
	// Warnings for the user about a valid object (deprecated fields).
	Warnings func(o object.Object) []string

	// Fields are the selectable fields besides metadata.name and
	// metadata.namespace, which every kind has. FieldNames lists their names.
	FieldNames []string
	Fields     func(o object.Object) fields.Set

	// Columns and Row make the table that kubectl get shows, as Kubernetes'
	// own printers do. Row returns one cell a column. Both nil: Name, Age.
	Columns []metav1.TableColumnDefinition
	Row     func(o object.Object, now time.Time) []any

	// Aliases serve the same stored objects as another group or version.
	Aliases []Alias

	// Types makes the schemas for server-side apply of all versions of the
	// kind; nil means those that client-go carries. Its result may be kept.
	Types func() (managedfields.TypeConverter, error)

	// DefaultPropagation of deletes; empty means background.
	DefaultPropagation metav1.DeletionPropagation
}

// Scale converts between a kind and autoscaling/v1 Scale.
type Scale struct {
	Get func(o object.Object) (spec, status int32, selector string)
	Set func(o object.Object, replicas int32)
}

// Subresource is one further subresource for discovery.
type Subresource struct {
	Name  string // "log"
	GVK   schema.GroupVersionKind
	Verbs []string
}

// Alias is another group-version that shows the same stored objects. To and
// From convert; each is given a private copy.
type Alias struct {
	GVK     schema.GroupVersionKind
	New     func() object.Object
	NewList func() runtime.Object
	To      func(stored object.Object) (object.Object, error)
	From    func(served object.Object) (object.Object, error)
}

// Resource names the collection.
func (k *Kind) Resource() object.Resource {
	return object.Resource{Group: k.GVK.Group, Resource: k.Plural}
}

// GVR is Resource with the stored version.
func (k *Kind) GVR() schema.GroupVersionResource {
	return k.GVK.GroupVersion().WithResource(k.Plural)
}
