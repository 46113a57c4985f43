package podlog

import (
	"bytes"
	"context"
	"io"
	"os"
	"time"
)

// Options say what Read shows.
type Options struct {
	Tail       *int64    // only so many last lines; nil: all
	Since      time.Time // only lines from then on
	Timestamps bool      // put each line's time before it
	Limit      *int64    // bytes at most; nil: no limit
	Stream     string    // "stdout" or "stderr" alone; "": both
	// Follow goes on with what is written, also after a rotation, until
	// Running returns false and all is read.
	Follow  bool
	Running func() bool
}

// followPeriod is how often a followed log is looked at.
const followPeriod = 200 * time.Millisecond

// Read writes the text of the log at path to w until it ends, ctx ends, or w
// fails. flush, if not nil, is called when there is nothing more for now.
func Read(ctx context.Context, w io.Writer, path string, o Options, flush func()) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { f.Close() }()
	r := &reader{f: f}
	if o.Tail != nil {
		if r.at, err = tailOffset(f, *o.Tail); err != nil {
			return err
		}
	}
	out := &limited{w: w, left: -1}
	if o.Limit != nil {
		out.left = *o.Limit
	}
	p := printer{out: out, Options: o}
	for {
		// Asked before reading: what was written before the end is read.
		running := o.Follow && o.Running != nil && o.Running()
		if err := p.drain(r); err != nil || out.left == 0 {
			return ignoreFull(err)
		}
		if flush != nil {
			flush()
		}
		next, err := successor(path, r.f)
		if err != nil {
			return err
		}
		if next != nil {
			if err := p.drain(r); err != nil { // what was written until the rotation
				next.Close()
				return ignoreFull(err)
			}
			f.Close()
			f = next
			r = &reader{f: next}
			continue
		}
		if !running {
			return nil
		}
		timer := time.NewTimer(followPeriod)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

func ignoreFull(err error) error {
	if err == io.ErrShortWrite {
		return nil
	}
	return err
}

// successor opens the file that now has f's path, if that is another one.
func successor(path string, f *os.File) (*os.File, error) {
	mine, err := f.Stat()
	if err != nil {
		return nil, err
	}
	now, err := os.Stat(path)
	if os.IsNotExist(err) || err == nil && os.SameFile(mine, now) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}

// printer writes entries as the options wish.
type printer struct {
	Options
	out       *limited
	continued bool // the last entry was a part: the next goes on its line
}

// drain prints all complete lines that r has.
func (p *printer) drain(r *reader) error {
	for {
		line, err := r.line()
		if err != nil || line == nil {
			return err
		}
		if err := p.print(line); err != nil {
			return err
		}
	}
}

func (p *printer) print(line []byte) error {
	e, err := parse(line)
	if err != nil {
		return nil // a line torn by a crash is passed over
	}
	if p.Stream != "" && string(e.stream) != p.Stream {
		return nil
	}
	if !p.Since.IsZero() {
		if t, err := time.Parse(time.RFC3339Nano, string(e.time)); err == nil && t.Before(p.Since) {
			return nil
		}
	}
	if p.Timestamps && !p.continued {
		if _, err := p.out.Write(append(bytes.Clone(e.time), ' ')); err != nil {
			return err
		}
	}
	p.continued = e.partial
	_, err = p.out.Write(e.text)
	return err
}

// limited writes at most left bytes; less than 0 is no limit.
type limited struct {
	w    io.Writer
	left int64
}

// Write returns io.ErrShortWrite when the limit is reached.
func (l *limited) Write(b []byte) (int, error) {
	if l.left < 0 {
		return l.w.Write(b)
	}
	short := int64(len(b)) > l.left
	n, err := l.w.Write(b[:min(int64(len(b)), l.left)])
	l.left -= int64(n)
	if err == nil && short {
		err = io.ErrShortWrite
	}
	return n, err
}

// reader reads complete lines from a growing file.
type reader struct {
	f    *os.File
	at   int64  // where in f the next read begins
	buf  []byte // what was read; [from:] is not given out
	from int
}

const readBlock = 32 << 10

// line returns the next line with its end, or nil when there is none yet. The
// bytes are valid until the next call.
func (r *reader) line() ([]byte, error) {
	searched := r.from
	for {
		if i := bytes.IndexByte(r.buf[searched:], '\n'); i >= 0 {
			line := r.buf[r.from : searched+i+1]
			r.from = searched + i + 1
			return line, nil
		}
		r.buf = append(r.buf[:0], r.buf[r.from:]...)
		r.from, searched = 0, len(r.buf)
		r.buf = append(r.buf, make([]byte, readBlock)...)
		n, err := r.f.ReadAt(r.buf[searched:], r.at)
		r.buf, r.at = r.buf[:searched+n], r.at+int64(n)
		if n == 0 {
			if err == io.EOF {
				err = nil
			}
			return nil, err
		}
	}
}
