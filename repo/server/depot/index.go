package depot

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash/crc32"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/flate"
)

// Index is a repository's index at one moment. It is written as JSON, which is
// YAML too: Helm tries JSON first and reads it several times faster.
type Index struct {
	// Gzip is the index as one gzip member. It must not be changed.
	Gzip []byte
	// Size is the length without compression, in bytes.
	Size int64
	// ETag is quoted and depends on the content only.
	ETag string
	// Changed is when the content did.
	Changed time.Time

	serial uint64
	charts []indexChart
}

// indexChart is one chart's versions at the moment of an index.
type indexChart struct {
	name string
	list []*Entry
	*piece
}

// piece is one chart's part of the index, compressed on its own. Deflate streams
// that end in a flush can be put one after the other, so a new version costs the
// compression of its own chart's piece only.
type piece struct {
	packed []byte // raw deflate, flushed, not finished
	size   int    // without compression
	sum    [sha256.Size]byte
}

// The text between the charts' parts.
const (
	indexHead = `{"apiVersion":"v1","entries":{` + "\n"
	indexJoin = ",\n"
)

func (x *Index) tail() string {
	generated, _ := json.Marshal(x.Changed) // a time of this century marshals
	return "\n},\"generated\":" + string(generated) + "}\n"
}

// WriteTo writes the index without compression. Nobody asks for that often, so it is
// put together from the entries each time.
func (x *Index) WriteTo(w io.Writer) (int64, error) {
	out := bufio.NewWriterSize(w, 64<<10)
	// Flush returns the error of all writes.
	_, _ = out.WriteString(indexHead)
	for i, c := range x.charts {
		if i > 0 {
			_, _ = out.WriteString(indexJoin)
		}
		writeChart(out, c.name, c.list)
	}
	_, _ = out.WriteString(x.tail())
	if err := out.Flush(); err != nil {
		return 0, err
	}
	return x.Size, nil
}

// packer compresses pieces; not safe for concurrent use.
type packer struct {
	flate *flate.Writer
	plain bytes.Buffer
	out   bytes.Buffer
}

func newPacker() any {
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
	return &piece{packed: bytes.Clone(p.out.Bytes()), size: len(plain), sum: sha256.Sum256(plain)}
}

func (p *packer) packChart(name string, list []*Entry) *piece {
	p.plain.Reset()
	writeChart(&p.plain, name, list)
	return p.pack(p.plain.Bytes())
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
		t.rendered = d.newIndex(t)
	}
	return t.rendered
}

// newIndex puts the index together. Only pieces of changed charts are made anew, by
// all processors when there are many, as after the start. The caller holds render.
func (d *Depot) newIndex(t *tenant) *Index {
	t.mu.RLock()
	x := &Index{serial: t.serial, Changed: t.changed, charts: make([]indexChart, 0, len(t.names))}
	owners := make([]*versions, 0, len(t.names))
	for _, name := range t.names {
		v := t.charts[name]
		x.charts = append(x.charts, indexChart{name, v.list, v.piece})
		owners = append(owners, v)
	}
	t.mu.RUnlock()

	var next atomic.Int64
	work := func() {
		p := d.packers.Get().(*packer)
		defer d.packers.Put(p)
		for i := int(next.Add(1)) - 1; i < len(x.charts); i = int(next.Add(1)) - 1 {
			if c := &x.charts[i]; c.piece == nil {
				c.piece = p.packChart(c.name, c.list)
			}
		}
	}
	var others sync.WaitGroup
	for range runtime.GOMAXPROCS(0) - 1 {
		others.Go(work)
	}
	work()
	others.Wait()

	t.mu.Lock()
	for i, v := range owners {
		// A change in between has already asked for the next piece.
		if list := x.charts[i].list; len(list) == len(v.list) && &list[0] == &v.list[0] {
			v.piece = x.charts[i].piece
		}
	}
	t.mu.Unlock()
	d.join(x)
	return x
}

// join makes the gzip member (RFC 1952) of the pieces.
func (d *Depot) join(x *Index) {
	p := d.packers.Get().(*packer)
	defer d.packers.Put(p)
	head, between, tail := p.pack([]byte(indexHead)), p.pack([]byte(indexJoin)), p.pack([]byte(x.tail()))
	packed := len(head.packed) + len(tail.packed) + len(x.charts)*len(between.packed) + 32
	for _, c := range x.charts {
		packed += len(c.packed)
	}
	sums := sha256.New()
	out := append(make([]byte, 0, packed), 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255) // deflate, no name, no time, unknown system
	add := func(p *piece) {
		out = append(out, p.packed...)
		x.Size += int64(p.size)
		sums.Write(p.sum[:])
	}
	add(head)
	for i, c := range x.charts {
		if i > 0 {
			add(between)
		}
		add(c.piece)
	}
	add(tail)
	crc := crc32.NewIEEE()
	_, _ = x.WriteTo(crc)         // a hash takes everything
	out = append(out, 0x03, 0x00) // the last, empty block
	out = binary.LittleEndian.AppendUint32(out, crc.Sum32())
	x.Gzip = binary.LittleEndian.AppendUint32(out, uint32(x.Size))
	x.ETag = `"` + hex.EncodeToString(sums.Sum(nil)[:16]) + `"`
}

// writeChart writes one chart's member of the object "entries". The name is of plain
// letters only, see chartName. Errors are the writer's to remember.
func writeChart(w io.Writer, name string, list []*Entry) {
	_, _ = io.WriteString(w, `"`+name+`":`)
	WriteList(w, list)
}

// WriteList writes the versions of a chart as a JSON array. Errors are the writer's to
// remember.
func WriteList(w io.Writer, list []*Entry) {
	_, _ = io.WriteString(w, "[\n")
	for i, e := range list {
		if i > 0 {
			_, _ = io.WriteString(w, indexJoin)
		}
		_, _ = w.Write(e.JSON)
	}
	_, _ = io.WriteString(w, "]")
}
