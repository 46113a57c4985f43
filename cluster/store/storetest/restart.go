package storetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

func testRestart(t *testing.T, h *harness) {
	for i := range 500 {
		w := put(store.Create, fmt.Sprintf("n%d/o%d", i%7, i), fmt.Sprint(i))
		w.Resource = []object.Resource{configMaps, others}[i%2]
		w.Lazy = i%10 != 0 // fewer commits
		h.write(w)
	}
	h.write(put(store.Update, "n0/o0", "changed"))
	h.write(remove("n2/o2"))
	want := dump(h.s)
	h.reopen()
	if d := cmp.Diff(want, dump(h.s)); d != "" {
		t.Errorf("after a restart (-want +got):\n%s", d)
	}
}

// dump lists everything, with revisions.
func dump(s store.Store) map[string]string {
	all := map[string]string{}
	snapshot := s.Snapshot()
	for _, r := range []object.Resource{configMaps, others} {
		snapshot.Ascend(r, "", object.Key{}, func(o object.Object) bool {
			all[r.String()+" "+object.KeyOf(o).String()] = o.GetResourceVersion() + "=" + valueOf(o) + " " + string(o.GetUID())
			return true
		})
	}
	return all
}

func testRestartRevisions(t *testing.T, h *harness) {
	last := h.s.Revision()
	for i := range 5 {
		k := fmt.Sprintf("a/%d", i)
		durable := h.create(k, "1")
		if revisionOf(durable) <= last {
			t.Errorf("restart %d: a write has revision %q after %d", i, durable.GetResourceVersion(), last)
		}
		h.volatileUpdates(k, i*10)
		if i%2 == 1 {
			h.write(remove(k)) // the highest revision is not in any object
		}
		before := h.s.Revision()
		h.reopen()
		now := h.s.Revision()
		if now < before {
			t.Errorf("restart %d: the revision went from %d to %d", i, before, now)
		}
		if _, err := h.s.Watch(configMaps, "", now-1); !errors.Is(err, store.ErrExpired) {
			t.Errorf("watch from before the restart: %v, want ErrExpired", err)
		}
		w := h.watch("", now)
		h.create(fmt.Sprintf("b/%d", i), "1")
		h.next(w, 1)
		last = h.s.Revision()
	}
}

func testVolatile(t *testing.T, h *harness) {
	w := h.watch("", h.s.Revision())
	volatile := func(w store.Write) store.Write {
		w.Volatile = true
		return w
	}
	h.write(volatile(put(store.Create, "a/gone", "1")))
	h.write(volatile(put(store.Create, "a/deleted", "1")))
	h.write(volatile(remove("a/deleted")))
	h.create("a/kept", "1")
	h.write(volatile(put(store.Update, "a/kept", "2")))
	h.create("a/removed", "1")
	h.write(volatile(remove("a/removed")))
	h.write(volatile(put(store.Create, "a/later", "1")))
	h.write(put(store.Update, "a/later", "2"))
	want := []string{"+a/gone=1", "+a/deleted=1", "-a/deleted=1", "+a/kept=1", "~a/kept=1>2", "+a/removed=1", "-a/removed=1", "+a/later=1", "~a/later=1>2"}
	if d := cmp.Diff(want, describe(h.next(w, len(want)))); d != "" {
		t.Errorf("watched (-want +got):\n%s", d)
	}
	h.has("a/kept", "2")
	before := h.s.Revision()
	h.reopen()
	h.has("a/gone", "")
	h.has("a/deleted", "")
	h.has("a/kept", "1")
	h.has("a/removed", "")
	h.has("a/later", "2")
	if _, err := h.s.Watch(configMaps, "", before); !errors.Is(err, store.ErrExpired) {
		t.Errorf("resume where a volatile object vanished: %v, want ErrExpired", err)
	}
}

func testLazy(t *testing.T, h *harness) {
	lazy := func(w store.Write) store.Write {
		w.Lazy = true
		return w
	}
	w := h.watch("", h.s.Revision())
	h.write(lazy(put(store.Create, "a/x", "1")))
	h.has("a/x", "1")
	h.write(lazy(put(store.Update, "a/x", "2")))
	h.write(lazy(put(store.Create, "a/deleted", "1")))
	h.write(lazy(remove("a/deleted")))
	h.write(lazy(put(store.Create, "a/overwritten", "1")))
	h.write(put(store.Update, "a/overwritten", "2"))
	h.write(lazy(put(store.Update, "a/overwritten", "3")))
	want := []string{"+a/x=1", "~a/x=1>2", "+a/deleted=1", "-a/deleted=1", "+a/overwritten=1", "~a/overwritten=1>2", "~a/overwritten=2>3"}
	if d := cmp.Diff(want, describe(h.next(w, len(want)))); d != "" {
		t.Errorf("watched (-want +got):\n%s", d)
	}
	h.reopen()
	h.has("a/x", "2")
	h.has("a/deleted", "")
	h.has("a/overwritten", "3")
}
