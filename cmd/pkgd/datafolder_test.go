package main

import (
	be "encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/seed38700745/pkg/cluster/store/powercut"
)

// storeFile is where a machine's cluster keeps its objects.
func (m *machine) storeFile() string { return filepath.Join(m.home, "store", "pkg.db") }

// setFormat writes the version of the layout into a store file.
func setFormat(t *testing.T, path string, version uint64) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("format"), be.BigEndian.AppendUint64(nil, version))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestDataFolderOfNewerFormat(t *testing.T) {
	m := newMachine(t)
	m.pkg("cluster", "start")
	m.kubectl("create", "configmap", "kept")
	m.pkg("cluster", "stop")
	setFormat(t, m.storeFile(), 7)
	m.fails(1, []string{m.storeFile(), "format 7", "formats up to 1"}, "cluster", "start")
	m.fails(1, []string{"format 7"}, "install", "bundled/nginx")
	setFormat(t, m.storeFile(), 1)
	m.pkg("cluster", "start")
	m.kubectl("get", "configmap", "kept")
}

// A damaged store file is refused with its name, and not touched.
func TestDamagedStore(t *testing.T) {
	m := newMachine(t)
	m.pkg("cluster", "start")
	for n := range 20 {
		m.kubectl("create", "configmap", fmt.Sprintf("c%d", n), "--from-literal=x="+strings.Repeat("x", 2000))
	}
	m.pkg("cluster", "stop")
	good, err := os.ReadFile(m.storeFile())
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"empty pages at the start": func(b []byte) []byte { clear(b[:4*os.Getpagesize()]); return b },
		"cut off":                  func(b []byte) []byte { return b[:3*os.Getpagesize()] },
		"other content": func(b []byte) []byte {
			return append([]byte(strings.Repeat("no database\n", 4096)), b[1<<16:]...)
		},
		"garbage behind the head": func(b []byte) []byte {
			for i := 2 * os.Getpagesize(); i < len(b); i++ {
				b[i] ^= byte(i)
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			m.t = t
			bad := damage(append([]byte(nil), good...))
			if err := os.WriteFile(m.storeFile(), bad, 0o600); err != nil {
				t.Fatal(err)
			}
			r := m.fails(1, []string{"cannot start the cluster", m.storeFile(), "damaged"}, "cluster", "start")
			if strings.Contains(r.stderr, "goroutine") {
				t.Errorf("a crash instead of an error:\n%s", r.stderr)
			}
		})
	}
	m.t = t
	if err := os.WriteFile(m.storeFile(), good, 0o600); err != nil {
		t.Fatal(err)
	}
	m.pkg("cluster", "start")
	m.kubectl("get", "configmap", "c19")
}

// newDisk is a file system of its own for a machine's data folder.
func (m *machine) newDisk(t *testing.T, size int64) *powercut.Disk {
	t.Helper()
	d := powercut.ForTest(t, size)
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join(m.home, "instance.json")); err == nil {
			m.t = t
			m.pkg("cluster", "delete", "--yes", "--volumes")
		}
	})
	m.home = filepath.Join(d.Path(), "home")
	m.env = append(m.env, "PKG_HOME="+m.home)
	return d
}

// On a full disk writes are refused, and the cluster goes on when there is room.
func TestDiskFull(t *testing.T) {
	m := newMachine(t)
	d := m.newDisk(t, 48<<20)
	m.pkg("cluster", "start")
	m.apply(podManifest("p", "sleep", "1000"))
	m.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=60s")
	m.kubectl("create", "configmap", "before", "--from-literal=x=1")
	balloon := filepath.Join(d.Path(), "balloon")
	f, err := os.Create(balloon)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, zeros{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, []byte(strings.Repeat("x", 900_000)), 0o644); err != nil {
		t.Fatal(err)
	}
	var refused result
	written := 0
	for refused.code == 0 && written < 40 { // what the file has room for is taken
		refused = m.try("pkg", "kubectl", "create", "configmap", fmt.Sprintf("big%d", written), "--from-file="+big)
		written++
	}
	if refused.code == 0 || !strings.Contains(refused.stderr, "no space left") {
		t.Errorf("exit code %d on a full disk after %d writes: %s", refused.code, written, refused.stderr)
	}
	t.Logf("refused after %d writes: %s", written-1, refused.stderr)
	m.kubectl("get", "configmap", "before") // reads go on
	m.fails(1, []string{"no space left"}, "install", "bundled/nginx", "--no-wait", "--set-file", `content.index\.html=`+big)
	if err := os.Remove(balloon); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() error {
		if r := m.try("pkg", "kubectl", "create", "configmap", "after"); r.code != 0 {
			return errors.New(r.stderr)
		}
		return nil
	})
	m.pkg("upgrade", "--install", "nginx", "bundled/nginx", "--no-wait")
	m.kubectl("exec", "p", "--", "true")
	m.killDaemon()
	m.restart("p")
	m.kubectl("get", "configmap", "before", "after")
	if r := m.try("pkg", "kubectl", "get", "configmap", fmt.Sprintf("big%d", written-1)); r.code == 0 {
		t.Error("what was refused is there")
	}
}

// zeros is an endless file.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
