package crd_test

import (
	"path/filepath"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object"
)

// TestServerSideApply applies a definition and then a custom resource, whose
// lists are merged as the schema says.
func TestServerSideApply(t *testing.T) {
	w := start(t, filepath.Join(t.TempDir(), "db"))
	var d apiextensionsv1.CustomResourceDefinition
	data := decode(t, crontabDefinition, &d)
	for range 2 {
		if _, err := w.Patch(t.Context(), crds(), object.KeyOf(&d), types.ApplyYAMLPatchType, data, object.WriteOptions{FieldManager: "a"}); err != nil {
			t.Fatal(err)
		}
		w.await(d.Name, "Established")
	}
	o, err := w.Get(t.Context(), crds(), object.KeyOf(&d))
	if err != nil {
		t.Fatal(err)
	}
	if len(o.GetManagedFields()) == 0 {
		t.Error("nobody manages the definition")
	}
	for _, manager := range []string{"a", "b"} {
		body := decode(t, "apiVersion: stable.example.com/v1\nkind: CronTab\nmetadata: {name: x, namespace: default}\nspec: {cronSpec: '* *', steps: [{name: "+manager+"}]}", nil)
		if _, err := w.Patch(t.Context(), crontabs(), object.Key{Namespace: "default", Name: "x"}, types.ApplyYAMLPatchType, body, object.WriteOptions{FieldManager: manager}); err != nil {
			t.Fatal(err)
		}
	}
	o, err = w.Get(t.Context(), crontabs(), object.Key{Namespace: "default", Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	steps, _, err := unstructured.NestedSlice(o.(*unstructured.Unstructured).Object, "spec", "steps")
	if err != nil || len(steps) != 2 {
		t.Errorf("steps %v, %v", steps, err)
	}
}
