package store

import (
	"strings"

	"github.com/tidwall/btree"

	"github.com/seed38700745/pkg/cluster/object"
)

// entry is one stored object. It is immutable.
type entry struct {
	key      object.Key
	object   object.Object
	revision int64
	onDisk   bool // the disk has, or will have, some version of it
}

// tree holds the entries of one resource, sorted by key. The writer changes
// its own trees and publishes copies, which share nodes until they change.
type tree = btree.BTreeG[*entry]

func newTree() *tree {
	less := func(a, b *entry) bool { return compareKeys(a.key, b.key) < 0 }
	return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
}

func compareKeys(a, b object.Key) int {
	if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

func find(t *tree, k object.Key) *entry {
	if t == nil {
		return nil
	}
	e, _ := t.Get(&entry{key: k})
	return e
}

// view is the Snapshot of a DB. It is immutable.
type view struct {
	revision int64
	trees    map[object.Resource]*tree
}

// Revision implements Snapshot.
func (v *view) Revision() int64 { return v.revision }

// Get implements Snapshot.
func (v *view) Get(r object.Resource, k object.Key) (object.Object, bool) {
	e := find(v.trees[r], k)
	if e == nil {
		return nil, false
	}
	return e.object, true
}

// Ascend implements Snapshot.
func (v *view) Ascend(r object.Resource, namespace string, after object.Key, visit func(object.Object) bool) {
	v.ascend(r, namespace, after, func(e *entry) bool { return visit(e.object) })
}

func (v *view) ascend(r object.Resource, namespace string, after object.Key, visit func(*entry) bool) {
	t := v.trees[r]
	if t == nil {
		return
	}
	start := object.Key{Namespace: namespace}
	if compareKeys(after, start) > 0 {
		start = after
	}
	t.Ascend(&entry{key: start}, func(e *entry) bool {
		switch {
		case namespace != "" && e.key.Namespace != namespace:
			return false
		case e.key == after:
			return true
		}
		return visit(e)
	})
}

// Len implements Snapshot. In one namespace it takes time in proportion.
func (v *view) Len(r object.Resource, namespace string) int {
	t := v.trees[r]
	if t == nil {
		return 0
	}
	if namespace == "" {
		return t.Len()
	}
	n := 0
	v.ascend(r, namespace, object.Key{}, func(*entry) bool { n++; return true })
	return n
}
