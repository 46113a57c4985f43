//go:build !front

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// giveBack makes files of root in the user's configuration and cache folders, as a
// run with sudo leaves them, the property of whose folders they are in: the owner
// of the nearest folder above that is not root's. Without such a folder, as with
// root's own, nothing changes.
//
// The folders may be changed by their owner meanwhile: nothing is followed out of
// them, and files with several names are left alone.
func (a *app) giveBack() error {
	if os.Geteuid() != 0 {
		return nil
	}
	var all []error
	for _, dir := range []string{a.ConfigDir, a.CacheDir} {
		all = append(all, giveBack(dir))
	}
	return errors.Join(all...)
}

func giveBack(dir string) error {
	top, owner, err := ownerAbove(dir)
	if err != nil || owner == nil {
		return err
	}
	root, err := os.OpenRoot(top)
	if err != nil {
		return err
	}
	defer root.Close()
	below, err := filepath.Rel(top, dir)
	if err != nil {
		return err
	}
	for path := filepath.Dir(below); path != "."; path = filepath.Dir(path) { // what was made on the way
		if err := root.Lchown(path, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return fs.WalkDir(root.FS(), filepath.ToSlash(below), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := root.Lstat(path)
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || st.Uid != 0 || !d.IsDir() && st.Nlink > 1 {
			return nil
		}
		return root.Lchown(path, int(owner.Uid), int(owner.Gid))
	})
}

// ownerAbove finds the nearest folder at or above dir that exists and is not
// root's; nil if there is none, or dir does not exist.
func ownerAbove(dir string) (string, *syscall.Stat_t, error) {
	if _, err := os.Lstat(dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil, nil
		}
		return "", nil, err
	}
	for path := dir; ; path = filepath.Dir(path) {
		info, err := os.Lstat(path)
		if err != nil {
			return "", nil, err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && info.IsDir() {
			return path, st, nil
		}
		if path == filepath.Dir(path) {
			return "", nil, nil
		}
	}
}
