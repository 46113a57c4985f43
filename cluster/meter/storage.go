package meter

import (
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/store"
)

// storage reads the store when it is asked for.
type storage struct {
	store store.Store
	kinds *kind.Registry
	file  string

	objects, size, revision *prometheus.Desc
}

// Storage is a collector of what a store holds in its file: objects by resource,
// bytes, the revision.
func Storage(s store.Store, kinds *kind.Registry, file string) prometheus.Collector {
	return &storage{store: s, kinds: kinds, file: file,
		objects:  prometheus.NewDesc("apiserver_storage_objects", "Number of stored objects at the time of last check split by kind.", []string{"resource"}, nil),
		size:     prometheus.NewDesc("apiserver_storage_size_bytes", "Size of the storage database file physically allocated in bytes.", []string{"storage_cluster_id"}, nil),
		revision: prometheus.NewDesc("etcd_debugging_mvcc_current_revision", "The current revision of store.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (s *storage) Describe(out chan<- *prometheus.Desc) {
	out <- s.objects
	out <- s.size
	out <- s.revision
}

// Collect implements prometheus.Collector.
func (s *storage) Collect(out chan<- prometheus.Metric) {
	view := s.store.Snapshot()
	for _, k := range s.kinds.All() {
		r := k.Resource()
		out <- prometheus.MustNewConstMetric(s.objects, prometheus.GaugeValue, float64(view.Len(r, "")), r.String())
	}
	out <- prometheus.MustNewConstMetric(s.revision, prometheus.GaugeValue, float64(view.Revision()))
	if info, err := os.Stat(s.file); err == nil {
		out <- prometheus.MustNewConstMetric(s.size, prometheus.GaugeValue, float64(info.Size()), "bbolt")
	}
}
