package controller

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"

	"github.com/seed38700745/pkg/cluster/object"
)

// Waits before a key that failed is tried again: doubling from the first to the second.
const (
	retryFirst = 10 * time.Millisecond
	retryMost  = time.Minute
)

// calm is how long changes of a key are gathered that was worked on just now: mostly
// they are echoes of what its reconcile has written itself.
const calm = 20 * time.Millisecond

// change is one object before and after: old is nil when it is new, new is nil
// when it was deleted.
type change struct{ old, new object.Object }

// latest is the object as it is, or was last.
func (c change) latest() object.Object {
	if c.new != nil {
		return c.new
	}
	return c.old
}

// source says which keys of a loop a change of some resource concerns.
type source struct {
	resource object.Resource
	keys     func(c change) []object.Key
}

// loop brings keys to what reconcile makes of them: one key is never worked on
// twice at a time, and a key that failed is tried again, later and later.
type loop struct {
	name    string
	workers int // 0 means 1
	sources []source
	// reconcile makes the world right for one key. A wait > 0 asks to be
	// called again after it, even if nothing changes.
	reconcile func(ctx context.Context, k object.Key) (wait time.Duration, err error)
}

type queue = workqueue.TypedRateLimitingInterface[object.Key]

// run works until ctx ends. The loop starts when all its sources are known, so
// that the first reconcile sees a complete world.
func (l *loop) run(ctx context.Context, f *feeds, log *slog.Logger) error {
	q := workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[object.Key](retryFirst, retryMost),
		workqueue.TypedRateLimitingQueueConfig[object.Key]{Name: l.name, MetricsProvider: f.metrics})
	worked := &recent{life: calm, now: time.Now}
	for _, src := range l.sources {
		f.subscribe(src.resource, func(c change) {
			for _, k := range src.keys(c) {
				if worked.has(k) {
					q.AddAfter(k, calm)
				} else {
					q.Add(k)
				}
			}
		})
	}
	f.subscribed.Done()
	for _, src := range l.sources {
		select {
		case <-f.of(src.resource).synced:
		case <-ctx.Done():
		}
	}
	var workers errgroup.Group
	for range max(l.workers, 1) {
		workers.Go(func() error {
			for l.next(ctx, q, worked, log) {
			}
			return nil
		})
	}
	<-ctx.Done()
	q.ShutDown()
	return workers.Wait()
}

// next works on one key; it returns false when the queue is shut down.
func (l *loop) next(ctx context.Context, q queue, worked *recent, log *slog.Logger) bool {
	k, down := q.Get()
	if down {
		return false
	}
	defer q.Done(k)
	if ctx.Err() != nil {
		return true
	}
	worked.add(k)
	wait, err := l.safely(ctx, k, log)
	switch {
	case err == nil:
		q.Forget(k)
		if wait > 0 {
			q.AddAfter(k, wait)
		}
	case ctx.Err() != nil:
	default:
		if !apierrors.IsConflict(err) {
			log.Warn("reconcile", "controller", l.name, "key", k.String(), "error", err)
		}
		q.AddRateLimited(k)
	}
	return true
}

// safely reconciles; a panic over one object must not stop the others.
func (l *loop) safely(ctx context.Context, k object.Key, log *slog.Logger) (wait time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("panic", "controller", l.name, "key", k.String(), "panic", p, "stack", string(debug.Stack()))
			wait, err = retryMost, nil
		}
	}()
	return l.reconcile(ctx, k)
}

// self is the source of a loop's own kind: the object's key.
func self(r object.Resource) source {
	return source{r, func(c change) []object.Key { return []object.Key{object.KeyOf(c.latest())} }}
}

// owned is the source of children: the keys of the managing owner of the given
// kind, before and after the change, as an adopted or released child concerns both.
func owned(r object.Resource, group, kind string) source {
	return source{r, func(c change) []object.Key { return ownerKeys(c, group, kind) }}
}

func ownerKeys(c change, group, kind string) []object.Key {
	var keys []object.Key
	for _, o := range []object.Object{c.old, c.new} {
		if o == nil {
			continue
		}
		if ref := controllerOf(o); ref != nil && ref.Kind == kind && groupKind(ref.APIVersion, kind).Group == group {
			keys = append(keys, object.Key{Namespace: o.GetNamespace(), Name: ref.Name})
		}
	}
	return keys
}

// ownedOrOrphan is owned, and for objects that nobody manages the keys that
// could adopt them.
func ownedOrOrphan(r object.Resource, group, kind string, candidates func(o object.Object) []object.Key) source {
	return source{r, func(c change) []object.Key {
		keys := ownerKeys(c, group, kind)
		if c.new != nil && controllerOf(c.new) == nil {
			keys = append(keys, candidates(c.new)...)
		}
		return keys
	}}
}
