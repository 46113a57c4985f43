package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Timeouts of connections. Answers have none: watches and streams last.
const (
	readHeaderTimeout = 32 * time.Second
	idleTimeout       = 120 * time.Second
	shutdownTimeout   = 5 * time.Second
	// linger is how long clients get to read their last answers before the
	// connection is closed under them.
	linger = 100 * time.Millisecond
	// maxStreams bounds the requests at once on one HTTP/2 connection. A
	// client shares one connection among all its watches.
	maxStreams = 2000
)

// Serve answers requests on l, over TLS if t is not nil, until ctx ends; then
// it ends watches, lets other requests finish for up to 5 s, and returns nil.
// A Server serves once.
func (s *Server) Serve(ctx context.Context, l net.Listener, t *tls.Config) error {
	hs := &http.Server{
		Handler: s, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 1 << 20, ErrorLog: log.New(errorLog{s.Logger}, "", 0),
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
	}
	busy := &busyConns{conns: map[net.Conn]bool{}, changed: make(chan struct{}, 1)}
	hs.ConnState = busy.note
	if t != nil {
		t = t.Clone()
		t.NextProtos = []string{"h2", "http/1.1"}
		hs.TLSConfig = t
	}
	done := make(chan error, 1)
	go func() { // ends when the server is shut down, below
		if t != nil {
			done <- hs.ServeTLS(l, "", "")
			return
		}
		done <- hs.Serve(l)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	close(s.stopping)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	go func() { // Shutdown alone would wait a second for idle HTTP/2 connections
		busy.wait(grace)
		time.Sleep(linger)
		_ = hs.Close()
	}()
	if err := hs.Shutdown(grace); err != nil {
		_ = hs.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// errorLog passes what net/http has to say (failed TLS handshakes, mostly) to
// the log, at a level that nobody sees by default.
type errorLog struct{ log *slog.Logger }

func (e errorLog) Write(p []byte) (int, error) {
	e.log.Debug("http", "message", string(p))
	return len(p), nil
}

// busyConns knows which connections have requests at work.
type busyConns struct {
	mu      sync.Mutex
	conns   map[net.Conn]bool
	changed chan struct{} // holds one value after a connection became idle
}

// note is http.Server's ConnState hook. HTTP/2 connections call it, too, as
// their first stream begins and after their last one was written.
func (b *busyConns) note(c net.Conn, state http.ConnState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if state == http.StateActive {
		b.conns[c] = true
		return
	}
	delete(b.conns, c)
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// wait waits until no connection is busy, or ctx ends.
func (b *busyConns) wait(ctx context.Context) {
	for {
		b.mu.Lock()
		n := len(b.conns)
		b.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-b.changed:
		case <-ctx.Done():
			return
		}
	}
}
