package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/seed38700745/pkg/cluster/object"
)

// Options configure a DB. Only Codec is required.
type Options struct {
	Codec Codec

	// NoSync leaves out every fsync, so that a power cut loses acknowledged
	// writes. It is there to show that the power-cut test can fail.
	NoSync bool

	// Logger hears when the disk begins to refuse writes, and when it takes
	// them again; nil: nobody.
	Logger *slog.Logger

	// Committed is told of each commit of so many objects: how long it took with
	// its fsync, and what the disk said. The writer calls it; nil: nobody is.
	Committed func(objects int, took time.Duration, err error)

	// History says for how long a watch can be resumed.
	History History
}

// History bounds what is remembered for watches, for each resource by itself.
type History struct {
	// Events is the most events kept, rounded up to a power of two;
	// 0 means 16,384. A watcher that falls further behind expires.
	Events int
	// Bytes is the most encoded bytes kept; 0 means 4 MiB. Decoded objects take
	// three to four times as much memory.
	Bytes int
	// Age is when events may be forgotten, as soon as newer ones arrive;
	// 0 means 5 minutes, as with etcd under kube-apiserver.
	Age time.Duration
}

// DB is the Store on one bbolt file, which it alone has open:
//
//	meta
//	  format                    uint64: the version of this layout
//	  revision                  uint64: no revision above it was handed out
//	objects
//	  <resource>                "pods", "deployments.apps"
//	    <namespace> 0x00 <name>   uint64 revision, then the Codec's bytes
//
// Integers are big-endian. Memory holds everything, decoded; the file is read
// by Open only.
//
// One goroutine writes. It takes all queued writes as one batch, checks each
// against memory and those before it, commits the batch in one fsynced
// transaction, publishes it to readers and then to watchers, and answers.
//
// meta/revision runs ahead: revisions are reserved in blocks of a million, so
// that volatile writes never touch the disk and yet no revision is used again.
// A crash skips the rest of the block; Close gives it back.
//
// When the disk is full, writes fail with ErrFull, and memory stays as it
// was; deletions still find room, and writes go on when there is some. When the
// disk fails otherwise, nobody knows what it holds, and all further durable
// writes fail with ErrBroken until the file is opened again.
type DB struct {
	codec  Codec
	writer *writer
	state  atomic.Pointer[view] // what readers see; replaced by the writer
	feed   *feed
	queue  chan *request

	accept  sync.RWMutex // held for reading while a write enters the queue
	closing bool         // guarded by accept
	closed  error        // Close's result, valid once done is closed
	done    chan struct{}
}

var _ Store = (*DB)(nil)

// queueLen is how many writes may wait beyond the batch that is being
// committed; more wait in Write, where their context can still end them.
const queueLen = 1024

// Open opens the store in the file path, and creates it if there is none; the
// folder must exist. Errors: ErrLocked, ErrFormat, the Codec's, the disk's.
func Open(path string, o Options) (*DB, error) {
	if o.Codec == nil {
		return nil, fmt.Errorf("store %s: no codec", path)
	}
	d, err := openDisk(path, o.NoSync)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	trees, err := d.load(o.Codec)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, errors.Join(err, d.close()))
	}
	start := d.start
	oldest := start
	if d.created {
		oldest = 0 // nothing was ever forgotten
	}
	db := &DB{
		codec: o.Codec,
		feed:  newFeed(o.History, oldest, start),
		queue: make(chan *request, queueLen),
		done:  make(chan struct{}),
	}
	db.writer = newWriter(d, trees, start, db.publish, o.Logger)
	if o.Committed != nil {
		db.writer.committed = o.Committed
	}
	db.state.Store(db.writer.view())
	go func() { // ends when Close closes the queue, and Close waits for it
		defer close(db.done)
		db.writer.run(db.queue)
		db.closed = db.writer.close()
	}()
	return db, nil
}

// publish makes a batch visible: to readers first, so that who is told of a
// change can read it.
func (db *DB) publish(v *view, changes []change) {
	db.state.Store(v)
	db.feed.publish(changes, v.revision)
}

// Get implements Store.
func (db *DB) Get(r object.Resource, k object.Key) (object.Object, error) {
	o, ok := db.state.Load().Get(r, k)
	if !ok {
		return nil, fmt.Errorf("%s %q: %w", r, k, ErrNotFound)
	}
	return o, nil
}

// Snapshot implements Store.
func (db *DB) Snapshot() Snapshot { return db.state.Load() }

// Revision implements Store.
func (db *DB) Revision() int64 { return db.state.Load().revision }

// Watch implements Store.
func (db *DB) Watch(r object.Resource, namespace string, after int64) (Watch, error) {
	if now := db.Revision(); after > now {
		return nil, fmt.Errorf("watch %s after %d: the latest revision is %d: %w", r, after, now, ErrFuture)
	}
	return db.feed.watch(r, namespace, after)
}

// Write implements Store. The object is encoded here, in the caller's
// goroutine, to keep the writer fast.
func (db *DB) Write(ctx context.Context, w Write) (object.Object, error) {
	if err := check(w); err != nil {
		return nil, fmt.Errorf("%s %q: %w", w.Resource, w.Key, err)
	}
	q := &request{Write: w, answer: make(chan answer, 1)}
	if w.Verb != Delete {
		w.Object.SetResourceVersion("") // it is stored beside the object
		if !w.Volatile {
			data, err := db.codec.Encode(w.Resource, w.Object)
			if err != nil {
				return nil, fmt.Errorf("%s %q: encode: %w", w.Resource, w.Key, err)
			}
			q.data = data
		}
	}
	if err := db.enqueue(ctx, q); err != nil {
		return nil, fmt.Errorf("%s %q: %w", w.Resource, w.Key, err)
	}
	a := <-q.answer
	if a.err != nil {
		return nil, fmt.Errorf("%s %q: %w", w.Resource, w.Key, a.err)
	}
	return a.object, nil
}

// check refuses writes that no state of the store makes valid.
func check(w Write) error {
	switch {
	case w.Verb != Create && w.Verb != Update && w.Verb != Delete:
		return fmt.Errorf("write with unknown verb %d", w.Verb)
	case w.Verb != Delete && w.Object == nil:
		return errors.New("write without an object")
	case w.Resource.Resource == "" || w.Key.Name == "":
		return errors.New("write without a resource or name")
	case len(w.Key.Namespace)+len(w.Key.Name) >= bolt.MaxKeySize:
		return fmt.Errorf("write with a key of more than %d bytes", bolt.MaxKeySize)
	case strings.Contains(w.Key.Namespace, "\x00"):
		return errors.New("write with a zero byte in the namespace")
	}
	return nil
}

func (db *DB) enqueue(ctx context.Context, q *request) error {
	db.accept.RLock()
	defer db.accept.RUnlock()
	if db.closing {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case db.queue <- q:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Copy writes a store's file with all that was committed when it began, while
// others read and write. Open takes it. Until w has taken all of it, the store's
// own file may grow, and can only up to a limit: w should be fast.
func (db *DB) Copy(w io.Writer) error {
	if err := db.writer.disk.copy(w); err != nil {
		return fmt.Errorf("copy the store: %w", err)
	}
	return nil
}

// Close implements Store. Closing again waits for the first Close and returns
// the same.
func (db *DB) Close() error {
	db.accept.Lock()
	if !db.closing {
		db.closing = true
		close(db.queue)
	}
	db.accept.Unlock()
	<-db.done
	db.feed.close()
	return db.closed
}
