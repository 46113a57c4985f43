//go:build !front

package main

import (
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// downloads shows on a terminal, in one line, how far downloads are. Elsewhere it
// shows nothing. Its methods may be called concurrently.
type downloads struct {
	out  io.Writer
	size func() (width, height int) // nil: not a terminal
	now  func() time.Time

	mu    sync.Mutex
	state map[string]download // guarded by mu; by URL
	last  time.Time           // guarded by mu; when the line was drawn
	drawn bool                // guarded by mu
}

// download is how far one is; size is -1 when the server does not say.
type download struct{ read, size int64 }

// redrawEvery keeps a terminal readable and the download fast.
const redrawEvery = 100 * time.Millisecond

func (a *app) newDownloads() *downloads {
	return &downloads{out: a.Err, size: terminalSize(a.Err), now: a.Now, state: map[string]download{}}
}

// report is told of every piece that was read.
func (d *downloads) report(target string, read, size int64) {
	if d.size == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state[target] = download{read, size}
	if read == size {
		delete(d.state, target)
	}
	if now := d.now(); now.Sub(d.last) >= redrawEvery {
		d.last = now
		d.drawLocked()
	}
}

func (d *downloads) drawLocked() {
	var parts []string
	for target, s := range d.state {
		host := target
		if u, err := url.Parse(target); err == nil {
			host = u.Host
		}
		text := fmt.Sprintf("%s %.1f MB", host, float64(s.read)/1e6)
		if s.size > 0 {
			text = fmt.Sprintf("%s %d%% of %.1f MB", host, 100*s.read/s.size, float64(s.size)/1e6)
		}
		parts = append(parts, text)
	}
	slices.Sort(parts)
	line := strings.Join(parts, ", ")
	width, _ := d.size()
	if len(line) >= width {
		line = line[:max(0, width-1)]
	}
	fmt.Fprintf(d.out, "\r\x1b[K%s", line)
	d.drawn = true
}

// erase clears the line, for something else to be printed.
func (d *downloads) erase() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.drawn {
		fmt.Fprint(d.out, "\r\x1b[K")
		d.drawn = false
	}
}
