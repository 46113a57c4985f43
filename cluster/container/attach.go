package container

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/seed38700745/pkg/cluster/container/wire"
	"github.com/seed38700745/pkg/cluster/cri"
)

// Attach connects to a running container's first process until it ends, the
// context does, or the input's reader fails.
func (r *Runtime) Attach(ctx context.Context, podUID, id string, e cri.ExecConfig) error {
	s, rec, err := r.container(podUID, id)
	if err != nil {
		return err
	}
	conn, err := dial(ctx, s.run)
	if err != nil {
		return fmt.Errorf("attach to container %s: shim: %w", rec.Config.Name, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	in := bufio.NewReader(conn)
	if _, err := exchange(conn, in, wire.OpAttach, id); err != nil {
		return fmt.Errorf("attach to container %s: %w", rec.Config.Name, err)
	}
	done := make(chan struct{})
	defer close(done)
	sender := &frameWriter{conn: conn}
	if e.Stdin != nil {
		go sender.copyInput(e.Stdin) // ends with the source, or the first write after the end
	}
	if e.Resize != nil {
		go sender.resizes(e.Resize, done)
	}
	err = copyOutput(in, e)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("attach to container %s: %w", rec.Config.Name, err)
	}
	return nil
}

// copyOutput passes frames on until the shim closes the connection.
func copyOutput(in *bufio.Reader, e cri.ExecConfig) error {
	header := make([]byte, wire.FrameHeader)
	data := make([]byte, wire.MaxFrame)
	for {
		if _, err := io.ReadFull(in, header); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		n := wire.FrameLength(header)
		if n > len(data) {
			return errors.New("shim sent a frame that is too long")
		}
		if _, err := io.ReadFull(in, data[:n]); err != nil {
			return err
		}
		to := e.Stdout
		if header[0] == wire.FrameStderr {
			to = e.Stderr
		}
		if to == nil {
			continue
		}
		if _, err := to.Write(data[:n]); err != nil {
			return err
		}
	}
}

// frameWriter sends frames to the shim.
type frameWriter struct {
	mu   sync.Mutex
	conn net.Conn // guarded by mu
}

func (w *frameWriter) send(kind byte, data []byte) error {
	frame := make([]byte, wire.FrameHeader+len(data))
	wire.PutFrameHeader(frame, kind, len(data))
	copy(frame[wire.FrameHeader:], data)
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.conn.Write(frame)
	return err
}

func (w *frameWriter) copyInput(from io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if n > 0 && w.send(wire.FrameStdin, buf[:n]) != nil {
			return
		}
		if err != nil {
			_ = w.send(wire.FrameStdin, nil)
			return
		}
	}
}

func (w *frameWriter) resizes(sizes <-chan cri.Size, done <-chan struct{}) {
	for {
		select {
		case s, ok := <-sizes:
			if !ok {
				return
			}
			_ = w.send(wire.FrameResize, []byte{byte(s.Width >> 8), byte(s.Width), byte(s.Height >> 8), byte(s.Height)})
		case <-done:
			return
		}
	}
}
