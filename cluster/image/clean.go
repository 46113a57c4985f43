package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/user"
)

// dropped are parts of a bootstrapped system that belong to the machine that
// made it, or that nobody needs in a container. A trailing slash means the
// contents, and that the folder stays.
var dropped = []string{"dev/", "proc/", "sys/", "run/", "tmp/", "etc/apt/", "etc/resolv.conf", "etc/hostname", "etc/hosts",
	"etc/machine-id", "etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "var/cache/apt/", "var/cache/debconf/",
	"var/lib/apt/", "var/lib/dpkg/status-old", "var/lib/dpkg/available", "var/backups/", "usr/share/man/", "usr/share/info/"}

// emptied are folders whose files are dropped while their folders stay:
// services need these.
var emptied = []string{"var/log/", "var/cache/"}

// The files that make users known, for images of programs alone.
var minimalFiles = map[string]string{
	"etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
	"etc/group":         "root:x:0:\nnogroup:x:65534:\n",
	"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}

// cleaner rewrites mmdebstrap's archive into a layer.
type cleaner struct {
	out      *tar.Writer
	dir      string // for temporary files
	released time.Time
	seen     map[string]byte   // types of what was written, by path
	owned    map[string]bool   // folders below var/lib of users other than root
	texts    map[string][]byte // passwd, group and tmpfiles.d, by path
	busybox  string            // path of the program in the archive, and
	program  string            // where a copy of it is
}

// cleanLayer copies an archive without what is dropped, and adds what a running
// system would have: the folders below /run that packages declare in tmpfiles.d,
// users, and the links to busybox' applets. The data that packages' scripts
// initialised for services is left out: it belongs into volumes.
func cleanLayer(in io.Reader, w io.Writer, dir string, released time.Time) error {
	c := &cleaner{out: tar.NewWriter(w), dir: dir, released: released, seen: map[string]byte{}, owned: map[string]bool{}, texts: map[string][]byte{}}
	t := tar.NewReader(in)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := c.entry(h, t); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	for _, add := range []func() error{c.addMinimum, c.addRunFolders, c.addApplets} {
		if err := add(); err != nil {
			return err
		}
	}
	return c.out.Close()
}

func (c *cleaner) entry(h *tar.Header, content io.Reader) error {
	name := strings.Trim(path.Clean("/"+h.Name), "/")
	if name == "" || c.drops(name, h.Typeflag == tar.TypeDir) {
		return nil
	}
	h.Name = name
	if h.Typeflag == tar.TypeDir {
		h.Name += "/"
	}
	if h.Typeflag == tar.TypeLink {
		h.Linkname = strings.Trim(path.Clean("/"+h.Linkname), "/")
	}
	h.Uname, h.Gname, h.AccessTime, h.ChangeTime, h.Format = "", "", time.Time{}, time.Time{}, tar.FormatPAX
	if h.ModTime.After(c.released) {
		h.ModTime = c.released
	}
	h.ModTime = h.ModTime.Truncate(time.Second)
	if h.Typeflag == tar.TypeDir && path.Dir(name) == "var/lib" && h.Uid != 0 {
		c.owned[name] = true
	}
	if h.Typeflag == tar.TypeReg {
		switch {
		case name == "etc/passwd" || name == "etc/group" || strings.HasPrefix(name, "usr/lib/tmpfiles.d/"):
			b, err := io.ReadAll(content)
			if err != nil {
				return err
			}
			c.texts[name] = b
			content = bytes.NewReader(b)
		case path.Base(name) == "busybox" && path.Base(path.Dir(name)) == "bin":
			copied, err := c.copyProgram(content)
			if err != nil {
				return err
			}
			defer copied.Close()
			c.busybox, content = name, copied
		}
	}
	c.seen[name] = h.Typeflag
	if err := c.out.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(c.out, content)
	return err
}

// drops tells whether an entry is left out.
func (c *cleaner) drops(name string, isDir bool) bool {
	for _, d := range emptied {
		if !isDir && strings.HasPrefix(name, d) {
			return true
		}
	}
	for _, d := range dropped {
		if name == d || (strings.HasSuffix(d, "/") && strings.HasPrefix(name, d)) {
			return true
		}
	}
	for folder := range c.owned {
		if strings.HasPrefix(name, folder+"/") {
			return true
		}
	}
	return false
}

// copyProgram keeps a copy of busybox, to ask it for its applets.
func (c *cleaner) copyProgram(content io.Reader) (*os.File, error) {
	c.program = filepath.Join(c.dir, "busybox")
	f, err := os.OpenFile(c.program, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o755)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(f, content); err != nil {
		_ = f.Close()
		return nil, err
	}
	_ = f.Close() // one that is open for writing cannot be run
	return os.Open(c.program)
}

// write adds an entry that packages do not have.
func (c *cleaner) write(h tar.Header, content []byte) error {
	name := strings.TrimSuffix(h.Name, "/")
	if _, ok := c.seen[name]; ok {
		return nil
	}
	if parent := path.Dir(name); parent != "." {
		if err := c.write(tar.Header{Typeflag: tar.TypeDir, Name: parent + "/", Mode: 0o755}, nil); err != nil {
			return err
		}
	}
	c.seen[name] = h.Typeflag
	h.ModTime, h.Size, h.Format = c.released, int64(len(content)), tar.FormatPAX
	if err := c.out.WriteHeader(&h); err != nil {
		return err
	}
	_, err := c.out.Write(content)
	return err
}

// addMinimum adds what every image has.
func (c *cleaner) addMinimum() error {
	for _, name := range slices.Sorted(maps.Keys(minimalFiles)) {
		content := []byte(minimalFiles[name])
		if c.texts[name] == nil {
			c.texts[name] = content
		}
		if err := c.write(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, content); err != nil {
			return err
		}
	}
	modes := map[string]int64{"dev/": 0o755, "proc/": 0o755, "root/": 0o700, "run/": 0o755, "sys/": 0o755, "tmp/": 0o1777}
	for _, name := range slices.Sorted(maps.Keys(modes)) {
		if err := c.write(tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: modes[name]}, nil); err != nil {
			return err
		}
	}
	return nil
}

// addRunFolders makes the folders below /run that tmpfiles.d(5) would make at
// boot.
func (c *cleaner) addRunFolders() error {
	for _, file := range slices.Sorted(maps.Keys(c.texts)) {
		if !strings.HasPrefix(file, "usr/lib/tmpfiles.d/") {
			continue
		}
		for line := range strings.Lines(string(c.texts[file])) {
			f := strings.Fields(line)
			if len(f) < 5 || (f[0] != "d" && f[0] != "D") {
				continue
			}
			name := strings.Trim(path.Clean(strings.Replace(f[1], "/var/run/", "/run/", 1)), "/")
			mode, err := strconv.ParseInt(strings.TrimLeft(f[2], "~:"), 8, 32)
			if err != nil || !strings.HasPrefix(name, "run/") || strings.Contains(name, "%") {
				continue
			}
			uid, gid, ok := c.owner(f[3], f[4])
			if !ok {
				continue
			}
			if err := c.write(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: uid, Gid: gid}, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// owner finds a user and a group of the image; "-" is root.
func (c *cleaner) owner(userName, groupName string) (uid, gid int, ok bool) {
	if userName == "-" {
		userName = "root"
	}
	users, err := user.ParsePasswdFilter(bytes.NewReader(c.texts["etc/passwd"]), func(u user.User) bool { return u.Name == userName })
	if err != nil || len(users) == 0 {
		return 0, 0, false
	}
	if groupName == "-" {
		return users[0].Uid, 0, true
	}
	groups, err := user.ParseGroupFilter(bytes.NewReader(c.texts["etc/group"]), func(g user.Group) bool { return g.Name == groupName })
	if err != nil || len(groups) == 0 {
		return 0, 0, false
	}
	return users[0].Uid, groups[0].Gid, true
}

// addApplets links busybox' applets that no other package has.
func (c *cleaner) addApplets() error {
	if c.busybox == "" {
		return nil
	}
	names, err := exec.Command(c.program, "--list").Output()
	if err != nil {
		return fmt.Errorf("busybox: %w", err)
	}
	dir := path.Dir(c.busybox)
	for applet := range strings.FieldsSeq(string(names)) {
		taken := false
		for _, d := range []string{"bin", "sbin", "usr/bin", "usr/sbin"} {
			_, there := c.seen[path.Join(d, applet)]
			taken = taken || there
		}
		if taken {
			continue
		}
		if err := c.write(tar.Header{Typeflag: tar.TypeSymlink, Name: path.Join(dir, applet), Linkname: "busybox", Mode: 0o777}, nil); err != nil {
			return err
		}
	}
	return nil
}
