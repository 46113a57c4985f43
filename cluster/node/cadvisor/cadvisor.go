// Package cadvisor words a node's readings of machine, pods and containers as
// cAdvisor does in the kubelet's /metrics/cadvisor (names, types and labels by
// google/cadvisor, docs/storage/prometheus.md), so that dashboards and rules
// made for Kubernetes find what they ask for.
//
// Each container has the labels container, id (its cgroup), image, name (its
// id), namespace and pod; a pod as a whole has empty container, image and name;
// the machine has id "/" and nothing else. Samples carry the time of reading.
package cadvisor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed38700745/pkg/cluster/cri"
)

// Machine is the node itself.
type Machine struct {
	Stats    cri.Stats
	Hardware Hardware
	Disks    []FileSystem
	Network  []Interface
	Started  time.Time // the machine's
}

// Pod is one pod with its running containers.
type Pod struct {
	Namespace, Name string
	Stats           *cri.Stats // of all its containers; nil: not known
	Started         time.Time
	Network         []Interface // empty with the host's network
	Containers      []Container
}

// Container is one running container.
type Container struct {
	ID, Name, Image string
	Started         time.Time
	Stats           cri.Stats
}

// Collector hands out one set of readings. It implements prometheus.Collector
// for one use.
type Collector struct {
	Machine Machine
	Pods    []Pod
}

// Describe implements prometheus.Collector: which metrics there are depends on
// the readings, so nothing is promised.
func (c *Collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	s := sink{out: out}
	c.Machine.collect(s)
	root := subject{id: "/"}
	s.usage(root, c.Machine.Stats, c.Machine.Started)
	s.network(root, c.Machine.Stats.Time, c.Machine.Network)
	s.fileSystems(root, c.Machine.Stats.Time, c.Machine.Disks)
	for _, p := range c.Pods {
		whole := subject{namespace: p.Namespace, pod: p.Name}
		at := c.Machine.Stats.Time
		if p.Stats != nil {
			whole.id, at = p.Stats.Cgroup, p.Stats.Time
			s.usage(whole, *p.Stats, p.Started)
		}
		s.network(whole, at, p.Network)
		for _, k := range p.Containers {
			s.usage(subject{container: k.Name, id: k.Stats.Cgroup, image: k.Image, name: k.ID, namespace: p.Namespace, pod: p.Name}, k.Stats, k.Started)
		}
	}
}

// subject is whom a sample is about.
type subject struct{ container, id, image, name, namespace, pod string }

// labelNames are those of every container metric; further ones follow them.
var labelNames = []string{"container", "id", "image", "name", "namespace", "pod"}

// sink words samples.
type sink struct{ out chan<- prometheus.Metric }

// sample hands out one value of a container metric; more are pairs of further
// label names and values.
func (s sink) sample(of subject, at time.Time, kind prometheus.ValueType, name, help string, value float64, more ...string) {
	names := append([]string(nil), labelNames...)
	values := []string{of.container, of.id, of.image, of.name, of.namespace, of.pod}
	for i := 0; i+1 < len(more); i += 2 {
		names, values = append(names, more[i]), append(values, more[i+1])
	}
	m := prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, value, values...)
	s.out <- prometheus.NewMetricWithTimestamp(at, m)
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// usage hands out what cgroups count.
func (s sink) usage(of subject, r cri.Stats, started time.Time) {
	put := func(kind prometheus.ValueType, name, help string, value float64, more ...string) {
		s.sample(of, r.Time, kind, name, help, value, more...)
	}
	seconds := func(ns uint64) float64 { return float64(ns) / 1e9 }
	put(counter, "container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds.", seconds(r.CPUNanoseconds), "cpu", "total")
	put(counter, "container_cpu_user_seconds_total", "Cumulative user cpu time consumed in seconds.", seconds(r.CPUUserNanoseconds))
	put(counter, "container_cpu_system_seconds_total", "Cumulative system cpu time consumed in seconds.", seconds(r.CPUSystemNanoseconds))
	if r.Limits.CPUQuota > 0 {
		put(counter, "container_cpu_cfs_periods_total", "Number of elapsed enforcement period intervals.", float64(r.Throttling.Periods))
		put(counter, "container_cpu_cfs_throttled_periods_total", "Number of throttled period intervals.", float64(r.Throttling.ThrottledPeriods))
		put(counter, "container_cpu_cfs_throttled_seconds_total", "Total time duration the container has been throttled.", seconds(r.Throttling.ThrottledNanoseconds))
		put(gauge, "container_spec_cpu_quota", "CPU quota of the container.", float64(r.Limits.CPUQuota))
	}
	put(gauge, "container_spec_cpu_period", "CPU period of the container.", float64(r.Limits.CPUPeriod))
	put(gauge, "container_spec_cpu_shares", "CPU share of the container.", float64(r.Limits.CPUShares))
	put(gauge, "container_spec_memory_limit_bytes", "Memory limit for the container.", float64(r.Limits.Memory))
	put(gauge, "container_memory_usage_bytes", "Current memory usage in bytes, including all memory regardless of when it was accessed.", float64(r.MemoryUsage))
	put(gauge, "container_memory_working_set_bytes", "Current working set in bytes.", float64(r.MemoryWorkingSet))
	put(gauge, "container_memory_rss", "Size of RSS in bytes.", float64(r.MemoryRSS))
	put(gauge, "container_memory_cache", "Number of bytes of page cache memory.", float64(r.MemoryCache))
	put(gauge, "container_memory_swap", "Container swap usage in bytes.", float64(r.MemorySwap))
	put(gauge, "container_memory_mapped_file", "Size of memory mapped files in bytes.", float64(r.MemoryMapped))
	put(gauge, "container_memory_kernel_usage", "Size of kernel memory allocated in bytes.", float64(r.MemoryKernel))
	put(gauge, "container_memory_max_usage_bytes", "Maximum memory usage recorded in bytes.", float64(r.MemoryPeak))
	put(counter, "container_memory_failcnt", "Number of memory usage hits limits.", float64(r.MemoryLimitHits))
	for kind, n := range map[string]uint64{"pgfault": r.PageFaults, "pgmajfault": r.MajorPageFaults} {
		put(counter, "container_memory_failures_total", "Cumulative count of memory allocation failures.", float64(n), "failure_type", kind, "scope", "hierarchy")
	}
	put(counter, "container_oom_events_total", "Count of out of memory events observed for the container.", float64(r.OOMKills))
	put(gauge, "container_processes", "Number of processes running inside the container.", float64(r.Processes))
	put(gauge, "container_threads", "Number of threads running inside the container.", float64(r.Pids))
	put(gauge, "container_threads_max", "Maximum number of threads allowed inside the container, infinity if value is zero.", float64(r.Limits.Pids))
	for _, d := range r.Disks {
		put(counter, "container_fs_reads_bytes_total", "Cumulative count of bytes read.", float64(d.ReadBytes), "device", d.Device)
		put(counter, "container_fs_writes_bytes_total", "Cumulative count of bytes written.", float64(d.WriteBytes), "device", d.Device)
		put(counter, "container_fs_reads_total", "Cumulative count of reads completed.", float64(d.Reads), "device", d.Device)
		put(counter, "container_fs_writes_total", "Cumulative count of writes completed.", float64(d.Writes), "device", d.Device)
	}
	put(gauge, "container_last_seen", "Last time a container was seen by the exporter.", float64(r.Time.Unix()))
	if !started.IsZero() {
		put(gauge, "container_start_time_seconds", "Start time of the container since unix epoch in seconds.", float64(started.Unix()))
	}
}

// network hands out the counters of network interfaces.
func (s sink) network(of subject, at time.Time, all []Interface) {
	for _, i := range all {
		for _, way := range []struct {
			name, word string
			Traffic
		}{{"receive", "received", i.Received}, {"transmit", "transmitted", i.Sent}} {
			put := func(name, help string, n uint64) {
				s.sample(of, at, counter, "container_network_"+way.name+"_"+name+"_total", help, float64(n), "interface", i.Name)
			}
			put("bytes", "Cumulative count of bytes "+way.word+".", way.Bytes)
			put("packets", "Cumulative count of packets "+way.word+".", way.Packets)
			put("packets_dropped", "Cumulative count of packets dropped, "+way.word+".", way.Dropped)
			put("errors", "Cumulative count of errors encountered, "+way.word+".", way.Errors)
		}
	}
}

// fileSystems hands out the use of the machine's disks.
func (s sink) fileSystems(of subject, at time.Time, all []FileSystem) {
	for _, f := range all {
		put := func(name, help string, n uint64) {
			s.sample(of, at, gauge, name, help, float64(n), "device", f.Device)
		}
		put("container_fs_limit_bytes", "Number of bytes that can be consumed by the container on this filesystem.", f.Size)
		put("container_fs_usage_bytes", "Number of bytes that are consumed by the container on this filesystem.", f.Used)
		put("container_fs_inodes_total", "Number of Inodes.", f.Inodes)
		put("container_fs_inodes_free", "Number of available Inodes.", f.InodesFree)
	}
}
