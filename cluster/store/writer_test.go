package store

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
)

var pods = object.Resource{Resource: "pods"}

type jsonCodec struct{}

func (jsonCodec) Encode(_ object.Resource, o object.Object) ([]byte, error) { return json.Marshal(o) }

func (jsonCodec) Decode(_ object.Resource, data []byte) (object.Object, error) {
	var p corev1.Pod
	return &p, json.Unmarshal(data, &p)
}

func createPod(name string, volatile bool) *request {
	return &request{answer: make(chan answer, 1), data: []byte(`{}`), Write: Write{Verb: Create, Resource: pods,
		Key: object.Key{Name: name}, Object: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}}, Volatile: volatile}}
}

// newTestWriter returns a writer on a new file, which nobody else runs, and
// what it published.
func newTestWriter(t *testing.T) (*writer, func() *view) {
	t.Helper()
	d, err := openDisk(filepath.Join(t.TempDir(), "db"), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.close() })
	var last *view
	w := newWriter(d, map[object.Resource]*tree{}, d.start, func(v *view, _ []change) { last = v }, nil)
	return w, func() *view { return last }
}

// TestFailedBatch has one batch of writes that need the disk, that do not, and
// that were refused because of one that failed.
func TestFailedBatch(t *testing.T) {
	w, published := newTestWriter(t)
	broken := errors.New("broken")
	w.disk.broken = broken
	batch := []*request{createPod("a", false), createPod("b", true), createPod("a", true), createPod("c", false)}
	w.write(batch)
	for i, want := range []error{broken, nil, nil, broken} {
		if a := <-batch[i].answer; !errors.Is(a.err, want) {
			t.Errorf("write %d: %v, want %v", i, a.err, want)
		}
	}
	if n := published().Len(pods, ""); n != 2 {
		t.Errorf("%d objects, want the two volatile ones", n)
	}
	revision := w.revision
	w.disk.broken = nil
	again := createPod("c", false)
	w.write([]*request{again})
	if a := <-again.answer; a.err != nil || a.object.GetResourceVersion() != formatRevision(revision+1) {
		t.Errorf("write when the disk works again: %+v, want revision %d", a, revision+1)
	}
}

// TestLazyThenDurable has both in one batch: the lazy one must not overwrite
// the other later.
func TestLazyThenDurable(t *testing.T) {
	w, _ := newTestWriter(t)
	lazy, durable := createPod("a", false), createPod("a", false)
	lazy.Lazy = true
	durable.Verb, durable.data = Update, []byte(`{"metadata":{"uid":"newer"}}`)
	w.write([]*request{lazy, durable})
	for _, q := range []*request{lazy, durable} {
		if a := <-q.answer; a.err != nil {
			t.Fatal(a.err)
		}
	}
	if err := w.commit(nil); err != nil {
		t.Fatal(err)
	}
	trees, err := w.disk.load(jsonCodec{})
	if err != nil {
		t.Fatal(err)
	}
	if e := find(trees[pods], object.Key{Name: "a"}); e == nil || e.object.GetUID() != "newer" || e.revision != w.revision {
		t.Errorf("on disk is %+v, want the update at %d", e, w.revision)
	}
}

// TestFail tells a full disk, which goes on later, from a failed one, which
// does not, and from one that is full and yet has the commit.
func TestFail(t *testing.T) {
	const never = 1 << 30 // a transaction that is not on disk
	for _, c := range []struct {
		err        error
		id         int
		full, goOn bool
	}{
		{&os.PathError{Op: "write", Err: syscall.ENOSPC}, never, true, true},
		{errors.New("file sync error: disk quota exceeded"), never, true, true},
		{syscall.EIO, never, false, false},
		{syscall.ENOSPC, 1, true, false},
	} {
		w, _ := newTestWriter(t)
		if err := w.disk.fail(c.err, c.id); errors.Is(err, ErrFull) != c.full || !errors.Is(err, c.err) {
			t.Errorf("%v: %v, want ErrFull %v", c.err, err, c.full)
		}
		if err := w.disk.commit(nil, w.revision); (err == nil) != c.goOn {
			t.Errorf("commit after %v: %v, want success %v", c.err, err, c.goOn)
		}
	}
}

// TestReservation uses up the reserved revisions with volatile writes.
func TestReservation(t *testing.T) {
	w, _ := newTestWriter(t)
	w.revision = w.disk.reserved - 1
	for _, name := range []string{"a", "b"} {
		q := createPod(name, true)
		w.write([]*request{q})
		if a := <-q.answer; a.err != nil {
			t.Fatal(a.err)
		}
	}
	used, path := w.revision, w.disk.bolt.Path()
	if err := w.disk.close(); err != nil { // without finish: a crash
		t.Fatal(err)
	}
	d, err := openDisk(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if d.start < used {
		t.Errorf("started again at %d, after %d was used", d.start, used)
	}
}

func TestHistoryForgetsWhatIsOld(t *testing.T) {
	f := newFeed(History{Age: time.Minute}, 0, 0)
	h, now := f.history(pods), time.Now()
	add := func(from, to int64, at time.Time) {
		for r := from; r <= to; r++ {
			h.append([]past{{Event: Event{Revision: r, Object: &corev1.Pod{}}, at: at, size: 1}}, at)
		}
	}
	add(1, 1000, now)
	w, err := f.watch(pods, "", 0)
	if err != nil {
		t.Fatalf("watch of a thousand recent events: %v", err)
	}
	if events, err := w.Next(context.Background()); err != nil || len(events) != 1000 {
		t.Fatalf("%d events, error %v; want 1000", len(events), err)
	}
	add(1001, 2000, now.Add(2*time.Minute))
	if _, err := f.watch(pods, "", 999); !errors.Is(err, ErrExpired) {
		t.Errorf("watch from two minutes ago: %v, want ErrExpired", err)
	}
	if events, err := w.Next(context.Background()); err != nil || len(events) != 1000 {
		t.Errorf("%d events, error %v; want 1000", len(events), err)
	}
}

func TestHistoryForgetsWhatIsLarge(t *testing.T) {
	f := newFeed(History{}, 0, 0)
	h, now := f.history(pods), time.Now()
	const size = defaultBytes / 100
	for r := range int64(300) {
		h.append([]past{{Event: Event{Revision: r + 1, Object: &corev1.Pod{}}, at: now, size: size}}, now)
	}
	if h.bytes > defaultBytes || h.bytes < defaultBytes-2*size {
		t.Errorf("%d bytes are kept, want %d at most and not much less", h.bytes, defaultBytes)
	}
	if _, err := f.watch(pods, "", 100); !errors.Is(err, ErrExpired) {
		t.Errorf("watch of more than is kept: %v, want ErrExpired", err)
	}
	if _, err := f.watch(pods, "", 250); err != nil {
		t.Errorf("watch of what is kept: %v", err)
	}
}
