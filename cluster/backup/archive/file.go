package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Suffix is the end of an archive's file name.
const Suffix = ".tar.zst"

// partialSuffix ends the names of files that Create has not finished.
const partialSuffix = ".partial"

// ErrBusy says that another process writes the same file.
var ErrBusy = errors.New("another process is writing it")

// Create makes the file path, readable by its owner alone, with what write
// writes, or, when that fails, leaves what was there. The content is on disk
// when Create returns. Until then it has the name .<name>.partial, which the
// next Create takes over if this one was killed. Errors: ErrBusy, write's, the
// disk's.
func Create(path string, write func(io.Writer) error) (err error) {
	partial := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+partialSuffix)
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.OpenFile(partial, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s: %w", path, ErrBusy)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(partial))
		}
	}()
	if err := errors.Join(f.Chmod(0o600), f.Truncate(0)); err != nil {
		return err
	}
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(partial, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Tidy removes what a Create that was killed has left in a folder in which
// nobody else creates files now.
func Tidy(dir string) error {
	found, err := filepath.Glob(filepath.Join(dir, ".*"+partialSuffix))
	if err != nil {
		return err
	}
	for _, f := range found {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Info is an archive in a folder.
type Info struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
	Header
	// Error tells why the file is no archive that can be read; the header is
	// empty then. The content behind the header is not looked at.
	Error string `json:"error,omitempty"`
}

// List returns the archives in a folder, sorted by name. A folder that does not
// exist is empty.
func List(dir string) ([]Info, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []Info
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), Suffix) {
			continue
		}
		i, err := stat(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b Info) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

func stat(path string) (Info, error) {
	f, err := os.Open(path)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Info{}, err
	}
	i := Info{Path: path, Size: info.Size()}
	r, err := NewReader(f)
	if err != nil {
		i.Error = err.Error()
		return i, nil
	}
	defer r.Close()
	i.Header = r.Header()
	return i, nil
}
