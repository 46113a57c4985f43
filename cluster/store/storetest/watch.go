package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

// testWatchOrder has clients write at the same time, and checks that every
// watcher sees every write once, in order, and as it was answered.
func testWatchOrder(t *testing.T, h *harness) {
	const clients, each, watchers = 8, History / 8, 4
	start := h.s.Revision()
	streams := make([]store.Watch, watchers)
	for i := range streams {
		streams[i] = h.watch("", start)
	}
	var mu sync.Mutex
	answered := map[int64]object.Object{}
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range each {
				w := put(store.Create, fmt.Sprintf("n%d/o%d", c, i), "1")
				w.Volatile, w.Lazy = i%5 == 3, i%5 == 4
				o, err := h.s.Write(t.Context(), w)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				answered[revisionOf(o)] = o
				mu.Unlock()
			}
		})
	}
	seen := make([][]store.Event, watchers)
	for i, w := range streams {
		seen[i] = h.next(w, clients*each)
	}
	wg.Wait()
	for _, events := range seen {
		last := start
		for _, e := range events {
			if e.Revision <= last || answered[e.Revision] != e.Object {
				t.Fatalf("event at %d after %d is not what the writer was answered", e.Revision, last)
			}
			last = e.Revision
		}
	}
}

func testWatchFilter(t *testing.T, h *harness) {
	h.create("a/x", "1")
	w := h.watch("a", h.s.Revision())
	all := h.watch("", h.s.Revision())
	other := put(store.Create, "a/x", "other")
	other.Resource = others
	h.write(other)
	h.create("b/x", "1")
	h.write(put(store.Update, "a/x", "2"))
	h.write(remove("b/x"))
	h.write(remove("a/x"))
	if d := cmp.Diff([]string{"~a/x=1>2", "-a/x=2"}, describe(h.next(w, 2))); d != "" {
		t.Errorf("in namespace a (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"+b/x=1", "~a/x=1>2", "-b/x=1", "-a/x=2"}, describe(h.next(all, 4))); d != "" {
		t.Errorf("in all namespaces (-want +got):\n%s", d)
	}
}

func testWatchResume(t *testing.T, h *harness) {
	var revisions []int64
	for i := range 100 {
		revisions = append(revisions, revisionOf(h.create(fmt.Sprintf("a/%d", i), "1")))
	}
	for _, i := range []int{0, 1, 57, 98} {
		events := h.next(h.watch("", revisions[i]), 99-i)
		for j, e := range events {
			if e.Revision != revisions[i+1+j] {
				t.Fatalf("resumed after %d: event %d has revision %d, want %d", revisions[i], j, e.Revision, revisions[i+1+j])
			}
		}
	}
	w := h.watch("", revisions[99])
	h.create("a/new", "1")
	if d := cmp.Diff([]string{"+a/new=1"}, describe(h.next(w, 1))); d != "" {
		t.Error(d)
	}
}

func testWatchProgress(t *testing.T, h *harness) {
	w := h.watch("a", h.s.Revision())
	if w.Revision() != h.s.Revision() {
		t.Errorf("a new watch has revision %d, want %d", w.Revision(), h.s.Revision())
	}
	start := w.Revision()
	h.create("b/x", "1")
	other := put(store.Create, "a/x", "1")
	other.Resource = others
	h.write(other)
	h.eventually(func() bool { return w.Revision() == h.s.Revision() }, "the revision of a watch of nothing that changed")
	idle := w.Revision()
	first := revisionOf(h.create("a/x", "1"))
	h.create("b/y", "1")
	if r := w.Revision(); r < start || r < idle || r >= first {
		t.Errorf("the watch is at %d, before it delivered %d; want from %d", r, first, idle)
	}
	h.next(w, 1)
	if r := w.Revision(); r < first {
		t.Errorf("the watch is at %d, after it delivered %d", r, first)
	}
	h.eventually(func() bool { return w.Revision() == h.s.Revision() }, "the revision after the last event")
}

// eventually waits until ok holds.
func (h *harness) eventually(ok func() bool, what string) {
	h.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			h.Fatalf("%s: not as it must be after %s", what, patience)
		}
	}
}

func testWatchBounds(t *testing.T, h *harness) {
	if _, err := h.s.Watch(configMaps, "", h.s.Revision()+1); !errors.Is(err, store.ErrFuture) {
		t.Errorf("watch of the future: %v, want ErrFuture", err)
	}
	first := revisionOf(h.create("a/x", "0"))
	h.volatileUpdates("a/x", 10*History)
	if _, err := h.s.Watch(configMaps, "", first); !errors.Is(err, store.ErrExpired) {
		t.Errorf("watch of what is forgotten: %v, want ErrExpired", err)
	}
	// Without a gap between what is forgotten and what is remembered.
	w := h.watch("", h.s.Revision()-History)
	h.next(w, History)
}

// volatileUpdates updates an object n times.
func (h *harness) volatileUpdates(k string, n int) {
	h.Helper()
	for i := range n {
		w := put(store.Update, k, fmt.Sprint(i+1))
		w.Volatile = true
		h.write(w)
	}
}

// testWatchSlow lets one watcher sleep while another keeps up: the writer does
// not wait, and the sleeper is told.
func testWatchSlow(t *testing.T, h *harness) {
	h.create("a/x", "0")
	slow := h.watch("", h.s.Revision())
	fast := h.watch("", h.s.Revision())
	for range 10 {
		h.volatileUpdates("a/x", History)
		h.next(fast, History)
	}
	if events, err := slow.Next(t.Context()); !errors.Is(err, store.ErrExpired) {
		t.Errorf("a watcher that slept: %d events, error %v; want ErrExpired", len(events), err)
	}
}

func testWatchEnds(t *testing.T, h *harness) {
	w := h.watch("", h.s.Revision())
	ctx, cancel := context.WithCancel(t.Context())
	for _, c := range []struct {
		end  func()
		want error
	}{
		{cancel, context.Canceled},
		{func() { h.s.Close() }, store.ErrClosed},
	} {
		got := make(chan error)
		go func() {
			_, err := w.Next(ctx)
			got <- err
		}()
		c.end()
		if err := <-got; !errors.Is(err, c.want) {
			t.Errorf("next: %v, want %v", err, c.want)
		}
		ctx = t.Context()
	}
	h.reopen()
	stopped := h.watch("", h.s.Revision())
	stopped.Stop()
	stopped.Stop()
	if _, err := stopped.Next(ctx); err == nil {
		t.Error("next of a stopped watch has no error")
	}
}

func testWatchSeesWhatIsReadable(t *testing.T, h *harness) {
	w := h.watch("", h.s.Revision())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 50 {
			if _, err := h.s.Write(t.Context(), put(store.Create, fmt.Sprintf("a/%d", i), "1")); err != nil {
				t.Error(err)
			}
		}
	})
	defer wg.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for seen := 0; seen < 50; {
		events, err := w.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if o, err := h.s.Get(configMaps, object.KeyOf(e.Object)); err != nil || o != e.Object || h.s.Revision() < e.Revision {
				t.Fatalf("watched %s at %d, but read %v, error %v, at %d", object.KeyOf(e.Object), e.Revision, o, err, h.s.Revision())
			}
			seen++
		}
	}
}
