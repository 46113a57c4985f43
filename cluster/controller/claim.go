package controller

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Ownership is the rule by which a controller and its selector meet: a child
// that the selector matches and that nobody manages is adopted; a child that
// the owner manages and that the selector no longer matches is released.

func controllerOf(o metav1.Object) *metav1.OwnerReference { return metav1.GetControllerOfNoCopy(o) }

// owner is who claims children.
type owner struct {
	object   metav1.Object
	kind     schema.GroupVersionKind
	selector labels.Selector
}

// claimed sorts children into those that owner manages already, those that it
// should adopt and those that it should release. Pure.
func claimed[T object.Object](o owner, all []T) (mine, adopt, release []T) {
	for _, child := range all {
		ref := controllerOf(child)
		if ref != nil && ref.UID != o.object.GetUID() {
			continue // most of a namespace
		}
		matches := o.selector.Matches(labels.Set(child.GetLabels()))
		leaving := o.object.GetDeletionTimestamp() != nil || child.GetDeletionTimestamp() != nil
		switch {
		case ref != nil && matches:
			mine = append(mine, child)
		case ref != nil && o.object.GetDeletionTimestamp() == nil:
			release = append(release, child)
		case ref == nil && matches && !leaving:
			adopt = append(adopt, child)
		}
	}
	return mine, adopt, release
}

// claim lists the children of one namespace, adopts and releases what must be,
// and returns what owner manages now.
func claim[T object.Object](ctx context.Context, v object.Verbs, h builtin.Handle[T], o owner) ([]T, error) {
	all, err := h.List(ctx, v, object.ListOptions{Namespace: o.object.GetNamespace()})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", h.Resource, err)
	}
	mine, adopt, release := claimed(o, all)
	for _, child := range adopt {
		changed := child.DeepCopyObject().(T)
		changed.SetOwnerReferences(append(changed.GetOwnerReferences(), object.ControllerRef(o.object, o.kind)))
		stored, err := h.Update(ctx, v, changed, write())
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("adopt %s %s: %w", h.Resource, object.KeyOf(child), err)
		}
		mine = append(mine, stored)
	}
	for _, child := range release {
		changed := child.DeepCopyObject().(T)
		changed.SetOwnerReferences(withoutOwner(changed.GetOwnerReferences(), o.object.GetUID()))
		if _, err := h.Update(ctx, v, changed, write()); err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("release %s %s: %w", h.Resource, object.KeyOf(child), err)
		}
	}
	return mine, nil
}

func withoutOwner(refs []metav1.OwnerReference, uid types.UID) []metav1.OwnerReference {
	var kept []metav1.OwnerReference
	for _, r := range refs {
		if r.UID != uid {
			kept = append(kept, r)
		}
	}
	return kept
}

// selecting returns the keys of the objects of a namespace whose selector
// matches o. Errors mean none: the loop's own reconcile will meet them.
func selecting[T object.Object](v object.Verbs, h builtin.Handle[T], selector func(T) labels.Selector) func(object.Object) []object.Key {
	return func(o object.Object) []object.Key {
		if len(o.GetLabels()) == 0 {
			return nil
		}
		all, err := h.List(context.Background(), v, object.ListOptions{Namespace: o.GetNamespace()})
		if err != nil {
			return nil
		}
		var keys []object.Key
		for _, candidate := range all {
			if s := selector(candidate); !s.Empty() && s.Matches(labels.Set(o.GetLabels())) {
				keys = append(keys, object.KeyOf(candidate))
			}
		}
		return keys
	}
}

// selectorOf turns a label selector into one that matches; an invalid one
// matches nothing.
func selectorOf(s *metav1.LabelSelector) labels.Selector {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return selector
}
