package server

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// conn is a connection whose writes end when the other side takes nothing for a while,
// however much there is to send. It also sends the head of an answer together with the
// content when both are small: net/http writes them apart, and for a chart of some kB
// each write costs more than all the rest.
type conn struct {
	*net.TCPConn
	patience time.Duration

	// One goroutine writes at a time: the handler's, or that of TLS or HTTP/2 above.
	deadline time.Time // of writes; zero when there is none yet
	pending  int64     // bytes that the other side had not taken when the deadline was set, and those written since
	holding  bool
	held     []byte // a copy of what was written while holding
}

const (
	// together is how much of an answer is sent with its head, in bytes.
	together = 32 << 10
	// stride is how much is written between two looks at the clock, in bytes.
	stride = 128 << 10
)

var buffers = sync.Pool{New: func() any { return new([together]byte) }}

type connKey struct{}

// withConn lets handlers find the connection where it is not below TLS, which
// puts writes into records in a way of its own.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if own, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, own)
	}
	return ctx
}

// hold keeps what is written until the next ReadFrom or until release.
func (c *conn) hold() { c.holding = true }

// release sends what is kept.
func (c *conn) release() error {
	c.holding = false
	if len(c.held) == 0 {
		return nil
	}
	_, err := c.send(c.held)
	c.held = c.held[:0]
	return err
}

// wait renews the time that the other side has. Timers cost, so it is not done for each
// write: the time is between half of the patience and all of it.
func (c *conn) wait() {
	now := time.Now()
	if c.deadline.Sub(now) < c.patience/2 {
		c.deadline, c.pending = now.Add(c.patience), c.queued()
		_ = c.SetWriteDeadline(c.deadline) // a closed connection fails at the write
	}
}

// queued is how many bytes the system keeps that the other side has not acknowledged.
func (c *conn) queued() int64 {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }) // closed: the write fails
	return int64(n)
}

// goesOn tells whether a write that ended with an error can be continued: its time is over,
// but the other side has taken something in it. The system wakes a writer only when a
// good part of its buffer, of megabytes, is free. A connection that is given up is reset,
// so that the system keeps nothing of it.
func (c *conn) goesOn(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	c.deadline = time.Time{}
	if c.queued() < c.pending {
		return true
	}
	_ = c.SetLinger(0) // closed already, it keeps nothing
	return false
}

// send writes p in strides.
func (c *conn) send(p []byte) (int, error) {
	sent := 0
	for {
		c.wait()
		n, err := c.TCPConn.Write(p[sent:min(len(p), sent+stride)])
		sent += n
		c.pending += int64(n)
		if err != nil && !c.goesOn(err) || sent == len(p) {
			return sent, err
		}
	}
}

func (c *conn) Write(p []byte) (int, error) {
	if c.holding && len(c.held)+len(p) <= together {
		c.held = append(c.held, p...)
		return len(p), nil
	}
	if err := c.release(); err != nil {
		return 0, err
	}
	return c.send(p)
}

// ReadFrom sends content: what is small with the head, a large file by sendfile(2).
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	content, limited := r.(*io.LimitedReader)
	if c.holding && limited && content.N <= int64(together-len(c.held)) {
		return c.sendTogether(content)
	}
	if err := c.release(); err != nil {
		return 0, err
	}
	if !limited {
		content = &io.LimitedReader{R: r, N: 1<<63 - 1}
	}
	sent := int64(0)
	for content.N > 0 {
		c.wait()
		part := io.LimitedReader{R: content.R, N: min(content.N, stride)}
		n, err := c.TCPConn.ReadFrom(&part)
		content.N -= n
		sent += n
		c.pending += n
		if err != nil && !c.goesOn(err) || err == nil && part.N > 0 {
			return sent, err
		}
	}
	return sent, nil
}

func (c *conn) sendTogether(content *io.LimitedReader) (int64, error) {
	c.holding = false
	buf := buffers.Get().(*[together]byte)
	defer buffers.Put(buf)
	head := copy(buf[:], c.held)
	c.held = c.held[:0]
	n, err := io.ReadFull(content.R, buf[head:head+int(content.N)])
	content.N -= int64(n)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil // net/http sees that it is too little
	}
	_, werr := c.send(buf[:head+n])
	return int64(n), errors.Join(err, werr)
}

// listener accepts such connections.
type listener struct {
	*net.TCPListener
	patience time.Duration
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return &conn{TCPConn: c, patience: l.patience}, nil
}

// Read gives no answer to the one byte that net/http wants to read while a handler runs,
// to notice clients that go. They are noticed at the next write as well, and that read
// costs a goroutine and three system calls for each request.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 1 {
		return 0, nil
	}
	return c.TCPConn.Read(p)
}
