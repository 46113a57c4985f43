package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	protocol "k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/client-go/tools/remotecommand"
	transport "k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

const (
	// streamIdle ends a stream on which nothing happens; the kubelet's value.
	streamIdle = 4 * time.Hour
	// pingEvery keeps the connection to an agent alive and finds dead ones.
	pingEvery = 5 * time.Second
	// statusTimeout bounds writing the outcome to a client that may be gone.
	statusTimeout = 10 * time.Second
)

// command serves exec and attach.
func (s *Server) command(w http.ResponseWriter, r *http.Request, t Target, verb string) error {
	q := r.URL.Query()
	pod, container, err := s.pod(r.Context(), t, q.Get("container"))
	if err != nil {
		return err
	}
	node, err := host(pod)
	if err != nil {
		return err
	}
	streams, err := wantedStreams(q)
	if err != nil {
		return err
	}
	if !httpstream.IsUpgradeRequest(r) {
		return apierrors.NewBadRequest("Upgrade request required")
	}
	to := nodeURL(node, "/"+verb+"/"+pod.Namespace+"/"+pod.Name+"/"+container, streams.query(q["command"]))
	if wsstream.IsWebSocketRequestWithStreamCloseProtocol(r) {
		s.translate(w, r, to, streams)
		return nil
	}
	return forward(w, r, to, s.nodes, func(err error) error { return unreachable(node, err) })
}

// streams says which streams a client asked for.
type streams struct{ stdin, stdout, stderr, tty bool }

// wantedStreams reads the query of exec and attach. A terminal has one output,
// so with tty there is no stderr.
func wantedStreams(q url.Values) (streams, error) {
	p := logParser{query: q}
	w := streams{stdin: p.flag("stdin"), stdout: p.flag("stdout"), stderr: p.flag("stderr"), tty: p.flag("tty")}
	w.stderr = w.stderr && !w.tty
	if !w.stdin && !w.stdout && !w.stderr {
		return w, apierrors.NewBadRequest("you must specify at least 1 of stdin, stdout, stderr")
	}
	return w, nil
}

// query is the kubelet's way to say it.
func (w streams) query(command []string) url.Values {
	q := url.Values{}
	for name, set := range map[string]bool{corev1.ExecStdinParam: w.stdin, corev1.ExecStdoutParam: w.stdout,
		corev1.ExecStderrParam: w.stderr, corev1.ExecTTYParam: w.tty} {
		if set {
			q.Set(name, "1")
		}
	}
	for _, c := range command {
		q.Add(corev1.ExecCommandParam, c)
	}
	return q
}

// translate connects a WebSocket client (v5.channel.k8s.io) with the agent's
// SPDY stream. Once the client is connected, errors go to its error channel.
func (s *Server) translate(w http.ResponseWriter, r *http.Request, to *url.URL, want streams) {
	// The WebSocket library logs clients that go away; that is no news here.
	ctx, cancel := context.WithCancel(klog.NewContext(r.Context(), klog.Logger{}))
	defer cancel()
	c, err := openSocket(w, r.WithContext(ctx), want)
	if err != nil {
		return // the WebSocket library has answered
	}
	defer c.conn.Close()
	sizes := make(chan remotecommand.TerminalSize)
	go func() { // ends when the socket closes
		defer cancel() // a client that is gone ends the command
		defer close(sizes)
		if want.tty {
			readSizes(ctx, c.resize, sizes)
		} else {
			io.Copy(io.Discard, c.resize)
		}
	}()
	c.report(s.execute(ctx, to, want, c, sizes))
}

// execute runs the agent's side until the command ends.
func (s *Server) execute(ctx context.Context, to *url.URL, want streams, c *socket, sizes <-chan remotecommand.TerminalSize) error {
	tripper, err := spdy.NewRoundTripperWithConfig(spdy.RoundTripperConfig{UpgradeTransport: s.nodes, PingPeriod: pingEvery})
	if err != nil {
		return err
	}
	executor, err := remotecommand.NewSPDYExecutorRejectRedirects(tripper, transport.NewUpgraderForStreaming(tripper), http.MethodPost, to)
	if err != nil {
		return err
	}
	o := remotecommand.StreamOptions{Tty: want.tty}
	if want.stdin {
		o.Stdin = c.stdin
	}
	if want.stdout {
		o.Stdout = c.stdout
	}
	if want.stderr {
		o.Stderr = c.stderr
	}
	if want.tty {
		o.TerminalSizeQueue = sizeQueue(sizes)
	}
	return executor.StreamWithContext(ctx, o)
}

// socket is the client's side: one WebSocket with five channels.
type socket struct {
	conn           *wsstream.Conn
	stdin, resize  io.Reader
	stdout, stderr io.Writer
	status         io.Writer
}

// openSocket accepts the WebSocket.
func openSocket(w http.ResponseWriter, r *http.Request, want streams) (*socket, error) {
	channel := func(set bool, t wsstream.ChannelType) wsstream.ChannelType {
		if set {
			return t
		}
		return wsstream.IgnoreChannel
	}
	types := make([]wsstream.ChannelType, protocol.StreamResize+1)
	types[protocol.StreamStdIn] = channel(want.stdin, wsstream.ReadChannel)
	types[protocol.StreamStdOut] = channel(want.stdout, wsstream.WriteChannel)
	types[protocol.StreamStdErr] = channel(want.stderr, wsstream.WriteChannel)
	types[protocol.StreamErr] = wsstream.WriteChannel
	types[protocol.StreamResize] = wsstream.ReadChannel
	conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{
		protocol.StreamProtocolV5Name: {Binary: true, Channels: types}})
	conn.SetIdleTimeout(streamIdle)
	_, channels, err := conn.Open(w, r)
	if err != nil {
		return nil, err
	}
	c := &socket{conn: conn, stdin: channels[protocol.StreamStdIn], resize: channels[protocol.StreamResize],
		stdout: channels[protocol.StreamStdOut], stderr: channels[protocol.StreamStdErr], status: channels[protocol.StreamErr]}
	// An empty message tells the client that the connection stands.
	first := c.status
	if want.stdout {
		first = c.stdout
	}
	if _, err := first.Write(nil); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// report writes how the command ended.
func (c *socket) report(err error) {
	data, merr := json.Marshal(outcome(err))
	if merr != nil {
		return
	}
	c.conn.SetWriteDeadline(statusTimeout)
	c.status.Write(data) // a client that is gone needs no outcome
}

// outcome is the Status that remote command clients expect.
func outcome(err error) metav1.Status {
	var status *apierrors.StatusError
	var exit exec.CodeExitError
	switch {
	case err == nil:
		return metav1.Status{Status: metav1.StatusSuccess}
	case errors.As(err, &status):
		return status.Status()
	case errors.As(err, &exit):
		return metav1.Status{
			Status: metav1.StatusFailure,
			Reason: protocol.NonZeroExitCodeReason,
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{
				{Type: protocol.ExitCodeCauseType, Message: strconv.Itoa(exit.ExitStatus())}}},
			Message: fmt.Sprintf("command terminated with non-zero exit code: %v", exit),
		}
	}
	return apierrors.NewInternalError(err).Status()
}

// readSizes decodes terminal sizes until the socket closes.
func readSizes(ctx context.Context, r io.Reader, sizes chan<- remotecommand.TerminalSize) {
	for d := json.NewDecoder(r); ; {
		var size remotecommand.TerminalSize
		if err := d.Decode(&size); err != nil {
			io.Copy(io.Discard, r) // after nonsense: until the socket closes
			return
		}
		select {
		case sizes <- size:
		case <-ctx.Done():
			return
		}
	}
}

// sizeQueue hands sizes to the SPDY client.
type sizeQueue <-chan remotecommand.TerminalSize

// Next blocks until there is a size, or returns nil at the end.
func (q sizeQueue) Next() *remotecommand.TerminalSize {
	size, ok := <-q
	if !ok {
		return nil
	}
	return &size
}
