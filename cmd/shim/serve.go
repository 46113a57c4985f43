package main

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/container/wire"
)

// A client that does not read for sendTimeout is let go, so that it cannot stop
// a container.
const sendTimeout = 5 * time.Second

// listen opens the unix socket without the net package, as a file that the
// runtime can wait for without a thread.
func listen(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, errors.New("socket: " + err.Error())
	}
	_ = os.Remove(path) // of a shim that was killed: the lock is ours
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, errors.New("bind " + path + ": " + err.Error())
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, err
	}
	if err := unix.Listen(fd, 16); err != nil {
		return nil, errors.New("listen: " + err.Error())
	}
	return os.NewFile(uintptr(fd), path), nil
}

// serve answers requests until one says quit.
func (s *shim) serve(listener *os.File) error {
	raw, err := listener.SyscallConn()
	if err != nil {
		return err
	}
	quit := make(chan struct{})
	failed := make(chan error, 1)
	go func() { // ends with the program
		for {
			var fd int
			var aerr error
			err := raw.Read(func(l uintptr) bool {
				fd, _, aerr = unix.Accept4(int(l), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
				return aerr != unix.EAGAIN
			})
			if err == nil {
				err = aerr
			}
			if err == unix.ECONNABORTED || err == unix.EINTR {
				continue
			}
			if err != nil {
				failed <- err
				return
			}
			conn := os.NewFile(uintptr(fd), "client")
			go func() { // ends with the connection
				if s.handle(conn) {
					close(quit)
				}
			}()
		}
	}()
	select {
	case <-quit:
		s.quit()
		return nil
	case err := <-failed:
		return errors.New("accept: " + err.Error())
	}
}

// handle answers one connection's request; it returns true to end the shim.
func (s *shim) handle(conn *os.File) (quit bool) {
	defer conn.Close()
	line, err := readLine(conn)
	if err != nil {
		return false
	}
	f := wire.Split(line)
	switch {
	case f[0] == wire.OpStart:
		start, err := wire.ParseStart(f)
		if err != nil {
			answer(conn, err)
			return false
		}
		c, err := s.startContainer(start)
		if err != nil {
			answer(conn, err)
			return false
		}
		answer(conn, nil, itoa(c.pid))
	case f[0] == wire.OpWatch:
		s.watch(conn)
	case f[0] == wire.OpQuit:
		answer(conn, nil)
		return true
	case len(f) == 3 && f[0] == wire.OpSignal:
		n, err := strconv.Atoi(f[2])
		if c := s.find(f[1]); c != nil && err == nil { // one that ended needs no signal
			err = c.signal(unix.Signal(n))
		}
		answer(conn, err)
	case len(f) == 2 && f[0] == wire.OpReopen:
		if c := s.find(f[1]); c != nil {
			err = c.log.reopen()
		}
		answer(conn, err)
	case len(f) == 2 && f[0] == wire.OpAttach:
		c := s.find(f[1])
		if c == nil {
			answer(conn, errors.New("container "+f[1]+" does not run"))
			return false
		}
		c.attach(conn)
	default:
		answer(conn, errors.New("unknown request "+f[0]))
	}
	return false
}

// answer sends ok and fields, or the error.
func answer(conn *os.File, err error, fields ...string) {
	line := wire.Join(append([]string{wire.OK}, fields...)...)
	if err != nil {
		line = wire.Join(wire.Error, err.Error())
	}
	_ = conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	_, _ = conn.WriteString(line)
}

func (s *shim) find(id string) *container {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.containers[id]
}

// watch tells what runs, then each end, until the client closes.
func (s *shim) watch(conn *os.File) {
	s.starting.Lock()
	s.mu.Lock()
	s.starting.Unlock()
	lines := wire.Join(wire.OK, itoa(os.Getpid()), itoa(s.pausePID))
	for id, c := range s.containers {
		lines += wire.Join(wire.Running, id, itoa(c.pid))
	}
	lines += wire.Join(wire.End)
	_ = conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	_, err := conn.WriteString(lines)
	if err == nil {
		s.watchers[conn] = true
	}
	s.mu.Unlock()
	_, _ = readLine(conn) // returns when the client closes
	s.mu.Lock()
	delete(s.watchers, conn)
	s.mu.Unlock()
}

// tell sends a line to all watchers.
func (s *shim) tell(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.watchers {
		_ = conn.SetWriteDeadline(time.Now().Add(sendTimeout))
		if _, err := conn.WriteString(line); err != nil {
			delete(s.watchers, conn)
			_ = conn.Close()
		}
	}
}

// client is an attached connection.
type client struct {
	conn   *os.File
	mu     sync.Mutex
	header [wire.FrameHeader]byte // guarded by mu
	once   sync.Once
	gone   chan struct{}
}

func (cl *client) close() {
	cl.once.Do(func() {
		close(cl.gone)
		_ = cl.conn.Close()
	})
}

func (cl *client) send(kind byte, data []byte) error {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	_ = cl.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	wire.PutFrameHeader(cl.header[:], kind, len(data))
	if _, err := cl.conn.Write(cl.header[:]); err != nil {
		return err
	}
	_, err := cl.conn.Write(data)
	return err
}

// attach serves frames until the client goes or the container ends.
func (c *container) attach(conn *os.File) {
	cl := &client{conn: conn, gone: make(chan struct{})}
	answer(conn, nil)
	c.mu.Lock()
	c.clients[cl] = true
	c.mu.Unlock()
	closed := c.feed(cl)
	c.mu.Lock()
	if c.start.StdinOnce && c.stdin != nil && c.console == nil {
		_ = c.stdin.Close()
		c.stdin = nil
	}
	c.mu.Unlock()
	if closed { // end of input only: output goes on
		<-cl.gone
	}
	c.mu.Lock()
	delete(c.clients, cl)
	c.mu.Unlock()
	cl.close()
}

// feed passes a client's input on. It returns true at the end of input, false
// when the client has gone.
func (c *container) feed(cl *client) bool {
	header := make([]byte, wire.FrameHeader)
	var data []byte
	for {
		if readFull(cl.conn, header) != nil {
			return false
		}
		n := wire.FrameLength(header)
		if n > wire.MaxFrame {
			return false
		}
		if cap(data) < n {
			data = make([]byte, n)
		}
		data = data[:n]
		if readFull(cl.conn, data) != nil {
			return false
		}
		switch {
		case header[0] == wire.FrameResize && n == 4 && c.console != nil:
			c.resize(uint16(data[0])<<8|uint16(data[1]), uint16(data[2])<<8|uint16(data[3]))
		case header[0] == wire.FrameStdin && n == 0:
			go func() { // notices the client's close; ends with the connection
				_, _ = readLine(cl.conn)
				cl.close()
			}()
			return true
		case header[0] == wire.FrameStdin:
			c.mu.Lock()
			stdin := c.stdin
			c.mu.Unlock()
			if stdin != nil {
				_, _ = stdin.Write(data) // a container that closed its input drops it
			}
		}
	}
}

func (c *container) resize(width, height uint16) {
	raw, err := c.console.SyscallConn() // File.Fd would make it block
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height})
	})
}

func readFull(f *os.File, b []byte) error {
	for len(b) > 0 {
		n, err := f.Read(b)
		b = b[n:]
		if err != nil && len(b) > 0 {
			return err
		}
	}
	return nil
}

// readLine reads up to the newline or the end, and no further than a client
// that waits for an answer sent.
func readLine(f *os.File) (string, error) {
	var line strings.Builder
	b := make([]byte, 1)
	for line.Len() < wire.MaxLine {
		n, err := f.Read(b)
		if n == 1 {
			if b[0] == '\n' {
				return line.String(), nil
			}
			line.WriteByte(b[0])
		}
		if err != nil {
			return line.String(), err
		}
	}
	return "", errors.New("line too long")
}

// receiveFile takes the descriptor that comes through a socket: the terminal.
func receiveFile(socket *os.File) (*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	name := make([]byte, 4096)
	_, n, _, _, err := unix.Recvmsg(int(socket.Fd()), name, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, errors.New("receive terminal: " + err.Error())
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return nil, errors.New("receive terminal: no descriptor came")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.New("receive terminal: no descriptor came")
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "terminal"), nil
}
