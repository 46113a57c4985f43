package main

import (
	"encoding/json"
	"io"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/kind"
)

// servedKind is one kind in one group-version, as .ci/openapi reads it.
type servedKind struct {
	Group, Version, Kind, Plural string
	Namespaced                   bool
	Model, ListModel             string
	Verbs                        []string
	Subresources                 []servedSubresource
}

type servedSubresource struct {
	Name                 string
	Group, Version, Kind string
	Model                string
	Verbs                []string
}

// printKinds writes the list of served kinds, from which `make generate` makes
// the OpenAPI documents.
func printKinds(w io.Writer) error {
	var all []servedKind
	models := map[schema.GroupVersionKind]string{}
	reg := kind.NewRegistry(kind.All())
	for gvk := range reg.Scheme().AllKnownTypes() {
		if o, err := reg.Scheme().New(gvk); err == nil {
			models[gvk] = modelName(o)
		}
	}
	for _, k := range kind.All() {
		all = append(all, served(k, k.GVK, k.New(), k.NewList(), models))
		for _, a := range k.Aliases {
			all = append(all, served(k, a.GVK, a.New(), a.NewList(), models))
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(all)
}

func served(k *kind.Kind, gvk schema.GroupVersionKind, o, list any, models map[schema.GroupVersionKind]string) servedKind {
	s := servedKind{
		Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Plural: k.Plural, Namespaced: k.Namespaced,
		Model: modelName(o), ListModel: modelName(list),
		Verbs: []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"},
	}
	add := func(name string, g schema.GroupVersionKind, verbs ...string) {
		s.Subresources = append(s.Subresources, servedSubresource{name, g.Group, g.Version, g.Kind, models[g], verbs})
	}
	if k.HasStatus {
		add("status", gvk, "get", "patch", "update")
	}
	if k.Scale != nil {
		add("scale", schema.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}, "get", "patch", "update")
	}
	for _, m := range k.More {
		add(m.Name, m.GVK, m.Verbs...)
	}
	return s
}

// modelName is the name of o's OpenAPI schema, which generated code knows.
func modelName(o any) string {
	if n, ok := o.(interface{ OpenAPIModelName() string }); ok {
		return n.OpenAPIModelName()
	}
	return ""
}
