package scheduler

import (
	"context"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// follow keeps the cache and the queue current, and returns what is closed
// when each kind's first state is known.
func (s *Scheduler) follow(ctx context.Context, group *errgroup.Group) []chan struct{} {
	var synced []chan struct{}
	follow(ctx, s.verbs, group, &synced, builtin.Nodes, func(n *corev1.Node, deleted bool) {
		if s.cache.setNode(n, deleted) {
			s.queue.wakeAll()
		}
	})
	follow(ctx, s.verbs, group, &synced, builtin.PersistentVolumes, func(*corev1.PersistentVolume, bool) { s.queue.wakeAll() })
	follow(ctx, s.verbs, group, &synced, builtin.PersistentVolumeClaims, func(*corev1.PersistentVolumeClaim, bool) { s.queue.wakeAll() })
	follow(ctx, s.verbs, group, &synced, builtin.StorageClasses, func(*storagev1.StorageClass, bool) { s.queue.wakeAll() })
	follow(ctx, s.verbs, group, &synced, builtin.Pods, s.podChanged)
	return synced
}

func follow[T object.Object](ctx context.Context, v object.Verbs, group *errgroup.Group, synced *[]chan struct{}, h builtin.Handle[T], changed func(T, bool)) {
	done := make(chan struct{})
	*synced = append(*synced, done)
	group.Go(func() error {
		return h.Follow(ctx, v, object.WatchOptions{}, changed, func() { close(done) })
	})
}

// podChanged counts pods on nodes and queues those that wait for one.
func (s *Scheduler) podChanged(p *corev1.Pod, deleted bool) {
	if s.cache.setPod(p, deleted) {
		s.queue.wakeAll() // room was freed, or a pod came that others want to be near
	}
	if !deleted && ours(p) {
		s.queue.add(p)
	} else {
		s.queue.remove(p)
	}
}

// matters tells whether a node changed in a way that placement sees; its
// heartbeats must not wake every waiting pod.
func matters(old, n *corev1.Node) bool {
	return old == nil ||
		old.Spec.Unschedulable != n.Spec.Unschedulable ||
		!equality.Semantic.DeepEqual(old.Labels, n.Labels) ||
		!equality.Semantic.DeepEqual(old.Spec.Taints, n.Spec.Taints) ||
		!equality.Semantic.DeepEqual(old.Status.Allocatable, n.Status.Allocatable)
}
