package crd

import (
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Definitions checks custom resources against definitions that no cluster has yet:
// those that a chart brings.
type Definitions struct {
	versions map[schema.GroupVersionKind]*version
	served   map[schema.GroupKind][]string
}

// NewDefinitions takes definitions as they stand in a chart.
func NewDefinitions(all []*apiextensionsv1.CustomResourceDefinition) *Definitions {
	d := &Definitions{versions: map[schema.GroupVersionKind]*version{}, served: map[schema.GroupKind][]string{}}
	for _, def := range all {
		for i := range def.Spec.Versions {
			v := &def.Spec.Versions[i]
			gvk := schema.GroupVersionKind{Group: def.Spec.Group, Version: v.Name, Kind: def.Spec.Names.Kind}
			if v.Served {
				d.versions[gvk] = newVersion(gvk, v, def.Spec.PreserveUnknownFields)
				d.served[gvk.GroupKind()] = append(d.served[gvk.GroupKind()], v.Name)
			}
		}
	}
	for _, names := range d.served {
		slices.Sort(names)
	}
	return d
}

// Served returns the versions of a kind that the definitions serve.
func (d *Definitions) Served(kind schema.GroupKind) []string { return d.served[kind] }

// Check returns the paths that the cluster would drop from an object, and what it
// would refuse it for. An object that no definition is about is fine.
func (d *Definitions) Check(content map[string]any) (unknown []string, errs field.ErrorList) {
	o := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(content)}
	v, ok := d.versions[o.GroupVersionKind()]
	if !ok {
		return nil, nil
	}
	if !v.schemaless() {
		unknown = v.prune(o)
	}
	v.defaults(o.Object)
	return unknown, v.validate(o.Object)
}
