// Package object is the vocabulary that all parts of the cluster share: what an
// object and its key are, how owners and selectors relate objects, and Verbs,
// the one contract through which every part reads and writes them.
//
// Verbs has several implementations: the API in process (package api), and the
// same over HTTPS (package client). The package is a leaf; of Kubernetes it
// knows apimachinery only. Typed handles on the built-in kinds are in package
// builtin beside it.
package object

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Object is any Kubernetes API object: a pointer to a type of k8s.io/api, or
// *unstructured.Unstructured for custom resources. Objects that come from
// Verbs are shared and immutable: DeepCopy before changing one.
type Object interface {
	runtime.Object
	metav1.Object
}

// Resource names a collection of objects, such as {"", "pods"} or
// {"apps", "deployments"}. Its String is "deployments.apps".
type Resource = schema.GroupResource

// Key names one object of a collection. Namespace is empty for cluster-wide
// resources.
type Key struct {
	Namespace string
	Name      string
}

// KeyOf returns the key of o.
func KeyOf(o metav1.Object) Key { return Key{o.GetNamespace(), o.GetName()} }

// String returns "namespace/name", or "name" without a namespace.
func (k Key) String() string {
	if k.Namespace == "" {
		return k.Name
	}
	return k.Namespace + "/" + k.Name
}

// ParseKey is the inverse of Key.String.
func ParseKey(s string) Key {
	if ns, name, ok := strings.Cut(s, "/"); ok {
		return Key{ns, name}
	}
	return Key{Name: s}
}
