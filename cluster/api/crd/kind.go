package crd

import (
	"fmt"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
)

// newKind makes the kind that a definition with accepted names defines: its
// storage version, with the other served versions as aliases.
func newKind(d *apiextensionsv1.CustomResourceDefinition) (*kind.Kind, map[string]*version, error) {
	names := d.Status.AcceptedNames
	versions := map[string]*version{}
	var stored *apiextensionsv1.CustomResourceDefinitionVersion
	for i := range d.Spec.Versions {
		v := &d.Spec.Versions[i]
		versions[v.Name] = newVersion(schema.GroupVersionKind{Group: d.Spec.Group, Version: v.Name, Kind: names.Kind}, v, d.Spec.PreserveUnknownFields)
		if v.Storage {
			stored = v
		}
	}
	if stored == nil {
		return nil, nil, fmt.Errorf("no version is the storage version")
	}
	sv := versions[stored.Name]
	k := &kind.Kind{
		GVK:        sv.gvk,
		Plural:     names.Plural,
		Singular:   singular(names),
		ShortNames: names.ShortNames,
		Categories: names.Categories,
		Namespaced: d.Spec.Scope == apiextensionsv1.NamespaceScoped,
		New:        newObject(sv.gvk),
		NewList:    newList(sv.gvk, names.ListKind),
		Acted:      true, // by whoever brought the definition
		Generation: true,
		Default:    func(o object.Object) { sv.defaults(content(o)) },
		Validate:   func(o object.Object) field.ErrorList { return sv.validate(content(o)) },
	}
	k.Types = func() (managedfields.TypeConverter, error) { return typesOf(versions) }
	k.ValidateStatusUpdate = func(o, _ object.Object) field.ErrorList { return sv.validate(content(o)) }
	if stored.Subresources != nil {
		addSubresources(k, stored.Subresources)
	}
	addFields(k, stored.SelectableFields)
	var err error
	if k.Columns, k.Row, err = table(stored.AdditionalPrinterColumns); err != nil {
		return nil, nil, err
	}
	for i := range d.Spec.Versions {
		if v := &d.Spec.Versions[i]; v.Served && !v.Storage {
			k.Aliases = append(k.Aliases, alias(versions[v.Name], sv.gvk, names.ListKind))
		}
	}
	return k, versions, nil
}

// content is an object as decoded JSON.
func content(o object.Object) map[string]any {
	if u, ok := o.(*unstructured.Unstructured); ok {
		return u.Object
	}
	return map[string]any{}
}

func newObject(gvk schema.GroupVersionKind) func() object.Object {
	return func() object.Object {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(gvk)
		return u
	}
}

func newList(gvk schema.GroupVersionKind, listKind string) func() runtime.Object {
	if listKind == "" {
		listKind = gvk.Kind + "List"
	}
	return func() runtime.Object {
		l := &unstructured.UnstructuredList{}
		l.SetGroupVersionKind(gvk.GroupVersion().WithKind(listKind))
		return l
	}
}

// alias shows stored objects as another version: strategy None.
func alias(v *version, stored schema.GroupVersionKind, listKind string) kind.Alias {
	rename := func(gvk schema.GroupVersionKind) func(object.Object) (object.Object, error) {
		return func(o object.Object) (object.Object, error) {
			u, ok := o.(*unstructured.Unstructured)
			if !ok {
				return nil, fmt.Errorf("a %T is no custom resource", o)
			}
			u.SetGroupVersionKind(gvk)
			return u, nil
		}
	}
	return kind.Alias{
		GVK: v.gvk, New: newObject(v.gvk), NewList: newList(v.gvk, listKind), To: rename(v.gvk),
		From: func(o object.Object) (object.Object, error) {
			v.defaults(content(o)) // the version's own defaults, before the stored version's
			return rename(stored)(o)
		},
	}
}

// addSubresources sets status and scale.
func addSubresources(k *kind.Kind, s *apiextensionsv1.CustomResourceSubresources) {
	if s.Status != nil {
		k.HasStatus = true
		k.CopyStatus = func(to, from object.Object) {
			status, ok := content(from)["status"]
			if !ok {
				delete(content(to), "status")
				return
			}
			content(to)["status"] = runtime.DeepCopyJSONValue(status)
		}
		k.PrepareCreate = func(o object.Object) { delete(content(o), "status") }
	}
	if s.Scale == nil {
		return
	}
	spec, status := split(s.Scale.SpecReplicasPath), split(s.Scale.StatusReplicasPath)
	k.Scale = &kind.Scale{
		Get: func(o object.Object) (int32, int32, string) {
			selector := ""
			if s.Scale.LabelSelectorPath != nil {
				selector, _, _ = unstructured.NestedString(content(o), split(*s.Scale.LabelSelectorPath)...)
			}
			return number(o, spec), number(o, status), selector
		},
		Set: func(o object.Object, replicas int32) {
			_ = unstructured.SetNestedField(content(o), int64(replicas), spec...) // a path through a scalar cannot be set
		},
	}
}

// number reads an integer; what is missing or something else is 0.
func number(o object.Object, path []string) int32 {
	n, _, _ := unstructured.NestedInt64(content(o), path...)
	return int32(n)
}

// split turns ".spec.replicas" into its names.
func split(path string) []string {
	return strings.Split(strings.TrimPrefix(path, "."), ".")
}

// addFields makes selectableFields usable in field selectors.
func addFields(k *kind.Kind, selectable []apiextensionsv1.SelectableField) {
	if len(selectable) == 0 {
		return
	}
	paths := map[string][]string{}
	for _, f := range selectable {
		name := strings.TrimPrefix(f.JSONPath, ".")
		paths[name] = split(f.JSONPath)
		k.FieldNames = append(k.FieldNames, name)
	}
	k.Fields = func(o object.Object) fields.Set {
		set := fields.Set{}
		for name, path := range paths {
			set[name] = ""
			if v, ok, _ := unstructured.NestedFieldNoCopy(content(o), path...); ok {
				set[name] = fmt.Sprint(v)
			}
		}
		return set
	}
}
