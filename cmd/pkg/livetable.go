//go:build !front

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/seed38700745/pkg/release"
)

// liveTable shows on a terminal what an operation waits for: object, age, state, last event. It
// redraws in place; what else is said appears above it.
type liveTable struct {
	out   io.Writer
	size  func() (width, height int)
	now   func() time.Time
	paint painter

	mu     sync.Mutex
	states []release.State               // guarded by mu
	since  map[release.Ref]time.Time     // guarded by mu; when waiting began
	took   map[release.Ref]time.Duration // guarded by mu; until it was ready
	drawn  int                           // guarded by mu; lines on the screen
}

// terminalSize returns a function for the size of a terminal, nil if w is none.
func terminalSize(w io.Writer) func() (int, int) {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return func() (int, int) {
		width, height, err := term.GetSize(int(file.Fd()))
		if err != nil || width <= 0 || height <= 0 {
			return 80, 24
		}
		return width, height
	}
}

// update shows other states; none end the table.
func (l *liveTable) update(states []release.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.eraseLocked()
	l.states = states
	if states == nil {
		l.since, l.took = nil, nil
		return
	}
	if l.since == nil {
		l.since, l.took = map[release.Ref]time.Time{}, map[release.Ref]time.Duration{}
	}
	for _, s := range states {
		if _, ok := l.since[s.Object]; !ok {
			l.since[s.Object] = l.now()
		}
		if _, ok := l.took[s.Object]; !ok && s.Phase == release.Ready {
			l.took[s.Object] = l.now().Sub(l.since[s.Object])
		} else if s.Phase != release.Ready {
			delete(l.took, s.Object)
		}
	}
	l.drawLocked()
}

// above lets say print lines above the table.
func (l *liveTable) above(say func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.eraseLocked()
	say()
	l.drawLocked()
}

func (l *liveTable) eraseLocked() {
	if l.drawn > 0 {
		fmt.Fprintf(l.out, "\x1b[%dA\x1b[J", l.drawn)
	}
	l.drawn = 0
}

// drawLocked prints as many rows as the screen has place for, what is not ready
// first.
func (l *liveTable) drawLocked() {
	if len(l.states) == 0 {
		return
	}
	width, height := l.size()
	longest := 0
	var rows, ready []release.State
	for _, s := range l.states {
		longest = max(longest, utf8.RuneCountInString(s.Object.String()))
		if s.Phase == release.Ready {
			ready = append(ready, s)
		} else {
			rows = append(rows, s)
		}
	}
	rows = append(rows, ready...)
	place := max(height-2, 1)
	hidden := max(len(rows)-place, 0)
	for _, s := range rows[:len(rows)-hidden] {
		age, ok := l.took[s.Object]
		if !ok {
			age = l.now().Sub(l.since[s.Object])
		}
		text, color := firstOf(s.Message, "waiting"), "33"
		switch s.Phase {
		case release.Ready:
			text, color = "ready", "32"
		case release.Failed:
			color = "31"
		}
		text, _, _ = strings.Cut(text, "\n")
		if _, message, _ := strings.Cut(s.Event, ": "); s.Event != "" && !strings.Contains(text, firstOf(message, s.Event)) {
			text += " | " + s.Event
		}
		line := cut(fmt.Sprintf("  %-*s  %5s  %s", longest, s.Object, age.Round(time.Second), text), width-1)
		fmt.Fprintln(l.out, l.paint.paint(color, line))
	}
	l.drawn = len(rows) - hidden
	if hidden > 0 {
		fmt.Fprintf(l.out, "  and %d more\n", hidden)
		l.drawn++
	}
}

// cut shortens a line to a number of characters.
func cut(line string, width int) string {
	if utf8.RuneCountInString(line) <= width || width < 1 {
		return line
	}
	return string([]rune(line)[:width])
}
