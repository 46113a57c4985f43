package store

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"time"

	"github.com/seed38700745/pkg/cluster/object"
)

const (
	// batchLen is the most writes of one transaction.
	batchLen = 1024
	// lazyDelay is how long lazy writes wait for a commit to go along with.
	lazyDelay = 800 * time.Millisecond
)

// request is a Write on its way through the writer.
type request struct {
	Write
	data   []byte // the encoded object
	answer chan answer
}

type answer struct {
	object object.Object
	err    error
}

// change is a write that was accepted.
type change struct {
	place
	event Event
	entry *entry // nil: deleted
	size  int    // encoded bytes, where it was encoded
}

// writer is the state of the goroutine that writes; nobody else uses it.
type writer struct {
	disk     *disk
	trees    map[object.Resource]*tree // what is committed
	revision int64                     // the last one handed out, also for failed writes
	visible  int64                     // the last one published
	volatile bool                      // there was a volatile write
	lazy     map[place]record          // visible, and not yet on disk
	flush    *time.Timer               // fires when lazy is due; nil while it is empty
	refused  bool                      // the last flush failed
	failing  bool                      // the last commit for a batch failed
	publish  func(*view, []change)
	shown    map[object.Resource]*tree // the published copies
	logger   *slog.Logger
	// committed is told of each commit.
	committed func(objects int, took time.Duration, err error)
}

func newWriter(d *disk, trees map[object.Resource]*tree, revision int64, publish func(*view, []change), l *slog.Logger) *writer {
	w := &writer{disk: d, trees: trees, revision: revision, visible: revision, publish: publish, logger: l,
		lazy: map[place]record{}, shown: map[object.Resource]*tree{}}
	for r, t := range trees {
		w.shown[r] = t.Copy()
	}
	w.committed = func(int, time.Duration, error) {}
	if w.logger == nil {
		w.logger = slog.New(slog.DiscardHandler)
	}
	return w
}

func (w *writer) view() *view { return &view{revision: w.visible, trees: w.shown} }

// run handles requests until queue is closed and empty.
func (w *writer) run(queue <-chan *request) {
	for {
		var due <-chan time.Time
		if w.flush != nil {
			due = w.flush.C
		}
		select {
		case q, ok := <-queue:
			if !ok {
				return
			}
			w.write(collect(queue, q))
		case <-due:
			w.flush = nil
			if err := w.commit(nil); err != nil {
				w.late(err)
			}
		}
	}
}

// late keeps the lazy writes for another try, and says so the first time.
func (w *writer) late(err error) {
	if !w.refused {
		w.logger.Error("store: lazy writes stay in memory for now", "count", len(w.lazy), "error", err)
	}
	w.refused = true
	w.flush = time.NewTimer(lazyDelay)
}

// collect adds to first what else is queued.
func collect(queue <-chan *request, first *request) []*request {
	// The callers that the last batch has just answered write again soon:
	// let them, or the next batch has one write and the one after it all.
	runtime.Gosched()
	batch := []*request{first}
	for len(batch) < batchLen {
		select {
		case q, ok := <-queue:
			if !ok {
				return batch
			}
			batch = append(batch, q)
			continue
		default:
		}
		break
	}
	return batch
}

// write carries out a batch and answers it. When the disk refuses, the
// durable writes fail, and what does not need it is tried again without them;
// on a full disk also deletions, which free space.
func (w *writer) write(batch []*request) {
	for len(batch) > 0 {
		p := w.prepare(batch)
		err := w.commit(p)
		w.tell(err)
		if err == nil {
			w.apply(p)
			for i, q := range batch {
				q.answer <- p.answers[i]
			}
			return
		}
		var rest []*request
		for i, q := range batch {
			again := !p.durable[i] || w.spares(err, p, q)
			if !again || p.durables == 0 {
				q.answer <- answer{err: err}
			} else {
				rest = append(rest, q)
			}
		}
		batch = rest
	}
}

// spares tells whether a durable write is worth another try without those that
// are not: a deletion among others, when the disk is full.
func (w *writer) spares(err error, p *plan, q *request) bool {
	return errors.Is(err, ErrFull) && !errors.Is(err, ErrBroken) && q.Verb == Delete && p.others
}

// tell logs when the disk begins to refuse writes, and when it takes them again.
func (w *writer) tell(err error) {
	switch {
	case err != nil && !w.failing:
		w.logger.Error("store: writes are refused", "error", err)
	case err == nil && w.failing:
		w.logger.Info("store: writes go on")
	}
	w.failing = err != nil
}

// plan is what a batch does if its commit succeeds.
type plan struct {
	latest   map[place]*entry // as of the writes so far; nil: deleted
	records  map[place]record // for this commit
	lazy     map[place]record // for a later one
	volatile bool
	changes  []change
	answers  []answer // of the request with the same index
	durable  []bool   // the request needs the disk
	durables int
	others   bool // there are durable writes that delete nothing
}

// prepare checks a batch, write by write, and gives out revisions.
func (w *writer) prepare(batch []*request) *plan {
	p := &plan{
		latest:  map[place]*entry{},
		records: map[place]record{},
		lazy:    map[place]record{},
		answers: make([]answer, len(batch)),
		durable: make([]bool, len(batch)),
	}
	for i, q := range batch {
		at := place{q.Resource, q.Key}
		old, ok := p.latest[at]
		if !ok {
			old = find(w.trees[q.Resource], q.Key)
		}
		if err := precondition(q, old); err != nil {
			p.answers[i].err = err
			continue
		}
		c := w.change(q, at, old)
		p.latest[at] = c.entry
		p.changes = append(p.changes, c)
		p.answers[i].object = c.event.Object
		if p.add(q, c, old) {
			p.durable[i] = true
			p.durables++
			p.others = p.others || q.Verb != Delete
		}
	}
	return p
}

// precondition tells why q cannot be applied to old, which may be nil.
func precondition(q *request, old *entry) error {
	if q.Verb == Create {
		if old != nil {
			return ErrExists
		}
		return nil
	}
	switch {
	case old == nil:
		return ErrNotFound
	case q.Revision != 0 && q.Revision != old.revision:
		return fmt.Errorf("it has revision %d, not %d: %w", old.revision, q.Revision, ErrConflict)
	case q.UID != "" && q.UID != old.object.GetUID():
		return fmt.Errorf("it has UID %q, not %q: %w", old.object.GetUID(), q.UID, ErrConflict)
	}
	return nil
}

// change applies q to old under a new revision.
func (w *writer) change(q *request, at place, old *entry) change {
	w.revision++
	c := change{place: at, event: Event{Revision: w.revision}, size: len(q.data)}
	if old != nil {
		c.event.Previous = old.object
	}
	if q.Verb == Delete {
		o, ok := old.object.DeepCopyObject().(object.Object)
		if !ok {
			panic(fmt.Sprintf("store: the copy of a %T is no object", old.object))
		}
		c.event.Object, c.event.Deleted = o, true
	} else {
		c.event.Object = q.Object
		c.entry = &entry{key: q.Key, object: q.Object, revision: w.revision}
		c.entry.onDisk = !q.Volatile || (old != nil && old.onDisk)
	}
	c.event.Object.SetResourceVersion(formatRevision(w.revision))
	return c
}

// add notes what c means for the disk, and tells whether q must wait for it.
// The deletion of what is on disk is never volatile: it would come back.
func (p *plan) add(q *request, c change, old *entry) bool {
	if q.Volatile && (q.Verb != Delete || !old.onDisk) {
		p.volatile = true
		return false
	}
	r := record{revision: c.event.Revision}
	if q.Verb != Delete {
		r.data = encodeValue(r.revision, q.data)
	}
	if q.Lazy {
		if _, ok := p.records[c.place]; ok {
			p.records[c.place] = r // goes along with the earlier one
		} else {
			p.lazy[c.place] = r
		}
		return false
	}
	delete(p.lazy, c.place)
	p.records[c.place] = r
	return true
}

// commit makes the durable part of p durable, and the lazy writes so far with
// it. It leaves the disk alone if nothing needs it. A nil p is only a flush.
func (w *writer) commit(p *plan) error {
	if p != nil && p.durables == 0 && w.revision <= w.disk.reserved {
		return nil
	}
	all := maps.Clone(w.lazy)
	if p != nil {
		maps.Copy(all, p.records)
	}
	begun := time.Now()
	err := w.disk.commit(all, w.revision)
	w.committed(len(all), time.Since(begun), err)
	if err != nil {
		return err
	}
	clear(w.lazy)
	w.refused = false
	if w.flush != nil {
		w.flush.Stop()
		w.flush = nil
	}
	return nil
}

// apply makes a committed plan visible.
func (w *writer) apply(p *plan) {
	w.volatile = w.volatile || p.volatile
	maps.Copy(w.lazy, p.lazy)
	if len(w.lazy) > 0 && w.flush == nil {
		w.flush = time.NewTimer(lazyDelay)
	}
	if len(p.changes) == 0 {
		return
	}
	shown := maps.Clone(w.shown)
	changed := map[object.Resource]bool{}
	for _, c := range p.changes {
		t := w.trees[c.resource]
		if t == nil {
			t = newTree()
			w.trees[c.resource] = t
		}
		if c.entry == nil {
			t.Delete(&entry{key: c.key})
		} else {
			t.Set(c.entry)
		}
		changed[c.resource] = true
	}
	for r := range changed {
		shown[r] = w.trees[r].Copy()
	}
	w.shown = shown
	w.visible = p.changes[len(p.changes)-1].event.Revision
	w.publish(w.view(), p.changes)
}

// close flushes what is lazy and ends the file in an orderly way. If there was
// anything volatile, its revision ends with it: who resumes from there must
// list again to see it gone.
func (w *writer) close() error {
	var err error
	if len(w.lazy) > 0 {
		err = w.commit(nil)
	}
	last := w.revision
	if w.volatile {
		last++
	}
	return errors.Join(err, w.disk.finish(last), w.disk.close())
}
