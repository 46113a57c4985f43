package meter

import (
	"strings"
	"time"

	"github.com/seed38700745/pkg/cluster/api"
)

// Begin notes that a request is worked on, and returns what to call at its end.
// Requests for what is not served count with empty labels: clients make up as
// many names as they like.
func (m *Meter) Begin(r api.Observed) func(api.Outcome) {
	labels := requestLabels(r)
	begun := time.Now()
	if r.Long {
		g := m.long.WithLabelValues(labels...)
		g.Inc()
		return func(o api.Outcome) {
			g.Dec()
			m.count(r, requestLabels(r), o)
		}
	}
	kind := "readOnly"
	switch r.Verb {
	case "create", "update", "patch", "delete", "deletecollection":
		kind = "mutating"
	}
	flying := m.inFlight.WithLabelValues(kind)
	flying.Inc()
	return func(o api.Outcome) {
		flying.Dec()
		labels := labels
		if !o.Served {
			labels = requestLabels(api.Observed{Verb: r.Verb})
		}
		m.count(r, labels, o)
		dry := append([]string{dryRun(r)}, labels...)
		m.durations.WithLabelValues(dry...).Observe(time.Since(begun).Seconds())
		if r.Verb == "get" || r.Verb == "list" {
			m.sizes.WithLabelValues(labels...).Observe(float64(o.Bytes))
		}
	}
}

func (m *Meter) count(r api.Observed, labels []string, o api.Outcome) {
	m.requests.WithLabelValues(append([]string{code(o.Code), dryRun(r)}, labels...)...).Inc()
}

func dryRun(r api.Observed) string {
	if r.DryRun {
		return "All"
	}
	return ""
}

// requestLabels are verb, group, version, resource, subresource, scope and
// component, as kube-apiserver words them.
func requestLabels(r api.Observed) []string {
	verb := strings.ToUpper(r.Verb)
	switch verb {
	case "CREATE":
		verb = "POST"
	case "UPDATE":
		verb = "PUT"
	case "GET", "LIST", "WATCH", "PATCH", "DELETE", "DELETECOLLECTION", "POST", "PUT", "HEAD", "OPTIONS":
	default:
		verb = "other"
	}
	if r.Patch == "application/apply-patch+yaml" && verb == "PATCH" {
		verb = "APPLY"
	}
	if r.Subresource != "" && r.Long && verb != "WATCH" {
		verb = "CONNECT"
	}
	return []string{verb, r.Group, r.Version, r.Resource, r.Subresource, r.Scope, "apiserver"}
}
