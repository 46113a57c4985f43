package depot_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed38700745/pkg/repo/server/depot"
)

func pack(t testing.TB, chartfile string) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	err := archive.WriteHeader(&tar.Header{Name: "c/Chart.yaml", Mode: 0o644, Size: int64(len(chartfile))})
	_, werr := io.WriteString(archive, chartfile)
	if err := errors.Join(err, werr, archive.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func open(t testing.TB, c depot.Config) *depot.Depot {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	d, err := depot.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func put(d *depot.Depot, u depot.Upload, archive []byte) error {
	u.Archive = bytes.NewReader(archive)
	_, err := d.Put(context.Background(), u)
	return err
}

func chartOf(name, version string) string {
	return fmt.Sprintf("apiVersion: v2\nname: %q\nversion: %q\n", name, version)
}

func TestPolicies(t *testing.T) {
	one := pack(t, chartOf("a", "1.0.0"))
	for policy, want := range map[depot.Overwrite][2]error{ // without and with force
		depot.OverwriteForced: {depot.ErrExists, nil},
		depot.OverwriteAlways: {nil, nil},
		depot.OverwriteNever:  {depot.ErrExists, depot.ErrExists},
	} {
		d := open(t, depot.Config{Overwrite: policy, MaxVersions: 2})
		if err := put(d, depot.Upload{}, one); err != nil {
			t.Fatal(err)
		}
		for i, force := range []bool{false, true} {
			if err := put(d, depot.Upload{Force: force}, one); !errors.Is(err, want[i]) {
				t.Errorf("%s, force %v: %v, want %v", policy, force, err, want[i])
			}
		}
		if err := put(d, depot.Upload{Same: true}, one); err != nil {
			t.Errorf("%s: the same again: %v", policy, err)
		}
		if err := put(d, depot.Upload{}, pack(t, chartOf("a", "1.1.0"))); err != nil {
			t.Error(err)
		}
		if err := put(d, depot.Upload{}, pack(t, chartOf("a", "1.2.0"))); !errors.Is(err, depot.ErrLimit) {
			t.Errorf("%s: third version: %v", policy, err)
		}
	}
}

// TestSameFile has two charts whose archives have the same name.
func TestSameFile(t *testing.T) {
	d := open(t, depot.Config{})
	if err := put(d, depot.Upload{}, pack(t, chartOf("a", "1-2"))); err != nil {
		t.Fatal(err)
	}
	if err := put(d, depot.Upload{Force: true}, pack(t, chartOf("a-1", "2"))); !errors.Is(err, depot.ErrExists) {
		t.Errorf("got %v, want %v", err, depot.ErrExists)
	}
	if _, err := d.Find("", "a", "1-2"); err != nil {
		t.Error(err)
	}
}

func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	open(t, depot.Config{Dir: dir})
	if d, err := depot.Open(depot.Config{Dir: dir}); err == nil {
		t.Error("opened twice", d.Close())
	}
}

// TestSpoiledLog wants charts found whatever the log of what was read says.
func TestSpoiledLog(t *testing.T) {
	dir := t.TempDir()
	d, err := depot.Open(depot.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := put(d, depot.Upload{}, pack(t, chartOf(name, "1.0.0"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, ".pkg", "index.log")
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	flipped := func(at int) []byte {
		out := bytes.Clone(data)
		out[at] ^= 0x40
		return out
	}
	hole := bytes.Clone(data)
	clear(hole[len(hole)/3 : len(hole)/2])
	cases := map[string][]byte{
		"empty": nil, "torn": data[:len(data)/2], "torn at the end": data[:len(data)-1], "a hole": hole,
		"a bit in the first record": flipped(40), "a bit in the last": flipped(len(data) - 5), "a bit in a length": flipped(len("pkg index 3\n") + 2),
		"another format": append([]byte("pkg index 0\n"), data[12:]...), "lines of JSON": []byte(`00000000 {"f":"a-1.0.0.tgz"}`),
		"zeros": make([]byte, 5<<20), "more than there is": append(bytes.Clone(data), data[12:]...),
	}
	for name, spoiled := range cases {
		if err := os.WriteFile(log, spoiled, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := depot.Open(depot.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := d.Names(""), []string{"a", "b", "c"}; !slices.Equal(got, want) {
			t.Errorf("%s: charts %v, want %v", name, got, want)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if mended, err := os.ReadFile(log); err != nil || len(mended) != len(data) {
			t.Errorf("%s: the log has %d bytes afterwards, want %d (%v)", name, len(mended), len(data), err)
		}
	}
}

// TestReplacedByHand replaces an archive while nobody serves the folder, by one of the same size
// and time.
func TestReplacedByHand(t *testing.T) {
	dir := t.TempDir()
	d, err := depot.Open(depot.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := put(d, depot.Upload{}, pack(t, chartOf("a", "1.0.0")+"description: one\n")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "a-1.0.0.tgz")
	info, err := os.Stat(file)
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	other := pack(t, chartOf("a", "1.0.0")+"description: two\n")
	if int64(len(other)) != info.Size() {
		t.Fatalf("%d bytes, %d before", len(other), info.Size())
	}
	if err := errors.Join(os.WriteFile(file+".new", other, 0o644), os.Chtimes(file+".new", info.ModTime(), info.ModTime()), os.Rename(file+".new", file)); err != nil {
		t.Fatal(err)
	}
	d = open(t, depot.Config{Dir: dir})
	e, err := d.Find("", "a", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%x", sha256.Sum256(other)); e.Digest != want || e.Description != "two" {
		t.Errorf("digest %s of %q, want %s", e.Digest, e.Description, want)
	}
}

// FuzzPut throws archives and Chart.yaml of any kind at the upload. Whatever is
// taken has a plain name, lies in its folder and is in the index; nothing else is left.
func FuzzPut(f *testing.F) {
	f.Add([]byte(chartOf("a", "1.0.0")), true)
	f.Add([]byte(chartOf("../a", "1.0.0")), true)
	f.Add([]byte("name: [a]\nversion: {}\n"), true)
	f.Add(pack(f, chartOf("a", "1.0.0")), false)
	f.Add([]byte{0x1f, 0x8b, 8, 0}, false)
	d := open(f, depot.Config{Overwrite: depot.OverwriteAlways})
	f.Fuzz(func(t *testing.T, data []byte, chartfile bool) {
		if chartfile {
			data = pack(t, string(data))
		}
		e, err := d.Put(context.Background(), depot.Upload{Archive: bytes.NewReader(data)})
		if left, _ := filepath.Glob(d.StatePath("tmp", "*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		if err != nil {
			if !errors.Is(err, depot.ErrInvalid) {
				t.Errorf("not the upload's fault: %v", err)
			}
			return
		}
		if strings.ContainsAny(e.File, "/\\\x00\"") || strings.HasPrefix(e.File, ".") {
			t.Errorf("file name %q", e.File)
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(d.StatePath()), e.File)); err != nil {
			t.Error(err)
		}
		var index bytes.Buffer
		if _, err := d.Index("").WriteTo(&index); err != nil || !bytes.Contains(index.Bytes(), []byte(e.Digest)) {
			t.Errorf("%s is not in the index", e.File)
		}
		if err := d.Delete("", e.Name, e.Version); err != nil {
			t.Error(err)
		}
	})
}
