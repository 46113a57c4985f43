package object

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// ControllerRef returns the reference that marks child as managed by owner,
// whose kind is gvk.
func ControllerRef(owner metav1.Object, gvk schema.GroupVersionKind) metav1.OwnerReference {
	return *metav1.NewControllerRef(owner, gvk)
}

// ControlledBy tells whether owner, by its UID, is child's managing owner.
func ControlledBy(child, owner metav1.Object) bool { return metav1.IsControlledBy(child, owner) }
