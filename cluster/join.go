package cluster

import (
	"net"
	"sync"
)

// joined is several listeners as one: the API answers the host on 127.0.0.1 and
// pods on the gateway's address.
type joined struct {
	all   []net.Listener
	conns chan net.Conn
	errs  chan error
	done  chan struct{}
	close sync.Once
}

func join(all ...net.Listener) *joined {
	j := &joined{all: all, conns: make(chan net.Conn), errs: make(chan error, len(all)), done: make(chan struct{})}
	for _, l := range all {
		go func() { // ends when l is closed
			for {
				c, err := l.Accept()
				if err != nil {
					j.errs <- err
					return
				}
				select {
				case j.conns <- c:
				case <-j.done:
					c.Close()
				}
			}
		}()
	}
	return j
}

// Accept implements net.Listener.
func (j *joined) Accept() (net.Conn, error) {
	select {
	case c := <-j.conns:
		return c, nil
	case <-j.done:
		return nil, net.ErrClosed
	case err := <-j.errs:
		return nil, err
	}
}

// Close implements net.Listener.
func (j *joined) Close() (err error) {
	j.close.Do(func() {
		close(j.done)
		for _, l := range j.all {
			if e := l.Close(); e != nil {
				err = e
			}
		}
	})
	return err
}

// Addr implements net.Listener: the first one's.
func (j *joined) Addr() net.Addr { return j.all[0].Addr() }
