package object

import (
	"encoding/json"
	"slices"
)

// ImagesAnnotation of an object names images that must not be pruned while it is
// there, as a JSON list of references. The Secrets that record revisions of
// releases have it, so that a rollback finds what they ran.
const ImagesAnnotation = "pkg.internal/images"

// KeptImages are the references that an object's annotation names.
func KeptImages(o Object) []string {
	var names []string
	if json.Unmarshal([]byte(o.GetAnnotations()[ImagesAnnotation]), &names) != nil {
		return nil
	}
	return names
}

// KeepImages is the annotation's value for references, in any order; "" for none.
func KeepImages(names []string) string {
	if len(names) == 0 {
		return ""
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	data, err := json.Marshal(names)
	if err != nil {
		return "" // strings can be encoded
	}
	return string(data)
}
