package depot

import (
	"os"
	"sync"
)

// syncer syncs a folder for everybody who waits: those who come while a sync runs
// share the next one.
type syncer struct {
	dir *os.File

	mu      sync.Mutex
	running bool   // guarded by mu
	next    *round // guarded by mu; nil when nobody waits for another
}

type round struct {
	done chan struct{}
	err  error // written before done is closed
}

// sync returns when everything that happened in the folder before is on disk.
func (s *syncer) sync() error {
	s.mu.Lock()
	r := s.next
	if r == nil {
		r = &round{done: make(chan struct{})}
		s.next = r
	}
	if !s.running {
		s.running = true
		go s.lead() // ends when nobody waits
	}
	s.mu.Unlock()
	<-r.done
	return r.err
}

func (s *syncer) lead() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.next != nil {
		r := s.next
		s.next = nil
		s.mu.Unlock()
		r.err = s.dir.Sync()
		close(r.done)
		s.mu.Lock()
	}
	s.running = false
}

func (s *syncer) close() error { return s.dir.Close() }

// sync makes a folder's names durable.
func (d *Depot) sync(dir string) error {
	d.mu.Lock()
	s := d.syncers[dir]
	if s == nil {
		f, err := os.Open(dir)
		if err != nil {
			d.mu.Unlock()
			return err
		}
		s = &syncer{dir: f}
		d.syncers[dir] = s
	}
	d.mu.Unlock()
	return s.sync()
}
