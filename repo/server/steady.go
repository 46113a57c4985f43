package server

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// DefaultPatience is how long a client may send nothing, or take nothing, in the middle of
// a request. Transfers that go on have all the time they want.
const DefaultPatience = 30 * time.Second

// steadyPart is what has to come within that time, in bytes: a byte now and then does not
// keep a connection.
const steadyPart = 16 << 10

// steadyBody ends uploads of clients that stop sending.
type steadyBody struct {
	io.ReadCloser
	control  *http.ResponseController
	patience time.Duration
	left     int // bytes until the time is renewed
}

func (b *steadyBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.left = steadyPart
		_ = b.control.SetReadDeadline(time.Now().Add(b.patience)) // not over a recorded connection
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= n
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// steadyWriter ends downloads of HTTP/2 clients that stop taking: there a client holds up
// one answer while its connection goes on.
type steadyWriter struct {
	to       io.Writer
	control  *http.ResponseController
	patience time.Duration
}

func (w *steadyWriter) Write(p []byte) (int, error) {
	sent := 0
	for {
		_ = w.control.SetWriteDeadline(time.Now().Add(w.patience)) // not over a recorded connection
		n, err := w.to.Write(p[sent:min(len(p), sent+steadyPart)])
		sent += n
		if err != nil || sent == len(p) {
			return sent, err
		}
	}
}
