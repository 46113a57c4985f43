//go:build linux

package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
	"github.com/seed38700745/pkg/cluster/store/powercut"
)

// TestPowerCut cuts the power at seeded moments of a write load, and checks
// that every acknowledged write is there afterwards.
func TestPowerCut(t *testing.T) {
	moments := 50
	if testing.Short() {
		moments = 5
	}
	d := powercut.ForTest(t, 64<<20)
	path := filepath.Join(d.Path(), "db")
	acknowledged := 0
	for seed := range uint64(moments) {
		r := rand.New(rand.NewPCG(seed, 0))
		l := startLoad(t, path, seed, os.Getenv(noSyncVariable) == "1")
		l.read(t, 1+r.IntN(500))
		<-time.After(time.Duration(r.IntN(3000)) * time.Microsecond) // not always just after a commit
		if err := d.Cut(); err != nil {
			t.Fatal(err)
		}
		l.kill(t)
		if err := d.Remount(); err != nil {
			t.Fatal(err)
		}
		l.check(t, path)
		acknowledged += l.total
		if t.Failed() {
			t.Fatalf("after power cut %d of %d", seed, moments)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d power cuts, %d acknowledged writes, none lost", moments, acknowledged)
}

// TestKill kills the writing process, again and again on the same file.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	for seed := range uint64(5) {
		l := startLoad(t, path, seed, false)
		l.read(t, 300)
		l.kill(t)
		l.check(t, path)
		if t.Failed() {
			t.FailNow()
		}
		empty(t, path)
	}
}

// empty deletes all objects.
func empty(t *testing.T, path string) {
	t.Helper()
	db := openAt(t, path)
	db.Snapshot().Ascend(configMaps, "", object.Key{}, func(o object.Object) bool {
		w := store.Write{Verb: store.Delete, Resource: configMaps, Key: object.KeyOf(o), Lazy: true}
		if _, err := db.Write(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		return true
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBrokenDisk has the disk fail under an open store: it must not
// acknowledge anything durable any more, also not later.
func TestBrokenDisk(t *testing.T) {
	d := powercut.ForTest(t, 16<<20)
	path := filepath.Join(d.Path(), "db")
	db := openAt(t, path)
	if _, err := db.Write(t.Context(), create("a", "kept", 1)); err != nil {
		t.Fatal(err)
	}
	if err := d.Cut(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := db.Write(t.Context(), create("a", "lost", 1))
		if err == nil || !errors.Is(err, store.ErrBroken) {
			t.Errorf("write to a failed disk: %v", err)
		}
	}
	volatile := create("a", "volatile", 1)
	volatile.Volatile = true
	if _, err := db.Write(t.Context(), volatile); err != nil {
		t.Errorf("volatile write with a failed disk: %v", err)
	}
	if n := db.Snapshot().Len(configMaps, ""); n != 2 {
		t.Errorf("%d objects in memory, want 2", n)
	}
	last := db.Revision()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Remount(); err != nil {
		t.Fatal(err)
	}
	again := openAt(t, path)
	if n := again.Snapshot().Len(configMaps, ""); n != 1 || again.Revision() < last {
		t.Errorf("%d objects at revision %d after a restart, want 1 at %d or more", n, again.Revision(), last)
	}
	if err := again.Close(); err != nil { // before the disk is unmounted
		t.Fatal(err)
	}
}

// TestFullDisk fills the disk: writes that find no room fail and change
// nothing, and go on when there is room again.
func TestFullDisk(t *testing.T) {
	d := powercut.ForTest(t, 16<<20)
	filler := filepath.Join(d.Path(), "filler")
	if err := os.WriteFile(filler, make([]byte, 6<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(d.Path(), "db")
	db, err := store.Open(path, store.Options{Codec: codec{}, History: store.History{Bytes: 64 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	watch, err := db.Watch(configMaps, "", db.Revision())
	if err != nil {
		t.Fatal(err)
	}
	written := 0
	for ; ; written++ {
		_, err := db.Write(t.Context(), create("a", fmt.Sprint(written), 64<<10))
		if errors.Is(err, store.ErrFull) {
			break
		}
		if err != nil || written > 1000 {
			t.Fatalf("write %d: %v, want ErrFull at last", written, err)
		}
	}
	failed := object.Key{Namespace: "a", Name: fmt.Sprint(written)}
	if _, err := db.Get(configMaps, failed); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get of what found no room: %v", err)
	}
	if _, err := db.Write(t.Context(), store.Write{Verb: store.Delete, Resource: configMaps, Key: object.Key{Namespace: "a", Name: "0"}}); err != nil {
		t.Errorf("delete on a full disk: %v", err)
	}
	before := db.Revision()
	volatile := create("b", "volatile", 1)
	volatile.Volatile = true
	if o, err := db.Write(t.Context(), volatile); err != nil || db.Revision() <= before {
		t.Errorf("volatile write on a full disk: %v, error %v", o, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Write(t.Context(), create("a", failed.Name, 64<<10)); err != nil {
		t.Errorf("write with room again: %v", err)
	}
	last := before
	events, err := watch.Next(t.Context())
	if err != nil || len(events) != written+3 {
		t.Errorf("%d events, error %v; want %d", len(events), err, written+3)
	}
	for _, e := range events[max(0, len(events)-2):] {
		if e.Revision <= last {
			t.Errorf("revision %d after %d", e.Revision, last)
		}
		last = e.Revision
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again := openAt(t, path)
	if n := again.Snapshot().Len(configMaps, ""); n != written {
		t.Errorf("%d objects after reopening, want %d", n, written)
	}
	if err := again.Close(); err != nil { // before the disk is unmounted
		t.Fatal(err)
	}
}

// TestSpareRoom fills the disk by writes and from elsewhere: what is there can be
// changed and deleted, and what that frees can be used again.
func TestSpareRoom(t *testing.T) {
	d := powercut.ForTest(t, 16<<20)
	db := openAt(t, filepath.Join(d.Path(), "db"))
	write := func(verb store.Verb, n, size int) error {
		q := create("a", fmt.Sprint(n), size)
		q.Verb = verb
		_, err := db.Write(t.Context(), q)
		return err
	}
	const size = 40 << 10
	written := 0
	for ; written < 50; written++ {
		if err := write(store.Create, written, size); err != nil {
			t.Fatal(err)
		}
	}
	filler, err := os.Create(filepath.Join(d.Path(), "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close()
	for block := make([]byte, 1<<10); err == nil; {
		_, err = filler.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	for ; written < 1000; written++ {
		if err = write(store.Create, written, size); err != nil {
			break
		}
	}
	if !errors.Is(err, store.ErrFull) {
		t.Fatalf("write %d: %v, want ErrFull at last", written, err)
	}
	for n := range written {
		if err := write(store.Update, n, size+100); err != nil {
			t.Fatalf("change %d of %d on a full disk: %v", n, written, err)
		}
	}
	for n := range written - 5 {
		if err := write(store.Delete, n, 0); err != nil {
			t.Fatalf("deletion %d of %d on a full disk: %v", n, written, err)
		}
	}
	for n := range written / 2 {
		if err := write(store.Create, n, size); err != nil {
			t.Fatalf("write %d where others were deleted: %v", n, err)
		}
	}
}
