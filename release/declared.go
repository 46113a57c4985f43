package release

import (
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// asDeclared tells whether applying an item again would certainly change nothing: it
// is what was applied last, by us, and the live object has all of it.
func asDeclared(old, new *Item, live *unstructured.Unstructured) bool {
	if !has(live.Object, new.Body.Object) || live.GetDeletionTimestamp() != nil {
		return false
	}
	ours := false
	for _, e := range live.GetManagedFields() {
		switch {
		case e.Subresource != "":
		case e.Manager == fieldManager && e.Operation == metav1.ManagedFieldsOperationApply:
			ours = true
		case isPredecessor(e.Manager):
			return false
		}
	}
	return ours && sameManifest(old.Body.Object, new.Body.Object)
}

// sameManifest compares two bodies but for the marks of the release, which only items
// of a plan have.
func sameManifest(unmarked, marked map[string]any) bool {
	for _, side := range []map[string]any{unmarked, marked} {
		if _, ok := side["metadata"].(map[string]any); !ok {
			return false
		}
	}
	a, b := &unstructured.Unstructured{Object: unmarked}, &unstructured.Unstructured{Object: marked}
	if !reflect.DeepEqual(withoutMarks(a.GetLabels(), managedByLabel), withoutMarks(b.GetLabels(), managedByLabel)) ||
		!reflect.DeepEqual(withoutMarks(a.GetAnnotations(), nameAnnotation, namespaceAnnotation), withoutMarks(b.GetAnnotations(), nameAnnotation, namespaceAnnotation)) {
		return false
	}
	return equalBut(unmarked, marked, "metadata") &&
		equalBut(unmarked["metadata"].(map[string]any), marked["metadata"].(map[string]any), "labels", "annotations")
}

// withoutMarks drops keys; what is left is never nil.
func withoutMarks(texts map[string]string, marks ...string) map[string]string {
	out := map[string]string{}
	for k, v := range texts {
		out[k] = v
	}
	for _, k := range marks {
		delete(out, k)
	}
	return out
}

// equalBut compares tables without some keys.
func equalBut(a, b map[string]any, without ...string) bool {
	left := func(m map[string]any) map[string]any {
		out := make(map[string]any, len(m))
		for k, v := range m {
			out[k] = v
		}
		for _, k := range without {
			delete(out, k)
		}
		return out
	}
	return reflect.DeepEqual(left(a), left(b))
}

// has tells whether a live value has everything that is wanted, lists being the same
// place by place. Values that the server writes in another way, such as quantities,
// count as different, and so does what is to be removed.
func has(live, want any) bool {
	switch want := want.(type) {
	case nil:
		return false
	case map[string]any:
		table, ok := live.(map[string]any)
		if !ok {
			return false
		}
		for k, v := range want {
			if !has(table[k], v) {
				return false
			}
		}
		return true
	case []any:
		list, ok := live.([]any)
		if !ok || len(list) != len(want) {
			return false
		}
		for n, v := range want {
			if !has(list[n], v) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(live, want)
}
