package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	pathvalidation "k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/seed38700745/pkg/cluster/api/admit"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

// Create stores a new object; see object.Verbs.
func (s *Server) Create(ctx context.Context, r object.Resource, o object.Object, w object.WriteOptions) (object.Object, error) {
	k, ok := s.Kinds.ForResource(r)
	if !ok {
		return nil, notServed()
	}
	if w.Subresource != "" {
		return s.createSubresource(ctx, k, object.KeyOf(o), o, w)
	}
	return s.create(ctx, s.inProcess(k, w), o)
}

// write is what all writes know besides the object.
type write struct {
	served kind.Served // the version in which the client speaks
	object.WriteOptions
	fields fieldsMode
	retry  bool // on conflicts: the client named no resourceVersion
	// check and mayCreate, if set, may refuse a write and the creation by
	// an apply.
	check     func(o, old object.Object) error
	mayCreate func() error
}

// fieldsMode says what a write does to managedFields.
type fieldsMode int

const (
	trackFields   fieldsMode = iota // record what the write changed
	keepFields                      // leave them as they were
	appliedFields                   // the object has the new ones already
)

// inProcess is a write by a part of the cluster. The parts that write before
// the schemas for managedFields are parsed do not wait for that.
func (s *Server) inProcess(k *kind.Kind, o object.WriteOptions) write {
	w := write{served: kind.Served{Kind: k}, WriteOptions: o}
	if !s.managed.Ready() {
		w.fields = keepFields
	}
	return w
}

// generateTries is how often a generated name that is taken is replaced
// (Kubernetes: registry/store.go, 8).
const generateTries = 8

// Limits of generated names (apiserver: names/generate.go).
const (
	maxNameLength  = 63
	randomLength   = 5
	maxGenerateLen = maxNameLength - randomLength
)

// create stores o, which is of the stored version and belongs to the API.
func (s *Server) create(ctx context.Context, w write, o object.Object) (object.Object, error) {
	k := w.served.Kind
	if o.GetResourceVersion() != "" {
		return nil, apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	if !k.Namespaced && o.GetNamespace() != "" {
		return nil, apierrors.NewBadRequest("namespace field may not be set for cluster-scoped resources: " + o.GetNamespace())
	}
	generated := o.GetName() == "" && o.GetGenerateName() != ""
	for try := 1; ; try++ {
		attempt := o
		if generated {
			if try < generateTries { // the last one may keep the original
				attempt = o.DeepCopyObject().(object.Object)
			}
			attempt.SetName(generateName(o.GetGenerateName()))
		}
		out, err := s.createNamed(ctx, w, attempt)
		if generated && try < generateTries && apierrors.IsAlreadyExists(err) {
			continue
		}
		return out, err
	}
}

func generateName(base string) string {
	if len(base) > maxGenerateLen {
		base = base[:maxGenerateLen]
	}
	return base + rand.String(randomLength)
}

func (s *Server) createNamed(ctx context.Context, w write, o object.Object) (object.Object, error) {
	k, gr := w.served.Kind, w.served.Resource()
	if err := s.namespaceOpen(k, o); err != nil {
		return nil, err
	}
	now := s.stamp()
	o.GetObjectKind().SetGroupVersionKind(k.GVK)
	o.SetUID(uuid.NewUUID())
	o.SetCreationTimestamp(now)
	o.SetSelfLink("")
	o.SetDeletionTimestamp(nil)
	o.SetDeletionGracePeriodSeconds(nil)
	o.SetGeneration(0)
	if k.Generation {
		o.SetGeneration(1)
	}
	dedupOwners(o)
	if k.Default != nil {
		k.Default(o)
	}
	if w.fields == trackFields {
		s.managed.Created(w.served, o, w.FieldManager, now)
	}
	if k.PrepareCreate != nil {
		k.PrepareCreate(o)
	}
	if err := s.admitCreate(ctx, o); err != nil {
		return nil, err
	}
	if errs := validateNew(k, o); len(errs) > 0 {
		return nil, apierrors.NewInvalid(k.GVK.GroupKind(), o.GetName(), errs)
	}
	if w.check != nil {
		if err := w.check(o, nil); err != nil {
			return nil, asStatus(err)
		}
	}
	counted, err := s.withinQuota(k, o, nil)
	if err != nil {
		return nil, err
	}
	defer counted()
	release, err := s.allocate(o, nil, w.DryRun)
	if err != nil {
		return nil, err
	}
	if w.DryRun {
		if _, err := s.Store.Get(gr, object.KeyOf(o)); err == nil {
			return nil, apierrors.NewAlreadyExists(gr, o.GetName())
		}
		s.warn(w, o)
		return o, nil
	}
	name := o.GetName()
	out, err := s.Store.Write(ctx, store.Write{
		Verb: store.Create, Resource: gr, Key: object.KeyOf(o), Object: o, Volatile: k.Volatile, Lazy: k.Lazy,
	})
	if err != nil {
		release()
		return nil, storeError(err, gr, name)
	}
	s.warn(w, out)
	return out, nil
}

// validateNew checks a new object's metadata and content.
func validateNew(k *kind.Kind, o object.Object) field.ErrorList {
	errs := validation.ValidateObjectMetaAccessor(o, k.Namespaced, nameCheck(k), field.NewPath("metadata"))
	if k.Validate != nil {
		errs = append(errs, k.Validate(o)...)
	}
	return errs
}

// nameCheck is the kind's rule for names on top of what URLs allow.
func nameCheck(k *kind.Kind) validation.ValidateNameFunc {
	return func(name string, prefix bool) []string {
		msgs := pathvalidation.ValidatePathSegmentName(name, prefix)
		if k.ValidateName != nil {
			return append(msgs, k.ValidateName(name, prefix)...)
		}
		return append(msgs, validation.NameIsDNSSubdomain(name, prefix)...)
	}
}

// warn tells the user what is odd about a valid object that was written.
func (s *Server) warn(w write, o object.Object) {
	if w.Warn == nil || w.Subresource != "" {
		return
	}
	k := w.served.Kind
	if !k.Acted {
		w.Warn(fmt.Sprintf("%s %s is stored, but nothing in this cluster acts on it yet", k.GVK.Kind, object.KeyOf(o)))
	}
	if k.Warnings != nil {
		for _, text := range k.Warnings(o) {
			w.Warn(text)
		}
	}
}

// dedupOwners removes repeated owner references.
func dedupOwners(o object.Object) {
	refs := o.GetOwnerReferences()
	if len(refs) < 2 {
		return
	}
	seen := map[string]bool{}
	kept := refs[:0:0]
	for _, r := range refs {
		if !seen[string(r.UID)] {
			seen[string(r.UID)] = true
			kept = append(kept, r)
		}
	}
	if len(kept) < len(refs) {
		o.SetOwnerReferences(kept)
	}
}

// namespaceOpen checks that o's namespace exists and is not being deleted.
func (s *Server) namespaceOpen(k *kind.Kind, o object.Object) error {
	if !k.Namespaced {
		return nil
	}
	name := o.GetNamespace()
	if name == "" {
		return apierrors.NewBadRequest("an empty namespace may not be set during creation")
	}
	x, err := s.Store.Get(namespaces, object.Key{Name: name})
	if err != nil {
		return storeError(err, namespaces, name)
	}
	ns, ok := x.(*corev1.Namespace)
	if !ok || (ns.DeletionTimestamp == nil && ns.Status.Phase != corev1.NamespaceTerminating) {
		return nil
	}
	forbidden := apierrors.NewForbidden(k.Resource(), o.GetName(),
		fmt.Errorf("unable to create new content in namespace %s because it is being terminated", name))
	forbidden.ErrStatus.Details.Causes = append(forbidden.ErrStatus.Details.Causes, metav1.StatusCause{
		Type: corev1.NamespaceTerminatingCause, Message: fmt.Sprintf("namespace %s is being terminated", name), Field: "metadata.namespace",
	})
	return forbidden
}

// Resources that this package knows by name.
var (
	namespaces      = object.Resource{Resource: "namespaces"}
	pods            = object.Resource{Resource: "pods"}
	claims          = object.Resource{Resource: "persistentvolumeclaims"}
	serviceAccounts = object.Resource{Resource: "serviceaccounts"}
)

// defaultAccountWait is how long the creation of a pod waits for the default
// ServiceAccount of a new namespace, which a controller makes (Kubernetes:
// plugin/admission/serviceaccount, 10 tries of 100 ms).
const defaultAccountWait = time.Second

// admitCreate completes an object from what else there is in the cluster.
func (s *Server) admitCreate(ctx context.Context, o object.Object) error {
	switch o := o.(type) {
	case *corev1.Pod:
		deadline := time.Now().Add(defaultAccountWait)
		for {
			err := admit.Pod(s.Store, o)
			if !errors.Is(err, admit.ErrNoAccount) || time.Now().After(deadline) {
				return refused(pods, o.Name, err)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Millisecond):
			}
		}
	case *corev1.PersistentVolumeClaim:
		return refused(claims, o.Name, admit.Claim(s.Store, o))
	case *corev1.Namespace:
		admit.Namespace(o)
	}
	return nil
}

// refused makes a 403 of what admission said.
func refused(r object.Resource, name string, err error) error {
	if err == nil {
		return nil
	}
	return apierrors.NewForbidden(r, name, err)
}

// allocate reserves the addresses and ports of a Service and fills them in.
// release gives back what was reserved now, for when the write fails.
func (s *Server) allocate(o, old object.Object, dryRun bool) (release func(), err error) {
	svc, ok := o.(*corev1.Service)
	if !ok {
		return func() {}, nil
	}
	before, _ := old.(*corev1.Service)
	release, errs := s.services.Allocate(svc, before)
	if len(errs) > 0 {
		return nil, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Service").GroupKind(), svc.Name, errs)
	}
	if dryRun {
		release()
	}
	return release, nil
}
