package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

var stamp = time.Date(2026, 11, 21, 4, 5, 6, 0, time.UTC)

var header = Header{StoreFormat: 1, Time: stamp, Version: "1.2.3", Cluster: "0123abcd", Home: "/var/lib/pkg", Node: "n1", Volumes: true}

// sample writes an archive with two files and a tree.
func sample(t testing.TB, dir string) []byte {
	t.Helper()
	var out bytes.Buffer
	a, err := NewWriter(&out, header)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"instance.json": "{}", "store/pkg.db": strings.Repeat("db", 5000)} {
		if err := a.File(name, 0o600, int64(len(text)), strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	v := Volume{Name: "pv", Claim: "default/c", Folder: "pv", How: "1 pod frozen"}
	if v.Files, v.Bytes, err = a.Tree(t.Context(), dir, "volumes/pv"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Finish([]Volume{v}, []Skipped{{Name: "other", Why: "elsewhere"}}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// everything fills a folder with one of everything that a volume may hold.
func everything(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.MkdirAll(at("a/b"), 0o750))
	check(os.Chmod(at("a"), 0o2775))
	check(os.WriteFile(at("a/b/file"), []byte("content"), 0o640))
	check(os.Link(at("a/b/file"), at("a/hard")))
	check(os.Symlink("/etc/passwd", at("a/soft")))
	check(os.WriteFile(at("set-user-id"), nil, 0o600))
	check(os.Chmod(at("set-user-id"), 0o4711))
	check(unix.Mkfifo(at("pipe"), 0o600))
	f, err := os.Create(at("sparse"))
	check(err)
	_, err = f.WriteAt([]byte("end"), 2<<20)
	check(err)
	check(f.Close())
	check(unix.Lsetxattr(at("a/b/file"), "user.note", []byte("kept\x00too"), 0))
	if os.Geteuid() == 0 {
		check(os.Lchown(at("a/b/file"), 999, 998))
		check(os.Lchown(at("a/soft"), 999, 998))
	}
	l, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(err)
	defer unix.Close(l)
	check(unix.Bind(l, &unix.SockaddrUnix{Name: at("s")}))
	check(os.Chtimes(at("a/b/file"), stamp, stamp))
	check(os.Chtimes(at("a/b"), stamp, stamp))
	return dir
}

// describe lists a tree: what an extraction must bring back.
func describe(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Mode()&fs.ModeSocket != 0 {
			return err
		}
		s := info.Sys().(*syscall.Stat_t)
		text := fmt.Sprintf("%s %d:%d", info.Mode(), s.Uid, s.Gid)
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			note := make([]byte, 100)
			n, _ := unix.Lgetxattr(path, "user.note", note)
			text += fmt.Sprintf(" %d bytes %q links %d note %q at %s", len(content), bytes.Trim(content, "\x00"), s.Nlink, note[:max(n, 0)], info.ModTime().UTC())
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " -> " + to
		case path == filepath.Join(dir, "a/b"):
			text += " at " + info.ModTime().UTC().String()
		}
		rel, err := filepath.Rel(dir, path)
		all[rel] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRoundTrip(t *testing.T) {
	dir := everything(t)
	data := sample(t, dir)
	h, m, err := Verify(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	want := header
	want.Format = Format
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	if len(m.Volumes) != 1 || m.Volumes[0].Files != 6 || len(m.Skipped) != 1 {
		t.Errorf("volumes %+v, skipped %+v", m.Volumes, m.Skipped)
	}
	a, err := NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	to := t.TempDir()
	if err := a.Extract(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(describe(t, dir), describe(t, filepath.Join(to, "volumes/pv"))); diff != "" {
		t.Errorf("tree (-before +after):\n%s", diff)
	}
	var s syscall.Stat_t
	if err := syscall.Stat(filepath.Join(to, "volumes/pv/sparse"), &s); err != nil || s.Blocks*512 > 1<<20 {
		t.Errorf("the sparse file takes %d bytes (%v)", s.Blocks*512, err)
	}
	if text, err := os.ReadFile(filepath.Join(to, "store/pkg.db")); err != nil || len(text) != 10000 {
		t.Errorf("store/pkg.db: %d bytes, %v", len(text), err)
	}
}

// An archive that is not what it was, or that ends early, is refused. (The
// compression has bits that mean nothing.)
func TestDamage(t *testing.T) {
	data := sample(t, everything(t))
	good := unpacked(t, data)
	for at := 0; at < len(data); at += 1 + len(data)/200 {
		bad := bytes.Clone(data)
		bad[at] ^= 0x40
		if _, _, err := Verify(bytes.NewReader(bad)); err == nil && !bytes.Equal(unpacked(t, bad), good) {
			t.Errorf("byte %d of %d changed: no error", at, len(data))
		}
		if _, _, err := Verify(bytes.NewReader(data[:at])); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNoBackup) {
			t.Errorf("cut off at byte %d of %d: %v", at, len(data), err)
		}
	}
}

func unpacked(t *testing.T, data []byte) []byte {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	text, err := io.ReadAll(z)
	if err != nil {
		t.Errorf("verified, and then: %v", err)
	}
	return text
}

// packed compresses a tar archive of entries, as somebody else may write one.
func packed(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, h := range entries {
		content := h.Uname // what the entry holds
		h.Uname, h.Size = "", int64(len(content))
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRefusals(t *testing.T) {
	start := tar.Header{Name: "backup.json", Uname: `{"format":1}`}
	tests := map[string]struct {
		data []byte
		want error
		text string
	}{
		"empty":               {nil, ErrNoBackup, ""},
		"text":                {[]byte("no archive"), ErrNoBackup, ""},
		"another archive":     {packed(t, tar.Header{Name: "x"}), ErrNoBackup, ""},
		"newer":               {packed(t, tar.Header{Name: "backup.json", Uname: `{"format":7,"version":"9.1"}`}), ErrNewer, "9.1"},
		"no format":           {packed(t, tar.Header{Name: "backup.json", Uname: `{}`}), ErrDamaged, "format 0"},
		"header is no JSON":   {packed(t, tar.Header{Name: "backup.json", Uname: `{`}), ErrDamaged, "backup.json"},
		"no manifest":         {packed(t, start, tar.Header{Name: "x"}), ErrDamaged, "without a manifest"},
		"failed":              {packed(t, start, tar.Header{Name: "failed", Uname: "pod a/b: no"}), ErrFailed, "pod a/b: no"},
		"leaves the folder":   {packed(t, start, tar.Header{Name: "../x"}), ErrDamaged, "../x"},
		"absolute":            {packed(t, start, tar.Header{Name: "/etc/x"}), ErrDamaged, "/etc/x"},
		"not clean":           {packed(t, start, tar.Header{Name: "a//b"}), ErrDamaged, "a//b"},
		"link to the outside": {packed(t, start, tar.Header{Name: "x", Typeflag: tar.TypeLink, Linkname: "/etc/shadow"}), ErrDamaged, "/etc/shadow"},
		"manifest alone":      {packed(t, start, tar.Header{Name: "manifest.json", Uname: "{}"}), ErrDamaged, "no checksum"},
		"wrong sum":           {packed(t, start, tar.Header{Name: "manifest.json", Uname: "{}"}, tar.Header{Name: "manifest.json.sha256", Uname: "00  manifest.json"}), ErrDamaged, "checksum"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := Verify(bytes.NewReader(test.data))
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v, want %v with %q", err, test.want, test.text)
			}
		})
	}
}

// A link in an archive does not lead an extraction out of its folder.
func TestExtractStaysInside(t *testing.T) {
	outside := t.TempDir()
	data := packed(t, tar.Header{Name: "backup.json", Uname: `{"format":1}`},
		tar.Header{Name: "d", Typeflag: tar.TypeSymlink, Linkname: outside, Mode: 0o777},
		tar.Header{Name: "d/x", Uname: "text", Mode: 0o600})
	a, err := NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Extract(t.Context(), t.TempDir()); err == nil {
		t.Error("extracted")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("outside there is %v (%v)", entries, err)
	}
}

func TestFail(t *testing.T) {
	var out bytes.Buffer
	a, err := NewWriter(&out, header)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Fail(errors.New("pod a/b: exit code 3")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Verify(&out); !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "pod a/b: exit code 3") {
		t.Errorf("%v", err)
	}
}

// A file that shrinks while it is read keeps the size that it had.
func TestShrunkFile(t *testing.T) {
	var out bytes.Buffer
	a, err := NewWriter(&out, header)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.File("f", 0o600, 10, strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Finish(nil, nil); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || string(text) != "abc\x00\x00\x00\x00\x00\x00\x00" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Error(err)
	}
}

func TestTreeCancelled(t *testing.T) {
	a, err := NewWriter(io.Discard, header)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, _, err := a.Tree(ctx, everything(t), "volumes/pv"); !errors.Is(err, why) {
		t.Error(err)
	}
}

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "b.tar.zst")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	failure := errors.New("no")
	err := Create(path, func(w io.Writer) error {
		if _, err := io.WriteString(w, "half"); err != nil {
			return err
		}
		if err := Create(path, func(io.Writer) error { return nil }); !errors.Is(err, ErrBusy) {
			t.Errorf("two at once: %v", err)
		}
		return failure
	})
	if !errors.Is(err, failure) {
		t.Error(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "old" {
		t.Errorf("after a failure the file holds %q", text)
	}
	if err := Create(path, func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(path)
	info, err := os.Stat(path)
	if err != nil || string(text) != "new" || info.Mode() != 0o600 {
		t.Errorf("%q, %v, %v", text, info.Mode(), err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left: %v", entries)
	}
}

func TestList(t *testing.T) {
	dir := t.TempDir()
	data := sample(t, everything(t))
	for name, content := range map[string][]byte{"b.tar.zst": data, "a.tar.zst": data[:20], "c.txt": nil, ".d.tar.zst.partial": data} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := List(dir)
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	if all[0].Error == "" || all[1].Error != "" || !all[1].Time.Equal(stamp) || all[1].Size != int64(len(data)) {
		t.Errorf("%+v", all)
	}
	if all, err := List(filepath.Join(dir, "none")); err != nil || len(all) != 0 {
		t.Errorf("no folder: %v, %v", all, err)
	}
}

// Whatever bytes there are: no panic, nothing outside of the folder, and what
// Verify accepts is extracted without error.
func FuzzReader(f *testing.F) {
	small := f.TempDir()
	if err := os.WriteFile(filepath.Join(small, "file"), []byte("content"), 0o600); err != nil {
		f.Fatal(err)
	}
	if err := os.Symlink("..", filepath.Join(small, "link")); err != nil {
		f.Fatal(err)
	}
	complete := sample(f, small)
	f.Add(complete)
	plain, err := zstd.NewReader(bytes.NewReader(complete))
	if err != nil {
		f.Fatal(err)
	}
	defer plain.Close()
	text, err := io.ReadAll(plain)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		read(t, data)
		read(t, z.EncodeAll(data, nil)) // as the tar archive inside, where changes go further
	})
}

func read(t *testing.T, data []byte) {
	_, _, err := Verify(io.LimitReader(bytes.NewReader(data), 1<<20))
	if err != nil {
		return
	}
	a, err := NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("verified, and then: %v", err)
	}
	defer a.Close()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	x := &extraction{Reader: a, ctx: t.Context(), root: root} // Extract without its sync, which takes long
	if err := x.run(); err != nil {
		t.Logf("not extracted: %v", err) // names that lie on each other
	}
}
