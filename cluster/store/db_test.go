package store_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

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
