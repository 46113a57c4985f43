package release

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/seed38700745/pkg/cluster/object"
)

// predecessors are field managers whose fields are the release's as much as
// ours: helm's, in its versions, and kubectl's of manifests applied by hand.
func predecessors() []string {
	return []string{"helm", "Helm", "helm3", "helm4", "kubectl-client-side-apply", "before-first-apply"}
}

func isPredecessor(manager string) bool { return slices.Contains(predecessors(), manager) }

// takeOverFields makes the fields that predecessors own ours. Then applying does
// not conflict with them, and fields that the new manifest lacks vanish.
func takeOverFields(ctx context.Context, verbs object.Verbs, i *Item, live *unstructured.Unstructured) error {
	for {
		fields, changed, err := mergeManagers(live.GetManagedFields())
		if err != nil || !changed {
			return err
		}
		patch, err := json.Marshal([]map[string]any{
			{"op": "replace", "path": "/metadata/managedFields", "value": fields},
			// A change in between is a conflict, and then read again.
			{"op": "replace", "path": "/metadata/resourceVersion", "value": live.GetResourceVersion()},
		})
		if err != nil {
			return err
		}
		_, err = verbs.Patch(ctx, i.Where.Resource, i.key(), types.JSONPatchType, patch, object.WriteOptions{FieldManager: fieldManager})
		if !apierrors.IsConflict(err) {
			return err
		}
		o, err := verbs.Get(ctx, i.Where.Resource, i.key())
		if err != nil {
			return err
		}
		if live, err = asUnstructured(o); err != nil {
			return err
		}
	}
}

// mergeManagers moves the fields of predecessors into our entry. changed is false
// if there are none.
func mergeManagers(entries []metav1.ManagedFieldsEntry) (out []metav1.ManagedFieldsEntry, changed bool, err error) {
	var ours *metav1.ManagedFieldsEntry
	set := &fieldpath.Set{}
	for _, e := range entries {
		own := e.Manager == fieldManager && e.Operation == metav1.ManagedFieldsOperationApply
		before := isPredecessor(e.Manager)
		if e.Subresource != "" || !own && !before {
			out = append(out, e)
			continue
		}
		changed = changed || before
		if e.FieldsV1 != nil {
			one := &fieldpath.Set{}
			if err := one.FromJSON(bytes.NewReader(e.FieldsV1.Raw)); err != nil {
				return nil, false, fmt.Errorf("managedFields of %s: %w", e.Manager, err)
			}
			set = set.Union(one)
		}
		if ours == nil || own {
			kept := e
			ours = &kept
		}
	}
	if !changed {
		return entries, false, nil
	}
	raw, err := set.ToJSON()
	if err != nil {
		return nil, false, err
	}
	ours.Manager, ours.Operation = fieldManager, metav1.ManagedFieldsOperationApply
	ours.FieldsType, ours.FieldsV1 = "FieldsV1", &metav1.FieldsV1{Raw: raw}
	return append(out, *ours), true, nil
}
