package crd

import (
	"context"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/object"
)

// registered tells whether a resource is served because of a definition.
func (l *Loop) registered(r object.Resource) bool {
	for _, e := range l.entries {
		if e.resource == r {
			return true
		}
	}
	return false
}

// register serves what d defines, unless it does already.
func (l *Loop) register(d *apiextensionsv1.CustomResourceDefinition) error {
	old := l.entries[d.Name]
	if old != nil && old.definition.UID == d.UID && old.definition.Generation == d.Generation &&
		equality.Semantic.DeepEqual(old.definition.Status.AcceptedNames, d.Status.AcceptedNames) {
		old.definition = d
		for i := range d.Spec.Versions {
			old.versions[d.Spec.Versions[i].Name].point(&d.Spec.Versions[i])
		}
		return nil
	}
	k, versions, err := newKind(d)
	if err != nil {
		return err
	}
	if err := l.c.Kinds.Add(k); err != nil {
		return err
	}
	e := &entry{definition: d, resource: k.Resource(), versions: versions}
	l.replaceVersions(old, e)
	l.entries[d.Name] = e
	l.stale[d.Spec.Group] = true
	l.c.Changed()
	return nil
}

// unregister ends what register began.
func (l *Loop) unregister(name string) {
	e := l.entries[name]
	if e == nil {
		return
	}
	l.c.Kinds.Remove(e.resource)
	l.replaceVersions(e, nil)
	delete(l.entries, name)
	l.stale[e.definition.Spec.Group] = true
	l.c.Changed()
}

// replaceVersions keeps what Prune looks up.
func (l *Loop) replaceVersions(old, now *entry) {
	if old != nil {
		for _, v := range old.versions {
			l.served.Delete(v.gvk)
		}
	}
	if now != nil {
		for _, v := range now.versions {
			l.served.Store(v.gvk, v)
		}
	}
}

// migrate rewrites objects that are stored in another than the storage
// version, so that what is read is always in the storage version.
func (l *Loop) migrate(ctx context.Context, d *apiextensionsv1.CustomResourceDefinition) error {
	e := l.entries[d.Name]
	if e.migrated {
		return nil
	}
	want := schema.GroupVersion{Group: d.Spec.Group, Version: storageVersion(d)}.String()
	list, err := l.c.Verbs.List(ctx, e.resource, object.ListOptions{})
	if err != nil {
		return err
	}
	for _, o := range list.Items {
		u, ok := o.(*unstructured.Unstructured)
		if !ok || u.GetAPIVersion() == want {
			continue
		}
		next := u.DeepCopy()
		next.SetAPIVersion(want)
		_, err := l.c.Verbs.Update(ctx, e.resource, next, object.WriteOptions{FieldManager: manager})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("storing %s as %s: %w", object.KeyOf(u), want, err)
		}
	}
	e.migrated = true
	return nil
}

// writeStatus writes want's status if it differs from what d has.
func (l *Loop) writeStatus(ctx context.Context, d, want *apiextensionsv1.CustomResourceDefinition) error {
	if equality.Semantic.DeepEqual(d.Status, want.Status) {
		return nil
	}
	_, err := l.c.Verbs.Update(ctx, definitions(), want.DeepCopy(), object.WriteOptions{Subresource: "status", FieldManager: manager})
	return err
}

// finalize deletes the instances of a definition that is being deleted, and
// lets it go when none is left. Until then it is served, so that finalizers of
// instances can do their work.
func (l *Loop) finalize(ctx context.Context, d *apiextensionsv1.CustomResourceDefinition) (done bool, err error) {
	index := -1
	for i, f := range d.Finalizers {
		if f == apiextensionsv1.CustomResourceCleanupFinalizer {
			index = i
		}
	}
	if index < 0 {
		return true, nil
	}
	left, err := l.deleteInstances(ctx, d)
	if err != nil {
		return false, err
	}
	want := d.DeepCopy()
	condition := apiextensionsv1.CustomResourceDefinitionCondition{Type: apiextensionsv1.Terminating,
		Status: apiextensionsv1.ConditionTrue, Reason: "InstanceDeletionInProgress",
		Message: "CustomResource deletion is in progress"}
	if left > 0 {
		l.setCondition(want, condition)
		return false, l.writeStatus(ctx, d, want)
	}
	want.Finalizers = append(want.Finalizers[:index], want.Finalizers[index+1:]...)
	_, err = l.c.Verbs.Update(ctx, definitions(), want, object.WriteOptions{FieldManager: manager})
	if apierrors.IsNotFound(err) {
		err = nil
	}
	return true, err
}

// deleteInstances deletes all objects that d defines and counts those that
// were there.
func (l *Loop) deleteInstances(ctx context.Context, d *apiextensionsv1.CustomResourceDefinition) (int, error) {
	e := l.entries[d.Name]
	if e == nil {
		if !isTrue(d, apiextensionsv1.Established) {
			return 0, nil
		}
		if err := l.register(d); err != nil { // it was being deleted when we started
			return 0, err
		}
		e = l.entries[d.Name]
	}
	list, err := l.c.Verbs.List(ctx, e.resource, object.ListOptions{})
	if err != nil {
		return 0, err
	}
	background := metav1.DeletePropagationBackground
	for _, o := range list.Items {
		if o.GetDeletionTimestamp() != nil {
			continue
		}
		_, err := l.c.Verbs.Delete(ctx, e.resource, object.KeyOf(o), object.DeleteOptions{Propagation: &background})
		if err != nil && !apierrors.IsNotFound(err) {
			return 0, err
		}
	}
	return len(list.Items), nil
}
