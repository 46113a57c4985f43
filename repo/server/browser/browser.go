// Package browser drives a headless Chromium for tests: it opens pages, runs
// scripts in them, and tells what they asked for and what they showed.
//
// It speaks the DevTools protocol over two pipes (--remote-debugging-pipe: JSON
// messages that end in a NUL), so that nothing listens anywhere and nothing but
// Chromium itself is needed. Chromium starts without sandbox, as tests run as root.
package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

// Program is Debian's Chromium.
const Program = "chromium"

// Browser is a running Chromium.
type Browser struct {
	cmd  *exec.Cmd
	dir  string // of the profile
	in   *os.File
	read chan struct{} // closed when the output ended

	mu      sync.Mutex
	last    int                     // guarded by mu
	waiting map[int]chan answer     // guarded by mu
	events  map[string]func(*event) // by session; guarded by mu
	failure error                   // why there are no more answers; guarded by mu
}

// message is one of the protocol, in either direction.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

type answer struct {
	result json.RawMessage
	err    error
}

type event struct {
	method string
	params json.RawMessage
}

// Start starts Chromium with an empty profile.
func Start() (*Browser, error) {
	dir, err := os.MkdirTemp("", "browser")
	if err != nil {
		return nil, err
	}
	b := &Browser{dir: dir, read: make(chan struct{}), waiting: map[int]chan answer{}, events: map[string]func(*event){}}
	if err := b.start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return b, nil
}

func (b *Browser) start() error {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return errors.Join(err, theirIn.Close(), in.Close())
	}
	b.in = in
	b.cmd = exec.Command(Program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--disable-extensions", "--hide-scrollbars", "--remote-debugging-pipe", "--user-data-dir="+b.dir, "about:blank")
	b.cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	if err := b.cmd.Start(); err != nil {
		return errors.Join(err, theirIn.Close(), theirOut.Close(), in.Close(), out.Close())
	}
	go b.follow(out) // ends with Chromium
	return errors.Join(theirIn.Close(), theirOut.Close())
}

// follow hands out what Chromium says.
func (b *Browser) follow(out *os.File) {
	defer close(b.read)
	defer out.Close()
	r := bufio.NewReader(out)
	for {
		data, err := r.ReadBytes(0)
		if err != nil {
			b.fail(fmt.Errorf("chromium ended: %w", err))
			return
		}
		var m message
		if err := json.Unmarshal(bytes.TrimSuffix(data, []byte{0}), &m); err != nil {
			b.fail(fmt.Errorf("chromium: %w", err))
			return
		}
		b.mu.Lock()
		if m.ID == 0 {
			handle := b.events[m.Session]
			b.mu.Unlock()
			if handle != nil {
				handle(&event{m.Method, m.Params})
			}
			continue
		}
		done := b.waiting[m.ID]
		delete(b.waiting, m.ID)
		b.mu.Unlock()
		if done == nil {
			continue // nobody waits any more
		}
		a := answer{result: m.Result}
		if m.Error != nil {
			a.err = errors.New(m.Error.Message)
		}
		done <- a
	}
}

// fail ends everybody's waiting.
func (b *Browser) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failure = err
	for id, done := range b.waiting {
		done <- answer{err: err}
		delete(b.waiting, id)
	}
}

// call sends a command and decodes its result into result, which may be nil.
func (b *Browser) call(ctx context.Context, session, method string, params, result any) error {
	data, err := json.Marshal(params)
	if err != nil {
		return err
	}
	if params == nil {
		data = []byte("{}")
	}
	done := make(chan answer, 1)
	b.mu.Lock()
	if b.failure != nil {
		b.mu.Unlock()
		return b.failure
	}
	b.last++
	m := message{ID: b.last, Session: session, Method: method, Params: data}
	b.waiting[m.ID] = done
	line, err := json.Marshal(m)
	if err == nil {
		_, err = b.in.Write(append(line, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case a := <-done:
		if a.err != nil {
			return fmt.Errorf("%s: %w", method, a.err)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(a.result, result)
	case <-ctx.Done():
		return fmt.Errorf("chromium does not answer %s: %w", method, context.Cause(ctx))
	}
}

// Close ends Chromium and removes its profile.
func (b *Browser) Close() error {
	err := b.in.Close() // Chromium ends with its pipe
	kill := b.cmd.Process.Kill()
	if errors.Is(kill, os.ErrProcessDone) {
		kill = nil
	}
	_ = b.cmd.Wait() // it was killed
	<-b.read
	if errors.Is(err, io.ErrClosedPipe) {
		err = nil
	}
	return errors.Join(err, kill, removeProfile(b.dir))
}

// removeProfile removes the profile; Chromium's own children may write to it for a
// moment after its end.
func removeProfile(dir string) error {
	const tries = 100
	var err error
	for range tries {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
	}
	return err
}
