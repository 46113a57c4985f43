package depot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash/crc32"
	"sync"
	"time"

	"github.com/klauspost/compress/flate"
)

// Index is a repository's index at one moment. It is written as JSON, which is
// YAML too: Helm tries JSON first and reads it several times faster.
type Index struct {
	// Gzip is the index as one gzip member. It must not be changed.
	Gzip []byte
	// ETag is quoted and depends on the content only.
	ETag string
	// Changed is when the content did.
	Changed time.Time

	serial uint64
	parts  []*piece
	size   int
	once   sync.Once
	plain  []byte
}

// piece is a part of the index that is compressed on its own. Deflate streams
// that end in a flush can be put one after the other, so a new version costs the
// compression of its own chart's piece only.
type piece struct {
	plain  []byte
	packed []byte // raw deflate, flushed, not finished
	sum    [sha256.Size]byte
}

// Plain is the index without compression. It must not be changed.
func (x *Index) Plain() []byte {
	x.once.Do(func() {
		out := make([]byte, 0, x.size)
		for _, p := range x.parts {
			out = append(out, p.plain...)
		}
		x.plain, x.parts = out, nil
	})
	return x.plain
}

// packer compresses pieces; not safe for concurrent use.
type packer struct {
	flate *flate.Writer
	out   bytes.Buffer
}

func newPacker() *packer {
	w, err := flate.NewWriter(nil, flate.DefaultCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	return &packer{flate: w}
}

func (p *packer) pack(plain []byte) *piece {
	p.out.Reset()
	p.flate.Reset(&p.out)
	// Writing to a buffer cannot fail.
	_, _ = p.flate.Write(plain)
	_ = p.flate.Flush()
	return &piece{plain: plain, packed: bytes.Clone(p.out.Bytes()), sum: sha256.Sum256(plain)}
}

// Index returns the index of a tenant; one that is not there has an empty index.
func (d *Depot) Index(name string) *Index {
	t := d.tenant(name)
	if t == nil {
		t = &tenant{}
	}
	t.render.Lock()
	defer t.render.Unlock()
	t.mu.RLock()
	fresh := t.rendered != nil && t.rendered.serial == t.serial
	t.mu.RUnlock()
	if !fresh {
		t.rendered = t.newIndex()
	}
	return t.rendered
}

// newIndex puts the index together. Only pieces of changed charts are made anew.
// The caller holds render.
func (t *tenant) newIndex() *Index {
	type work struct {
		of   *versions
		name string
		list []*Entry
		have *piece
	}
	t.mu.RLock()
	x := &Index{serial: t.serial, Changed: t.changed}
	all := make([]work, 0, len(t.names))
	for _, name := range t.names {
		v := t.charts[name]
		all = append(all, work{of: v, name: name, list: v.list, have: v.piece})
	}
	t.mu.RUnlock()

	p := newPacker()
	comma := p.pack([]byte(",\n"))
	x.parts = append(x.parts, p.pack([]byte(`{"apiVersion":"v1","entries":{`+"\n")))
	for i := range all {
		w := &all[i]
		if w.have == nil {
			w.have = p.pack(chartJSON(w.name, w.list))
			t.mu.Lock()
			// A change in between has already asked for the next piece.
			if len(w.list) == len(w.of.list) && &w.list[0] == &w.of.list[0] {
				w.of.piece = w.have
			}
			t.mu.Unlock()
		}
		if i > 0 {
			x.parts = append(x.parts, comma)
		}
		x.parts = append(x.parts, w.have)
	}
	generated, _ := json.Marshal(x.Changed) // a time of this century marshals
	x.parts = append(x.parts, p.pack([]byte("\n},\"generated\":"+string(generated)+"}\n")))
	x.join()
	return x
}

// join makes the gzip member (RFC 1952) of the parts.
func (x *Index) join() {
	packed, crc, sums := 0, uint32(0), sha256.New()
	for _, p := range x.parts {
		packed += len(p.packed)
		x.size += len(p.plain)
		crc = crc32.Update(crc, crc32.IEEETable, p.plain)
		sums.Write(p.sum[:])
	}
	out := make([]byte, 0, packed+32)
	out = append(out, 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255) // deflate, no name, no time, unknown system
	for _, p := range x.parts {
		out = append(out, p.packed...)
	}
	out = append(out, 0x03, 0x00) // the last, empty block
	out = binary.LittleEndian.AppendUint32(out, crc)
	x.Gzip = binary.LittleEndian.AppendUint32(out, uint32(x.size))
	x.ETag = `"` + hex.EncodeToString(sums.Sum(nil)[:16]) + `"`
}

// chartJSON is one chart's member of the object "entries".
func chartJSON(name string, list []*Entry) []byte {
	size := len(name) + 8
	for _, e := range list {
		size += len(e.JSON) + 2
	}
	out := make([]byte, 0, size)
	out = append(out, '"')
	out = append(out, name...) // plain letters only, see chartName
	out = append(out, `":`...)
	return append(out, ListJSON(list)...)
}

// ListJSON is the versions of a chart as a JSON array.
func ListJSON(list []*Entry) []byte {
	out := []byte("[\n")
	for i, e := range list {
		if i > 0 {
			out = append(out, ",\n"...)
		}
		out = append(out, e.JSON...)
	}
	return append(out, ']')
}
