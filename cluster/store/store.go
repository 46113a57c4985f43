// Package store keeps objects under one global revision, durably, and tells
// watchers what changed.
//
// Guarantees, which every Store keeps and storetest.Run checks:
//   - a write that returned is on disk, except for volatile writes;
//   - revisions are positive, strictly increasing and never reused, also
//     across restarts and for volatile writes;
//   - a watcher sees every commit of what it watches in revision order, once,
//     with no gap; when the store cannot keep that up (the watcher is too slow,
//     or asks for history that is compacted) it ends the watch with ErrExpired;
//   - writers never wait for watchers; reads never wait for writes.
//
// Objects that the store returns are shared and immutable; objects given to it
// belong to it. It sets metadata.resourceVersion, and nothing else.
package store

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object"
)

// Errors that callers branch on; test with errors.Is.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("already exists")
	ErrConflict = errors.New("changed in the meantime") // a precondition failed
	ErrExpired  = errors.New("revision is too old")     // list again
	ErrFuture   = errors.New("revision is in the future")
	ErrFull     = errors.New("the data folder is out of space")
	ErrBroken   = errors.New("the disk failed: the store is read-only until a restart")
	ErrLocked   = errors.New("another process has the store open")
	ErrFormat   = errors.New("the store was written by a newer version")
	ErrClosed   = errors.New("the store is closed")
)

// Codec turns objects into bytes for the disk and back. It must be safe for
// concurrent use. Decode's result has the resourceVersion set by the store.
type Codec interface {
	Encode(r object.Resource, o object.Object) ([]byte, error)
	Decode(r object.Resource, data []byte) (object.Object, error)
}

// Store is one keyspace of objects. All methods are safe for concurrent use.
type Store interface {
	// Get returns the object as of the latest commit. Errors: ErrNotFound.
	Get(r object.Resource, k object.Key) (object.Object, error)

	// Snapshot returns an immutable view of the latest commit. Views are
	// cheap; they hold memory only as long as they are referenced.
	Snapshot() Snapshot

	// Write commits w, waits until it is durable (unless volatile), and
	// returns the object as stored, or as it was last when w deletes.
	// A delete takes a revision of its own, which the returned object carries.
	// Errors: ErrNotFound, ErrExists, ErrConflict, ErrFull, ErrBroken, ErrClosed, or
	// ctx's while the write has not been accepted yet.
	Write(ctx context.Context, w Write) (object.Object, error)

	// Watch delivers commits with revisions greater than after, of one
	// resource and, where namespace is not empty, one namespace.
	// Errors: ErrExpired, ErrFuture.
	Watch(r object.Resource, namespace string, after int64) (Watch, error)

	// Revision is the latest committed revision.
	Revision() int64

	// Close waits for accepted writes, ends watches and releases the files.
	Close() error
}

// Verb says what a Write does.
type Verb int

// The verbs. Create fails with ErrExists, Update and Delete with ErrNotFound.
const (
	Create Verb = iota + 1
	Update
	Delete
)

// Write is one change of one object.
type Write struct {
	Verb     Verb
	Resource object.Resource
	Key      object.Key
	Object   object.Object // what to store; nil for Delete
	// Revision, if not 0, and UID, if not empty, must be the current
	// object's; otherwise the write fails with ErrConflict.
	Revision int64
	UID      types.UID
	// Volatile writes are kept in memory only: visible and watched like
	// others, gone after a restart. All writes of one resource should agree.
	Volatile bool
	// Lazy writes are acknowledged once visible, and reach the disk with a
	// later commit, at most a second or so later (Events).
	Lazy bool
}

// Snapshot is an immutable view at one revision.
type Snapshot interface {
	Revision() int64
	Get(r object.Resource, k object.Key) (object.Object, bool)
	// Ascend calls visit for the objects of a resource, in one namespace or
	// (namespace empty) all, sorted by key, strictly after the key after
	// (zero: from the start), until visit returns false.
	Ascend(r object.Resource, namespace string, after object.Key, visit func(object.Object) bool)
	// Len is the number of objects of a resource, in one namespace or all.
	Len(r object.Resource, namespace string) int
}

// Event is one commit as a watcher sees it.
type Event struct {
	Revision int64
	Object   object.Object // nil in a progress event: nothing happened up to Revision
	Previous object.Object // before the commit; nil when created
	Deleted  bool
}

// Watch is a stream of events. Next is for one goroutine.
type Watch interface {
	// Next waits for the next events (at least one, all that are ready) and
	// returns them in order. Errors: ctx's, ErrExpired, ErrClosed. The slice
	// is valid until the next call.
	Next(ctx context.Context) ([]Event, error)
	// Revision is the revision up to which Next has delivered everything;
	// it advances also when nothing that is watched changes.
	Revision() int64
	Stop()
}
