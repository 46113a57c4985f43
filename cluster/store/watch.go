package store

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed38700745/pkg/cluster/object"
)

const (
	defaultEvents = 16384
	defaultAge    = 5 * time.Minute
	defaultBytes  = 4 << 20
	// unknownBytes is what an event counts whose object was not encoded.
	unknownBytes = 1 << 10
	// minEvents are kept whatever their age or size, and allocated at first.
	minEvents = 64
)

// feed keeps the recent events of each resource, from which watchers pull.
type feed struct {
	limit  int
	bytes  int
	age    time.Duration
	oldest int64 // a resource without history: nothing happened after this
	done   chan struct{}

	revision atomic.Int64 // everything up to it is in the histories

	mu        sync.RWMutex
	histories map[object.Resource]*history
	closed    bool
}

func newFeed(h History, oldest, revision int64) *feed {
	f := &feed{limit: minEvents, bytes: h.Bytes, age: h.Age, oldest: oldest, done: make(chan struct{}),
		histories: map[object.Resource]*history{}}
	want := h.Events
	if want <= 0 {
		want = defaultEvents
	}
	if f.bytes <= 0 {
		f.bytes = defaultBytes
	}
	if f.age <= 0 {
		f.age = defaultAge
	}
	if want < f.limit {
		f.limit = 1
	}
	for f.limit < want {
		f.limit *= 2
	}
	f.revision.Store(revision)
	return f
}

// publish adds changes, which are in order, and wakes who watches them.
func (f *feed) publish(changes []change, revision int64) {
	now := time.Now()
	events := map[object.Resource][]past{}
	for _, c := range changes {
		events[c.resource] = append(events[c.resource], past{c.event, c.key.Namespace, now, max(c.size, unknownBytes)})
	}
	for r, e := range events {
		f.history(r).append(e, now)
	}
	f.revision.Store(revision)
}

// history returns the resource's, and makes it if there is none.
func (f *feed) history(r object.Resource) *history {
	f.mu.RLock()
	h := f.histories[r]
	f.mu.RUnlock()
	if h != nil {
		return h
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.histories[r]; h != nil {
		return h
	}
	h = &history{limit: f.limit, maxBytes: f.bytes, age: f.age, forgotten: f.oldest,
		ring: make([]past, min(minEvents, f.limit)), more: make(chan struct{})}
	f.histories[r] = h
	return h
}

func (f *feed) watch(r object.Resource, namespace string, after int64) (*watcher, error) {
	f.mu.RLock()
	closed := f.closed
	f.mu.RUnlock()
	if closed {
		return nil, ErrClosed
	}
	h := f.history(r)
	next, err := h.seek(after)
	if err != nil {
		return nil, fmt.Errorf("watch %s after %d: %w", r, after, err)
	}
	return &watcher{feed: f, history: h, namespace: namespace, next: next, revision: after,
		stop: make(chan struct{})}, nil
}

// close ends all watches.
func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		close(f.done)
	}
}

// past is an event in a history.
type past struct {
	Event
	namespace string
	at        time.Time
	size      int // see History.Bytes
}

// history is the recent events of one resource. The writer's lock is held for
// the time of a few copies, never for the time of a watcher's work.
type history struct {
	limit    int
	maxBytes int
	age      time.Duration

	mu          sync.RWMutex
	ring        []past        // event number n is at n modulo the length, a power of two
	bytes       int           // the sum of the events' sizes
	first, next uint64        // the numbers of the events in ring: first <= n < next
	forgotten   int64         // the revision of the last event that was dropped
	more        chan struct{} // closed when events arrive
}

func (h *history) at(n uint64) *past { return &h.ring[n&uint64(len(h.ring)-1)] }

func (h *history) append(events []past, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range events {
		if h.next-h.first == uint64(len(h.ring)) {
			if len(h.ring) < h.limit {
				h.growLocked()
			} else {
				h.dropLocked()
			}
		}
		*h.at(h.next) = e
		h.next++
		h.bytes += e.size
		// Two for one: what is old goes in time, without a long pause.
		for n := 0; h.next-h.first > minEvents && (h.bytes > h.maxBytes || n < 2 && now.Sub(h.at(h.first).at) > h.age); n++ {
			h.dropLocked()
		}
	}
	close(h.more)
	h.more = make(chan struct{})
}

func (h *history) growLocked() {
	old := h.ring
	h.ring = make([]past, 2*len(old))
	for n := h.first; n < h.next; n++ {
		*h.at(n) = old[n&uint64(len(old)-1)]
	}
}

func (h *history) dropLocked() {
	p := h.at(h.first)
	h.forgotten = p.Revision
	h.bytes -= p.size
	*p = past{}
	h.first++
}

// seek returns the number of the first event after a revision.
func (h *history) seek(after int64) (uint64, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if after < h.forgotten {
		return 0, ErrExpired
	}
	n := sort.Search(int(h.next-h.first), func(i int) bool { return h.at(h.first+uint64(i)).Revision > after })
	return h.first + uint64(n), nil
}

// watcher is one Watch.
type watcher struct {
	feed      *feed
	history   *history
	namespace string
	stop      chan struct{}
	stopOnce  sync.Once

	mu       sync.Mutex // guards the rest
	next     uint64     // the number of the first event not looked at
	revision int64      // see Watch.Revision
	events   []Event    // the slice of the last Next
}

// Next implements Watch.
func (w *watcher) Next(ctx context.Context) ([]Event, error) {
	for {
		if err := w.ended(ctx); err != nil {
			return nil, err
		}
		events, more, err := w.take()
		if err != nil || len(events) > 0 {
			return events, err
		}
		select {
		case <-more:
		case <-ctx.Done():
		case <-w.stop:
		case <-w.feed.done:
		}
	}
}

// ended tells why nothing more is delivered.
func (w *watcher) ended(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stop:
		return ErrClosed
	case <-w.feed.done:
		return ErrClosed
	default:
		return nil
	}
}

// take returns the events that are ready, or what tells that there are more.
func (w *watcher) take() ([]Event, <-chan struct{}, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.history
	h.mu.RLock()
	defer h.mu.RUnlock()
	clear(w.events) // let go of the objects
	w.events = w.events[:0]
	if w.next < h.first {
		return nil, nil, fmt.Errorf("the watch is too slow: %w", ErrExpired)
	}
	for ; w.next < h.next; w.next++ {
		if e := h.at(w.next); w.wants(e) {
			w.events = append(w.events, e.Event)
		}
	}
	if n := len(w.events); n > 0 {
		w.revision = w.events[n-1].Revision
	}
	return w.events, h.more, nil
}

func (w *watcher) wants(p *past) bool {
	return p.Revision > w.revision && (w.namespace == "" || p.namespace == w.namespace)
}

// Revision implements Watch. It is for the goroutine that calls Next.
func (w *watcher) Revision() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	reached := w.feed.revision.Load() // before looking: what follows is newer
	h := w.history
	h.mu.RLock()
	defer h.mu.RUnlock()
	if w.next < h.first {
		return w.revision
	}
	for ; w.next < h.next; w.next++ {
		if w.wants(h.at(w.next)) {
			return w.revision
		}
	}
	w.revision = max(w.revision, reached)
	return w.revision
}

// Stop implements Watch. It may be called from any goroutine, also again.
func (w *watcher) Stop() { w.stopOnce.Do(func() { close(w.stop) }) }
