// Package localindex keeps what pkg needs of a repository's index.yaml in a file that
// is read in parts: finding one chart costs two small reads, however large the index
// is, and a search reads the file once without parsing anything.
//
// The file is made by [Build] from an index.yaml, which is read as a stream. It says
// of which one it was made (size, time and SHA-256), so that one who finds another
// beside it makes it anew; every part has a checksum, so damage shows as
// [ErrDamaged]. It is never changed in place.
//
//	magic     8 bytes, the last one the format's number
//	table at  8 bytes, length of header 4, CRC-32 of header 4 (little endian)
//	header    JSON of [Header]
//	blocks    one for each chart: its texts (description and keywords, each once),
//	          then its versions, newest first
//	table     for each chart, by name: name, offset, length, CRC-32 of its block;
//	          then the CRC-32 of the table, 4 bytes
//
// Numbers without a size are varints; strings have their length before them.
package localindex

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"time"
	"unsafe"
)

// magic begins a file; a change of the format changes its last byte.
const magic = "pkgindx\x02"

// fixedSize is what stands before the header: magic, table offset, header length and
// checksum.
const fixedSize = 8 + 8 + 4 + 4

// ErrDamaged is wrapped when a file is not what Build wrote: cut short, changed, or of
// another version of pkg. The remedy is to build it again.
var ErrDamaged = errors.New("the local index is damaged")

// Header says of what an index was made.
type Header struct {
	Size    int64     `json:"size"`    // of index.yaml, bytes
	ModTime time.Time `json:"modTime"` // of index.yaml
	SHA256  string    `json:"sha256"`  // of index.yaml, hex
	// URL of the repository, and what its server said that tells versions of the
	// index apart; "" when the index came by another way.
	URL          string `json:"url,omitempty"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"lastModified,omitempty"`
}

// Entry is one version of a chart: what finding, fetching and searching need.
type Entry struct {
	Version     string
	AppVersion  string
	Description string
	Keywords    []string
	URL         string // the first of the index's, perhaps relative
	Digest      string // as the index spells it; "" when it does not say
	Created     time.Time
	Deprecated  bool
	// Release is a version without prerelease part; Positive and PositiveDevel fit
	// the constraints >0.0.0 and >0.0.0-0, which are those of searches.
	Release, Positive, PositiveDevel bool
}

// Clone returns a copy that shares nothing.
func (e *Entry) Clone() Entry {
	c := *e
	c.Version, c.AppVersion, c.Description = strings.Clone(e.Version), strings.Clone(e.AppVersion), strings.Clone(e.Description)
	c.URL, c.Digest = strings.Clone(e.URL), strings.Clone(e.Digest)
	c.Keywords = make([]string, len(e.Keywords))
	for i, k := range e.Keywords {
		c.Keywords[i] = strings.Clone(k)
	}
	return c
}

// Flags of a version in a block.
const (
	flagDeprecated = 1 << iota
	flagRelease
	flagPositive
	flagPositiveDevel
)

// Index is an open file. It may be used concurrently.
type Index struct {
	Header
	file  *os.File
	table []place // by name
}

// place is where a chart's block is.
type place struct {
	name   string
	offset int64
	length int
	sum    uint32
}

// Open reads header and table. The error wraps fs.ErrNotExist or [ErrDamaged].
func Open(name string) (*Index, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	x := &Index{file: f}
	if err := x.read(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return x, nil
}

// Close ends the use of the file.
func (x *Index) Close() error { return x.file.Close() }

func (x *Index) read() error {
	info, err := x.file.Stat()
	if err != nil {
		return err
	}
	var fixed [fixedSize]byte
	if _, err := x.file.ReadAt(fixed[:], 0); err != nil || string(fixed[:8]) != magic {
		return ErrDamaged
	}
	table := binary.LittleEndian.Uint64(fixed[8:])
	length := binary.LittleEndian.Uint32(fixed[16:])
	if int64(length) > info.Size() || table < fixedSize+uint64(length) || table+4 > uint64(info.Size()) {
		return ErrDamaged
	}
	header := make([]byte, length)
	if _, err := x.file.ReadAt(header, fixedSize); err != nil || checksum(header) != binary.LittleEndian.Uint32(fixed[20:]) {
		return ErrDamaged
	}
	if err := json.Unmarshal(header, &x.Header); err != nil {
		return ErrDamaged
	}
	raw := make([]byte, info.Size()-int64(table))
	if _, err := x.file.ReadAt(raw, int64(table)); err != nil {
		return ErrDamaged
	}
	list, sum := raw[:len(raw)-4], binary.LittleEndian.Uint32(raw[len(raw)-4:])
	if checksum(list) != sum {
		return ErrDamaged
	}
	d := decoder{text: string(list)}
	for len(d.text) > 0 && !d.bad {
		p := place{name: d.str(), offset: int64(d.number()), length: int(d.number()), sum: uint32(d.number())}
		if p.offset < 0 || p.length < 0 || p.offset+int64(p.length) > int64(table) {
			return ErrDamaged
		}
		x.table = append(x.table, p)
	}
	if d.bad {
		return ErrDamaged
	}
	return nil
}

// Names lists the charts, sorted.
func (x *Index) Names() []string {
	names := make([]string, len(x.table))
	for i, p := range x.table {
		names[i] = p.name
	}
	return names
}

// Chart returns the versions of a chart, newest first; none when there is no such
// chart.
func (x *Index) Chart(name string) ([]Entry, error) {
	at, found := slices.BinarySearchFunc(x.table, name, func(p place, name string) int { return strings.Compare(p.name, name) })
	if !found {
		return nil, nil
	}
	return x.block(x.table[at])
}

func (x *Index) block(p place) ([]Entry, error) {
	raw := make([]byte, p.length)
	if _, err := x.file.ReadAt(raw, p.offset); err != nil {
		return nil, damaged(p, err)
	}
	return decode(p, raw, nil)
}

// Check reads the whole file and reports damage.
func (x *Index) Check() error {
	return x.each(func(p place, raw []byte) error {
		if checksum(raw) != p.sum {
			return fmt.Errorf("chart %s: %w", p.name, ErrDamaged)
		}
		return nil
	})
}

// readAhead is how many bytes of blocks are read at once, into the same memory: new
// pages cost more than the reading.
const readAhead = 128 << 10

// Range calls f for every chart, in no particular order, until it returns an error. The
// versions are overwritten when f has returned.
func (x *Index) Range(f func(name string, versions []Entry) error) error {
	var versions []Entry
	return x.each(func(p place, raw []byte) error {
		var err error
		if versions, err = decode(p, raw, versions[:0]); err != nil {
			return err
		}
		return f(p.name, versions)
	})
}

// Heads is Range for one who reads much and keeps little: versions are read as they are
// asked for. An entry is overwritten by the next one, and its texts when f has
// returned; [Entry.Clone] is what can be kept.
func (x *Index) Heads(f func(name string, versions iter.Seq[*Entry]) error) error {
	return x.each(func(p place, raw []byte) error {
		versions, _, _, err := open(p, raw, unsafe.String(unsafe.SliceData(raw), len(raw)))
		if err != nil {
			return err
		}
		return f(p.name, versions)
	})
}

// each calls f with every block.
func (x *Index) each(f func(p place, raw []byte) error) error {
	var window []byte
	var start int64
	for _, p := range slices.SortedFunc(slices.Values(x.table), func(a, b place) int { return cmp.Compare(a.offset, b.offset) }) {
		if p.offset < start || p.offset+int64(p.length) > start+int64(len(window)) {
			window = slices.Grow(window[:0], max(readAhead, p.length))
			window = window[:cap(window)]
			n, err := x.file.ReadAt(window, p.offset)
			if err != nil && !errors.Is(err, io.EOF) {
				return damaged(p, err)
			}
			window, start = window[:n], p.offset
			if n < p.length {
				return damaged(p, io.ErrUnexpectedEOF)
			}
		}
		from := p.offset - start
		if err := f(p, window[from:from+int64(p.length)]); err != nil {
			return err
		}
	}
	return nil
}

func damaged(p place, err error) error {
	return fmt.Errorf("chart %s: %w (%w)", p.name, ErrDamaged, err)
}

// checksum is gzip's, whose table is there already; making that of CRC-32C would take
// longer than opening an index.
func checksum(data []byte) uint32 { return crc32.ChecksumIEEE(data) }

// decode reads a block into a list, which may be there already.
func decode(p place, raw []byte, list []Entry) ([]Entry, error) {
	versions, d, number, err := open(p, raw, string(raw))
	if err != nil {
		return nil, err
	}
	list = slices.Grow(list, number)[:0]
	for e := range versions {
		list = append(list, *e)
	}
	if d.bad || d.text != "" || len(list) != number {
		return nil, fmt.Errorf("chart %s: %w", p.name, ErrDamaged)
	}
	return list, nil
}

// open checks a block, given a second time as text, and reads its texts. Its entries, so many of them, are read from
// d one by one, into the same memory, once.
func open(p place, raw []byte, content string) (versions iter.Seq[*Entry], d *decoder, number int, err error) {
	if checksum(raw) != p.sum {
		return nil, nil, 0, fmt.Errorf("chart %s: %w", p.name, ErrDamaged)
	}
	type text struct {
		description string
		keywords    []string
	}
	d = &decoder{text: content}
	texts := make([]text, d.count())
	for i := range texts {
		texts[i].description = d.str()
		texts[i].keywords = make([]string, d.count())
		for k := range texts[i].keywords {
			texts[i].keywords[k] = d.str()
		}
	}
	number = d.count()
	return func(yield func(*Entry) bool) {
		var e Entry
		for range number {
			flags, of := d.number(), d.number()
			if of >= uint64(len(texts)) {
				return
			}
			e = Entry{
				Version: d.str(), AppVersion: d.str(), URL: d.str(), Digest: d.str(),
				Description: texts[of].description, Keywords: texts[of].keywords,
				Deprecated: flags&flagDeprecated != 0, Release: flags&flagRelease != 0,
				Positive: flags&flagPositive != 0, PositiveDevel: flags&flagPositiveDevel != 0,
			}
			if seconds := d.number(); seconds != 0 {
				e.Created = time.Unix(int64(seconds), 0).UTC()
			}
			if d.bad || !yield(&e) {
				return
			}
		}
	}, d, number, nil
}

// decoder takes values from the front of a text; bad is set when there are none left.
type decoder struct {
	text string
	bad  bool
}

func (d *decoder) number() uint64 {
	var n uint64
	for i := 0; i < len(d.text) && i < binary.MaxVarintLen64; i++ {
		b := d.text[i]
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			d.text = d.text[i+1:]
			return n
		}
	}
	d.bad, d.text = true, ""
	return 0
}

// count is a number of things that each take a byte at least.
func (d *decoder) count() int {
	n := d.number()
	if n > uint64(len(d.text)) {
		d.bad, d.text = true, ""
		return 0
	}
	return int(n)
}

func (d *decoder) str() string {
	n := d.count()
	s := d.text[:n]
	d.text = d.text[n:]
	return s
}
