package kubelet

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/cri"
)

// The following are the parts of the kubelet's stats/v1alpha1 Summary that are
// known here, with its JSON names.
type (
	summary struct {
		Node nodeStats  `json:"node"`
		Pods []podStats `json:"pods"`
	}
	nodeStats struct {
		NodeName string       `json:"nodeName"`
		CPU      *cpuStats    `json:"cpu,omitempty"`
		Memory   *memoryStats `json:"memory,omitempty"`
	}
	podStats struct {
		PodRef     podRef           `json:"podRef"`
		StartTime  metav1.Time      `json:"startTime"`
		Containers []containerStats `json:"containers"`
		CPU        *cpuStats        `json:"cpu,omitempty"`
		Memory     *memoryStats     `json:"memory,omitempty"`
	}
	podRef struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
		UID       string `json:"uid"`
	}
	containerStats struct {
		Name      string       `json:"name"`
		StartTime metav1.Time  `json:"startTime"`
		CPU       *cpuStats    `json:"cpu,omitempty"`
		Memory    *memoryStats `json:"memory,omitempty"`
	}
	cpuStats struct {
		Time                 metav1.Time `json:"time"`
		UsageCoreNanoSeconds uint64      `json:"usageCoreNanoSeconds"`
	}
	memoryStats struct {
		Time            metav1.Time `json:"time"`
		UsageBytes      uint64      `json:"usageBytes"`
		WorkingSetBytes uint64      `json:"workingSetBytes"`
		RSSBytes        uint64      `json:"rssBytes"`
	}
)

// cpu and memory take a runtime's reading apart.
func split(s cri.Stats) (*cpuStats, *memoryStats) {
	t := metav1.NewTime(s.Time)
	return &cpuStats{t, s.CPUNanoseconds}, &memoryStats{t, s.MemoryUsage, s.MemoryWorkingSet, s.MemoryRSS}
}

// usage is one pod's readings; containers that just ended are left out.
type usage struct {
	pod        *corev1.Pod
	total      cri.Stats
	known      bool // total was read
	containers []containerUsage
}

type containerUsage struct {
	cri.Container
	stats cri.Stats
}

// readings asks the runtime about all running pods.
func (s *server) readings(r *http.Request) []usage {
	var all []usage
	for _, pod := range s.Pods() {
		sandbox, ok, err := s.Runtime.Sandbox(r.Context(), string(pod.UID))
		if err != nil || !ok || !sandbox.Ready {
			continue
		}
		u := usage{pod: pod}
		if u.total, err = s.Runtime.PodStats(r.Context(), string(pod.UID)); err == nil {
			u.known = true
		}
		for _, c := range sandbox.Containers {
			if c.State != cri.Running {
				continue
			}
			if stats, err := s.Runtime.Stats(r.Context(), string(pod.UID), c.ID); err == nil {
				u.containers = append(u.containers, containerUsage{c, stats})
			}
		}
		all = append(all, u)
	}
	return all
}

// summary answers with the use of resources as JSON.
func (s *server) summary(w http.ResponseWriter, r *http.Request) {
	out := summary{Pods: []podStats{}}
	out.Node.NodeName = s.NodeName
	if n, err := nodeReading(); err == nil {
		out.Node.CPU, out.Node.Memory = split(n)
	}
	for _, u := range s.readings(r) {
		p := podStats{PodRef: podRef{u.pod.Name, u.pod.Namespace, string(u.pod.UID)}, Containers: []containerStats{}}
		if u.pod.Status.StartTime != nil {
			p.StartTime = *u.pod.Status.StartTime
		}
		if u.known {
			p.CPU, p.Memory = split(u.total)
		}
		for _, c := range u.containers {
			cs := containerStats{Name: c.Name, StartTime: metav1.NewTime(c.StartedAt)}
			cs.CPU, cs.Memory = split(c.stats)
			p.Containers = append(p.Containers, cs)
		}
		out.Pods = append(out.Pods, p)
	}
	writeJSON(w, out)
}

// resource answers with the same in Prometheus' text format, by the names that
// the metrics server reads.
func (s *server) resource(w http.ResponseWriter, r *http.Request) {
	var b strings.Builder
	head := func(name, kind string) { fmt.Fprintf(&b, "# TYPE %s %s\n", name, kind) }
	all := s.readings(r)
	stamp := func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
	seconds := func(ns uint64) string { return strconv.FormatFloat(float64(ns)/1e9, 'f', -1, 64) }
	if n, err := nodeReading(); err == nil {
		head("node_cpu_usage_seconds_total", "counter")
		fmt.Fprintf(&b, "node_cpu_usage_seconds_total %s %s\n", seconds(n.CPUNanoseconds), stamp(n.Time))
		head("node_memory_working_set_bytes", "gauge")
		fmt.Fprintf(&b, "node_memory_working_set_bytes %d %s\n", n.MemoryWorkingSet, stamp(n.Time))
	}
	eachContainer := func(line func(labels string, c containerUsage)) {
		for _, u := range all {
			for _, c := range u.containers {
				line(fmt.Sprintf("{container=%q,namespace=%q,pod=%q}", c.Name, u.pod.Namespace, u.pod.Name), c)
			}
		}
	}
	eachPod := func(line func(labels string, u usage)) {
		for _, u := range all {
			if u.known {
				line(fmt.Sprintf("{namespace=%q,pod=%q}", u.pod.Namespace, u.pod.Name), u)
			}
		}
	}
	head("container_cpu_usage_seconds_total", "counter")
	eachContainer(func(l string, c containerUsage) {
		fmt.Fprintf(&b, "container_cpu_usage_seconds_total%s %s %s\n", l, seconds(c.stats.CPUNanoseconds), stamp(c.stats.Time))
	})
	head("container_memory_working_set_bytes", "gauge")
	eachContainer(func(l string, c containerUsage) {
		fmt.Fprintf(&b, "container_memory_working_set_bytes%s %d %s\n", l, c.stats.MemoryWorkingSet, stamp(c.stats.Time))
	})
	head("container_start_time_seconds", "gauge")
	eachContainer(func(l string, c containerUsage) {
		fmt.Fprintf(&b, "container_start_time_seconds%s %d\n", l, c.StartedAt.Unix())
	})
	head("pod_cpu_usage_seconds_total", "counter")
	eachPod(func(l string, u usage) {
		fmt.Fprintf(&b, "pod_cpu_usage_seconds_total%s %s %s\n", l, seconds(u.total.CPUNanoseconds), stamp(u.total.Time))
	})
	head("pod_memory_working_set_bytes", "gauge")
	eachPod(func(l string, u usage) {
		fmt.Fprintf(&b, "pod_memory_working_set_bytes%s %d %s\n", l, u.total.MemoryWorkingSet, stamp(u.total.Time))
	})
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	w.Write([]byte(b.String())) // fails only if the client went away
}

// nodeReading reads the machine's use of CPU and memory from /proc.
func nodeReading() (cri.Stats, error) {
	const tick = 10_000_000 // nanoseconds of a clock tick: USER_HZ is 100 on Linux
	s := cri.Stats{Time: time.Now()}
	stat, err := os.ReadFile("/proc/stat") // "cpu  user nice system idle iowait irq softirq steal ..."
	if err != nil {
		return s, err
	}
	first, _, _ := strings.Cut(string(stat), "\n")
	for i, f := range strings.Fields(first) {
		if i == 0 || i == 4 || i == 5 || i > 8 { // the name, idle times, guests (counted in user)
			continue
		}
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return s, err
		}
		s.CPUNanoseconds += n * tick
	}
	mem, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return s, err
	}
	var total, available uint64 // KiB
	for l := range strings.Lines(string(mem)) {
		fmt.Sscanf(l, "MemTotal: %d kB", &total)
		fmt.Sscanf(l, "MemAvailable: %d kB", &available)
	}
	s.MemoryUsage = (total - available) << 10
	s.MemoryWorkingSet = s.MemoryUsage
	s.Cgroup = "/"
	return s, nil
}
