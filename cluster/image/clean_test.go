package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCleanLayer(t *testing.T) {
	now := time.Unix(2_000_000_000, 500)
	released := time.Unix(1_500_000_000, 0).UTC()
	owned := func(f file, uid, gid int) file {
		f.Uid, f.Gid, f.Uname, f.ModTime = uid, gid, "somebody", now
		return f
	}
	var in bytes.Buffer
	w := tar.NewWriter(&in)
	for _, f := range []file{
		folder("./", 0o755), folder("./dev/", 0o755), regular("./dev/junk", "x"), folder("./etc/", 0o755),
		regular("./etc/resolv.conf", "nameserver of the host"), regular("./etc/passwd", "root:x:0:0:::\nmysql:x:100:101:::\n"),
		regular("./etc/group", "root:x:0:\nmysql:x:101:\nadm:x:4:\n"), regular("./etc/passwd-", "old"),
		folder("./var/", 0o755), folder("./var/lib/", 0o755), owned(folder("./var/lib/mysql/", 0o700), 100, 101), owned(regular("./var/lib/mysql/ibdata1", "data"), 100, 101),
		folder("./var/lib/dpkg/", 0o755), regular("./var/lib/dpkg/status", "Package: x"),
		folder("./var/log/", 0o755), owned(folder("./var/log/nginx/", 0o755), 100, 4), regular("./var/log/nginx/access.log", "x"), regular("./var/log/dpkg.log", "x"),
		folder("./usr/lib/tmpfiles.d/", 0o755), regular("./usr/lib/tmpfiles.d/m.conf", "# comment\nd /run/mysqld 0755 mysql adm -\nD /var/run/other 1777 - - -\nd /run/unknown 0755 nobody-here root -\nd /etc/no 0755 root root -\nL /run/link - - - - /x\n"),
		file{tar.Header{Name: "./usr/hard", Typeflag: tar.TypeLink, Linkname: "./etc/passwd"}, ""},
	} {
		h := f.Header
		h.Size = int64(len(f.content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := cleanLayer(bytes.NewReader(in.Bytes()), &out, t.TempDir(), released); err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.After(released) || h.Uname != "" {
			t.Errorf("%s: time %v, user %q", h.Name, h.ModTime, h.Uname)
		}
		got = append(got, fmt.Sprintf("%s %o %d:%d %s", h.Name, h.Mode, h.Uid, h.Gid, h.Linkname))
	}
	want := []string{"dev/ 755 0:0 ", "etc/ 755 0:0 ", "etc/passwd 644 0:0 ", "etc/group 644 0:0 ", "var/ 755 0:0 ", "var/lib/ 755 0:0 ",
		"var/lib/mysql/ 700 100:101 ", "var/lib/dpkg/ 755 0:0 ", "var/lib/dpkg/status 644 0:0 ", "var/log/ 755 0:0 ", "var/log/nginx/ 755 100:4 ",
		"usr/lib/tmpfiles.d/ 755 0:0 ", "usr/lib/tmpfiles.d/m.conf 644 0:0 ", "usr/hard 0 0:0 etc/passwd",
		"etc/nsswitch.conf 644 0:0 ", "proc/ 755 0:0 ", "root/ 700 0:0 ", "run/ 755 0:0 ", "sys/ 755 0:0 ", "tmp/ 1777 0:0 ",
		"run/mysqld/ 755 100:4 ", "run/other/ 1777 0:0 "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
