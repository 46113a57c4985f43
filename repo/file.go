package repo

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// pendingPrefix begins the names of files and folders that are being written.
const pendingPrefix = ".pkg-pending-"

// pendingFile is a file in the making: it gets its name in one step, so that readers
// see the old content or the new. While it is written it is locked; those that nobody
// locks were left by killed processes, and whoever begins another one in the same
// folder removes them.
type pendingFile struct {
	*os.File
	name string
}

// beginFile makes the file's folder and a pending file in it.
func beginFile(name string) (*pendingFile, error) {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := removePending(dir); err != nil {
		return nil, err
	}
	for {
		f, err := os.CreateTemp(dir, pendingPrefix+filepath.Base(name)+"-")
		if err != nil {
			return nil, err
		}
		kept, err := lockPending(f)
		if err != nil {
			return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
		if kept {
			return &pendingFile{File: f, name: name}, nil
		}
		if err := f.Close(); err != nil { // removed between its making and its lock
			return nil, err
		}
	}
}

// lockPending locks a file or folder that was just made; false when somebody took it
// for a left one meanwhile.
func lockPending(f *os.File) (bool, error) {
	if err := flock(f, syscall.LOCK_EX); err != nil {
		return false, err
	}
	mine, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Lstat(f.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(mine, there), err
}

// removePending removes what killed processes left in a folder.
func removePending(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, d := range list {
		if !strings.HasPrefix(d.Name(), pendingPrefix) {
			continue
		}
		name := filepath.Join(dir, d.Name())
		f, err := os.Open(name)
		if err != nil {
			continue // somebody else was faster, or it is another user's
		}
		if flock(f, syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			err = os.RemoveAll(name)
		}
		if err := errors.Join(err, f.Close()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// commit gives the file its name. With durable it is on disk before.
func (p *pendingFile) commit(mode os.FileMode, durable bool) error {
	err := p.Chmod(mode)
	if err == nil && durable {
		err = p.Sync()
	}
	if err == nil {
		err = os.Rename(p.File.Name(), p.name)
	}
	if err != nil {
		return errors.Join(err, p.discard())
	}
	return p.Close()
}

// discard removes the pending file.
func (p *pendingFile) discard() error {
	return errors.Join(os.Remove(p.File.Name()), p.Close())
}

// writeFile replaces a file in one step, and durably.
func writeFile(name string, data []byte, mode os.FileMode) error {
	return replaceFile(name, data, mode, true)
}

func replaceFile(name string, data []byte, mode os.FileMode, durable bool) error {
	p, err := beginFile(name)
	if err != nil {
		return err
	}
	if _, err := p.Write(data); err != nil {
		return errors.Join(err, p.discard())
	}
	return p.commit(mode, durable)
}

// PendingFolder makes a folder that is to get the name dir, which must not exist, by
// [CommitFolder]; what a killed process leaves is removed by the next one.
func PendingFolder(dir string) (pending *os.File, err error) {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	if err := removePending(parent); err != nil {
		return nil, err
	}
	for {
		name, err := os.MkdirTemp(parent, pendingPrefix+filepath.Base(dir)+"-")
		if err != nil {
			return nil, err
		}
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) { // taken for a left one
			continue
		}
		if err != nil {
			return nil, errors.Join(err, os.Remove(name))
		}
		kept, err := lockPending(f)
		if err == nil && kept {
			return f, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
}

// CommitFolder gives a pending folder its name.
func CommitFolder(pending *os.File, dir string) error {
	err := os.Chmod(pending.Name(), 0o755)
	if err == nil {
		err = os.Rename(pending.Name(), dir)
	}
	return errors.Join(err, pending.Close())
}

// DiscardFolder removes a pending folder.
func DiscardFolder(pending *os.File) error {
	return errors.Join(os.RemoveAll(pending.Name()), pending.Close())
}

// Save writes the archive into a folder that exists, with the provenance file if it has one, each
// in one step. The archive comes last: one that is there is whole.
func (a *Archive) Save(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	name := filepath.Join(dir, a.Name)
	if a.Provenance != nil {
		if err := replaceFile(name+".prov", a.Provenance, 0o644, false); err != nil {
			return err
		}
	}
	return replaceFile(name, a.Data, 0o644, false)
}
