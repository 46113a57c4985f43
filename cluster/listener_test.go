package cluster

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// echo answers every connection with the name until l is closed; the channel
// then gets the error that ended it.
func echo(l net.Listener, name string) <-chan error {
	done := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				done <- err
				return
			}
			io.WriteString(c, name)
			c.Close()
		}
	}()
	return done
}

func read(t *testing.T, c net.Conn, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	data, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestJoin(t *testing.T) {
	a, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	j := join(a, b)
	ended := echo(j, "both")
	for _, l := range []net.Listener{a, b, a} {
		c, err := net.Dial("tcp", l.Addr().String())
		if got := read(t, c, err); got != "both" {
			t.Errorf("%s answers %q", l.Addr(), got)
		}
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept ended with %v", err)
	}
	if _, err := net.Dial("tcp", b.Addr().String()); err == nil {
		t.Error("a closed listener still accepts")
	}
}

func TestPipe(t *testing.T) {
	p := newPipe()
	ended := echo(p, "agent")
	c, err := p.Dial(t.Context())
	if got := read(t, c, err); got != "agent" {
		t.Errorf("got %q", got)
	}
	p.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept ended with %v", err)
	}
	if _, err := p.Dial(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Dial after Close: %v", err)
	}
	nobody, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := newPipe().Dial(nobody); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Dial where nobody accepts: %v", err)
	}
}
