package verbstest

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/seed38700745/pkg/cluster/object"
)

// watcher is one watch, with a queue without a limit.
type watcher struct {
	resource object.Resource
	options  object.WatchOptions
	events   chan watch.Event
	news     chan struct{}
	cancel   context.CancelFunc

	mu    sync.Mutex
	queue []watch.Event // guarded by mu
}

// Watch implements object.Verbs. It always starts with the present state.
func (w *World) Watch(ctx context.Context, r object.Resource, o object.WatchOptions) (watch.Interface, error) {
	ctx, cancel := context.WithCancel(ctx)
	v := &watcher{resource: r, options: o, events: make(chan watch.Event), news: make(chan struct{}, 1), cancel: cancel}
	w.mu.Lock()
	for _, item := range slices.Collect(maps.Values(w.objects[r])) {
		v.put(watch.Event{Type: watch.Added, Object: item})
	}
	v.put(watch.Event{Type: watch.Bookmark, Object: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}}})
	w.watchers[v] = true
	w.mu.Unlock()
	go func() {
		v.pump(ctx) // until ctx ends or Stop is called
		w.mu.Lock()
		delete(w.watchers, v)
		w.mu.Unlock()
		close(v.events)
	}()
	return v, nil
}

func (w *World) publish(r object.Resource, e watch.Event) {
	for v := range w.watchers {
		if v.resource == r {
			v.put(e)
		}
	}
}

func (v *watcher) put(e watch.Event) {
	if o, ok := e.Object.(object.Object); ok && e.Type != watch.Bookmark && !fits(o, v.options.Namespace, v.options.Labels) {
		return
	}
	v.mu.Lock()
	v.queue = append(v.queue, e)
	v.mu.Unlock()
	select {
	case v.news <- struct{}{}:
	default:
	}
}

func (v *watcher) pump(ctx context.Context) {
	for {
		v.mu.Lock()
		queue := v.queue
		v.queue = nil
		v.mu.Unlock()
		for _, e := range queue {
			select {
			case v.events <- e:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-v.news:
		case <-ctx.Done():
			return
		}
	}
}

// ResultChan implements watch.Interface.
func (v *watcher) ResultChan() <-chan watch.Event { return v.events }

// Stop implements watch.Interface.
func (v *watcher) Stop() { v.cancel() }

func zero(o object.Object) {
	v := reflect.ValueOf(o).Elem()
	v.Set(reflect.Zero(v.Type()))
}
