package main

import (
	"slices"
	"strings"

	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// endpoint is one path of the API with its operations.
type endpoint struct {
	path       string
	parameters []param // of the path
	operations []operation
}

// operation is one method of an endpoint.
type operation struct {
	method   string // "get" ...
	id       string
	action   string // x-kubernetes-action
	gvk      gvk    // x-kubernetes-group-version-kind
	tag      string
	consumes []string
	body     string // model, empty: none
	response string // model, empty: a string
	code     int
	query    []param
}

// param is a query or path parameter.
type param struct{ name, in, kind, doc string }

const deleteOptions = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
const status = "io.k8s.apimachinery.pkg.apis.meta.v1.Status"
const patch = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch"

var (
	produces = []string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"}
	patches  = []string{"application/json-patch+json", "application/merge-patch+json",
		"application/strategic-merge-patch+json", "application/apply-patch+yaml"}

	pretty = param{"pretty", "query", "string", "If 'true', then the output is pretty printed."}
	dryRun = param{"dryRun", "query", "string", "When present, indicates that modifications should not be persisted. Valid values are: All."}
	fields = []param{
		{"fieldManager", "query", "string", "fieldManager is a name associated with the actor or entity that is making these changes."},
		{"fieldValidation", "query", "string", "fieldValidation instructs the server on how to handle objects in the request containing unknown or duplicate fields. Valid values are: Ignore, Warn, Strict."},
	}
	force = param{"force", "query", "boolean", "Force is going to \"force\" Apply requests. It means user will re-acquire conflicting fields owned by other people."}
	lists = []param{
		{"allowWatchBookmarks", "query", "boolean", "allowWatchBookmarks requests watch events with type \"BOOKMARK\"."},
		{"continue", "query", "string", "The continue option should be set when retrieving more results from the server."},
		{"fieldSelector", "query", "string", "A selector to restrict the list of returned objects by their fields."},
		{"labelSelector", "query", "string", "A selector to restrict the list of returned objects by their labels."},
		{"limit", "query", "integer", "limit is a maximum number of responses to return for a list call."},
		{"resourceVersion", "query", "string", "resourceVersion sets a constraint on what resource versions a request may be served from."},
		{"resourceVersionMatch", "query", "string", "resourceVersionMatch determines how resourceVersion is applied to list calls."},
		{"sendInitialEvents", "query", "boolean", "sendInitialEvents=true begins a watch stream with synthetic events."},
		{"timeoutSeconds", "query", "integer", "Timeout for the list/watch call."},
		{"watch", "query", "boolean", "Watch for changes to the described resources."},
	}
	deletes = []param{dryRun,
		{"gracePeriodSeconds", "query", "integer", "The duration in seconds before the object should be deleted."},
		{"orphanDependents", "query", "boolean", "Deprecated: please use the PropagationPolicy."},
		{"propagationPolicy", "query", "string", "Whether and how garbage collection will be performed."},
	}
)

// endpoints returns all paths of a kind, in Kubernetes' own layout.
func endpoints(k served) []endpoint {
	base := "/" + k.gvPath()
	group := strings.Split(k.Group, ".")[0]
	if group == "" {
		group = "core"
	}
	tag := group + "_" + k.Version
	suffix := strings.ToUpper(group[:1]) + group[1:] + strings.ToUpper(k.Version[:1]) + k.Version[1:]
	var scope []param
	collection, scoped := base+"/"+k.Plural, ""
	var all []endpoint
	g := gvk{k.Group, k.Kind, k.Version}
	has := func(v string) bool { return slices.Contains(k.Verbs, v) }
	if k.Namespaced {
		if has("list") {
			all = append(all, endpoint{collection, nil, []operation{{"get", "list" + suffix + k.Kind + "ForAllNamespaces", "list", g, tag,
				nil, "", k.ListModel, 200, append([]param{pretty}, lists...)}}})
		}
		collection = base + "/namespaces/{namespace}/" + k.Plural
		scope = []param{{"namespace", "path", "string", "object name and auth scope, such as for teams and projects"}}
		scoped = "Namespaced"
	}
	c := endpoint{path: collection, parameters: append(slices.Clone(scope), pretty)}
	if has("list") {
		c.operations = append(c.operations, operation{"get", "list" + suffix + scoped + k.Kind, "list", g, tag, nil, "", k.ListModel, 200, lists})
	}
	if has("create") {
		c.operations = append(c.operations, operation{"post", "create" + suffix + scoped + k.Kind, "post", g, tag,
			[]string{"*/*"}, k.Model, k.Model, 201, append([]param{dryRun}, fields...)})
	}
	if has("deletecollection") {
		c.operations = append(c.operations, operation{"delete", "delete" + suffix + "Collection" + scoped + k.Kind, "deletecollection", g, tag,
			[]string{"*/*"}, deleteOptions, status, 200, slices.Concat(deletes, lists[1:8])})
	}
	if len(c.operations) > 0 {
		all = append(all, c)
	}
	name := param{"name", "path", "string", "name of the " + k.Kind}
	item := endpoint{path: collection + "/{name}", parameters: append(slices.Clone(scope), name, pretty),
		operations: itemOperations(suffix+scoped+k.Kind, "", g, tag, k.Model, k.Verbs)}
	if len(item.operations) > 0 {
		all = append(all, item)
	}
	for _, s := range k.Subresources {
		sg := g
		if s.Kind != "" {
			sg = gvk{s.Group, s.Kind, s.Version}
		}
		title := strings.ToUpper(s.Name[:1]) + s.Name[1:]
		e := endpoint{path: collection + "/{name}/" + s.Name, parameters: append(slices.Clone(scope), name, pretty),
			operations: itemOperations(suffix+scoped+k.Kind, title, sg, tag, s.Model, s.Verbs)}
		if len(e.operations) > 0 {
			all = append(all, e)
		}
	}
	return all
}

// itemOperations returns the methods of one object or one of its subresources.
func itemOperations(id, sub string, g gvk, tag, model string, verbs []string) []operation {
	var ops []operation
	for _, v := range verbs {
		switch v {
		case "get":
			ops = append(ops, operation{"get", "read" + id + sub, "get", g, tag, nil, "", model, 200, nil})
		case "create":
			if sub != "" {
				ops = append(ops, operation{"post", "create" + id + sub, "post", g, tag, []string{"*/*"}, model, model, 201, append([]param{dryRun}, fields...)})
			}
		case "update":
			ops = append(ops, operation{"put", "replace" + id + sub, "put", g, tag, []string{"*/*"}, model, model, 200, append([]param{dryRun}, fields...)})
		case "patch":
			ops = append(ops, operation{"patch", "patch" + id + sub, "patch", g, tag, patches, patch, model, 200, append([]param{dryRun, force}, fields...)})
		case "delete":
			ops = append(ops, operation{"delete", "delete" + id + sub, "delete", g, tag, []string{"*/*"}, deleteOptions, status, 200, deletes})
		}
	}
	return ops
}

func (o operation) extensions() spec.Extensions {
	return spec.Extensions{
		"x-kubernetes-action":             o.action,
		"x-kubernetes-group-version-kind": map[string]any{"group": o.gvk.Group, "kind": o.gvk.Kind, "version": o.gvk.Version},
	}
}

func (e endpoint) v3() *spec3.Path {
	p := &spec3.Path{}
	for _, x := range e.parameters {
		p.Parameters = append(p.Parameters, x.v3())
	}
	for _, o := range e.operations {
		op := &spec3.Operation{
			OperationProps: spec3.OperationProps{
				Tags: []string{o.tag}, OperationId: o.id,
				Responses: &spec3.Responses{ResponsesProps: spec3.ResponsesProps{StatusCodeResponses: map[int]*spec3.Response{
					o.code: {ResponseProps: spec3.ResponseProps{Description: "OK", Content: content(produces, o.response, "#/components/schemas/")}},
					401:    {ResponseProps: spec3.ResponseProps{Description: "Unauthorized"}},
				}}},
			},
			VendorExtensible: spec.VendorExtensible{Extensions: o.extensions()},
		}
		for _, x := range o.query {
			op.Parameters = append(op.Parameters, x.v3())
		}
		if o.body != "" {
			op.RequestBody = &spec3.RequestBody{RequestBodyProps: spec3.RequestBodyProps{
				Content: content(o.consumes, o.body, "#/components/schemas/"), Required: o.body != deleteOptions}}
		}
		switch o.method {
		case "get":
			p.Get = op
		case "post":
			p.Post = op
		case "put":
			p.Put = op
		case "patch":
			p.Patch = op
		case "delete":
			p.Delete = op
		}
	}
	return p
}

func content(types []string, model, prefix string) map[string]*spec3.MediaType {
	m := map[string]*spec3.MediaType{}
	for _, t := range types {
		m[t] = &spec3.MediaType{MediaTypeProps: spec3.MediaTypeProps{Schema: schema(model, prefix)}}
	}
	return m
}

func schema(model, prefix string) *spec.Schema {
	if model == "" {
		return spec.StringProperty()
	}
	return spec.RefSchema(prefix + model)
}

func (x param) v3() *spec3.Parameter {
	return &spec3.Parameter{ParameterProps: spec3.ParameterProps{
		Name: x.name, In: x.in, Description: x.doc, Required: x.in == "path",
		Schema: &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{x.kind}, UniqueItems: true}},
	}}
}

func (x param) v2() spec.Parameter {
	return spec.Parameter{
		ParamProps:   spec.ParamProps{Name: x.name, In: x.in, Description: x.doc, Required: x.in == "path"},
		SimpleSchema: spec.SimpleSchema{Type: x.kind},
	}
}

func (e endpoint) v2() spec.PathItem {
	var p spec.PathItem
	for _, x := range e.parameters {
		p.Parameters = append(p.Parameters, x.v2())
	}
	for _, o := range e.operations {
		op := &spec.Operation{
			VendorExtensible: spec.VendorExtensible{Extensions: o.extensions()},
			OperationProps: spec.OperationProps{
				ID: o.id, Tags: []string{o.tag}, Schemes: []string{"https"}, Consumes: o.consumes, Produces: produces,
				Responses: &spec.Responses{ResponsesProps: spec.ResponsesProps{StatusCodeResponses: map[int]spec.Response{
					o.code: {ResponseProps: spec.ResponseProps{Description: "OK", Schema: schema(o.response, "#/definitions/")}},
					401:    {ResponseProps: spec.ResponseProps{Description: "Unauthorized"}},
				}}},
			},
		}
		for _, x := range o.query {
			op.Parameters = append(op.Parameters, x.v2())
		}
		if o.body != "" {
			op.Parameters = append(op.Parameters, spec.Parameter{ParamProps: spec.ParamProps{
				Name: "body", In: "body", Required: o.body != deleteOptions, Schema: schema(o.body, "#/definitions/")}})
		}
		switch o.method {
		case "get":
			p.Get = op
		case "post":
			p.Post = op
		case "put":
			p.Put = op
		case "patch":
			p.Patch = op
		case "delete":
			p.Delete = op
		}
	}
	return p
}
