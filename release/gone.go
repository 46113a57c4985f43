package release

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	kfields "k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object"
)

// awaitGone waits until none of the items exists. An object of the same name that
// was created since counts as gone.
func awaitGone(ctx context.Context, c Cluster, items []*Item) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, i := range items {
		g.Go(func() error {
			return awaitNone(ctx, c, i.Where.Resource, object.WatchOptions{
				Namespace: i.Namespace, Fields: kfields.OneTermEqualSelector("metadata.name", i.Name),
			})
		})
	}
	return g.Wait()
}

// awaitPodsGone waits until the pods of the items, which were deleted, have ended.
func awaitPodsGone(ctx context.Context, c Cluster, items []*Item) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, i := range items {
		var which labels.Selector
		if which = podSelector(i.Body); which == nil {
			continue
		}
		g.Go(func() error {
			return awaitNone(ctx, c, pods(), object.WatchOptions{Namespace: i.Namespace, Labels: which})
		})
	}
	return g.Wait()
}

// awaitNone follows a collection until what was in it at the start is gone.
func awaitNone(ctx context.Context, c Cluster, r object.Resource, o object.WatchOptions) error {
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, synced := map[types.UID]bool{}, false
	check := func() {
		if synced && len(first) == 0 {
			cancel()
		}
	}
	err := object.Follow(ctx, c, r, o, object.Handler{
		Changed: func(o object.Object, deleted bool) {
			switch {
			case deleted:
				delete(first, o.GetUID())
			case !synced:
				first[o.GetUID()] = true
			}
			check()
		},
		Synced: func() { synced = true; check() },
		Failed: func(err error) {
			if isNoMatch(err) || apierrors.IsNotFound(err) { // its definition went, and all of it
				cancel()
			}
		},
	})
	if err != nil {
		return err
	}
	return outer.Err()
}

// untilGone runs awaitGone and awaitPodsGone with a timeout, whose error names what
// is still there. Errors: *TimeoutError, *LostError.
func (w *waiter) untilGone(ctx context.Context, items []*Item, timeout time.Duration) error {
	inner := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		inner, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	err := w.inContact(inner, func(ctx context.Context) error {
		if err := awaitGone(ctx, w.cluster, items); err != nil {
			return err
		}
		return awaitPodsGone(ctx, w.cluster, items)
	})
	var lost *LostError
	if err == nil || ctx.Err() != nil || errors.As(err, &lost) {
		return err
	}
	left, lerr := live(ctx, w.cluster, items)
	if lerr != nil {
		return lerr
	}
	e := &TimeoutError{After: timeout}
	for _, i := range items {
		if o := left[i.Ref]; o != nil {
			text := "is still being deleted"
			if f := o.GetFinalizers(); len(f) > 0 {
				text += ", held by finalizers " + f[0]
			}
			e.Pending = append(e.Pending, State{Object: i.Ref, Message: text})
		}
	}
	return e
}
