package image

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/cri"
)

func TestUnpack(t *testing.T) {
	s := open(t, Config{})
	at := time.Unix(1_000_000_000, 0)
	lower := layerOf(t, folder("etc/", 0o755), regular("etc/keep", "keep"), regular("etc/gone", "gone"),
		file{tar.Header{Name: "private/", Typeflag: tar.TypeDir, Mode: 0o700, Uid: 5, Gid: 6}, ""},
		folder("hidden/", 0o755), regular("hidden/old", "old"), regular("only-below", "shared content"))
	upper := layerOf(t,
		file{tar.Header{Name: "usr/", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: at}, ""},
		file{tar.Header{Name: "usr/su", Typeflag: tar.TypeReg, Mode: 0o4755, Uid: 1, Gid: 2, ModTime: at}, "program"},
		file{tar.Header{Name: "usr/hard", Typeflag: tar.TypeLink, Linkname: "usr/su"}, ""},
		file{tar.Header{Name: "from-below", Typeflag: tar.TypeLink, Linkname: "/only-below"}, ""},
		file{tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/etc/keep", Uid: 9}, ""},
		regular("etc/.wh.gone", ""), regular("hidden/.wh..wh..opq", ""), regular("hidden/new", "new"),
		regular("private/made", "x"),
		file{tar.Header{Name: "fifo", Typeflag: tar.TypeFifo, Mode: 0o600}, ""},
		file{tar.Header{Name: "capable", Typeflag: tar.TypeReg, Mode: 0o755, Format: tar.FormatPAX, PAXRecords: map[string]string{
			"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}}, ""},
		file{tar.Header{Name: "twice", Typeflag: tar.TypeDir, Mode: 0o755}, ""}, regular("twice", "now a file"))
	img := addTo(t, s, "docker.io/library/two:1", imageWith(t, v1.Config{}, lower, upper))
	if len(img.Layers) != 2 {
		t.Fatalf("layers %v", img.Layers)
	}
	fs := img.Layers[1]
	var su, hard, fifo, gone, private unix.Stat_t
	for name, st := range map[string]*unix.Stat_t{"usr/su": &su, "usr/hard": &hard, "fifo": &fifo, "etc/gone": &gone, "private": &private} {
		if err := unix.Lstat(filepath.Join(fs, name), st); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if su.Mode != unix.S_IFREG|0o4755 || su.Uid != 1 || su.Gid != 2 || su.Mtim.Sec != at.Unix() {
		t.Errorf("usr/su is %+v", su)
	}
	if hard.Ino != su.Ino {
		t.Error("usr/hard is no hard link")
	}
	if fifo.Mode&unix.S_IFMT != unix.S_IFIFO {
		t.Error("the pipe is none")
	}
	if gone.Mode&unix.S_IFMT != unix.S_IFCHR || gone.Rdev != 0 {
		t.Errorf("the whiteout is %+v", gone)
	}
	if private.Mode&0o7777 != 0o700 || private.Uid != 5 || private.Gid != 6 {
		t.Errorf("a folder that only the lower layer describes is %+v", private)
	}
	value := make([]byte, 32)
	if n, err := unix.Getxattr(filepath.Join(fs, "hidden"), opaqueXattr, value); err != nil || string(value[:n]) != "y" {
		t.Errorf("opaque: %q, %v", value[:n], err)
	}
	if n, err := unix.Getxattr(filepath.Join(fs, "capable"), "security.capability", value); err != nil || n != 20 {
		t.Errorf("capability: %d bytes, %v", n, err)
	}
	if to, err := os.Readlink(filepath.Join(fs, "link")); err != nil || to != "/etc/keep" {
		t.Errorf("link: %q, %v", to, err)
	}
	if got := read(t, fs, "from-below") + read(t, fs, "twice"); got != "shared contentnow a file" {
		t.Errorf("content %q", got)
	}
	if st, err := os.Stat(filepath.Join(fs, "usr")); err != nil || !st.ModTime().Equal(at) {
		t.Errorf("a folder's time is %v, %v", st.ModTime(), err)
	}
	// Another image with the same lower layer shares it.
	other := addTo(t, s, "docker.io/library/one:1", imageWith(t, v1.Config{}, lower))
	if other.Layers[0] != img.Layers[0] {
		t.Errorf("the layer is there twice: %v, %v", other.Layers, img.Layers)
	}
}

func TestUnpackStaysInside(t *testing.T) {
	outside := t.TempDir()
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("untouched"), 0o644); err != nil {
		t.Fatal(err)
	}
	link := func(name, to string) file {
		return file{tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}, ""}
	}
	for name, test := range map[string]struct {
		files []file
		fails bool
	}{
		"dots":                   {[]file{regular("../../../../../../"+victim, "evil")}, true},
		"absolute":               {[]file{regular(victim, "evil")}, false},
		"through a link":         {[]file{link("out", outside), regular("out/victim", "evil")}, false},
		"through dots in a link": {[]file{link("out", "../../../../../../../../.."+outside), regular("out/victim", "evil")}, false},
		"onto a link":            {[]file{link("file", victim), regular("file", "evil")}, false},
		"hard link out":          {[]file{{tar.Header{Name: "file", Typeflag: tar.TypeLink, Linkname: "../../../../.." + victim}, ""}}, true},
		"hard link to a link":    {[]file{link("out", outside), {tar.Header{Name: "file", Typeflag: tar.TypeLink, Linkname: "out/victim"}, ""}, regular("file", "evil")}, true},
		"folder onto a link":     {[]file{link("out", outside), folder("out/", 0o777), regular("out/victim", "evil")}, false},
		"whiteout through":       {[]file{link("out", outside), regular("out/.wh.victim", "")}, false},
		"whiteout of dots":       {[]file{regular(".wh...", "")}, false},
		"unknown type":           {[]file{{tar.Header{Name: "x", Typeflag: 'Z'}, ""}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Config{})
			_, err := s.add(t.Context(), imageWith(t, v1.Config{}, layerOf(t, test.files...)), []refRecord{{Name: "docker.io/library/evil:1"}}, func(cri.ImageProgress) {})
			if (err != nil) != test.fails {
				t.Errorf("error %v, want one: %v", err, test.fails)
			}
			if got := read(t, victim); got != "untouched" {
				t.Errorf("the file outside is now %q", got)
			}
			if err != nil {
				left, _ := filepath.Glob(filepath.Join(s.config.Root, "layers", "*"))
				left = append(left, glob(t, s.config.Root, "layers", ".tmp-*")...)
				if len(left) > 0 {
					t.Errorf("a failed unpacking left %v", left)
				}
			}
		})
	}
}

func glob(t *testing.T, elem ...string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestDamagedLayersAreRefused(t *testing.T) {
	s := open(t, Config{})
	img := imageWith(t, v1.Config{}, noLayer("this is no archive"))
	if _, err := s.add(t.Context(), img, nil, func(cri.ImageProgress) {}); err == nil {
		t.Error("a layer that is no archive was taken")
	}
	images, err := s.List()
	if err != nil || len(images) != 0 {
		t.Errorf("images %v, %v", images, err)
	}
	// A blob that does not decompress to what the configuration says.
	good := imageWith(t, v1.Config{}, layerOf(t, regular("a", "a")))
	other := imageWith(t, v1.Config{}, layerOf(t, regular("b", "b")))
	config, err := other.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.add(t.Context(), lying{good, config}, nil, func(cri.ImageProgress) {})
	if err == nil || !strings.Contains(err.Error(), "its content has digest") {
		t.Errorf("error %v", err)
	}
}

// lying is an image with another one's configuration.
type lying struct {
	v1.Image
	config *v1.ConfigFile
}

func (l lying) ConfigFile() (*v1.ConfigFile, error) { return l.config, nil }

// FuzzUnpack: no archive may write outside of the layer or crash.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte("a"))
	f.Add(make([]byte, 1024))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		u := &unpacker{root: filepath.Join(dir, "fs")}
		r, err := decompress(strings.NewReader(string(b)))
		if err != nil {
			return
		}
		_ = u.unpack(r)
		if got := glob(t, dir, "*"); len(got) > 1 {
			t.Errorf("outside: %v", got)
		}
	})
}
