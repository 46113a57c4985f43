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

// openBolt is bolt.Open for files that may be damaged, which makes bbolt panic:
// also in a goroutine of its own, where nothing can be done about it. So the file
// is read once before. Errors: ErrLocked, "damaged: ...", the disk's.
func openBolt(path string, o *bolt.Options) (b *bolt.DB, err error) {
	if err := verify(path); err != nil {
		return nil, err
	}
	defer recovered(&err)
	if b, err = bolt.Open(path, 0o600, o); err != nil {
		return nil, openError(err)
	}
	return b, nil
}

// recovered makes a panic of bbolt an error.
func recovered(err *error) {
	if why := recover(); why != nil {
		*err = fmt.Errorf("damaged: %v", why)
	}
}

// verify reads a whole file, if there is one, without changing anything.
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
	defer recovered(&err)
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
			return fmt.Errorf("damaged: key %.40q stands behind %.40q", k, last)
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
