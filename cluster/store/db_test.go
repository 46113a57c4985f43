package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

func TestOpenLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	openAt(t, path)
	if db, err := store.Open(path, store.Options{Codec: codec{}}); !errors.Is(err, store.ErrLocked) {
		t.Fatalf("Open of an open store: %v, %v; want ErrLocked", db, err)
	}
}

func TestOpenNewerFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	if err := openAt(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	b, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(b.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte{0, 0, 0, 0, 0, 0, 0, 9})
	}), b.Close())
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(path, store.Options{Codec: codec{}})
	if !errors.Is(err, store.ErrFormat) || !strings.Contains(err.Error(), "format 9") {
		t.Fatalf("Open of format 9: %v; want ErrFormat that names it", err)
	}
}

func TestUnencodableFailsAlone(t *testing.T) {
	db := openAt(t, filepath.Join(t.TempDir(), "db"))
	bad := configMap("a", "bad", 1)
	bad.Data["unencodable"] = "yes"
	w := store.Write{Verb: store.Create, Resource: configMaps, Key: object.KeyOf(bad), Object: bad}
	if _, err := db.Write(t.Context(), w); err == nil || !strings.Contains(err.Error(), `configmaps "a/bad": encode`) {
		t.Fatalf("write: %v; want an encoding error that names the object", err)
	}
	if _, err := db.Write(t.Context(), create("a", "good", 1)); err != nil {
		t.Fatal(err)
	}
	if n := db.Snapshot().Len(configMaps, ""); n != 1 {
		t.Fatalf("%d objects, want 1", n)
	}
}

func TestOpenDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(path, store.Options{Codec: codec{}}); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("Open of another file: %v; want an error that names it", err)
	}
}

// Of every page of a file, one is damaged: that is an error, or the page is not
// in use. Bytes inside of values have no checksum; they are the codec's.
func TestOpenDamagedPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := openAt(t, path)
	for n := range 100 {
		if _, err := db.Write(t.Context(), create("a", fmt.Sprintf("c%d", n), 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	try := func(how string, bad []byte) {
		t.Helper()
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := store.Open(path, store.Options{Codec: codec{}})
		switch {
		case err == nil:
			if err := db.Close(); err != nil {
				t.Errorf("%s: close: %v", how, err)
			}
		case !strings.Contains(err.Error(), path):
			t.Errorf("%s: %v; want an error that names the file", how, err)
		default:
			damaged++
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	size := os.Getpagesize()
	for page := 0; page < min(len(good)/size, 40); page++ {
		zero, noise, cut := slices.Clone(good), slices.Clone(good), good[:page*size]
		clear(zero[page*size : (page+1)*size])
		for i := page * size; i < (page+1)*size; i++ {
			noise[i] = byte(rng.Uint32())
		}
		head := slices.Clone(good) // its elements are damaged, and its header is not
		for i := page*size + 16; i < page*size+200; i++ {
			head[i] = byte(rng.Uint32())
		}
		try(fmt.Sprintf("page %d empty", page), zero)
		try(fmt.Sprintf("page %d noise", page), noise)
		try(fmt.Sprintf("page %d noise in its head", page), head)
		try(fmt.Sprintf("cut off at page %d", page), cut)
	}
	if damaged < 40 {
		t.Errorf("%d of the damages were seen", damaged)
	}
}

func TestResumeAfterOrderlyRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := openAt(t, path)
	if _, err := db.Write(t.Context(), create("a", "x", 1)); err != nil {
		t.Fatal(err)
	}
	last := db.Revision()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again := openAt(t, path)
	w, err := again.Watch(configMaps, "", last)
	if err != nil {
		t.Fatalf("resume at the last revision: %v", err)
	}
	w.Stop()
}

// TestLazyReachesDisk copies the file of a store that is idle after a lazy
// write, as a crash would leave it, until the write is in it.
func TestLazyReachesDisk(t *testing.T) {
	dir := t.TempDir()
	db := openAt(t, filepath.Join(dir, "db"))
	lazy := create("a", "lazy", 1)
	lazy.Lazy = true
	if _, err := db.Write(t.Context(), lazy); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for !copyHas(t, dir, lazy.Key) {
		if time.Now().After(deadline) {
			t.Fatal("the lazy write is not on disk after 10 s")
		}
	}
}

func copyHas(t *testing.T, dir string, k object.Key) bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "db"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "copy")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	db, err := store.Open(path, store.Options{Codec: codec{}})
	if err != nil {
		return false // copied during a commit
	}
	defer db.Close()
	_, err = db.Get(configMaps, k)
	return err == nil
}

func TestCloseLeavesNoGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 5 {
		db := openAt(t, filepath.Join(t.TempDir(), "db"))
		if _, err := db.Watch(configMaps, "", db.Revision()); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Write(t.Context(), create("a", "x", 1)); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
}
