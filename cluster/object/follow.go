package object

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// Handler receives what Follow sees. It is called from one goroutine, in order.
type Handler struct {
	// Changed gets every object that exists or changed, and deleted ones
	// with deleted set: level, not edge. Several changes may be seen as one.
	Changed func(o Object, deleted bool)
	// Synced, if set, is called once, when all objects that existed at the
	// start were delivered.
	Synced func()
	// Failed, if set, gets the errors of watches that cannot be started. Follow tries
	// again until its context ends.
	Failed func(error)
}

// retryFollow is how long Follow waits before it watches again after an error.
const retryFollow = 500 * time.Millisecond

// Follow delivers the present and all later states of a collection until ctx
// ends, then returns nil. It watches again whenever the watch ends, and then
// reports as deleted what vanished in between.
func Follow(ctx context.Context, v Verbs, r Resource, o WatchOptions, h Handler) error {
	f := follower{handler: h, seen: map[Key]Object{}}
	o.SendInitialEvents, o.AllowBookmarks = true, true
	for ctx.Err() == nil {
		w, err := v.Watch(ctx, r, o)
		if err == nil {
			f.drain(ctx, w)
			w.Stop()
		} else if h.Failed != nil {
			h.Failed(err)
		}
		o.ResourceVersion = f.resume
		select {
		case <-ctx.Done():
		case <-time.After(retryFollow):
		}
		if err != nil {
			o.ResourceVersion, f.resume = "", ""
		}
		o.SendInitialEvents = o.ResourceVersion == ""
	}
	return nil
}

// follower is the state of one Follow.
type follower struct {
	handler Handler
	seen    map[Key]Object
	fresh   map[Key]bool // during initial events: the keys delivered so far
	resume  string       // revision to resume from; "" means from the start
	synced  bool
}

// drain handles the events of one watch until it ends.
func (f *follower) drain(ctx context.Context, w watch.Interface) {
	if f.resume == "" {
		f.fresh = map[Key]bool{}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.ResultChan():
			if !ok {
				return
			}
			if e.Type == watch.Error {
				f.resume = ""
				return
			}
			f.handle(e)
		}
	}
}

func (f *follower) handle(e watch.Event) {
	o, ok := e.Object.(Object)
	if !ok {
		return
	}
	if e.Type == watch.Bookmark {
		if o.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
			f.endInitial()
		}
		if f.fresh == nil {
			f.resume = o.GetResourceVersion()
		}
		return
	}
	k := KeyOf(o)
	if e.Type == watch.Deleted {
		delete(f.seen, k)
	} else {
		f.seen[k] = o
	}
	if f.fresh != nil {
		f.fresh[k] = true
	} else {
		f.resume = o.GetResourceVersion()
	}
	f.handler.Changed(o, e.Type == watch.Deleted)
}

// endInitial reports what vanished since the last watch and, the first time,
// that the state is complete.
func (f *follower) endInitial() {
	for k, o := range f.seen {
		if f.fresh != nil && !f.fresh[k] {
			delete(f.seen, k)
			f.handler.Changed(o, true)
		}
	}
	f.fresh = nil
	if !f.synced && f.handler.Synced != nil {
		f.handler.Synced()
	}
	f.synced = true
}
