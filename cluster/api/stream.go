package api

import (
	"context"
	"errors"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

// bookmarkEvery is how often a watch that asked for bookmarks gets one
// (Kubernetes: about a minute).
const bookmarkEvery = time.Minute

// stream is one watch: it reads the store's events and turns them into what
// the selectors let through. It is for one goroutine.
type stream struct {
	server  *Server
	kind    *kind.Kind
	match   *matcher
	options object.WatchOptions
	initial []object.Object // to be sent as ADDED first
	started int64           // revision of initial
	events  store.Watch
}

// streamEvent is one event of a stream. Objects of events other than bookmarks
// and errors are the stored, immutable ones.
type streamEvent struct {
	Type   watch.EventType
	Object object.Object
	// fresh: other watches are likely to encode the same event about now.
	fresh bool
}

// openStream starts a watch. Errors are the API's.
func (s *Server) openStream(ctx context.Context, r object.Resource, o object.WatchOptions) (*stream, error) {
	k, ok := s.Kinds.ForResource(r)
	if !ok {
		return nil, notServed()
	}
	match, err := newMatcher(k, o.Labels, o.Fields)
	if err != nil {
		return nil, err
	}
	st := &stream{server: s, kind: k, match: match, options: o}
	after := int64(0)
	resume := o.ResourceVersion != "" && o.ResourceVersion != "0"
	if resume {
		if after, err = parseRevision(o.ResourceVersion); err != nil {
			return nil, err
		}
	}
	if !resume || o.SendInitialEvents {
		if resume {
			if err := s.waitFor(ctx, after); err != nil {
				return nil, err
			}
		}
		snap := s.Store.Snapshot()
		after = snap.Revision()
		snap.Ascend(k.Resource(), o.Namespace, object.Key{}, func(x object.Object) bool {
			if match.matches(x) {
				st.initial = append(st.initial, x)
			}
			return true
		})
	}
	st.started = after
	st.events, err = s.Store.Watch(k.Resource(), o.Namespace, after)
	if errors.Is(err, store.ErrFuture) {
		if err = s.waitFor(ctx, after); err != nil {
			return nil, err
		}
		st.events, err = s.Store.Watch(k.Resource(), o.Namespace, after)
	}
	if err != nil {
		return nil, storeError(err, r, "")
	}
	return st, nil
}

// run sends batches of events until the watch ends, and then returns why: nil
// for the client's or the timeout's sake, else an API error to be sent as an
// ERROR event. send must be done with the batch when it returns.
func (st *stream) run(ctx context.Context, send func([]streamEvent) error) error {
	defer st.events.Stop()
	if st.options.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, st.options.Timeout)
		defer cancel()
	}
	batch := make([]streamEvent, 0, len(st.initial)+1)
	for _, o := range st.initial {
		batch = append(batch, streamEvent{Type: watch.Added, Object: o})
	}
	if st.options.SendInitialEvents && st.options.AllowBookmarks {
		batch = append(batch, st.bookmark(st.started, true))
	}
	st.initial = nil
	if len(batch) > 0 && send(batch) != nil {
		return nil
	}
	for {
		again, err := st.runUntilBookmark(ctx, send)
		if !again {
			return err
		}
	}
}

// runUntilBookmark sends events for as long as no bookmark is due, and then a
// bookmark. again is false when the watch has ended.
func (st *stream) runUntilBookmark(ctx context.Context, send func([]streamEvent) error) (again bool, err error) {
	until, cancel := context.WithTimeout(ctx, bookmarkEvery)
	defer cancel()
	for {
		events, err := st.events.Next(until)
		var batch []streamEvent
		switch {
		case err == nil:
			batch = st.translate(events)
		case ctx.Err() != nil:
			return false, nil
		case until.Err() == nil:
			return false, storeError(err, st.kind.Resource(), "")
		case st.options.AllowBookmarks:
			batch = append(batch, st.bookmark(st.events.Revision(), false))
		}
		if len(batch) > 0 && send(batch) != nil {
			return false, nil
		}
		if until.Err() != nil {
			return true, nil
		}
	}
}

// translate applies the selectors: an object that comes to match is ADDED, one
// that ceases to match is DELETED.
func (st *stream) translate(events []store.Event) []streamEvent {
	out := make([]streamEvent, 0, len(events))
	for _, e := range events {
		if e.Object == nil {
			continue
		}
		now := !e.Deleted && st.match.matches(e.Object)
		before := e.Previous != nil && st.match.matches(e.Previous)
		switch {
		case now && before:
			out = append(out, streamEvent{watch.Modified, e.Object, true})
		case now:
			out = append(out, streamEvent{watch.Added, e.Object, true})
		case before && e.Deleted:
			out = append(out, streamEvent{watch.Deleted, e.Object, true})
		case before:
			// The client gets the last state that it selected, with the
			// revision of the change.
			gone := e.Previous.DeepCopyObject().(object.Object)
			gone.SetResourceVersion(e.Object.GetResourceVersion())
			out = append(out, streamEvent{Type: watch.Deleted, Object: gone})
		}
	}
	return out
}

func (st *stream) bookmark(rev int64, initialEnd bool) streamEvent {
	o := st.kind.New()
	o.GetObjectKind().SetGroupVersionKind(st.kind.GVK)
	o.SetResourceVersion(strconv.FormatInt(rev, 10))
	if initialEnd {
		o.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	return streamEvent{Type: watch.Bookmark, Object: o}
}

// Watch is the in-process watch; see object.Verbs.
func (s *Server) Watch(ctx context.Context, r object.Resource, o object.WatchOptions) (watch.Interface, error) {
	st, err := s.openStream(ctx, r, o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &channelWatch{events: make(chan watch.Event), cancel: cancel}
	go w.pump(ctx, st) // ends when ctx does, by Stop at the latest
	return w, nil
}

// channelWatch shows a stream as a watch.Interface.
type channelWatch struct {
	events chan watch.Event
	cancel context.CancelFunc
}

func (w *channelWatch) ResultChan() <-chan watch.Event { return w.events }
func (w *channelWatch) Stop()                          { w.cancel() }

func (w *channelWatch) pump(ctx context.Context, st *stream) {
	defer close(w.events)
	defer w.cancel()
	send := func(e watch.Event) error {
		select {
		case w.events <- e:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := st.run(ctx, func(batch []streamEvent) error {
		for _, e := range batch {
			if err := send(watch.Event{Type: e.Type, Object: e.Object}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		status := apierrors.APIStatus(nil)
		if errors.As(err, &status) {
			st := status.Status()
			_ = send(watch.Event{Type: watch.Error, Object: &st})
		}
	}
}
