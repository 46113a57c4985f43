package wire

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFilesRoundTrip(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	exit := Exit{Code: 137, Signal: 9, OOM: true, At: at, Message: `exec: "x": not found`}
	if got, err := ParseExit(exit.Encode()); err != nil || got != exit {
		t.Errorf("%+v, %v", got, err)
	}
	started := Started{PID: 42, At: at}
	if got, err := ParseStarted(started.Encode()); err != nil || got != started {
		t.Errorf("%+v, %v", got, err)
	}
	start := Start{ID: "a", Helper: "/h", State: "/s", Dir: "/d", Log: "/l", OOM: "/o", TTY: true, StdinOnce: true}
	if got, err := ParseStart(Split(Join(start.Fields()...))); err != nil || got != start {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMessageIsOneLine(t *testing.T) {
	line := Join("error", "first\nsecond", "third")
	if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
		t.Errorf("message %q", line)
	}
	if diff := cmp.Diff([]string{"error", "first second", "third"}, Split(line)); diff != "" {
		t.Error(diff)
	}
}

func TestFrameHeader(t *testing.T) {
	header := make([]byte, FrameHeader)
	for _, n := range []int{0, 1, 255, 256, MaxFrame, 1 << 24} {
		PutFrameHeader(header, FrameStderr, n)
		if header[0] != FrameStderr || FrameLength(header) != n {
			t.Errorf("%d became %d of type %d", n, FrameLength(header), header[0])
		}
	}
}

// FuzzParse: files cut short by a power cut give errors, not panics.
func FuzzParse(f *testing.F) {
	f.Add(Exit{Code: 1, At: time.Now()}.Encode())
	f.Add("")
	f.Add("1\x002")
	f.Fuzz(func(t *testing.T, content string) {
		if e, err := ParseExit(content); err == nil {
			if again, err := ParseExit(e.Encode()); err != nil || !again.At.Equal(e.At) || again.Code != e.Code {
				t.Errorf("%q is not kept: %+v, %v", content, again, err)
			}
		}
		_, _ = ParseStarted(content)
		_, _ = ParseStart(Split(content))
	})
}
