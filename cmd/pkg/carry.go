//go:build !front

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// carry passes the connections of a listener on to a door until ctx ends. Of this
// machine's cluster the Service's own address is reached from here; of others, by
// the API's port-forward.
func (c *connection) carry(ctx context.Context, a *app, d door, l net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	dial := c.dialLocal(d)
	if c.target.local == nil {
		tunnel := &tunnel{ready: make(chan struct{})}
		g.Go(func() error { return tunnel.keep(ctx, a, c, d) })
		dial = tunnel.dial
	}
	g.Go(func() error { // unblocks Accept
		<-ctx.Done()
		return l.Close()
	})
	g.Go(func() error {
		for {
			in, err := l.Accept()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				return err
			}
			g.Go(func() error {
				if err := join(ctx, in, dial); err != nil && ctx.Err() == nil {
					fmt.Fprintf(a.Err, "%s: %v\n", d, err)
				}
				return nil
			})
		}
	})
	return g.Wait()
}

// dialTimeout bounds one connection to a pod.
const dialTimeout = 5 * time.Second

// dialLocal connects to a Service of this machine's cluster, and where it is
// headless to one of its pods.
func (c *connection) dialLocal(d door) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		address := net.JoinHostPort(d.clusterIP, strconv.Itoa(d.port))
		if d.clusterIP == "" {
			var err error
			if address, err = c.endpoint(ctx, d); err != nil {
				return nil, err
			}
			if address == "" {
				return nil, errors.New("no pod is ready")
			}
		}
		dialer := net.Dialer{Timeout: dialTimeout}
		return dialer.DialContext(ctx, "tcp", address)
	}
}

// join copies between a connection and the one that dial makes, both ways, until
// both sides have ended or ctx has.
func join(ctx context.Context, in net.Conn, dial func(context.Context) (net.Conn, error)) error {
	defer in.Close()
	out, err := dial(ctx)
	if err != nil {
		return err
	}
	defer out.Close()
	stop := context.AfterFunc(ctx, func() {
		in.Close()
		out.Close()
	})
	defer stop()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{out, in}, {in, out}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // an end is an end, whoever makes it
			if half, ok := way[0].(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
		})
	}
	both.Wait()
	return nil
}

// tunnel is kubectl's port-forward, started again when its pod ends.
type tunnel struct {
	mu      sync.Mutex
	address string        // of kubectl's listener, "" while there is none; guarded by mu
	ready   chan struct{} // closed when there is an address; guarded by mu
}

// tunnelRetry is the pause between two port-forwards.
const tunnelRetry = 500 * time.Millisecond

// keep runs port-forwards until ctx ends; that the first one cannot be made is an error.
func (t *tunnel) keep(ctx context.Context, a *app, c *connection, d door) error {
	for first := true; ; first = false {
		err := t.run(ctx, a, c, d)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if first && err != nil {
			return err
		}
		t.set("")
		fmt.Fprintf(a.Err, "the pod behind %s has ended; connecting to another\n", d)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(tunnelRetry):
		}
	}
}

// forwarding is the line by which kubectl tells its address.
var forwarding = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^Forwarding from (127\.0\.0\.1:\d+) ->`) })

// run runs one port-forward to its end. The error says that it never began.
func (t *tunnel) run(ctx context.Context, a *app, c *connection, d door) error {
	path, args, env, err := a.kubectl([]string{"port-forward", "--namespace=" + d.namespace, "service/" + d.service, fmt.Sprintf(":%d", d.port)})
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env, cmd.Stderr = env, a.Err
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	begun := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := forwarding().FindStringSubmatch(lines.Text()); m != nil {
			begun = true
			t.set(m[1])
		}
	}
	err = cmd.Wait()
	if !begun && err != nil {
		return fmt.Errorf("port-forward to %s: %w", d, err)
	}
	return nil
}

func (t *tunnel) set(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.address = address; address != "" {
		select {
		case <-t.ready:
		default:
			close(t.ready)
		}
		return
	}
	t.ready = make(chan struct{})
}

// dial waits for the tunnel, and connects to it.
func (t *tunnel) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, dialTimeout, errors.New("the cluster does not forward yet"))
	defer cancel()
	for {
		t.mu.Lock()
		address, ready := t.address, t.ready
		t.mu.Unlock()
		if address != "" {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-ready:
		}
	}
}
