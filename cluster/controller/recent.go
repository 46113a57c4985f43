package controller

import (
	"sync"
	"time"

	"github.com/seed38700745/pkg/cluster/object"
)

// recent remembers keys for life, up to twice that, and forgets them all at once.
type recent struct {
	life time.Duration
	now  func() time.Time

	mu    sync.Mutex
	since time.Time           // guarded by mu; when this generation began
	newer map[object.Key]bool // guarded by mu
	older map[object.Key]bool // guarded by mu; the generation before
}

func (r *recent) add(k object.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ageLocked()
	if r.newer == nil {
		r.newer = map[object.Key]bool{}
	}
	r.newer[k] = true
}

func (r *recent) has(k object.Key) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ageLocked()
	return r.newer[k] || r.older[k]
}

func (r *recent) ageLocked() {
	now := r.now()
	switch age := now.Sub(r.since); {
	case age < r.life:
		return
	case age < 2*r.life:
		r.older = r.newer
	default:
		r.older = nil
	}
	r.newer, r.since = nil, now
}
