package main

import (
	"strings"
	"testing"
	"time"
)

// TestDownloadsOnATerminal: one line that is drawn over again, at most ten times a
// second, and erased; nothing where there is no terminal.
func TestDownloadsOnATerminal(t *testing.T) {
	var out strings.Builder
	now := time.Unix(0, 0)
	d := &downloads{out: &out, size: func() (int, int) { return 60, 24 }, now: func() time.Time { return now }, state: map[string]download{}}
	const a, b = "http://a.test/index.yaml", "http://b.test/index.yaml"
	now = now.Add(time.Second)
	d.report(a, 1e6, 4e6)
	d.report(b, 5e6, -1) // too soon to be drawn
	now = now.Add(time.Second)
	d.report(b, 6e6, -1)
	now = now.Add(time.Second)
	d.report(a, 4e6, 4e6) // done
	d.erase()
	d.erase()
	want := "\r\x1b[Ka.test 25% of 4.0 MB" + "\r\x1b[Ka.test 25% of 4.0 MB, b.test 6.0 MB" + "\r\x1b[Kb.test 6.0 MB" + "\r\x1b[K"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
	out.Reset()
	d.size = nil
	d.report(a, 1e6, 4e6)
	d.erase()
	if out.String() != "" {
		t.Errorf("without a terminal: %q", out.String())
	}
}
