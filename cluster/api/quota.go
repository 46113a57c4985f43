package api

import (
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/quota"
)

var resourceQuotas = object.Resource{Resource: "resourcequotas"}

// quotas makes writes that a ResourceQuota counts wait for one another, in each
// namespace: between counting and writing nothing may be added. The zero value
// is ready.
type quotas struct {
	mu         sync.Mutex
	namespaces map[string]*sync.Mutex // guarded by mu; one for each that ever had a quota
}

// lock waits for a namespace and returns the function that lets the next one in.
func (q *quotas) lock(namespace string) (unlock func()) {
	q.mu.Lock()
	if q.namespaces == nil {
		q.namespaces = map[string]*sync.Mutex{}
	}
	m := q.namespaces[namespace]
	if m == nil {
		m = &sync.Mutex{}
		q.namespaces[namespace] = m
	}
	q.mu.Unlock()
	m.Lock()
	return m.Unlock
}

// withinQuota refuses to write o, in place of old (nil: it is new), where that
// would exceed a quota of the namespace. The caller calls done, which is never
// nil, when o is written. What is used is counted from the objects themselves, so
// that a quota holds from the moment when it is stored.
func (s *Server) withinQuota(k *kind.Kind, o, old object.Object) (done func(), err error) {
	done = func() {}
	if !k.Namespaced || o.GetDeletionTimestamp() != nil {
		return done, nil
	}
	r := k.Resource()
	covering := s.covering(r, o)
	if len(covering) == 0 {
		return done, nil
	}
	after := quota.Usage(r, o)
	before := corev1.ResourceList{}
	if old != nil {
		before = quota.Usage(r, old)
		if !grows(before, after) {
			return done, nil
		}
	}
	done = s.quotas.lock(o.GetNamespace())
	for _, q := range covering {
		if pod, ok := o.(*corev1.Pod); ok && old == nil {
			err = quota.Specified(q, pod)
		}
		if err == nil {
			err = quota.Check(q, before, after, s.used(q, r, o))
		}
		if err != nil {
			done()
			return func() {}, refused(r, o.GetName(), err)
		}
	}
	return done, nil
}

// covering lists the quotas of o's namespace that are about o.
func (s *Server) covering(r object.Resource, o object.Object) []*corev1.ResourceQuota {
	var all []*corev1.ResourceQuota
	s.Store.Snapshot().Ascend(resourceQuotas, o.GetNamespace(), object.Key{}, func(x object.Object) bool {
		if q, ok := x.(*corev1.ResourceQuota); ok && quota.Covers(q, r, o) {
			all = append(all, q)
		}
		return true
	})
	return all
}

// used counts what the objects of a resource, all but the one to be written, use
// of a quota.
func (s *Server) used(q *corev1.ResourceQuota, r object.Resource, but object.Object) corev1.ResourceList {
	sum := corev1.ResourceList{}
	s.Store.Snapshot().Ascend(r, q.Namespace, object.Key{}, func(o object.Object) bool {
		if o.GetName() != but.GetName() && quota.Covers(q, r, o) {
			quota.Add(sum, quota.Usage(r, o))
		}
		return true
	})
	return sum
}

func grows(before, after corev1.ResourceList) bool {
	for name, q := range after {
		if was := before[name]; q.Cmp(was) > 0 {
			return true
		}
	}
	return false
}
