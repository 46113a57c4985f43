package container

import (
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/cri"
)

// terminal is our end of a command's terminal.
type terminal struct {
	master *os.File
	output chan struct{} // closed when all output was copied
	done   chan struct{} // closed by close
}

// openTerminal receives the terminal's master through the console socket and
// copies both ways. It returns nil when the command did not start.
func openTerminal(console *os.File, e cri.ExecConfig) *terminal {
	master, err := receiveFile(console)
	if err != nil {
		return nil
	}
	t := &terminal{master: master, output: make(chan struct{}), done: make(chan struct{})}
	out := e.Stdout
	if out == nil {
		out = io.Discard
	}
	go func() { // ends with the last process that has the terminal open, or close
		defer close(t.output)
		_, _ = io.Copy(out, master)
	}()
	if e.Stdin != nil {
		go func() { _, _ = io.Copy(master, e.Stdin) }() // ends with the source, or the first write after close
	}
	if e.Resize != nil {
		go func() { // until close, or the end of sizes
			for {
				select {
				case size, ok := <-e.Resize:
					if !ok {
						return
					}
					t.resize(size)
				case <-t.done:
					return
				}
			}
		}()
	}
	return t
}

func (t *terminal) resize(size cri.Size) {
	raw, err := t.master.SyscallConn() // File.Fd would make it block
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Col: size.Width, Row: size.Height})
	})
}

// drain waits for the output that is left after the command's end.
func (t *terminal) drain() {
	select {
	case <-t.output:
	case <-time.After(outputTimeout):
	}
}

func (t *terminal) close() {
	close(t.done)
	_ = t.master.Close()
}

// receiveFile takes the one descriptor that comes through a socket.
func receiveFile(socket *os.File) (*os.File, error) {
	conn, err := net.FileConn(socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	oob := make([]byte, unix.CmsgSpace(4))
	name := make([]byte, 4096)
	_, n, _, _, err := conn.(*net.UnixConn).ReadMsgUnix(name, oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return nil, err
	}
	if len(messages) != 1 {
		return nil, io.ErrUnexpectedEOF
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(fds[0])
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "terminal"), nil
}
