// Package meter counts what the cluster's parts do and shows it at /metrics in
// Prometheus' formats, by the names of Kubernetes' own components: apiserver_*,
// workqueue_*, scheduler_*, and for the store those of etcd and of the API
// server's storage. The parts do not know it: each declares a hook in its
// configuration, which package cluster fills with a method of a Meter.
//
// All methods may be called concurrently.
package meter

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Meter holds the counters. Make one with New.
type Meter struct {
	registry *prometheus.Registry

	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	sizes     *prometheus.HistogramVec
	inFlight  *prometheus.GaugeVec
	long      *prometheus.GaugeVec

	commits  prometheus.Histogram
	batches  prometheus.Histogram
	refusals prometheus.Counter

	attempts *prometheus.CounterVec
	tries    *prometheus.HistogramVec

	queues queues
}

// Version is what the *_build_info metrics say.
type Version struct {
	Product    string // of this program
	Kubernetes string // "v1.36.3"
}

// requestBuckets are kube-apiserver's, in seconds.
func requestBuckets() []float64 {
	return []float64{0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60}
}

// New returns a Meter with all counters at zero.
func New(v Version) *Meter {
	m := &Meter{registry: prometheus.NewRegistry()}
	labels := []string{"verb", "group", "version", "resource", "subresource", "scope", "component"}
	m.requests = m.counter("apiserver_request_total",
		"Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
		append([]string{"code", "dry_run"}, labels...)...)
	m.durations = m.histogram("apiserver_request_duration_seconds",
		"Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.",
		requestBuckets(), append([]string{"dry_run"}, labels...)...)
	m.sizes = m.histogram("apiserver_response_sizes", "Response size distribution in bytes for each group, version, verb, resource, subresource, scope and component.",
		prometheus.ExponentialBuckets(1000, 10, 7), labels...)
	m.inFlight = m.gauge("apiserver_current_inflight_requests", "Number of requests that are worked on now, by kind.", "request_kind")
	m.long = m.gauge("apiserver_longrunning_requests", "Gauge of all active long-running apiserver requests.", labels...)

	m.commits = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "etcd_disk_backend_commit_duration_seconds",
		Help: "The latency distributions of commits of the store, with their fsync.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)})
	m.batches = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pkg_store_commit_objects",
		Help: "How many objects were written by one commit.", Buckets: prometheus.ExponentialBuckets(1, 2, 11)})
	m.refusals = prometheus.NewCounter(prometheus.CounterOpts{Name: "pkg_store_commit_errors_total", Help: "Commits that the disk refused."})

	m.attempts = m.counter("scheduler_schedule_attempts_total",
		"Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem.",
		"profile", "result")
	m.tries = m.histogram("scheduler_scheduling_attempt_duration_seconds", "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
		prometheus.ExponentialBuckets(0.001, 2, 15), "profile", "result")

	build := m.gauge("kubernetes_build_info", "A metric with a constant '1' value labeled by the Kubernetes version that is served and this program's own.", "git_version", "product_version")
	build.WithLabelValues(v.Kubernetes, v.Product).Set(1)
	m.registry.MustRegister(m.commits, m.batches, m.refusals, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.queues = newQueues(m.registry)
	return m
}

// Register adds what is read when it is asked for.
func (m *Meter) Register(c prometheus.Collector) { m.registry.MustRegister(c) }

// ServeHTTP implements http.Handler: /metrics.
func (m *Meter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

func (m *Meter) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *Meter) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(g)
	return g
}

func (m *Meter) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(h)
	return h
}

// Committed notes one commit of the store.
func (m *Meter) Committed(objects int, took time.Duration, err error) {
	if err != nil {
		m.refusals.Inc()
		return
	}
	m.commits.Observe(took.Seconds())
	m.batches.Observe(float64(objects))
}

// Scheduled notes one attempt to place a pod: "scheduled", "unschedulable" or "error".
func (m *Meter) Scheduled(profile, result string, took time.Duration) {
	m.attempts.WithLabelValues(profile, result).Inc()
	m.tries.WithLabelValues(profile, result).Observe(took.Seconds())
}

// code words an HTTP status.
func code(status int) string { return strconv.Itoa(status) }
