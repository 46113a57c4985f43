package depot

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/seed38700745/pkg/chart/semver"
)

// seenLog remembers what was read from archives, so that the next start opens
// none of them. It begins with seenFormat; then each archive is a record:
//
//	uint32 length of the rest, uint32 its crc32, both little endian
//	uvarint: archive's size, inode, modification time in ns, 1 for deprecated
//	uvarint length of each text, then the texts: tenant, file, name, version, digest,
//	description, app version, keywords joined by NUL
//	the entry's JSON
//
// It is a cache and never synced. Records are read up to the first one that does not
// check, as a crash leaves it; one whose archive has another size, time or inode is
// worth nothing.
type seenLog struct {
	path    string
	records int // that the file had when it was opened
	torn    bool

	mu   sync.Mutex
	file *os.File // guarded by mu; nil until compact
	// fresh says that something was read before compact. Guarded by mu.
	fresh bool
}

// seenFormat changes with the format of records.
const seenFormat = "pkg index 3\n"

// seenHead is a record's length and checksum, in bytes.
const seenHead = 8

// seenKey finds an archive's record.
type seenKey struct{ tenant, file string }

func openSeenLog(path string) (*seenLog, map[seenKey]*Entry, error) {
	l, known := &seenLog{path: path}, map[seenKey]*Entry{}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, known, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if len(data) < len(seenFormat) || string(data[:len(seenFormat)]) != seenFormat {
		l.torn = true
		return l, known, nil
	}
	data = data[len(seenFormat):]
	known = make(map[seenKey]*Entry, len(data)/1000)
	for len(data) > 0 {
		tenant, e, size := readSeen(data)
		if e == nil {
			l.torn = true
			break
		}
		known[seenKey{tenant, e.File}] = e
		data = data[size:]
		l.records++
	}
	return l, known, nil
}

// seenReader takes a record apart. What does not fit sets bad.
type seenReader struct {
	data []byte
	bad  bool
}

func (r *seenReader) number() uint64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *seenReader) take(n uint64) []byte {
	if n > uint64(len(r.data)) {
		r.bad = true
		return nil
	}
	out := r.data[:n:n]
	r.data = r.data[n:]
	return out
}

// readSeen reads the first record, and tells how long it is. Without a whole one there
// is no entry. The entry's JSON is a part of data.
func readSeen(data []byte) (tenant string, e *Entry, size int) {
	if len(data) < seenHead {
		return "", nil, 0
	}
	length := int(binary.LittleEndian.Uint32(data))
	if length > len(data)-seenHead || crc32.ChecksumIEEE(data[seenHead:seenHead+length]) != binary.LittleEndian.Uint32(data[4:]) {
		return "", nil, 0
	}
	r := seenReader{data: data[seenHead : seenHead+length]}
	e = &Entry{Size: int64(r.number()), inode: r.number(), Created: time.Unix(0, int64(r.number())).UTC(), Deprecated: r.number() == 1}
	var words string
	texts := e.texts(&tenant, &words)
	var lengths [seenTexts]uint64
	total := uint64(0)
	for i := range texts {
		lengths[i] = min(r.number(), uint64(length))
		total += lengths[i]
	}
	// One string for all: many thousands of entries live long, and each is less to look
	// through when memory is collected.
	all := string(r.take(total))
	if r.bad {
		return "", nil, 0
	}
	for i, text := range texts {
		*text, all = all[:lengths[i]], all[lengths[i]:]
	}
	e.JSON = r.data
	if words != "" {
		e.Keywords = strings.Split(words, "\x00")
	}
	v, err := semver.NewVersion(e.Version)
	if err != nil {
		return "", nil, 0
	}
	e.semver = *v
	return tenant, e, seenHead + length
}

// seenTexts is how many texts a record has.
const seenTexts = 8

// texts are where a record's texts belong, in their order.
func (e *Entry) texts(tenant, words *string) [seenTexts]*string {
	return [...]*string{tenant, &e.File, &e.Name, &e.Version, &e.Digest, &e.Description, &e.AppVersion, words}
}

func appendSeen(out []byte, tenant string, e *Entry) []byte {
	at := len(out)
	out = append(out, make([]byte, seenHead)...)
	deprecated := uint64(0)
	if e.Deprecated {
		deprecated = 1
	}
	for _, n := range []uint64{uint64(e.Size), e.inode, uint64(e.Created.UnixNano()), deprecated} {
		out = binary.AppendUvarint(out, n)
	}
	words := strings.Join(e.Keywords, "\x00")
	texts := e.texts(&tenant, &words)
	for _, text := range texts {
		out = binary.AppendUvarint(out, uint64(len(*text)))
	}
	for _, text := range texts {
		out = append(out, *text...)
	}
	out = append(out, e.JSON...)
	record := out[at+seenHead:]
	binary.LittleEndian.PutUint32(out[at:], uint32(len(record)))
	binary.LittleEndian.PutUint32(out[at+4:], crc32.ChecksumIEEE(record))
	return out
}

// append adds one archive. Failures cost time at the next start and nothing else.
func (l *seenLog) append(tenant string, e *Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		l.fresh = true // compact will write it
		return
	}
	_, _ = l.file.Write(appendSeen(nil, tenant, e))
}

// compact opens the log for append, after writing it anew when what is there now is
// not about what it says.
func (l *seenLog) compact(all map[string][]*Entry) error {
	there := 0
	for _, entries := range all {
		there += len(entries)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.fresh && !l.torn && l.records > 0 && l.records >= there && l.records <= there+there/4 {
		f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND, 0o644)
		l.file = f
		return err
	}
	tmp := l.path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<16)
	_, _ = out.WriteString(seenFormat) // Flush returns the error of all writes
	var record []byte
	for tenant, entries := range all {
		for _, e := range entries {
			record = appendSeen(record[:0], tenant, e)
			_, _ = out.Write(record)
		}
	}
	l.file = f
	return errors.Join(out.Flush(), os.Rename(tmp, l.path))
}

func (l *seenLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
