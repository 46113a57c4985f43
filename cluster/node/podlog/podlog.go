// Package podlog reads and rotates the logs of containers. A log is a file of
// lines in the CRI's format, "<RFC3339Nano> stdout|stderr F|P <text>", where P
// marks a part of a longer line. Its rotated predecessors lie beside it, with
// the time of rotation appended to the name.
package podlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// entry is one line of a log.
type entry struct {
	time    []byte
	stream  []byte
	partial bool
	text    []byte // with the line's end, unless partial
}

// parse splits a line, which may lack its end.
func parse(line []byte) (entry, error) {
	f := bytes.SplitN(line, []byte(" "), 4)
	if len(f) < 3 {
		return entry{}, fmt.Errorf("not a log line: %q", line)
	}
	e := entry{time: f[0], stream: f[1]}
	tag := f[2]
	if len(f) == 4 {
		e.text = f[3]
	} else if tag = bytes.TrimSuffix(tag, []byte("\n")); len(tag) < len(f[2]) {
		e.text = []byte("\n")
	}
	if tag, _, _ := bytes.Cut(tag, []byte(":")); len(tag) == 1 && tag[0] == 'P' {
		e.partial = true
		e.text = bytes.TrimSuffix(e.text, []byte("\n"))
	}
	return e, nil
}

// Tail returns the text of the last lines of a log, at most so many lines and
// bytes.
func Tail(path string, lines int64, limit int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	start, err := tailOffset(f, lines)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	r := &reader{f: f, at: start}
	for {
		line, err := r.line()
		if err != nil {
			return "", err
		}
		if line == nil {
			break
		}
		if e, err := parse(line); err == nil {
			out.Write(e.text)
		}
	}
	text := out.Bytes()
	if int64(len(text)) > limit {
		text = text[int64(len(text))-limit:]
	}
	return string(text), nil
}

// tailBlock is how much is read at once when looking for the last lines.
const tailBlock = 64 << 10

// tailOffset returns where the last n lines of f begin.
func tailOffset(f *os.File, n int64) (int64, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || n <= 0 {
		return end, err
	}
	block := make([]byte, tailBlock)
	for at := end; at > 0; {
		size := min(at, tailBlock)
		at -= size
		if _, err := f.ReadAt(block[:size], at); err != nil {
			return 0, err
		}
		for i := size - 1; i >= 0; i-- {
			if block[i] != '\n' || at+i == end-1 {
				continue
			}
			if n--; n == 0 {
				return at + i + 1, nil
			}
		}
	}
	return 0, nil
}

// rotatedFormat is appended to the names of rotated logs, after a dot.
const rotatedFormat = "20060102-150405.000"

// Rotate renames the log, makes its writer open it anew with reopen, and keeps
// at most keep files, the current one included.
func Rotate(path string, keep int, now time.Time, reopen func() error) error {
	rotated := path + "." + now.UTC().Format(rotatedFormat)
	if err := os.Rename(path, rotated); err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	if err := reopen(); err != nil {
		return errors.Join(fmt.Errorf("rotate log: %w", err), os.Rename(rotated, path))
	}
	old, err := rotatedLogs(path)
	if err != nil {
		return err
	}
	for len(old) > keep-1 {
		if err := os.Remove(old[0]); err != nil {
			return fmt.Errorf("rotate log: %w", err)
		}
		old = old[1:]
	}
	return nil
}

// rotatedLogs returns a log's predecessors, oldest first.
func rotatedLogs(path string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filepath.Base(path)+".") {
			all = append(all, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	slices.Sort(all) // the names' times sort
	return all, nil
}
