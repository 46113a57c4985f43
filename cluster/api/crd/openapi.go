package crd

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// gvkExtension ties schemas and operations to kinds.
const gvkExtension = "x-kubernetes-group-version-kind"

// publish brings the documents of the groups that changed up to date. One
// document describes one group-version, to which several definitions may
// contribute; so it is made once for all changes that came together.
func (l *Loop) publish() {
	for group := range l.stale {
		if err := l.publishGroup(group); err != nil {
			l.c.Report(err)
		}
	}
	clear(l.stale)
}

func (l *Loop) publishGroup(group string) error {
	if l.c.Documents == nil {
		return nil
	}
	parts := map[schema.GroupVersion][]*entry{}
	for _, e := range l.entries {
		if e.definition.Spec.Group != group {
			continue
		}
		for i := range e.definition.Spec.Versions {
			if v := &e.definition.Spec.Versions[i]; v.Served {
				gv := schema.GroupVersion{Group: group, Version: v.Name}
				parts[gv] = append(parts[gv], e)
			}
		}
	}
	for gv := range l.published {
		if gv.Group == group && parts[gv] == nil {
			l.c.Documents.Remove(documentPath(gv))
			delete(l.published, gv)
		}
	}
	for gv, entries := range parts {
		slices.SortFunc(entries, func(a, b *entry) int { return strings.Compare(a.definition.Name, b.definition.Name) })
		document, err := newDocument(gv, entries)
		if err != nil {
			return fmt.Errorf("OpenAPI of %s: %w", gv, err)
		}
		if err := l.c.Documents.Set(documentPath(gv), document); err != nil {
			return fmt.Errorf("OpenAPI of %s: %w", gv, err)
		}
		l.published[gv] = true
	}
	return nil
}

func documentPath(gv schema.GroupVersion) string { return "apis/" + gv.String() }

// newDocument builds the OpenAPI v3 document of a group-version: its schemas,
// for explain, and its operations with their parameters, by which kubectl
// learns what the server supports.
func newDocument(gv schema.GroupVersion, entries []*entry) ([]byte, error) {
	paths, schemas := map[string]any{}, map[string]any{"ObjectMeta": objectMetaSchema(), "ListMeta": map[string]any{"type": "object"}}
	for _, e := range entries {
		v := e.versions[gv.Version]
		object, err := objectSchema(v)
		if err != nil {
			return nil, err
		}
		names := e.definition.Status.AcceptedNames
		id := schemaName(gv, names.Kind)
		schemas[id] = object
		list := gv.WithKind(names.ListKind)
		schemas[schemaName(gv, names.ListKind)] = map[string]any{
			"type": "object", "description": names.ListKind + " is a list of " + names.Kind, "required": []string{"items"},
			"properties": map[string]any{
				"apiVersion": stringSchema(metav1.TypeMeta{}.SwaggerDoc()["apiVersion"]),
				"kind":       stringSchema(metav1.TypeMeta{}.SwaggerDoc()["kind"]),
				"metadata":   reference("ListMeta"),
				"items":      map[string]any{"type": "array", "items": reference(id)},
			},
			gvkExtension: []any{gvkValue(list)},
		}
		addPaths(paths, e.definition, v, id, schemaName(gv, names.ListKind))
	}
	return json.Marshal(map[string]any{
		"openapi":    "3.0.0",
		"info":       map[string]any{"title": "Kubernetes CRD Swagger", "version": "v0.1.0"},
		"paths":      paths,
		"components": map[string]any{"schemas": schemas},
	})
}

// schemaName is "com.example.stable.v1.CronTab".
func schemaName(gv schema.GroupVersion, kind string) string {
	parts := strings.Split(gv.Group, ".")
	slices.Reverse(parts)
	return strings.Join(append(parts, gv.Version, kind), ".")
}

func gvkValue(gvk schema.GroupVersionKind) map[string]string {
	return map[string]string{"group": gvk.Group, "version": gvk.Version, "kind": gvk.Kind}
}

func reference(name string) map[string]any {
	return map[string]any{"$ref": "#/components/schemas/" + name}
}

func stringSchema(description string) map[string]any {
	return map[string]any{"type": "string", "description": description}
}

// objectSchema is a version's schema with what every object has.
func objectSchema(v *version) (map[string]any, error) {
	out := map[string]any{"type": "object"}
	if props := v.props.Load(); props != nil {
		data, err := json.Marshal(props)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, &out); err != nil {
			return nil, err
		}
	}
	properties, ok := out["properties"].(map[string]any)
	if !ok {
		properties = map[string]any{}
	}
	properties["apiVersion"] = stringSchema(metav1.TypeMeta{}.SwaggerDoc()["apiVersion"])
	properties["kind"] = stringSchema(metav1.TypeMeta{}.SwaggerDoc()["kind"])
	properties["metadata"] = map[string]any{"allOf": []any{reference("ObjectMeta")}, "description": "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"}
	out["properties"], out[gvkExtension] = properties, []any{gvkValue(v.gvk)}
	return out, nil
}

// objectMetaSchema describes metadata with Kubernetes' own texts.
func objectMetaSchema() map[string]any {
	texts := metav1.ObjectMeta{}.SwaggerDoc()
	stringMap := map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"}}
	date := map[string]any{"type": "string", "format": "date-time"}
	integer := map[string]any{"type": "integer", "format": "int64"}
	text := map[string]any{"type": "string"}
	flag := map[string]any{"type": "boolean"}
	free := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	owner := map[string]any{"type": "object", "x-kubernetes-map-type": "atomic", "required": []string{"apiVersion", "kind", "name", "uid"},
		"properties": map[string]any{"apiVersion": text, "kind": text, "name": text, "uid": text, "controller": flag, "blockOwnerDeletion": flag}}
	properties := map[string]any{}
	for name, s := range map[string]map[string]any{
		"name": text, "generateName": text, "namespace": text, "selfLink": text, "uid": text, "resourceVersion": text,
		"generation": integer, "creationTimestamp": date, "deletionTimestamp": date, "deletionGracePeriodSeconds": integer,
		"labels": stringMap, "annotations": stringMap, "finalizers": listOf("set", text),
		"ownerReferences": listOf("map", owner, "uid"), "managedFields": listOf("atomic", free),
	} {
		p := map[string]any{"description": texts[name]}
		for k, v := range s {
			p[k] = v
		}
		properties[name] = p
	}
	return map[string]any{"type": "object", "description": texts[""], "properties": properties}
}

// listOf is the schema of a list that server-side apply merges as listType says.
func listOf(listType string, items map[string]any, keys ...string) map[string]any {
	s := map[string]any{"type": "array", "items": items, "x-kubernetes-list-type": listType}
	if len(keys) > 0 {
		s["x-kubernetes-list-map-keys"] = keys
	}
	return s
}

// typesOf makes the schemas for server-side apply from those of a
// definition's versions.
func typesOf(versions map[string]*version) (managedfields.TypeConverter, error) {
	parts := map[string]any{"ObjectMeta": objectMetaSchema()}
	for _, v := range versions {
		s, err := objectSchema(v)
		if err != nil {
			return nil, err
		}
		if v.schemaless() {
			s["x-kubernetes-preserve-unknown-fields"] = true
		}
		parts[schemaName(v.gvk.GroupVersion(), v.gvk.Kind)] = s
	}
	data, err := json.Marshal(parts)
	if err != nil {
		return nil, err
	}
	schemas := map[string]*spec.Schema{}
	if err := json.Unmarshal(data, &schemas); err != nil {
		return nil, err
	}
	return managedfields.NewTypeConverter(schemas, false)
}

// addPaths describes the operations on a resource.
func addPaths(paths map[string]any, d *apiextensionsv1.CustomResourceDefinition, v *version, object, list string) {
	base := "/apis/" + v.gvk.Group + "/" + v.gvk.Version + "/"
	var scope []any
	if d.Spec.Scope == apiextensionsv1.NamespaceScoped {
		base += "namespaces/{namespace}/"
		scope = append(scope, parameter("namespace", "path"))
	}
	base += d.Status.AcceptedNames.Plural
	operation := func(action, answer string, query ...string) map[string]any {
		var parameters []any
		for _, q := range query {
			parameters = append(parameters, parameter(q, "query"))
		}
		return map[string]any{
			"operationId":         action + v.gvk.Kind + v.gvk.Version,
			"parameters":          parameters,
			"responses":           map[string]any{"200": map[string]any{"description": "OK", "content": map[string]any{"application/json": map[string]any{"schema": reference(answer)}}}},
			"x-kubernetes-action": action,
			gvkExtension:          gvkValue(v.gvk),
		}
	}
	write := []string{"dryRun", "fieldManager", "fieldValidation"}
	paths[base] = map[string]any{
		"get":        operation("list", list, "labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "watch"),
		"post":       operation("post", object, write...),
		"parameters": scope,
	}
	paths[base+"/{name}"] = map[string]any{
		"get":        operation("get", object),
		"put":        operation("put", object, write...),
		"patch":      operation("patch", object, append(write, "force")...),
		"delete":     operation("delete", object, "dryRun", "gracePeriodSeconds", "propagationPolicy"),
		"parameters": append(scope, parameter("name", "path")),
	}
}

func parameter(name, in string) map[string]any {
	p := map[string]any{"name": name, "in": in, "schema": map[string]any{"type": "string"}}
	if in == "path" {
		p["required"] = true
	}
	return p
}
