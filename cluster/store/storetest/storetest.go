// Package storetest checks that a store keeps the guarantees of package store.
//
// Every implementation runs the suite from its own tests:
//
//	storetest.Run(t, func(t *testing.T, dir string) store.Store { ... })
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

// History is how many events of a resource the stores under test must
// remember at least; they must forget before ten times as many.
const History = 256

// Open opens the store in dir, empty at first, with the Codec of this package
// and a History. It ends the test on errors, and leaves closing to the suite.
type Open func(t *testing.T, dir string) store.Store

// Run checks all guarantees, each on a fresh store.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *harness)
	}{
		{"Verbs", testVerbs},
		{"Preconditions", testPreconditions},
		{"RacingUpdates", testRacingUpdates},
		{"DeleteRevision", testDeleteRevision},
		{"Context", testContext},
		{"Ascend", testAscend},
		{"SnapshotIsolation", testSnapshotIsolation},
		{"WatchOrder", testWatchOrder},
		{"WatchFilter", testWatchFilter},
		{"WatchResume", testWatchResume},
		{"WatchProgress", testWatchProgress},
		{"WatchBounds", testWatchBounds},
		{"WatchSlow", testWatchSlow},
		{"WatchEnds", testWatchEnds},
		{"WatchSeesWhatIsReadable", testWatchSeesWhatIsReadable},
		{"Restart", testRestart},
		{"RestartRevisions", testRestartRevisions},
		{"Volatile", testVolatile},
		{"Lazy", testLazy},
		{"Close", testClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &harness{T: t, open: open, dir: t.TempDir()}
			h.reopen()
			t.Cleanup(func() { h.close() })
			c.test(t, h)
		})
	}
}

// Codec stores every resource as ConfigMaps in JSON.
type Codec struct{}

// Encode implements store.Codec.
func (Codec) Encode(_ object.Resource, o object.Object) ([]byte, error) { return json.Marshal(o) }

// Decode implements store.Codec.
func (Codec) Decode(_ object.Resource, data []byte) (object.Object, error) {
	var c corev1.ConfigMap
	return &c, json.Unmarshal(data, &c)
}

var (
	configMaps = object.Resource{Resource: "configmaps"}
	others     = object.Resource{Group: "example.com", Resource: "others"}
)

// patience is how long what must happen may take.
const patience = 20 * time.Second

// harness is a store under test, and short ways to use it.
type harness struct {
	*testing.T
	open Open
	dir  string
	s    store.Store
}

// reopen closes the store, if it is open, and opens it again.
func (h *harness) reopen() {
	h.Helper()
	h.close()
	h.s = h.open(h.T, h.dir)
}

func (h *harness) close() {
	h.Helper()
	if h.s != nil {
		if err := h.s.Close(); err != nil {
			h.Errorf("close: %v", err)
		}
	}
}

// key parses "namespace/name".
func key(s string) object.Key { return object.ParseKey(s) }

// put is a Create or Update of a ConfigMap with one value. Its UID is the key.
func put(v store.Verb, k, value string) store.Write {
	return store.Write{Verb: v, Resource: configMaps, Key: key(k), Object: &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: key(k).Namespace, Name: key(k).Name, UID: types.UID(k)},
		Data:       map[string]string{"v": value},
	}}
}

func remove(k string) store.Write {
	return store.Write{Verb: store.Delete, Resource: configMaps, Key: key(k)}
}

func (h *harness) write(w store.Write) object.Object {
	h.Helper()
	o, err := h.s.Write(h.Context(), w)
	if err != nil {
		h.Fatalf("write %v %s: %v", w.Verb, w.Key, err)
	}
	return o
}

func (h *harness) create(k, value string) object.Object {
	h.Helper()
	return h.write(put(store.Create, k, value))
}

// refused checks that a write fails with want.
func (h *harness) refused(w store.Write, want error) {
	h.Helper()
	before := h.s.Revision()
	if o, err := h.s.Write(h.Context(), w); !errors.Is(err, want) || o != nil {
		h.Errorf("write %v %s: %v, error %v; want error %v", w.Verb, w.Key, o, err, want)
	}
	if now := h.s.Revision(); now != before {
		h.Errorf("a refused write moved the revision from %d to %d", before, now)
	}
}

// has checks the value of an object; "" means that there must be none.
func (h *harness) has(k, value string) {
	h.Helper()
	o, err := h.s.Get(configMaps, key(k))
	switch {
	case value == "" && !errors.Is(err, store.ErrNotFound):
		h.Errorf("get %s: %v, error %v; want ErrNotFound", k, o, err)
	case value != "" && err != nil:
		h.Errorf("get %s: %v", k, err)
	case value != "" && valueOf(o) != value:
		h.Errorf("get %s: %q, want %q", k, valueOf(o), value)
	}
}

func (h *harness) watch(namespace string, after int64) store.Watch {
	h.Helper()
	w, err := h.s.Watch(configMaps, namespace, after)
	if err != nil {
		h.Fatalf("watch %q after %d: %v", namespace, after, err)
	}
	h.Cleanup(w.Stop)
	return w
}

// next collects n events from w.
func (h *harness) next(w store.Watch, n int) []store.Event {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), patience)
	defer cancel()
	var all []store.Event
	for len(all) < n {
		events, err := w.Next(ctx)
		if err != nil {
			h.Fatalf("after %d of %d events: %v", len(all), n, err)
		}
		for _, e := range events {
			if e.Object != nil { // not a progress event
				all = append(all, e)
			}
		}
	}
	if len(all) > n {
		h.Fatalf("%d events, want %d: %v", len(all), n, describe(all))
	}
	return all
}

func valueOf(o object.Object) string {
	if c, ok := o.(*corev1.ConfigMap); ok {
		return c.Data["v"]
	}
	return fmt.Sprintf("%T", o)
}

// revisionOf is the object's resourceVersion, or 0.
func revisionOf(o object.Object) int64 {
	n, err := strconv.ParseInt(o.GetResourceVersion(), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// describe shows events as "+a/b=1", "~a/b=1>2", "-a/b=2".
func describe(events []store.Event) []string {
	var all []string
	for _, e := range events {
		k := object.KeyOf(e.Object).String()
		switch {
		case e.Deleted:
			all = append(all, "-"+k+"="+valueOf(e.Previous))
		case e.Previous == nil:
			all = append(all, "+"+k+"="+valueOf(e.Object))
		default:
			all = append(all, "~"+k+"="+valueOf(e.Previous)+">"+valueOf(e.Object))
		}
	}
	return all
}
