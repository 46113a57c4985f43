package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"syscall"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// verify reads a whole file, if there is one, without changing anything. bbolt
// panics where it meets a damaged page, some of the time in goroutines of its
// own; here that is an error.
func verify(path string) (err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	b, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout, ReadOnly: true})
	if err != nil {
		return openError(err)
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	// Of a file that was cut off, pages are missing in memory.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("damaged: %v", why)
		}
	}()
	return b.View(func(tx *bolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("damaged: it has %d bytes instead of %d", info.Size(), tx.Size())
		}
		return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return walk(b) })
	})
}

// walk reads a bucket and those in it.
func walk(b *bolt.Bucket) error {
	var last []byte
	return b.ForEach(func(k, v []byte) error {
		if string(k) <= string(last) && last != nil {
			return fmt.Errorf("damaged: key %q stands behind %q", k, last)
		}
		last = k
		if v == nil {
			return walk(b.Bucket(k))
		}
		return nil
	})
}

// openError tells a file that is no database from one that cannot be read.
func openError(err error) error {
	if errors.Is(err, berrors.ErrTimeout) {
		return ErrLocked
	}
	if errors.As(err, new(syscall.Errno)) {
		return err
	}
	return fmt.Errorf("damaged: %w", err)
}
