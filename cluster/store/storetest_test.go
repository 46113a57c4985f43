package store_test

import (
	"path/filepath"
	"testing"

	"github.com/seed38700745/pkg/cluster/store"
	"github.com/seed38700745/pkg/cluster/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) store.Store {
		db, err := store.Open(filepath.Join(dir, "db"), store.Options{
			Codec:   storetest.Codec{},
			History: store.History{Events: storetest.History},
		})
		if err != nil {
			t.Fatal(err)
		}
		return db
	})
}
