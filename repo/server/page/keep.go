package page

import (
	"container/list"
	"context"
	"fmt"
	"sync"
)

// keep holds what is dear to make, within a limit of bytes: what was asked for last
// stays. Each thing is made once, however many ask for it at the same time.
type keep struct {
	limit int

	mu    sync.Mutex
	items map[string]*list.Element // of *kept; guarded by mu
	order *list.List               // the last asked for in front; guarded by mu
	size  int                      // of all that is made; guarded by mu
}

// kept is a thing in keep, or one that is being made.
type kept struct {
	key   string
	done  chan struct{} // closed when value and err are there
	value any
	err   error
	size  int // guarded by keep.mu
}

func newKeep(limit int) *keep {
	return &keep{limit: limit, items: map[string]*list.Element{}, order: list.New()}
}

// get returns what is kept under a key, or has it made. It gives up when ctx ends;
// the making goes on, for whoever asks next. What failed is not kept. Produce returns
// the thing and about how many bytes of memory it takes; it must end by itself.
func get[T any](ctx context.Context, k *keep, key string, produce func() (T, int, error)) (T, error) {
	k.mu.Lock()
	at, ok := k.items[key]
	if ok {
		k.order.MoveToFront(at)
	} else {
		at = k.order.PushFront(&kept{key: key, done: make(chan struct{})})
		k.items[key] = at
		go func() { // ends with produce
			value, size, err := safely(key, produce)
			k.finish(at, value, size, err)
		}()
	}
	k.mu.Unlock()
	var none T
	it, ok := at.Value.(*kept)
	if !ok {
		return none, fmt.Errorf("%s is not kept", key)
	}
	select {
	case <-it.done:
	default:
		select {
		case <-it.done:
		case <-ctx.Done():
			return none, ctx.Err()
		}
	}
	value, ok := it.value.(T)
	if it.err == nil && !ok {
		return none, fmt.Errorf("%s is of another kind", key)
	}
	return value, it.err
}

// has tells whether a thing is kept or being made.
func (k *keep) has(key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.items[key] != nil
}

// safely makes a thing of a stranger's chart: what a library does not expect of it
// must not end the server.
func safely[T any](key string, produce func() (T, int, error)) (value T, size int, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %v", key, p)
		}
	}()
	return produce()
}

func (k *keep) finish(at *list.Element, value any, size int, err error) {
	it, ok := at.Value.(*kept)
	if !ok {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	it.value, it.err, it.size = value, err, size+len(it.key)+200 // the bookkeeping
	close(it.done)
	k.size += it.size
	if err != nil || it.size > k.limit/2 {
		k.dropLocked(at)
	}
	for e := k.order.Back(); e != nil && k.size > k.limit; {
		before := e.Prev()
		if old, ok := e.Value.(*kept); ok && old.size > 0 { // made
			k.dropLocked(e)
		}
		e = before
	}
}

func (k *keep) dropLocked(at *list.Element) {
	if it, ok := at.Value.(*kept); ok {
		delete(k.items, it.key)
		k.size -= it.size
	}
	k.order.Remove(at)
}
