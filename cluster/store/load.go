package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"strconv"
	"sync"

	bolt "go.etcd.io/bbolt"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/object"
)

// loadChunk is how many objects one worker decodes at a time.
const loadChunk = 128

// chunk is a run of objects of one resource, in the order of their keys. The
// bytes belong to the transaction.
type chunk struct {
	resource     object.Resource
	keys, values [][]byte
	entries      []*entry
	err          error
}

// load decodes all objects, on all processors.
func (d *disk) load(c Codec) (map[object.Resource]*tree, error) {
	trees := map[object.Resource]*tree{}
	err := d.bolt.View(func(tx *bolt.Tx) error {
		chunks, err := readChunks(tx)
		if err != nil {
			return err
		}
		decodeChunks(chunks, c)
		for _, ch := range chunks {
			if ch.err != nil {
				return ch.err
			}
			t := trees[ch.resource]
			if t == nil {
				t = newTree()
				trees[ch.resource] = t
			}
			for _, e := range ch.entries {
				t.Load(e)
			}
		}
		return nil
	})
	return trees, err
}

func readChunks(tx *bolt.Tx) ([]*chunk, error) {
	var chunks []*chunk
	objects := tx.Bucket(objectsBucket)
	if objects == nil {
		return nil, fmt.Errorf("damaged: it has no bucket %q", objectsBucket)
	}
	err := objects.ForEachBucket(func(name []byte) error {
		r := schema.ParseGroupResource(string(name))
		var last *chunk
		return objects.Bucket(name).ForEach(func(k, v []byte) error {
			if last == nil || len(last.keys) == loadChunk {
				last = &chunk{resource: r}
				chunks = append(chunks, last)
			}
			last.keys = append(last.keys, k)
			last.values = append(last.values, v)
			return nil
		})
	})
	return chunks, err
}

func decodeChunks(chunks []*chunk, c Codec) {
	todo := make(chan *chunk)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(chunks)) {
		workers.Go(func() { // ends when todo is closed
			for ch := range todo {
				ch.err = ch.decode(c)
			}
		})
	}
	for _, ch := range chunks {
		todo <- ch
	}
	close(todo)
	workers.Wait()
}

func (ch *chunk) decode(c Codec) error {
	ch.entries = make([]*entry, len(ch.keys))
	for i := range ch.keys {
		e, err := decodeEntry(c, ch.resource, ch.keys[i], ch.values[i])
		if err != nil {
			return err
		}
		ch.entries[i] = e
	}
	return nil
}

func decodeEntry(c Codec, r object.Resource, key, value []byte) (*entry, error) {
	namespace, name, ok := bytes.Cut(key, []byte{0})
	if !ok || len(value) < revisionLen {
		return nil, fmt.Errorf("damaged: %s %q", r, key)
	}
	k := object.Key{Namespace: string(namespace), Name: string(name)}
	revision := int64(binary.BigEndian.Uint64(value))
	// The bytes are the file's mapping; what is decoded must not point there.
	o, err := c.Decode(r, bytes.Clone(value[revisionLen:]))
	if err != nil {
		return nil, fmt.Errorf("%s %q: decode: %w", r, k, err)
	}
	o.SetResourceVersion(formatRevision(revision))
	return &entry{key: k, object: o, revision: revision, onDisk: true}, nil
}

// revisionLen is the length of the revision before each value.
const revisionLen = 8

// encodeValue is the value of an object on disk.
func encodeValue(revision int64, data []byte) []byte {
	v := make([]byte, 0, revisionLen+len(data))
	return append(binary.BigEndian.AppendUint64(v, uint64(revision)), data...)
}

func formatRevision(n int64) string { return strconv.FormatInt(n, 10) }
