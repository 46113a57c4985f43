package node

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/node/cadvisor"
	"github.com/seed38700745/pkg/cluster/node/eviction"
)

// meters count what the agent does, by the kubelet's names.
type meters struct {
	all, probes *prometheus.Registry // /metrics and /metrics/probes

	probed   *prometheus.CounterVec
	started  *prometheus.CounterVec
	failed   *prometheus.CounterVec
	syncTook *prometheus.HistogramVec
}

// newMeters makes the meters of an agent.
func newMeters(a *Agent) *meters {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &meters{
		all: prometheus.NewRegistry(), probes: prometheus.NewRegistry(),
		probed: counter("prober_probe_total", "Cumulative number of a liveness, readiness or startup probe for a container by result.",
			"probe_type", "result", "container", "pod", "namespace", "pod_uid"),
		started: counter("kubelet_started_containers_total", "Cumulative number of containers started", "container_type"),
		failed:  counter("kubelet_started_containers_errors_total", "Cumulative number of errors when starting containers", "container_type", "code"),
		syncTook: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kubelet_pod_worker_duration_seconds", Help: "Duration in seconds to sync a single pod.",
			Buckets: prometheus.DefBuckets,
		}, []string{"operation_type"}),
	}
	name := prometheus.NewGauge(prometheus.GaugeOpts{Name: "kubelet_node_name", Help: "The node's name. The count is always 1.",
		ConstLabels: prometheus.Labels{"node": a.Name}})
	name.Set(1)
	m.all.MustRegister(m.started, m.failed, m.syncTook, name, newRunning(a),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.probes.MustRegister(m.probed)
	return m
}

// probe counts one result of a probe.
func (m *meters) probe(pod *corev1.Pod, container, kind string, ok bool) {
	result := "failed"
	if ok {
		result = "successful"
	}
	m.probed.WithLabelValues(strings.ToUpper(kind[:1])+kind[1:], result, container, pod.Name, pod.Namespace, string(pod.UID)).Inc()
}

// forget drops what was counted of a pod that is gone.
func (m *meters) forget(uid string) { m.probed.DeletePartialMatch(prometheus.Labels{"pod_uid": uid}) }

// synced notes how long one look at a pod took.
func (m *meters) synced(took time.Duration) {
	m.syncTook.WithLabelValues("sync").Observe(took.Seconds())
}

// containerStarted counts a start, or with err a failed one.
func (m *meters) containerStarted(pod *corev1.Pod, name string, err error) {
	kind := "container"
	if isInit(pod, name) {
		kind = "init_container"
	}
	m.started.WithLabelValues(kind).Inc()
	if err != nil {
		m.failed.WithLabelValues(kind, errRunContainer).Inc()
	}
}

// running counts pods and containers by what their status says.
type running struct {
	agent            *Agent
	pods, containers *prometheus.Desc
}

func newRunning(a *Agent) running {
	return running{a,
		prometheus.NewDesc("kubelet_running_pods", "Number of pods that have a running pod sandbox", nil, nil),
		prometheus.NewDesc("kubelet_running_containers", "Number of containers currently running", []string{"container_state"}, nil)}
}

// Describe implements prometheus.Collector.
func (r running) Describe(out chan<- *prometheus.Desc) {
	out <- r.pods
	out <- r.containers
}

// Collect implements prometheus.Collector.
func (r running) Collect(out chan<- prometheus.Metric) {
	pods, states := 0, map[string]int{"running": 0}
	for _, p := range r.agent.Pods() {
		if p.Status.Phase == corev1.PodRunning {
			pods++
		}
		for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			switch {
			case c.State.Running != nil:
				states["running"]++
			case c.State.Terminated != nil:
				states["exited"]++
			case c.State.Waiting != nil:
				states["created"]++
			}
		}
	}
	out <- prometheus.MustNewConstMetric(r.pods, prometheus.GaugeValue, float64(pods))
	for state, n := range states {
		out <- prometheus.MustNewConstMetric(r.containers, prometheus.GaugeValue, float64(n), state)
	}
}

// hardware is what the machine is made of, for cAdvisor's metrics.
func (a *Agent) hardware() cadvisor.Hardware {
	h := cadvisor.Hardware{
		MachineID: a.machine.MachineID, SystemUUID: a.machine.SystemUUID, BootID: a.machine.BootID,
		KernelVersion: a.machine.KernelVersion, OSImage: a.machine.OSImage, ProductVersion: a.RuntimeVersion,
	}
	h.Threads, h.Cores, h.Sockets = cadvisor.CPUs()
	h.Memory = uint64(a.capacity.Memory().Value())
	if swap, err := eviction.Meminfo("SwapTotal"); err == nil {
		h.Swap = uint64(swap)
	}
	return h
}
