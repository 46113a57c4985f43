package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A volume with content from the API looks like this, as in Kubernetes:
//
//	..2026_11_21_09_10_11.123456789/key   the files of one state
//	..data -> ..2026_11_21_09_10_11.123456789
//	key -> ..data/key
//
// A new state is written aside and becomes visible as a whole when ..data is
// renamed over.
const (
	dataLink    = "..data"
	newDataLink = "..data_tmp"
	stateFormat = "..2006_01_02_15_04_05.000000000"
)

// Permissions that a volume's group gets on files and folders.
const (
	groupRead fs.FileMode = 0o440
	groupList fs.FileMode = 0o550
)

// writeFiles makes the volume at dir hold exactly files. Nothing is touched if
// it does already.
func writeFiles(dir string, files map[string]file, own owner, now time.Time) error {
	old, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if old != "" {
		same, err := holds(filepath.Join(dir, old), files)
		if err == nil && same {
			return linkFiles(dir, files)
		}
	}
	state := now.UTC().Format(stateFormat)
	if state == old {
		state += "_"
	}
	if err := writeState(filepath.Join(dir, state), files, own); err != nil {
		return errors.Join(err, os.RemoveAll(filepath.Join(dir, state)))
	}
	link := filepath.Join(dir, newDataLink)
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(state, link); err != nil {
		return err
	}
	if err := os.Rename(link, filepath.Join(dir, dataLink)); err != nil {
		return err
	}
	if err := linkFiles(dir, files); err != nil {
		return err
	}
	if own.gid != nil {
		if err := giveGroup(dir, groupList|0o755|fs.ModeSetgid, *own.gid); err != nil {
			return err
		}
	}
	return removeStates(dir, state)
}

// holds tells whether a state holds exactly files.
func holds(state string, files map[string]file) (bool, error) {
	n := 0
	err := filepath.WalkDir(state, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		return nil
	})
	if err != nil || n != len(files) {
		return false, err
	}
	for name, f := range files {
		b, err := os.ReadFile(filepath.Join(state, name))
		if err != nil || !bytes.Equal(b, f.data) {
			return false, nil
		}
	}
	return true, nil
}

func writeState(state string, files map[string]file, own owner) error {
	if err := makeDir(state, own); err != nil {
		return err
	}
	for name, f := range files {
		path := filepath.Join(state, name)
		if err := makeDirs(state, filepath.Dir(name), own); err != nil {
			return err
		}
		mode := fs.FileMode(f.mode).Perm()
		if err := os.WriteFile(path, f.data, mode); err != nil {
			return err
		}
		if f.uid != nil {
			if err := os.Lchown(path, int(*f.uid), -1); err != nil {
				return err
			}
		}
		if own.gid != nil {
			if err := giveGroup(path, mode|groupRead, *own.gid); err != nil {
				return err
			}
		} else if err := os.Chmod(path, mode); err != nil { // whatever the umask
			return err
		}
	}
	return nil
}

// makeDirs makes the folders of rel, one after the other, below dir.
func makeDirs(dir, rel string, own owner) error {
	if rel == "." {
		return nil
	}
	for _, name := range strings.Split(rel, string(filepath.Separator)) {
		dir = filepath.Join(dir, name)
		if err := makeDir(dir, own); err != nil {
			return err
		}
	}
	return nil
}

func makeDir(dir string, own owner) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if own.gid != nil {
		return giveGroup(dir, 0o755|groupList|fs.ModeSetgid, *own.gid)
	}
	return os.Chmod(dir, 0o755)
}

func giveGroup(path string, mode fs.FileMode, gid int64) error {
	if err := os.Lchown(path, -1, int(gid)); err != nil {
		return err
	}
	return os.Chmod(path, mode) // after chown, which may clear bits
}

// linkFiles makes the links that users see, and removes those of files that
// are gone.
func linkFiles(dir string, files map[string]file) error {
	want := map[string]bool{}
	for name := range files {
		top, _, _ := strings.Cut(name, "/")
		want[top] = true
	}
	for top := range want {
		target := filepath.Join(dataLink, top)
		link := filepath.Join(dir, top)
		if now, err := os.Readlink(link); err == nil && now == target {
			continue
		}
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("replace %s: %w", link, err)
		}
		if err := os.Symlink(target, link); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "..") || want[e.Name()] {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// removeStates removes all states but the present one.
func removeStates(dir, keep string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), "..") && e.Name() != keep {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
