// Package managed keeps metadata.managedFields: which manager owns which
// fields of an object. It is the server's half of server-side apply, on top of
// apimachinery's managedfields and the type schemas that client-go carries.
//
// Those schemas take about 100 ms and some 20 MB to parse. They are parsed
// when first needed; Ready tells whether that has happened, so that the first
// writes of a starting cluster need not wait for them. An object written
// without managedFields is treated by a later apply as Kubernetes treats
// objects from before server-side apply: manager "before-first-apply".
package managed

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
)

// Fields computes managedFields. It is safe for concurrent use.
type Fields struct {
	kinds *kind.Registry

	build     sync.Once
	converter managedfields.TypeConverter // set by build
	ready     atomic.Bool

	managers sync.Map // managerKey -> *managedfields.FieldManager
	empty    sync.Map // schema.GroupVersionKind -> *typed.TypedValue of an empty object
}

type managerKey struct {
	kind        *kind.Kind
	version     schema.GroupVersionKind
	subresource string
}

// New returns the Fields for the kinds of a registry.
func New(kinds *kind.Registry) *Fields { return &Fields{kinds: kinds} }

// Ready tells whether the schemas are parsed, and no call will wait for that.
func (f *Fields) Ready() bool { return f.ready.Load() }

// Prepare parses the schemas unless that was done.
func (f *Fields) Prepare() {
	f.build.Do(func() {
		f.converter = applyconfigurations.NewTypeConverter(f.kinds.Scheme())
		// The parser works on first use.
		_, _ = f.converter.ObjectToTyped(&metav1.DeleteOptions{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"}})
		f.ready.Store(true)
	})
}

// Created records that manager set all fields of the new object o, which is of
// the stored version of v.
func (f *Fields) Created(v kind.Served, o object.Object, manager string, now metav1.Time) {
	f.Prepare()
	o.SetManagedFields(nil)
	if v.Alias != nil || v.Kind.Types != nil || custom(v.Kind) {
		live := v.Kind.New()
		live.GetObjectKind().SetGroupVersionKind(v.Kind.GVK)
		_ = f.Updated(v, "", live, o, manager)
		return
	}
	set, err := f.fieldSet(o)
	if err != nil {
		return // an object whose fields nobody manages is still a good object
	}
	if manager == "" {
		manager = "unknown"
	}
	setOnly(v, o, set, manager, metav1.ManagedFieldsOperationUpdate, now)
}

// setOnly makes manager the only one of the new object o: it owns what is in set, but
// for what nobody does.
func setOnly(v kind.Served, o object.Object, set *fieldpath.Set, manager string, how metav1.ManagedFieldsOperationType, now metav1.Time) {
	if filter := ignored(v.Kind, ""); filter != nil {
		set = filter.Filter(set)
	}
	set = set.Difference(stripped())
	var raw bytes.Buffer
	if err := set.ToJSONStream(&raw); err != nil || set.Empty() {
		return
	}
	o.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: manager, Operation: how,
		APIVersion: v.Version().GroupVersion().String(), Time: &now,
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(raw.String()),
	}})
}

// fieldSet returns all fields of a typed object that an empty one has not.
func (f *Fields) fieldSet(o object.Object) (*fieldpath.Set, error) {
	empty, err := f.emptyOf(o.GetObjectKind().GroupVersionKind())
	if err != nil {
		return nil, err
	}
	full, err := unchecked{f}.ObjectToTyped(o)
	if err != nil {
		return nil, err
	}
	diff, err := empty.Compare(full)
	if err != nil {
		return nil, err
	}
	return diff.Modified.Union(diff.Added), nil
}

// emptyOf returns an empty object of a typed kind, which knows its schema.
func (f *Fields) emptyOf(gvk schema.GroupVersionKind) (*typed.TypedValue, error) {
	if e, ok := f.empty.Load(gvk); ok {
		return e.(*typed.TypedValue), nil
	}
	v, ok := f.kinds.ForKind(gvk)
	if !ok {
		return nil, runtime.NewNotRegisteredErrForKind("kinds", gvk)
	}
	o := v.NewObject()
	o.GetObjectKind().SetGroupVersionKind(gvk)
	tv, err := f.converter.ObjectToTyped(o, typed.AllowDuplicates)
	if err != nil {
		return nil, err
	}
	e, _ := f.empty.LoadOrStore(gvk, tv)
	return e.(*typed.TypedValue), nil
}

// unchecked is the TypeConverter that does not compare Go objects with their
// schema, which they fit by their type: that would be half of the work of an
// update. Unstructured objects, such as applied configurations, are checked.
type unchecked struct{ *Fields }

// ObjectToTyped implements managedfields.TypeConverter.
func (c unchecked) ObjectToTyped(o runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	if _, ok := o.(*unstructured.Unstructured); ok {
		return c.converter.ObjectToTyped(o, opts...)
	}
	empty, err := c.emptyOf(o.GetObjectKind().GroupVersionKind())
	if err != nil {
		return nil, err
	}
	v, err := value.NewValueReflect(o)
	if err != nil {
		return nil, err
	}
	return typed.AsTypedUnvalidated(goValue{v, o}, empty.Schema(), empty.TypeRef()), nil
}

// goValue is the value of a Go object that remembers it.
type goValue struct {
	value.Value
	object runtime.Object
}

// TypedToObject implements managedfields.TypeConverter. A Go object is itself: taking
// it apart into tables, only to learn its version, would be a quarter of an update.
func (c unchecked) TypedToObject(v *typed.TypedValue) (runtime.Object, error) {
	if g, ok := v.AsValue().(goValue); ok {
		return g.object, nil
	}
	return c.converter.TypedToObject(v)
}

// Updated records in o that manager changed what differs from live. Both are
// of the stored version; o may carry managedFields that the client set.
func (f *Fields) Updated(v kind.Served, subresource string, live, o object.Object, manager string) error {
	f.Prepare()
	m, err := f.manager(v, subresource)
	if err != nil {
		return err
	}
	out := m.UpdateNoErrors(live, o, manager)
	if out != runtime.Object(o) {
		return fmt.Errorf("managed fields of %s: got another object", v.Version().Kind)
	}
	return nil
}

// Apply merges an applied configuration, in the version of v, into live and
// returns the result in the stored version. live without UID means that the
// object is being created. Conflicts are *errors.StatusError with code 409.
func (f *Fields) Apply(v kind.Served, subresource string, live object.Object, patch *unstructured.Unstructured, manager string, force bool) (object.Object, error) {
	f.Prepare()
	m, err := f.manager(v, subresource)
	if err != nil {
		return nil, err
	}
	out, err := m.Apply(live, patch, manager, force)
	if err != nil {
		return nil, err
	}
	o, ok := out.(object.Object)
	if !ok {
		return nil, fmt.Errorf("apply of %s: got a %T", v.Version().Kind, out)
	}
	return o, nil
}

func (f *Fields) manager(v kind.Served, subresource string) (*managedfields.FieldManager, error) {
	key := managerKey{v.Kind, v.Version(), subresource}
	if m, ok := f.managers.Load(key); ok {
		return m.(*managedfields.FieldManager), nil
	}
	types, build := managedfields.TypeConverter(unchecked{f}), managedfields.NewDefaultFieldManager
	if custom(v.Kind) { // without a schema, lists are merged as a whole
		types, build = managedfields.NewDeducedTypeConverter(), managedfields.NewDefaultCRDFieldManager
	}
	if v.Kind.Types != nil {
		own, err := v.Kind.Types()
		if err != nil {
			return nil, fmt.Errorf("schema of %s: %w", v.Kind.GVK.Kind, err)
		}
		types = own
	}
	var reset map[fieldpath.APIVersion]fieldpath.Filter
	if filter := ignored(v.Kind, subresource); filter != nil {
		reset = map[fieldpath.APIVersion]fieldpath.Filter{fieldpath.APIVersion(v.Kind.GVK.GroupVersion().String()): filter}
		for _, a := range v.Kind.Aliases {
			reset[fieldpath.APIVersion(a.GVK.GroupVersion().String())] = filter
		}
	}
	c := versions{v.Kind}
	m, err := build(types, c, c, c, v.Version(), v.Kind.GVK.GroupVersion(), subresource, reset)
	if err != nil {
		return nil, err
	}
	actual, _ := f.managers.LoadOrStore(key, m)
	return actual.(*managedfields.FieldManager), nil
}

// custom tells whether the kind's objects are unstructured.
func custom(k *kind.Kind) bool {
	_, ok := k.New().(*unstructured.Unstructured)
	return ok
}

// ignored is what a write through a subresource cannot change, and so nobody
// comes to own through it.
func ignored(k *kind.Kind, subresource string) fieldpath.Filter {
	switch {
	case subresource == "status":
		return fieldpath.NewIncludeMatcherFilter(fieldpath.MakePrefixMatcherOrDie("status"))
	case subresource == "" && k.HasStatus:
		return fieldpath.NewExcludeSetFilter(fieldpath.NewSet(fieldpath.MakePathOrDie("status")))
	}
	return nil
}

// stripped are the fields that nobody manages (apimachinery,
// managedfields/internal/stripmeta.go).
func stripped() *fieldpath.Set {
	meta := func(name string) fieldpath.Path { return fieldpath.MakePathOrDie("metadata", name) }
	return fieldpath.NewSet(
		fieldpath.MakePathOrDie("apiVersion"), fieldpath.MakePathOrDie("kind"), fieldpath.MakePathOrDie("metadata"),
		meta("name"), meta("namespace"), meta("creationTimestamp"), meta("selfLink"), meta("uid"),
		meta("clusterName"), meta("generation"), meta("managedFields"), meta("resourceVersion"),
	)
}
