package podlog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func writeLog(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "0.log")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const sample = `2026-01-01T00:00:01.5Z stdout F one
2026-01-01T00:00:02Z stderr F two
2026-01-01T00:00:03Z stdout P thr
2026-01-01T00:00:03.1Z stdout F ee
2026-01-01T00:00:04Z stdout F 
torn
2026-01-01T00:00:05Z stdout F last
`

func TestRead(t *testing.T) {
	path := writeLog(t, sample)
	at := time.Date(2026, 1, 1, 0, 0, 3, 0, time.UTC)
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"all", Options{}, "one\ntwo\nthree\n\nlast\n"},
		{"tail", Options{Tail: new(int64(1))}, "last\n"},
		{"tail 0", Options{Tail: new(int64(0))}, ""},
		{"tail of more than there is", Options{Tail: new(int64(100))}, "one\ntwo\nthree\n\nlast\n"},
		{"since", Options{Since: at}, "three\n\nlast\n"},
		{"timestamps", Options{Timestamps: true, Since: at}, "2026-01-01T00:00:03Z three\n2026-01-01T00:00:04Z \n2026-01-01T00:00:05Z last\n"},
		{"limit", Options{Limit: new(int64(5))}, "one\nt"},
		{"stderr", Options{Stream: "stderr"}, "two\n"},
	} {
		var b bytes.Buffer
		if err := Read(context.Background(), &b, path, c.o, nil); err != nil || b.String() != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, b.String(), err, c.want)
		}
	}
}

func TestLongLinesAndTails(t *testing.T) {
	var log, want strings.Builder
	for i := range 3000 {
		text := fmt.Sprintf("%d %s", i, strings.Repeat("x", i*37%9000))
		fmt.Fprintf(&log, "2026-01-01T00:00:01Z stdout F %s\n", text)
		if i >= 1000 {
			want.WriteString(text + "\n")
		}
	}
	path := writeLog(t, log.String())
	var b bytes.Buffer
	if err := Read(context.Background(), &b, path, Options{Tail: new(int64(2000))}, nil); err != nil {
		t.Fatal(err)
	}
	if b.String() != want.String() {
		t.Errorf("got %d bytes, want %d", b.Len(), want.Len())
	}
}

func TestTail(t *testing.T) {
	path := writeLog(t, sample)
	if got, err := Tail(path, 80, 7); err != nil || got != "\n\nlast\n" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := Tail(path, 1, 100); err != nil || got != "last\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestFollow follows a log over a rotation until its container ends.
func TestFollow(t *testing.T) {
	path := writeLog(t, "2026-01-01T00:00:01Z stdout F first\n")
	var running atomic.Bool
	running.Store(true)
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := Read(context.Background(), w, path, Options{Follow: true, Running: running.Load}, nil)
		w.Close()
		done <- err
	}()
	expect := func(want string) {
		t.Helper()
		b := make([]byte, len(want))
		if _, err := io.ReadFull(r, b); err != nil || string(b) != want {
			t.Fatalf("%q, %v; want %q", b, err, want)
		}
	}
	expect("first\n")
	old, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	err = Rotate(path, 3, time.Now(), func() error {
		// The writer may still write to the old file while it opens the new.
		if _, err := old.WriteString("2026-01-01T00:00:02Z stdout F second\n"); err != nil {
			return err
		}
		return os.WriteFile(path, []byte("2026-01-01T00:00:03Z stdout F third\n"), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	expect("second\nthird\n")
	running.Store(false)
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRotateKeeps(t *testing.T) {
	path := writeLog(t, "0\n")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 8 {
		reopen := func() error { return os.WriteFile(path, fmt.Appendf(nil, "%d\n", i+1), 0o600) }
		if err := Rotate(path, 5, now.Add(time.Duration(i)*time.Second), reopen); err != nil {
			t.Fatal(err)
		}
	}
	old, err := rotatedLogs(path)
	if err != nil || len(old) != 4 {
		t.Fatalf("%q, %v; want 4 old logs", old, err)
	}
	if b, _ := os.ReadFile(old[3]); string(b) != "7\n" {
		t.Errorf("newest old log holds %q", b)
	}
	if err := Rotate(path, 5, now, func() error { return fmt.Errorf("no") }); err == nil {
		t.Error("a failed reopen is no error")
	}
	if b, _ := os.ReadFile(path); string(b) != "8\n" {
		t.Errorf("a failed rotation lost the log: %q", b)
	}
}
