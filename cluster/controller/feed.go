package controller

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/util/workqueue"

	"github.com/seed38700745/pkg/cluster/object"
)

// feeds shares one watch of each resource among all loops that need it.
// Subscriptions are made before run begins to follow. It also knows whom the
// loops' queues report to.
type feeds struct {
	verbs      object.Verbs
	metrics    workqueue.MetricsProvider
	byResource map[object.Resource]*feed // fixed after newFeeds
	subscribed sync.WaitGroup            // one for each loop
}

// feed is the followers of one resource.
type feed struct {
	resource object.Resource
	synced   chan struct{} // closed when the first state is delivered

	mu          sync.Mutex
	subscribers []func(change) // guarded by mu; fixed once subscribed
}

func newFeeds(v object.Verbs, metrics workqueue.MetricsProvider, loops []*loop) *feeds {
	f := &feeds{verbs: v, metrics: metrics, byResource: map[object.Resource]*feed{}}
	for _, l := range loops {
		f.subscribed.Add(1)
		for _, s := range l.sources {
			if f.byResource[s.resource] == nil {
				f.byResource[s.resource] = &feed{resource: s.resource, synced: make(chan struct{})}
			}
		}
	}
	return f
}

func (f *feeds) of(r object.Resource) *feed { return f.byResource[r] }

func (f *feeds) subscribe(r object.Resource, on func(change)) {
	d := f.of(r)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.subscribers = append(d.subscribers, on)
}

// run follows every resource until ctx ends.
func (f *feeds) run(ctx context.Context) error {
	f.subscribed.Wait()
	var group errgroup.Group
	for _, d := range f.byResource {
		group.Go(func() error { return d.follow(ctx, f.verbs) })
	}
	return group.Wait()
}

func (d *feed) follow(ctx context.Context, v object.Verbs) error {
	d.mu.Lock()
	subscribers := d.subscribers
	d.mu.Unlock()
	last := map[object.Key]object.Object{}
	return object.Follow(ctx, v, d.resource, object.WatchOptions{}, object.Handler{
		Changed: func(o object.Object, deleted bool) {
			k := object.KeyOf(o)
			c := change{old: last[k], new: o}
			if deleted {
				c = change{old: o}
				delete(last, k)
			} else {
				last[k] = o
			}
			for _, on := range subscribers {
				on(c)
			}
		},
		Synced: func() { close(d.synced) },
	})
}
