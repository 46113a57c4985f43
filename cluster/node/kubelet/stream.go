package kubelet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"github.com/seed38700745/pkg/cluster/cri"
)

// Times of the kubelet's streams.
const (
	idleTimeout     = 4 * time.Hour
	creationTimeout = 30 * time.Second
)

// exec runs a command in a container over SPDY or a WebSocket.
func (s *server) exec(w http.ResponseWriter, r *http.Request) {
	_, c, ok := s.running(w, r)
	if !ok {
		return
	}
	o, err := streamOptions(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeExec(w, r, streams{s, c}, "", c.PodUID, c.Name, r.URL.Query()["command"], o,
		idleTimeout, creationTimeout, remotecommand.SupportedStreamingProtocols)
}

// attach connects to a container's first process.
func (s *server) attach(w http.ResponseWriter, r *http.Request) {
	pod, c, ok := s.running(w, r)
	if !ok {
		return
	}
	o, err := streamOptions(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if hasTerminal(pod, c.Name) {
		o.TTY, o.Stderr = true, false
	}
	remotecommand.ServeAttach(w, r, streams{s, c}, "", c.PodUID, c.Name, o,
		idleTimeout, creationTimeout, remotecommand.SupportedStreamingProtocols)
}

func hasTerminal(pod *corev1.Pod, name string) bool {
	is := func(c corev1.Container) bool { return c.Name == name && c.TTY }
	return slices.ContainsFunc(pod.Spec.Containers, is) || slices.ContainsFunc(pod.Spec.InitContainers, is) ||
		slices.ContainsFunc(pod.Spec.EphemeralContainers, func(c corev1.EphemeralContainer) bool { return c.Name == name && c.TTY })
}

// run runs a command and answers with its output.
func (s *server) run(w http.ResponseWriter, r *http.Request) {
	_, c, ok := s.running(w, r)
	if !ok {
		return
	}
	var out bytes.Buffer
	code, err := s.Runtime.Exec(r.Context(), c.PodUID, c.ID, cri.ExecConfig{Args: []string{"/bin/sh", "-c", r.FormValue("cmd")}, Stdout: &out, Stderr: &out})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if code != 0 {
		fmt.Fprintf(&out, "\ncommand terminated with exit code %d\n", code)
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Write(out.Bytes()) // fails only if the client went away
}

// streamOptions understands the kubelet's parameters (input=1) and those of
// the pod subresources (stdin=true).
func streamOptions(q url.Values) (*remotecommand.Options, error) {
	on := func(names ...string) bool {
		for _, n := range names {
			if isTrue(q.Get(n)) {
				return true
			}
		}
		return false
	}
	o := &remotecommand.Options{Stdin: on("input", "stdin"), Stdout: on("output", "stdout"), Stderr: on("error", "stderr"), TTY: on("tty")}
	if o.TTY {
		o.Stderr = false // a terminal has one output
	}
	if !o.Stdin && !o.Stdout && !o.Stderr {
		return nil, errors.New("you must specify at least 1 of stdin, stdout, stderr")
	}
	return o, nil
}

// streams connects one request's streams with a container.
type streams struct {
	*server
	container cri.Container
}

func (s streams) config(in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, done <-chan struct{}) cri.ExecConfig {
	e := cri.ExecConfig{TTY: tty}
	if in != nil {
		e.Stdin = in
	}
	if out != nil {
		e.Stdout = out
	}
	if errs != nil {
		e.Stderr = errs
	}
	if resize != nil {
		sizes := make(chan cri.Size)
		e.Resize = sizes
		go func() { // until the request is done or the client closes
			defer close(sizes)
			for {
				select {
				case <-done:
					return
				case size, ok := <-resize:
					if !ok {
						return
					}
					select {
					case sizes <- cri.Size{Width: size.Width, Height: size.Height}:
					case <-done:
						return
					}
				}
			}
		}()
	}
	return e
}

// ExecInContainer implements remotecommand.Executor.
func (s streams) ExecInContainer(ctx context.Context, _, _, _ string, args []string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, timeout time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e := s.config(in, out, errs, tty, resize, ctx.Done())
	e.Args, e.Timeout = args, timeout
	code, err := s.Runtime.Exec(ctx, s.container.PodUID, s.container.ID, e)
	if err != nil {
		return err
	}
	if code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: code}
	}
	return nil
}

// AttachContainer implements remotecommand.Attacher.
func (s streams) AttachContainer(ctx context.Context, _, _, _ string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return s.Runtime.Attach(ctx, s.container.PodUID, s.container.ID, s.config(in, out, errs, tty, resize, ctx.Done()))
}

// portForward forwards connections to ports of a pod.
func (s *server) portForward(w http.ResponseWriter, r *http.Request) {
	pod := s.pod(w, r)
	if pod == nil {
		return
	}
	o, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, s, pod.Name, string(pod.UID), o, idleTimeout, creationTimeout, portforward.SupportedProtocols)
}

// PortForward implements portforward.PortForwarder: it copies between stream
// and a connection made inside the pod's network namespace, so that servers
// which listen on its loopback alone are reached.
func (s *server) PortForward(ctx context.Context, _, uid string, port int32, stream io.ReadWriteCloser) error {
	netns, err := s.Addresses(uid)
	if err != nil {
		return err
	}
	c, err := dialIn(ctx, netns, port)
	if err != nil {
		return fmt.Errorf("failed to connect to port %d of the pod: %w", port, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	go func() { // ends when the client closes the stream, or with the connection
		if _, err := io.Copy(c, stream); err != nil {
			c.Close()
		} else if t, ok := c.(*net.TCPConn); ok {
			t.CloseWrite() // fails if the pod has closed: then all is over
		}
	}()
	_, err = io.Copy(stream, c)
	return err
}

// dialTimeout bounds connecting within a pod.
const dialTimeout = 10 * time.Second

// dialIn connects to a port of the loopback of a network namespace. A socket
// belongs to the namespace of the thread that made it, so the thread enters
// the namespace for the call.
func dialIn(ctx context.Context, netns string, port int32) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	p := strconv.Itoa(int(port))
	connect := func() (net.Conn, error) {
		c, err := d.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", p))
		if err != nil {
			if six, err6 := d.DialContext(ctx, "tcp6", net.JoinHostPort("::1", p)); err6 == nil {
				return six, nil
			}
		}
		return c, err
	}
	if netns == "" {
		return connect()
	}
	type result struct {
		c   net.Conn
		err error
	}
	done := make(chan result, 1)
	go func() { // ends with the connection attempt
		runtime.LockOSThread()
		// Without UnlockOSThread the thread, which is in the pod's namespace
		// now, ends with the goroutine.
		fd, err := unix.Open(netns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			done <- result{err: fmt.Errorf("network namespace %s: %w", netns, err)}
			return
		}
		defer unix.Close(fd)
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			done <- result{err: fmt.Errorf("enter network namespace %s: %w", netns, err)}
			return
		}
		c, err := connect()
		done <- result{c, err}
	}()
	r := <-done
	return r.c, r.err
}
