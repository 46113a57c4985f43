package chart

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	"github.com/seed38700745/pkg/chart/ignore"
)

// loadDir reads a chart from a directory, without what .helmignore names.
func loadDir(dir string, vals map[string]any) (*Chart, error) {
	top, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(top, IgnorefileName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	rules, err := ignore.Parse(text)
	if err != nil {
		return nil, err
	}
	w := walker{top: top, rules: rules, vals: vals}
	if err := w.load(); err != nil {
		return nil, err
	}
	return loadFiles(w.files, outset{vals: vals, defaults: w.defaults})
}

// walker finds a folder's regular files in lexical order, and reads them.
type walker struct {
	top   string
	rules *ignore.Rules
	links int // symbolic links met so far

	vals     map[string]any // what the chart will be rendered with; nil if that is open
	switches *switches      // the chart's, once they were asked for
	values   []byte         // its values.yaml, if that was read for them
	defaults map[string]any // what this holds

	mu     sync.Mutex
	files  []File
	failed int   // the first of the files that could not be read
	err    error // its error
	next   int   // the file to be read next
	walked bool  // there will be no more files
	more   *sync.Cond
	wg     sync.WaitGroup // of readers
}

// parallelFiles is the number of files from which several goroutines read them, while
// others are still looked for: below that starting them takes longer.
const parallelFiles = 48

// load finds and reads the files. The error is that of the first one, in their order.
func (w *walker) load() error {
	w.more = sync.NewCond(&w.mu)
	err := w.walk("", false)
	w.mu.Lock()
	w.walked = true
	w.more.Broadcast()
	w.mu.Unlock()
	if err == nil {
		w.read()
	}
	w.wg.Wait()
	if err == nil {
		err = w.err
	}
	return err
}

// add takes in a file that is to be read.
func (w *walker) add(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files = append(w.files, File{Name: name})
	if len(w.files) == parallelFiles {
		for range runtime.GOMAXPROCS(0) - 1 {
			w.wg.Go(w.read)
		}
	}
	w.more.Signal()
}

// read reads files until there are no more.
func (w *walker) read() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for w.next == len(w.files) {
			if w.walked {
				return
			}
			w.more.Wait()
		}
		n := w.next
		w.next++
		name := w.files[n].Name
		data, err := w.values, error(nil)
		if data == nil || name != ValuesfileName {
			w.mu.Unlock()
			data, err = readFile(w.top, name)
			w.mu.Lock()
		}
		w.files[n].Data = data
		if err != nil && (w.err == nil || n < w.failed) {
			w.failed, w.err = n, err
		}
	}
}

// walk adds the files below a folder, without their content; off means that they belong
// to a subchart that is turned off.
func (w *walker) walk(dir string, off bool) error {
	entries, err := os.ReadDir(filepath.Join(w.top, dir))
	if err != nil {
		return err
	}
	inCharts := path.Base(dir) == DependencyDir
	for _, e := range entries {
		if off && !inCharts && e.Name() != DependencyDir && !bareFile(e.Name()) {
			continue
		}
		name := path.Join(dir, e.Name())
		mode, isLink := e.Type(), e.Type()&fs.ModeSymlink != 0
		if isLink {
			if mode, err = w.follow(name); err != nil {
				return err
			}
		}
		if w.rules.Ignore(name, mode.IsDir()) {
			continue
		}
		switch {
		case mode.IsDir():
			if isLink {
				err = w.checkCycle(name)
			}
			if err == nil {
				err = w.walk(name, off || inCharts && w.turnedOff(name))
			}
			if err != nil {
				return err
			}
		case mode.IsRegular():
			w.add(name)
		default:
			return fmt.Errorf("cannot load irregular file %s as it has file mode type bits set", filepath.Join(w.top, name))
		}
	}
	return nil
}

// maxLinks bounds the symbolic links that are followed in one chart: a few folders, each
// with some links to the next one, make endless trees without a cycle.
const maxLinks = 10000

// follow returns the type of what a symbolic link leads to, also when that is outside
// of the chart. It says so, as Helm does: who gave them the chart may want their files.
func (w *walker) follow(name string) (fs.FileMode, error) {
	if w.links++; w.links > maxLinks {
		return 0, fmt.Errorf("more than %d symbolic links (at %s)", maxLinks, filepath.Join(w.top, name))
	}
	link := filepath.Join(w.top, name)
	target, err := filepath.EvalSymlinks(link)
	if err != nil {
		return 0, fmt.Errorf("error evaluating symlink %s: %w", link, err)
	}
	log.Printf("found symbolic link in path: %s resolves to %s. Contents of linked file included and used", link, target)
	info, err := os.Lstat(target)
	if err != nil {
		return 0, err
	}
	return info.Mode(), nil
}

// checkCycle refuses a link to one of the folders that it is in.
func (w *walker) checkCycle(link string) error {
	target, err := os.Stat(filepath.Join(w.top, link))
	if err != nil {
		return err
	}
	for in := path.Dir(link); ; in = path.Dir(in) {
		folder := filepath.Join(w.top, in)
		info, err := os.Stat(folder)
		if err != nil {
			return err
		}
		if os.SameFile(info, target) {
			return fmt.Errorf("symbolic link %s leads back to %s, which it is in: remove the link, or name it in %s", filepath.Join(w.top, link), folder, IgnorefileName)
		}
		if in == "." {
			return nil
		}
	}
}

// readFile reads one file of a chart, up to the size that it has when it is opened.
// An os.File would cost two system calls more, to find out that it cannot be polled.
func readFile(top, name string) ([]byte, error) {
	file := filepath.Join(top, name)
	failed := func(op string, err error) error {
		return fmt.Errorf("error reading %s: %w", name, &fs.PathError{Op: op, Path: file, Err: err})
	}
	fd, err := uninterrupted(func() (int, error) { return syscall.Open(file, syscall.O_RDONLY|syscall.O_CLOEXEC, 0) })
	if err != nil {
		return nil, failed("open", err)
	}
	defer syscall.Close(fd)
	var info syscall.Stat_t
	if _, err := uninterrupted(func() (int, error) { return 0, syscall.Fstat(fd, &info) }); err != nil {
		return nil, failed("stat", err)
	}
	if info.Size > MaxFileSize {
		return nil, fmt.Errorf("chart file %q is larger than the maximum file size %d", path.Base(name), MaxFileSize)
	}
	data := make([]byte, info.Size)
	read := 0
	for read < len(data) {
		n, err := uninterrupted(func() (int, error) { return syscall.Read(fd, data[read:]) })
		if err != nil {
			return nil, failed("read", err)
		}
		if n == 0 { // the file became shorter
			break
		}
		read += n
	}
	return bytes.TrimPrefix(data[:read], utf8bom), nil
}

// uninterrupted repeats a system call that a signal interrupted.
func uninterrupted(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}
