package container

import (
	"sync"

	"github.com/seed38700745/pkg/cluster/cri"
)

// events queues what happened without bound by merging equal events, so that
// a slow reader cannot stop the ones who tell.
type events struct {
	out  chan cri.Event
	done chan struct{}
	wake chan struct{} // has room for one

	mu      sync.Mutex
	pending []cri.Event // guarded by mu
	closed  bool        // guarded by mu
}

func newEvents() *events {
	e := &events{out: make(chan cri.Event), done: make(chan struct{}), wake: make(chan struct{}, 1)}
	go e.run() // until close
	return e
}

func (e *events) run() {
	for {
		select {
		case <-e.wake:
		case <-e.done:
			return
		}
		e.mu.Lock()
		batch := e.pending
		e.pending = nil
		e.mu.Unlock()
		for _, event := range batch {
			select {
			case e.out <- event:
			case <-e.done:
				return
			}
		}
	}
}

func (e *events) tell(event cri.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.pending {
		if p == event {
			return
		}
	}
	e.pending = append(e.pending, event)
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *events) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.closed = true
		close(e.done)
	}
}
