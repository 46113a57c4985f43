package api

import (
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/object"
)

// route is what a request's method and path mean.
type route struct {
	resource bool // about a resource; else only Path counts
	gvr      schema.GroupVersionResource
	key      object.Key
	sub      string
	rest     string // after "proxy", with its leading slash
	verb     string // as authorization names it
}

// parseRoute reads /api/v1/... and /apis/GROUP/VERSION/... . Paths with fewer
// parts, and all others, are no resources.
func parseRoute(r *http.Request) route {
	path := r.URL.Path
	parts := strings.Split(strings.Trim(path, "/"), "/")
	var rt route
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		rt.gvr.Version, parts = parts[1], parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		rt.gvr.Group, rt.gvr.Version, parts = parts[1], parts[2], parts[3:]
	default:
		rt.verb = strings.ToLower(r.Method)
		return rt
	}
	rt.resource = true
	// namespaces/NAME/status and namespaces/NAME/finalize are about the
	// namespace; other third parts are a collection in it.
	if parts[0] == "namespaces" && len(parts) > 2 && !slices.Contains([]string{"status", "finalize"}, parts[2]) {
		rt.key.Namespace, parts = parts[1], parts[2:]
	} else if parts[0] == "namespaces" && len(parts) > 1 {
		rt.key.Namespace = parts[1]
	}
	rt.gvr.Resource = parts[0]
	if len(parts) > 1 {
		rt.key.Name = parts[1]
	}
	if len(parts) > 2 {
		rt.sub = parts[2]
	}
	if rt.sub == "proxy" {
		if _, after, ok := strings.Cut(path, "/proxy"); ok {
			rt.rest = after
		}
	}
	rt.verb = resourceVerb(r, rt)
	return rt
}

func resourceVerb(r *http.Request, rt route) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if watching(r) {
			return "watch"
		}
		if rt.key.Name == "" {
			return "list"
		}
		return "get"
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		if rt.key.Name == "" {
			return "deletecollection"
		}
		return "delete"
	}
	return strings.ToLower(r.Method)
}

// watching tells whether the query asks for a watch.
func watching(r *http.Request) bool {
	if !strings.Contains(r.URL.RawQuery, "watch") {
		return false
	}
	v := r.URL.Query().Get("watch")
	return v == "true" || v == "1"
}

// attributes is the route as authorization wants it.
func (rt route) attributes(u auth.User, r *http.Request) auth.Attributes {
	return auth.Attributes{
		User: u, Verb: rt.verb, Namespace: rt.key.Namespace, Group: rt.gvr.Group, Version: rt.gvr.Version,
		Resource: rt.gvr.Resource, Subresource: rt.sub, Name: rt.key.Name, Path: r.URL.Path, ResourceRequest: rt.resource,
	}
}
