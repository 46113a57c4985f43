//go:build front

package main

import (
	"io"
	"sync"
)

// talk holds back what goes to stderr until the first result is written, or the command
// ends: a command line that goes on in pkg-release says it there.
type talk struct {
	to io.Writer

	mu       sync.Mutex // guards what follows: warnings come from several goroutines
	held     []byte
	released bool
}

// Write keeps text, or passes it on after release.
func (t *talk) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.released {
		return t.to.Write(text)
	}
	t.held = append(t.held, text...)
	return len(text), nil
}

// release prints what was held back. That stderr cannot be written is nothing that
// could be told anybody.
func (t *talk) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.held) > 0 {
		_, _ = t.to.Write(t.held)
	}
	t.held, t.released = nil, true
}

// results is stdout: what was said before the first result stands before it.
type results struct {
	talk *talk
	to   io.Writer
}

// Write implements io.Writer.
func (r results) Write(text []byte) (int, error) {
	r.talk.release()
	return r.to.Write(text)
}
