package main

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/seed38700745/pkg/cluster/container/wire"
)

// maxLogLine is the longest piece of output in one log line; a longer line is
// written in several, all but the last with the tag P (Kubernetes' CRI).
const maxLogLine = 16 << 10

// logFile is a container's log: lines "RFC3339NANO stream F|P text".
type logFile struct {
	path string
	mu   sync.Mutex
	file *os.File // guarded by mu
}

func openLog(path string) (*logFile, error) {
	l := &logFile{path: path}
	return l, l.reopen()
}

// reopen opens the path anew, after a rotation moved the old file away.
func (l *logFile) reopen() error {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close()
	}
	l.file = f
	return nil
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}

// write appends lines. A full disk loses output rather than stop the container.
func (l *logFile) write(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_, _ = l.file.Write(b)
	}
}

// pump copies one stream to the log and to the attached clients until its end.
func (c *container) pump(from *os.File, kind byte, stream string) {
	defer c.pumps.Done()
	defer from.Close()
	buf := make([]byte, minBuffer)
	var held int   // bytes at the start of buf that are the beginning of a line
	var out []byte // room to make log lines in
	write := c.log.write
	for {
		n, err := from.Read(buf[held:])
		full := held+n == len(buf)
		if n > 0 {
			c.broadcast(kind, buf[held:held+n])
			out, held = format(out[:0], buf, held+n, stream, time.Now(), write)
		}
		if full && len(buf) < maxLogLine {
			buf = append(buf, make([]byte, len(buf))...)
		}
		if err != nil {
			break
		}
	}
	if held > 0 {
		c.log.write(appendLine(out[:0], stream, 'F', buf[:held], time.Now()))
	}
}

// flushSize is how much of the log is gathered for one write.
const flushSize = 8 << 10

// minBuffer is what a stream is read with, until there is more than that at
// once; most containers write little.
const minBuffer = 2 << 10

// format writes the complete lines of buf[:n], and a line's beginning that is
// as long as may be as a partial line. It moves the rest to the start of buf and
// returns its length, and out, the room that it works in, for the next call.
func format(out, buf []byte, n int, stream string, now time.Time, write func([]byte)) ([]byte, int) {
	defer func() {
		if len(out) > 0 {
			write(out)
		}
	}()
	rest := buf[:n]
	for {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		out = appendLine(out, stream, 'F', rest[:i], now)
		rest = rest[i+1:]
		if len(out) >= flushSize {
			write(out)
			out = out[:0]
		}
	}
	if len(rest) >= maxLogLine {
		out = appendLine(out, stream, 'P', rest, now)
		return out, 0
	}
	return out, copy(buf, rest)
}

func appendLine(out []byte, stream string, tag byte, text []byte, now time.Time) []byte {
	out = now.UTC().AppendFormat(out, time.RFC3339Nano)
	out = append(out, ' ')
	out = append(out, stream...)
	out = append(out, ' ', tag, ' ')
	out = append(out, text...)
	return append(out, '\n')
}

// broadcast sends output to the attached clients.
func (c *container) broadcast(kind byte, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for cl := range c.clients {
		if cl.send(kind, data) != nil {
			delete(c.clients, cl)
			cl.close()
		}
	}
}

// The buffer of a frame must hold what a pump reads at once.
var _ [wire.MaxFrame - maxLogLine]struct{}
