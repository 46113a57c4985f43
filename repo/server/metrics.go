package server

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed38700745/pkg/repo/server/access"
)

// metrics are counted here, in Prometheus' text format: there are too few of them
// for its library.
type metrics struct {
	pulls atomic.Int64

	mu       sync.Mutex
	requests map[requestKind]requestCount // guarded by mu
}

type requestKind struct {
	method string
	status int
}

type requestCount struct {
	n       int64
	seconds float64
}

func newMetrics() *metrics { return &metrics{requests: map[requestKind]requestCount{}} }

func (m *metrics) request(method string, status int, took time.Duration) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		method = "other" // clients make up as many as they like
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.requests[requestKind{method, status}]
	c.n++
	c.seconds += took.Seconds()
	m.requests[requestKind{method, status}] = c
}

func (s *Server) serveMetrics(w *recorder, r *http.Request) {
	if _, ok := s.allow(w, r, access.Target{}, access.Pull); !ok {
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	charts, versions := s.charts.Count()
	// The first two names are ChartMuseum's, which dashboards know.
	fmt.Fprintf(w, "# TYPE chartmuseum_charts_served_total gauge\nchartmuseum_charts_served_total %d\n", charts)
	fmt.Fprintf(w, "# TYPE chartmuseum_chart_versions_served_total gauge\nchartmuseum_chart_versions_served_total %d\n", versions)
	fmt.Fprintf(w, "# TYPE pkg_repo_chart_downloads_total counter\npkg_repo_chart_downloads_total %d\n", s.metrics.pulls.Load())
	s.metrics.mu.Lock()
	counts := maps.Clone(s.metrics.requests)
	s.metrics.mu.Unlock()
	kinds := slices.SortedFunc(maps.Keys(counts), func(a, b requestKind) int {
		if a.method != b.method {
			if a.method < b.method {
				return -1
			}
			return 1
		}
		return a.status - b.status
	})
	fmt.Fprintf(w, "# TYPE pkg_repo_requests_total counter\n")
	for _, k := range kinds {
		fmt.Fprintf(w, "pkg_repo_requests_total{method=%q,code=\"%d\"} %d\n", k.method, k.status, counts[k].n)
	}
	fmt.Fprintf(w, "# TYPE pkg_repo_request_seconds_total counter\n")
	for _, k := range kinds {
		fmt.Fprintf(w, "pkg_repo_request_seconds_total{method=%q,code=\"%d\"} %g\n", k.method, k.status, counts[k].seconds)
	}
}
