package api

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

// Update replaces an object or a part of it; see object.Verbs.
func (s *Server) Update(ctx context.Context, r object.Resource, o object.Object, w object.WriteOptions) (object.Object, error) {
	k, ok := s.Kinds.ForResource(r)
	if !ok {
		return nil, notServed()
	}
	if !updatable(k, w.Subresource) {
		return nil, notServed()
	}
	return s.update(ctx, s.inProcess(k, w), object.KeyOf(o), o)
}

// updatable tells whether the kind has the subresource, and objects can be
// written through it; the empty one is the object itself.
func updatable(k *kind.Kind, subresource string) bool {
	switch subresource {
	case "":
		return true
	case "status":
		return k.HasStatus
	case "scale":
		return k.Scale != nil
	case "finalize":
		return k.Resource() == namespaces
	case "ephemeralcontainers", "resize":
		return k.Resource() == pods
	}
	return false
}

// update replaces the object k by o, which is of the stored version, or with
// w.Subresource a part of it.
func (s *Server) update(ctx context.Context, w write, k object.Key, o object.Object) (object.Object, error) {
	if w.Subresource == "scale" {
		return s.updateScale(ctx, w, k, o)
	}
	if o.GetResourceVersion() == "" && requiresVersion(w.served.Kind) {
		return nil, apierrors.NewInvalid(w.served.GVK.GroupKind(), k.Name, field.ErrorList{
			field.Invalid(field.NewPath("metadata", "resourceVersion"), 0, "must be specified for an update")})
	}
	w.retry = o.GetResourceVersion() == ""
	return s.modify(ctx, w, k, func(object.Object) (object.Object, error) {
		if w.retry {
			return o.DeepCopyObject().(object.Object), nil
		}
		return o, nil
	})
}

// requiresVersion: custom resources cannot be updated unconditionally
// (apiextensions-apiserver: customresource/strategy.go).
func requiresVersion(k *kind.Kind) bool {
	_, custom := k.New().(*unstructured.Unstructured)
	return custom
}

// maxTries bounds the repetitions after lost races.
const maxTries = 64

// modify is every change of a stored object: change makes the new object from
// the current one, which it must not touch. change is called again after a
// lost race if w.retry is set.
func (s *Server) modify(ctx context.Context, w write, key object.Key, change func(old object.Object) (object.Object, error)) (object.Object, error) {
	gr := w.served.Resource()
	for try := 1; ; try++ {
		old, err := s.Store.Get(gr, key)
		if err != nil {
			return nil, storeError(err, gr, key.Name)
		}
		o, err := change(old)
		if err != nil {
			return nil, err
		}
		out, raced, err := s.replace(ctx, w, old, o)
		if raced && w.retry && try < maxTries && ctx.Err() == nil {
			continue
		}
		return out, err
	}
}

// replace writes o in place of old. raced tells that another write came first.
func (s *Server) replace(ctx context.Context, w write, old, o object.Object) (out object.Object, raced bool, err error) {
	k, gr := w.served.Kind, w.served.Resource()
	rev, err := s.checkIdentity(w, old, o)
	if err != nil {
		return nil, false, err
	}
	o, err = s.prepareUpdate(w, old, o)
	if err != nil {
		return nil, false, err
	}
	if w.check != nil {
		if err := w.check(o, old); err != nil {
			return nil, false, asStatus(err)
		}
	}
	counted, err := s.withinQuota(k, o, old)
	if err != nil {
		return nil, false, err
	}
	defer counted()
	release, err := s.allocate(o, old, w.DryRun)
	if err != nil {
		return nil, false, err
	}
	if same(o, old) {
		return old, false, nil
	}
	if w.DryRun {
		s.warn(w, o)
		return o, false, nil
	}
	wr := store.Write{Verb: store.Update, Resource: gr, Key: object.KeyOf(old), Object: o,
		Revision: rev, UID: old.GetUID(), Volatile: s.volatile(k, w.Subresource), Lazy: k.Lazy}
	if finished(o) {
		wr.Verb, wr.Object = store.Delete, nil
	}
	out, err = s.Store.Write(ctx, wr)
	if err != nil {
		release()
		return nil, errors.Is(err, store.ErrConflict), storeError(err, gr, old.GetName())
	}
	s.afterWrite(out, old, wr.Verb == store.Delete)
	s.warn(w, out)
	return out, false, nil
}

// volatile: Leases always, and of nodes the status, which heartbeats change;
// a later durable write of the node takes its status to the disk, too.
func (s *Server) volatile(k *kind.Kind, subresource string) bool {
	return k.Volatile || (subresource == "status" && k.GVK.Kind == "Node" && k.GVK.Group == "")
}

// afterWrite gives back what only the old object held.
func (s *Server) afterWrite(o, old object.Object, deleted bool) {
	svc, ok := old.(*corev1.Service)
	if !ok {
		return
	}
	if deleted {
		s.services.Release(svc, nil)
		return
	}
	if now, ok := o.(*corev1.Service); ok {
		s.services.Release(svc, now)
	}
}

// checkIdentity compares what the client said about the object it changes with
// the stored one, fills the rest in, and returns the revision to be replaced.
func (s *Server) checkIdentity(w write, old, o object.Object) (int64, error) {
	gr := w.served.Resource()
	if o.GetName() == "" {
		o.SetName(old.GetName())
	}
	if o.GetNamespace() == "" {
		o.SetNamespace(old.GetNamespace())
	}
	if o.GetName() != old.GetName() {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", o.GetName(), old.GetName()))
	}
	if o.GetNamespace() != old.GetNamespace() {
		return 0, apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	if uid := o.GetUID(); uid != "" && uid != old.GetUID() {
		return 0, apierrors.NewConflict(gr, old.GetName(), fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", uid, old.GetUID()))
	}
	if rv := o.GetResourceVersion(); rv != "" && rv != "0" && rv != old.GetResourceVersion() {
		if _, err := strconv.ParseUint(rv, 10, 64); err != nil {
			return 0, apierrors.NewInvalid(w.served.GVK.GroupKind(), old.GetName(), field.ErrorList{
				field.Invalid(field.NewPath("metadata", "resourceVersion"), rv, "must be a number")})
		}
		return 0, apierrors.NewConflict(gr, old.GetName(), errors.New(modified))
	}
	rev, err := strconv.ParseInt(old.GetResourceVersion(), 10, 64)
	if err != nil {
		return 0, apierrors.NewInternalError(fmt.Errorf("%s %s: resourceVersion %q: %w", gr, object.KeyOf(old), old.GetResourceVersion(), err))
	}
	o.SetResourceVersion(old.GetResourceVersion())
	return rev, nil
}

// prepareUpdate does what Kubernetes' update strategies do: what the write may
// not change is put back, the generation counts, the result is checked.
func (s *Server) prepareUpdate(w write, old, o object.Object) (object.Object, error) {
	k := w.served.Kind
	o.GetObjectKind().SetGroupVersionKind(k.GVK)
	o.SetUID(old.GetUID())
	o.SetCreationTimestamp(old.GetCreationTimestamp())
	o.SetDeletionTimestamp(old.GetDeletionTimestamp())
	o.SetDeletionGracePeriodSeconds(old.GetDeletionGracePeriodSeconds())
	o.SetGeneration(old.GetGeneration())
	o.SetSelfLink("")
	switch w.Subresource {
	case "", "ephemeralcontainers", "resize":
		if k.Default != nil {
			k.Default(o)
		}
	}
	o = s.restrict(w, old, o)
	if k.PrepareUpdate != nil && w.Subresource == "" {
		k.PrepareUpdate(o, old)
	}
	dedupOwners(o)
	switch w.fields {
	case trackFields:
		if err := s.managed.Updated(w.served, w.Subresource, old, o, w.FieldManager); err != nil {
			return nil, apierrors.NewInternalError(err)
		}
	case keepFields:
		o.SetManagedFields(old.GetManagedFields())
	case appliedFields:
	}
	if k.Generation && w.Subresource != "status" && w.Subresource != "binding" && contentChanged(o, old) {
		o.SetGeneration(old.GetGeneration() + 1)
	}
	if errs := s.validateChange(w, old, o); len(errs) > 0 {
		return nil, apierrors.NewInvalid(k.GVK.GroupKind(), old.GetName(), errs)
	}
	return o, nil
}

// restrict returns o with all that the write may not change as it is in old.
func (s *Server) restrict(w write, old, o object.Object) object.Object {
	k := w.served.Kind
	switch w.Subresource {
	case "":
		if k.HasStatus && k.CopyStatus != nil {
			k.CopyStatus(o, old)
		}
		if ns, ok := o.(*corev1.Namespace); ok {
			ns.Spec.Finalizers = old.(*corev1.Namespace).Spec.Finalizers
		}
		return o
	case "status":
		out := old.DeepCopyObject().(object.Object)
		out.SetManagedFields(o.GetManagedFields())
		k.CopyStatus(out, o)
		return out
	case "finalize":
		out := old.DeepCopyObject().(*corev1.Namespace)
		out.ManagedFields = o.GetManagedFields()
		out.Spec.Finalizers = o.(*corev1.Namespace).Spec.Finalizers
		return out
	case "ephemeralcontainers":
		out := old.DeepCopyObject().(*corev1.Pod)
		out.ManagedFields = o.GetManagedFields()
		out.Spec.EphemeralContainers = o.(*corev1.Pod).Spec.EphemeralContainers
		return out
	case "resize":
		return resized(old.(*corev1.Pod), o.(*corev1.Pod))
	}
	return o // "scale": the caller changed nothing else
}

// resized takes the containers' resources and resize policies from o.
func resized(old, o *corev1.Pod) *corev1.Pod {
	out := old.DeepCopy()
	out.ManagedFields = o.ManagedFields
	from := map[string]*corev1.Container{}
	for i := range o.Spec.Containers {
		from[o.Spec.Containers[i].Name] = &o.Spec.Containers[i]
	}
	for i := range out.Spec.Containers {
		c := &out.Spec.Containers[i]
		if n := from[c.Name]; n != nil {
			c.Resources, c.ResizePolicy = n.Resources, n.ResizePolicy
		}
	}
	return out
}

func (s *Server) validateChange(w write, old, o object.Object) field.ErrorList {
	k := w.served.Kind
	errs := validation.ValidateObjectMetaAccessor(o, k.Namespaced, func(string, bool) []string { return nil }, field.NewPath("metadata"))
	errs = append(errs, validation.ValidateObjectMetaAccessorUpdate(o, old, field.NewPath("metadata"))...)
	switch w.Subresource {
	case "status":
		if k.ValidateStatusUpdate != nil {
			errs = append(errs, k.ValidateStatusUpdate(o, old)...)
		}
		return errs
	case "binding", "finalize":
		return errs
	case "ephemeralcontainers":
		errs = append(errs, debuggersStay(old.(*corev1.Pod), o.(*corev1.Pod))...)
		fallthrough
	case "resize":
		if k.Validate != nil {
			errs = append(errs, k.Validate(o)...)
		}
		return errs
	}
	if k.Validate != nil {
		errs = append(errs, k.Validate(o)...)
	}
	if k.ValidateUpdate != nil {
		errs = append(errs, k.ValidateUpdate(o, old)...)
	}
	return errs
}

// debuggersStay: ephemeral containers are only ever added (Kubernetes:
// ValidatePodEphemeralContainersUpdate).
func debuggersStay(old, o *corev1.Pod) (errs field.ErrorList) {
	path := field.NewPath("spec", "ephemeralContainers")
	now := map[string]corev1.EphemeralContainer{}
	for _, c := range o.Spec.EphemeralContainers {
		now[c.Name] = c
	}
	for _, c := range old.Spec.EphemeralContainers {
		n, ok := now[c.Name]
		switch {
		case !ok:
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("existing ephemeral containers %q may not be removed", c.Name)))
		case !equality.Semantic.DeepEqual(n, c):
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("existing ephemeral containers %q may not be changed", c.Name)))
		}
	}
	return errs
}

// finished tells that nothing holds an object that is to be deleted.
func finished(o object.Object) bool {
	if o.GetDeletionTimestamp() == nil || len(o.GetFinalizers()) > 0 {
		return false
	}
	if grace := o.GetDeletionGracePeriodSeconds(); grace != nil && *grace > 0 {
		return false
	}
	ns, ok := o.(*corev1.Namespace)
	return !ok || len(ns.Spec.Finalizers) == 0
}

// same tells that a write changes nothing but the times in managedFields.
func same(o, old object.Object) bool {
	if !sameManaged(o.GetManagedFields(), old.GetManagedFields()) {
		return false
	}
	mine := o.GetManagedFields()
	o.SetManagedFields(old.GetManagedFields())
	defer o.SetManagedFields(mine)
	if u, ok := o.(*unstructured.Unstructured); ok {
		return equality.Semantic.DeepEqual(u.Object, old.(*unstructured.Unstructured).Object)
	}
	return equality.Semantic.DeepEqual(o, old)
}

func sameManaged(a, b []metav1.ManagedFieldsEntry) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		if x.Manager != y.Manager || x.Operation != y.Operation || x.APIVersion != y.APIVersion || x.Subresource != y.Subresource {
			return false
		}
		if (x.FieldsV1 == nil) != (y.FieldsV1 == nil) || (x.FieldsV1 != nil && !x.FieldsV1.Equal(*y.FieldsV1)) {
			return false
		}
	}
	return true
}

// contentChanged tells whether anything but metadata and status differs.
func contentChanged(o, old object.Object) bool {
	if u, ok := o.(*unstructured.Unstructured); ok {
		return customChanged(u.Object, old.(*unstructured.Unstructured).Object)
	}
	a, b := reflect.ValueOf(o).Elem(), reflect.ValueOf(old).Elem()
	for i := range a.NumField() {
		switch a.Type().Field(i).Name {
		case "TypeMeta", "ObjectMeta", "Status":
			continue
		}
		if !equality.Semantic.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			return true
		}
	}
	return false
}

func customChanged(a, b map[string]any) bool {
	for _, pair := range [][2]map[string]any{{a, b}, {b, a}} {
		for key, v := range pair[0] {
			if key == "metadata" || key == "status" || key == "apiVersion" || key == "kind" {
				continue
			}
			if !equality.Semantic.DeepEqual(v, pair[1][key]) {
				return true
			}
		}
	}
	return false
}

// stamp is now in the resolution of the wire, so that stored objects equal
// what clients read and send back.
func (s *Server) stamp() metav1.Time { return metav1.NewTime(s.Now().Truncate(time.Second)) }
