package release

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/seed38700745/pkg/cluster/object"
)

// What marks an object as part of a release. Helm looks for the same.
const (
	managedByLabel      = "app.kubernetes.io/managed-by"
	managedBy           = "Helm"
	nameAnnotation      = "meta.helm.sh/release-name"
	namespaceAnnotation = "meta.helm.sh/release-namespace"
	policyAnnotation    = "helm.sh/resource-policy"
	policyKeep          = "keep"
)

// Ref names an object across revisions. The version is left out: an object that
// moves to another version of its group stays the same.
type Ref struct {
	Group, Kind     string
	Namespace, Name string
}

// String is "StatefulSet/mysql".
func (r Ref) String() string { return r.Kind + "/" + r.Name }

// full is String with the namespace where it is another than home.
func (r Ref) full(home string) string {
	if r.Namespace == "" || r.Namespace == home {
		return r.String()
	}
	return r.String() + " in namespace " + r.Namespace
}

func refOf(u *unstructured.Unstructured) Ref {
	gvk := u.GroupVersionKind()
	return Ref{gvk.Group, gvk.Kind, u.GetNamespace(), u.GetName()}
}

// Item is one object of a manifest.
type Item struct {
	Ref
	Where  Kind
	Source string // the template's path, or ""
	Body   *unstructured.Unstructured
}

// keeps tells whether the object outlives its release.
func (i *Item) keeps() bool {
	return strings.EqualFold(strings.TrimSpace(i.Body.GetAnnotations()[policyAnnotation]), policyKeep)
}

func (i *Item) key() object.Key { return object.Key{Namespace: i.Namespace, Name: i.Name} }

// resolve finds the collection of every item and settles its namespace: the
// release's where the manifest names none, none for cluster-wide kinds. Kinds that
// the cluster lacks may be defined by the items themselves, or by crds. skip decides
// what happens to items whose kind there is not (any more); without it that is an
// error.
func resolve(ctx context.Context, c Cluster, namespace string, items, crds []*Item, skip func(*Item, error)) ([]*Item, error) {
	out := items[:0:0]
	coming := definedKinds(slices.Concat(items, crds))
	for _, i := range items {
		kind, err := c.Kind(ctx, i.Body.GroupVersionKind())
		if defined, ok := coming[i.Body.GroupVersionKind()]; ok && isNoMatch(err) {
			kind, err = defined, nil
		}
		if err != nil {
			if isNoMatch(err) && skip != nil {
				skip(i, err)
				continue
			}
			if isNoMatch(err) {
				err = &MissingKindError{APIVersion: i.Body.GetAPIVersion(), Kind: i.Body.GetKind()}
			}
			return nil, &ObjectError{Object: i.Ref, Source: i.Source, Err: err}
		}
		i.Where = kind
		switch {
		case !kind.Namespaced:
			i.Body.SetNamespace("")
		case i.Body.GetNamespace() == "":
			i.Body.SetNamespace(namespace)
		}
		i.Ref = refOf(i.Body)
		out = append(out, i)
	}
	return out, nil
}

// load parses a manifest and resolves its kinds.
func load(ctx context.Context, c Cluster, namespace, manifest string, skip func(*Item, error)) ([]*Item, error) {
	items, err := parse(manifest)
	if err != nil {
		return nil, err
	}
	return resolve(ctx, c, namespace, items, nil, skip)
}

// mark makes the items part of a release.
func mark(items []*Item, name, namespace string) {
	for _, i := range items {
		labels := i.Body.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[managedByLabel] = managedBy
		i.Body.SetLabels(labels)
		notes := i.Body.GetAnnotations()
		if notes == nil {
			notes = map[string]string{}
		}
		notes[nameAnnotation], notes[namespaceAnnotation] = name, namespace
		i.Body.SetAnnotations(notes)
	}
}

// ownership says, in Helm's words, why a live object is not the release's; nil
// if it is.
func ownership(o object.Object, name, namespace string) error {
	var text strings.Builder
	want := func(what string, have map[string]string, key, value string) {
		switch actual, ok := have[key]; {
		case !ok:
			fmt.Fprintf(&text, "; %s validation error: missing key %q: must be set to %q", what, key, value)
		case actual != value:
			fmt.Fprintf(&text, "; %s validation error: key %q must equal %q: current value is %q", what, key, value, actual)
		}
	}
	want("label", o.GetLabels(), managedByLabel, managedBy)
	want("annotation", o.GetAnnotations(), nameAnnotation, name)
	want("annotation", o.GetAnnotations(), namespaceAnnotation, namespace)
	if text.Len() == 0 {
		return nil
	}
	return fmt.Errorf("invalid ownership metadata%s", text.String())
}

// asUnstructured returns the object as the map that it is over HTTPS.
func asUnstructured(o object.Object) (*unstructured.Unstructured, error) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("%s is a %T", object.KeyOf(o), o)
	}
	return u, nil
}
