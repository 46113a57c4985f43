package kind

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/object"
)

// Registry is the set of kinds that are served. Custom kinds join and leave it
// at run time. It is safe for concurrent use; lookups take no lock.
type Registry struct {
	scheme *runtime.Scheme

	write   sync.Mutex // serialises Add and Remove
	current atomic.Pointer[index]
}

// index is one immutable state of a Registry.
type index struct {
	kinds     []*Kind // sorted by group and plural
	byKind    map[schema.GroupVersionKind]Served
	byGVR     map[schema.GroupVersionResource]Served
	resources map[schema.GroupResource]*Kind // aliases' groups too
}

// Served is a kind in one of the versions in which clients see it.
type Served struct {
	*Kind
	// Alias is nil for the stored version.
	Alias *Alias
}

// Version returns the group, version and kind that clients see.
func (s Served) Version() schema.GroupVersionKind {
	if s.Alias != nil {
		return s.Alias.GVK
	}
	return s.GVK
}

// NewObject returns an empty object of the version that clients see.
func (s Served) NewObject() object.Object {
	if s.Alias != nil {
		return s.Alias.New()
	}
	return s.New()
}

// NewObjectList returns an empty list of the version that clients see.
func (s Served) NewObjectList() runtime.Object {
	if s.Alias != nil {
		return s.Alias.NewList()
	}
	return s.NewList()
}

// NewRegistry returns a registry of kinds, which must not clash: the built-in
// ones are All().
func NewRegistry(kinds []*Kind) *Registry {
	r := &Registry{scheme: newScheme()}
	r.current.Store(newIndex(kinds))
	return r
}

func newIndex(kinds []*Kind) *index {
	x := &index{
		kinds:     slices.Clone(kinds),
		byKind:    map[schema.GroupVersionKind]Served{},
		byGVR:     map[schema.GroupVersionResource]Served{},
		resources: map[schema.GroupResource]*Kind{},
	}
	slices.SortFunc(x.kinds, func(a, b *Kind) int {
		if c := strings.Compare(a.GVK.Group, b.GVK.Group); c != 0 {
			return c
		}
		return strings.Compare(a.Plural, b.Plural)
	})
	for _, k := range x.kinds {
		x.add(Served{Kind: k})
		for i := range k.Aliases {
			x.add(Served{Kind: k, Alias: &k.Aliases[i]})
		}
	}
	return x
}

func (x *index) add(s Served) {
	gvk := s.Version()
	x.byKind[gvk] = s
	x.byGVR[gvk.GroupVersion().WithResource(s.Plural)] = s
	x.resources[schema.GroupResource{Group: gvk.Group, Resource: s.Plural}] = s.Kind
}

// Scheme knows the Go types of the built-in kinds and of what clients exchange
// besides them. Custom kinds are not in it: they are unstructured.
func (r *Registry) Scheme() *runtime.Scheme { return r.scheme }

// All returns the kinds of this moment, sorted by group and plural name. The
// caller must not change the slice.
func (r *Registry) All() []*Kind { return r.current.Load().kinds }

// ForKind finds what is served as gvk.
func (r *Registry) ForKind(gvk schema.GroupVersionKind) (Served, bool) {
	s, ok := r.current.Load().byKind[gvk]
	return s, ok
}

// ForGVR finds what is served at gvr.
func (r *Registry) ForGVR(gvr schema.GroupVersionResource) (Served, bool) {
	s, ok := r.current.Load().byGVR[gvr]
	return s, ok
}

// ForResource finds the kind behind a resource; an alias' group leads to the
// stored kind as well.
func (r *Registry) ForResource(gr object.Resource) (*Kind, bool) {
	k, ok := r.current.Load().resources[gr]
	return k, ok
}

// Add serves k from now on, replacing an earlier kind of the same resource.
// It fails if another resource uses one of k's kinds.
func (r *Registry) Add(k *Kind) error {
	r.write.Lock()
	defer r.write.Unlock()
	old := r.current.Load()
	versions := []schema.GroupVersionKind{k.GVK}
	for _, a := range k.Aliases {
		versions = append(versions, a.GVK)
	}
	for _, gvk := range versions {
		if other, ok := old.byKind[gvk]; ok && other.Resource() != k.Resource() {
			return fmt.Errorf("kind %s of %s is already served as %s", gvk, k.Resource(), other.Resource())
		}
	}
	kinds := slices.DeleteFunc(slices.Clone(old.kinds), func(other *Kind) bool {
		return other.Resource() == k.Resource()
	})
	r.current.Store(newIndex(append(kinds, k)))
	return nil
}

// Remove stops serving a resource. It tells whether it was served.
func (r *Registry) Remove(gr object.Resource) bool {
	r.write.Lock()
	defer r.write.Unlock()
	old := r.current.Load()
	kinds := slices.DeleteFunc(slices.Clone(old.kinds), func(k *Kind) bool { return k.Resource() == gr })
	if len(kinds) == len(old.kinds) {
		return false
	}
	r.current.Store(newIndex(kinds))
	return true
}

// GroupVersions returns all group-versions in which something is served,
// sorted.
func (r *Registry) GroupVersions() []schema.GroupVersion {
	set := map[schema.GroupVersion]bool{}
	for gvk := range r.current.Load().byKind {
		set[gvk.GroupVersion()] = true
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b schema.GroupVersion) int {
		if c := strings.Compare(a.Group, b.Group); c != 0 {
			return c
		}
		return strings.Compare(a.Version, b.Version)
	})
}
