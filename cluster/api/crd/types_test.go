package crd

import (
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/cluster/kind"
)

// TestTypesMergeLists: server-side apply merges lists as the schema says.
func TestTypesMergeLists(t *testing.T) {
	var d apiextensionsv1.CustomResourceDefinition
	err := yaml.Unmarshal([]byte(`
spec:
  group: example.com
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          items:
            type: array
            x-kubernetes-list-type: map
            x-kubernetes-list-map-keys: [name]
            items: {type: object, properties: {name: {type: string}, value: {type: integer}}}
  - name: v2
    served: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
status: {acceptedNames: {plural: things, kind: Thing, listKind: ThingList}}
`), &d)
	if err != nil {
		t.Fatal(err)
	}
	k, _, err := newKind(&d)
	if err != nil {
		t.Fatal(err)
	}
	types, err := k.Types()
	if err != nil {
		t.Fatal(err)
	}
	object := func(version, name string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.com/" + version, "kind": "Thing",
			"metadata": map[string]any{"name": "x", "labels": map[string]any{name: "1"}, "ownerReferences": []any{
				map[string]any{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": name}}},
			"items": []any{map[string]any{"name": name, "value": int64(1)}}}}
	}
	a, err := types.ObjectToTyped(object("v1", "a"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := types.ObjectToTyped(object("v1", "b"))
	if err != nil {
		t.Fatal(err)
	}
	merged, err := a.Merge(b)
	if err != nil {
		t.Fatal(err)
	}
	o, err := types.TypedToObject(merged)
	if err != nil {
		t.Fatal(err)
	}
	u := o.(*unstructured.Unstructured)
	if items := u.Object["items"].([]any); len(items) != 2 {
		t.Errorf("items %v", items)
	}
	if owners := u.GetOwnerReferences(); len(owners) != 2 || len(u.GetLabels()) != 2 {
		t.Errorf("owners %v, labels %v", owners, u.GetLabels())
	}
	set, err := a.ToFieldSet()
	if err != nil {
		t.Fatal(err)
	}
	key := fieldpath.KeyByFields("name", "a")
	if !set.Has(fieldpath.MakePathOrDie("items", key, "value")) {
		t.Errorf("fields %v", set)
	}
	if _, err := types.ObjectToTyped(object("v2", "a")); err != nil {
		t.Errorf("v2: %v", err)
	}
}

// TestDefinitionsHaveTypes: definitions themselves can be applied.
func TestDefinitionsHaveTypes(t *testing.T) {
	all := kind.All()
	Complete(all)
	for _, k := range all {
		if k.Resource() != definitions() {
			continue
		}
		types, err := k.Types()
		if err != nil {
			t.Fatal(err)
		}
		d := &apiextensionsv1.CustomResourceDefinition{}
		d.SetGroupVersionKind(k.GVK)
		d.Spec.Versions = []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1"}}
		v, err := types.ObjectToTyped(d)
		if err != nil {
			t.Fatal(err)
		}
		if set, err := v.ToFieldSet(); err != nil || !set.Has(fieldpath.MakePathOrDie("spec", "versions")) {
			t.Errorf("%v, %v", set, err)
		}
		return
	}
	t.Error("the kind is not there")
}
