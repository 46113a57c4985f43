package kubelet

import (
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/node/cadvisor"
)

// cadvisor answers with what containers use, by cAdvisor's names.
func (s *server) cadvisor(w http.ResponseWriter, r *http.Request) {
	c := &cadvisor.Collector{Machine: s.machine()}
	for _, u := range s.readings(r) {
		p := cadvisor.Pod{Namespace: u.pod.Namespace, Name: u.pod.Name}
		if u.known {
			p.Stats = &u.total
		}
		if u.pod.Status.StartTime != nil {
			p.Started = u.pod.Status.StartTime.Time
		}
		for _, k := range u.containers {
			p.Containers = append(p.Containers, cadvisor.Container{ID: k.ID, Name: k.Name, Image: k.ImageName, Started: k.StartedAt, Stats: k.stats})
			if len(p.Network) == 0 && !u.pod.Spec.HostNetwork {
				p.Network, _ = cadvisor.Interfaces(k.PID) // it may have just ended; the next one has the same
			}
		}
		c.Pods = append(c.Pods, p)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	s.expose(registry).ServeHTTP(w, r)
}

// machine reads the node itself. What cannot be read is left out.
func (s *server) machine() cadvisor.Machine {
	m := cadvisor.Machine{Hardware: s.Hardware}
	if n, err := nodeReading(); err == nil {
		m.Stats = n
	}
	m.Started, _ = cadvisor.Booted()
	m.Network, _ = cadvisor.Interfaces(os.Getpid())
	if f, err := cadvisor.Usage(s.Disk); err == nil {
		m.Disks = []cadvisor.FileSystem{f}
	}
	m.Stats.Limits = cri.Resources{Memory: int64(s.Hardware.Memory)}
	return m
}

// expose serves metrics in Prometheus' formats. An error of one of them is
// answered instead of the others: half an answer looks like a change.
func (s *server) expose(g prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError})
}
