package depot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// watcher tells what others do in the tenants' folders, by inotify(7).
type watcher struct {
	file *os.File
	fd   int // file's; File.Fd would make reads block

	mu    sync.Mutex
	names map[int32]string // tenants by watch; guarded by mu
}

// change is something that happened to a name in a tenant's folder.
type change struct {
	tenant, file string
	dir, gone    bool
	overflow     bool // changes were lost: look at everything
}

// watched are the events that matter: a file that is being written is no news
// until it is closed.
const watched = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_CREATE | unix.IN_ONLYDIR

func newWatcher() (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init", err)
	}
	return &watcher{file: os.NewFile(uintptr(fd), "inotify"), fd: fd, names: map[int32]string{}}, nil
}

func (w *watcher) add(dir, tenant string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	id, err := unix.InotifyAddWatch(w.fd, dir, watched)
	if err != nil {
		return &os.PathError{Op: "inotify_add_watch", Path: dir, Err: err}
	}
	w.names[int32(id)] = tenant
	return nil
}

// next waits for changes.
func (w *watcher) next() ([]change, error) {
	buf := make([]byte, 1<<16)
	n, err := w.file.Read(buf)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var changes []change
	// struct inotify_event: wd int32, mask, cookie, len uint32, name [len]byte.
	for rest := buf[:n]; len(rest) >= unix.SizeofInotifyEvent; {
		id := int32(binary.NativeEndian.Uint32(rest))
		mask := binary.NativeEndian.Uint32(rest[4:])
		size := int(binary.NativeEndian.Uint32(rest[12:]))
		if len(rest) < unix.SizeofInotifyEvent+size {
			return nil, errors.New("inotify: short event")
		}
		name, _, _ := bytes.Cut(rest[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+size], []byte{0})
		rest = rest[unix.SizeofInotifyEvent+size:]
		tenant, known := w.names[id]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			changes = append(changes, change{overflow: true})
		case mask&unix.IN_IGNORED != 0:
			delete(w.names, id)
		case known && (mask&unix.IN_CREATE == 0 || mask&unix.IN_ISDIR != 0):
			changes = append(changes, change{
				tenant: tenant, file: string(name), dir: mask&unix.IN_ISDIR != 0,
				gone: mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0,
			})
		}
	}
	return changes, nil
}

// stop makes next return; what it returns then is to be ignored.
func (w *watcher) stop() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) }

func (w *watcher) close() error { return w.file.Close() }
