package kind

import (
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// streamVerbs: streams are opened with GET (WebSocket) and POST (SPDY).
func streamVerbs() []string { return []string{"create", "get"} }

// proxyVerbs: a proxy takes all methods.
func proxyVerbs() []string { return []string{"create", "delete", "get", "patch", "update"} }

func evictionGVK() schema.GroupVersionKind {
	return policyv1.SchemeGroupVersion.WithKind("Eviction")
}
