package node

import (
	"bytes"
	"sync"
)

// head keeps the first limit bytes written to it. It is safe for a command's
// two outputs at the same time.
type head struct {
	limit int
	mu    sync.Mutex
	buf   bytes.Buffer // guarded by mu
}

// Write never fails: what is too much is dropped.
func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if room := h.limit - h.buf.Len(); room > 0 {
		h.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.buf.String()
}
