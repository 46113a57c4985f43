package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

func testVerbs(t *testing.T, h *harness) {
	if h.s.Revision() < 1 {
		t.Errorf("an empty store has revision %d, want a positive one", h.s.Revision())
	}
	h.refused(put(store.Update, "a/x", "1"), store.ErrNotFound)
	h.refused(remove("a/x"), store.ErrNotFound)
	last := h.s.Revision()
	for _, w := range []store.Write{put(store.Create, "a/x", "1"), put(store.Update, "a/x", "2"), remove("a/x"),
		put(store.Create, "a/x", "3"), put(store.Create, "b/x", "4"), put(store.Create, "x", "5")} {
		got := h.write(w)
		if r := revisionOf(got); r <= last || r != h.s.Revision() {
			t.Errorf("write %v %s has revision %q after %d, and the store %d", w.Verb, w.Key, got.GetResourceVersion(), last, h.s.Revision())
		}
		last = h.s.Revision()
	}
	h.refused(put(store.Create, "a/x", "6"), store.ErrExists)
	h.has("a/x", "3")
	h.has("b/x", "4")
	h.has("x", "5")
	h.has("c/x", "")
}

func testPreconditions(t *testing.T, h *harness) {
	first := revisionOf(h.create("a/x", "1"))
	second := revisionOf(h.write(put(store.Update, "a/x", "2")))
	for _, v := range []store.Verb{store.Update, store.Delete} {
		value := map[store.Verb]string{store.Update: "2", store.Delete: "3"}[v]
		w := put(v, "a/x", "3")
		if v == store.Delete {
			w = remove("a/x")
		}
		w.Revision = first
		h.refused(w, store.ErrConflict)
		w.Revision, w.UID = second, "somebody else"
		h.refused(w, store.ErrConflict)
		h.has("a/x", value)
		w.UID = "a/x"
		second = revisionOf(h.write(w))
	}
	h.has("a/x", "")
}

// testRacingUpdates has clients count in one object, with the revision they
// read as precondition: no count may be lost.
func testRacingUpdates(t *testing.T, h *harness) {
	const clients, each = 8, 25
	h.create("a/x", "0")
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for done := 0; done < each; {
				o, err := h.s.Get(configMaps, key("a/x"))
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(valueOf(o))
				w := put(store.Update, "a/x", strconv.Itoa(n+1))
				w.Revision = revisionOf(o)
				switch _, err := h.s.Write(t.Context(), w); {
				case err == nil:
					done++
				case !errors.Is(err, store.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	h.has("a/x", strconv.Itoa(clients*each))
}

func testDeleteRevision(t *testing.T, h *harness) {
	created := h.create("a/x", "1")
	w := h.watch("", h.s.Revision())
	deleted := h.write(remove("a/x"))
	if valueOf(deleted) != "1" || revisionOf(deleted) <= revisionOf(created) {
		t.Errorf("deleted %q at %q, want the last value, at a revision after %q", valueOf(deleted), deleted.GetResourceVersion(), created.GetResourceVersion())
	}
	if revisionOf(created) >= h.s.Revision() || created == deleted {
		t.Error("the delete changed the object that was stored")
	}
	e := h.next(w, 1)[0]
	if !e.Deleted || e.Revision != revisionOf(deleted) || revisionOf(e.Object) != e.Revision || e.Previous != created {
		t.Errorf("the watch saw %+v, want the delete at %q", e, deleted.GetResourceVersion())
	}
}

func testContext(t *testing.T, h *harness) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.s.Write(ctx, put(store.Create, "a/x", "1")); !errors.Is(err, context.Canceled) {
		t.Errorf("write with an ended context: %v", err)
	}
	h.has("a/x", "")
}

func testAscend(t *testing.T, h *harness) {
	for _, k := range []string{"b/x", "a/y", "a/x", "a-b/x", "a.b/x", "c/x", "a/x2"} {
		h.create(k, k)
	}
	s := h.s.Snapshot()
	for _, c := range []struct {
		namespace, after string
		limit            int
		want             []string
	}{
		{"", "", 99, []string{"a/x", "a/x2", "a/y", "a-b/x", "a.b/x", "b/x", "c/x"}},
		{"a", "", 99, []string{"a/x", "a/x2", "a/y"}},
		{"a", "a/x", 99, []string{"a/x2", "a/y"}},
		{"", "a/x3", 2, []string{"a/y", "a-b/x"}},
		{"", "b/x", 99, []string{"c/x"}},
		{"b", "a/x", 99, []string{"b/x"}},
		{"a", "b/x", 99, nil},
		{"d", "", 99, nil},
	} {
		var got []string
		s.Ascend(configMaps, c.namespace, key(c.after), func(o object.Object) bool {
			got = append(got, object.KeyOf(o).String())
			return len(got) < c.limit
		})
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("ascend %q after %q (-want +got):\n%s", c.namespace, c.after, d)
		}
	}
	if all, a, d, o := s.Len(configMaps, ""), s.Len(configMaps, "a"), s.Len(configMaps, "d"), s.Len(others, ""); all != 7 || a != 3 || d != 0 || o != 0 {
		t.Errorf("lengths %d, %d, %d, %d; want 7, 3, 0, 0", all, a, d, o)
	}
}

// testSnapshotIsolation reads snapshots while pairs of objects change one
// after the other: within a snapshot the second is never ahead of the first.
func testSnapshotIsolation(t *testing.T, h *harness) {
	h.create("a/first", "0")
	h.create("b/second", "0")
	old := h.s.Snapshot()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 300 {
			for _, k := range []string{"a/first", "b/second"} {
				w := put(store.Update, k, fmt.Sprint(i+1))
				w.Volatile = true
				if _, err := h.s.Write(t.Context(), w); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		s := h.s.Snapshot()
		first, _ := s.Get(configMaps, key("a/first"))
		second, _ := s.Get(configMaps, key("b/second"))
		n, _ := strconv.Atoi(valueOf(first))
		m, _ := strconv.Atoi(valueOf(second))
		if n != m && n != m+1 || max(revisionOf(first), revisionOf(second)) != s.Revision() {
			t.Fatalf("the snapshot at %d has %d at %q and %d at %q", s.Revision(), n, first.GetResourceVersion(), m, second.GetResourceVersion())
		}
	}
	h.write(remove("a/first"))
	h.create("a/third", "1")
	if o, ok := old.Get(configMaps, key("a/first")); !ok || valueOf(o) != "0" || old.Len(configMaps, "") != 2 {
		t.Error("a snapshot changed afterwards")
	}
	if _, ok := old.Get(configMaps, key("a/third")); ok {
		t.Error("a snapshot has what was created afterwards")
	}
}

func testClose(t *testing.T, h *harness) {
	h.create("a/x", "1")
	var wg sync.WaitGroup
	accepted := make([]bool, 64)
	for i := range accepted {
		wg.Go(func() {
			_, err := h.s.Write(t.Context(), put(store.Create, fmt.Sprintf("c/%d", i), "1"))
			if accepted[i] = err == nil; err != nil && !errors.Is(err, store.ErrClosed) {
				t.Errorf("write during close: %v", err)
			}
		})
	}
	if err := h.s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if err := h.s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, err := h.s.Write(t.Context(), remove("a/x")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("write after close: %v, want ErrClosed", err)
	}
	if _, err := h.s.Watch(configMaps, "", h.s.Revision()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("watch after close: %v, want ErrClosed", err)
	}
	h.reopen()
	h.has("a/x", "1")
	for i, ok := range accepted {
		h.has(fmt.Sprintf("c/%d", i), map[bool]string{true: "1", false: ""}[ok])
	}
}
