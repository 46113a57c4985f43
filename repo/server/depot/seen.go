package depot

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/Masterminds/semver/v3"
)

// seenLog remembers what was read from archives, so that the next start opens
// none of them. One line is one archive:
//
//	crc32 of the rest in hex, " ", JSON of seenEntry, "\n"
//
// It is a cache and never synced: a line that does not check, or whose archive has
// another size or time, is worth nothing.
type seenLog struct {
	path  string
	lines int // that the file had when it was opened

	mu   sync.Mutex
	file *os.File // guarded by mu; nil until compact
	// fresh says that something was read before compact. Guarded by mu.
	fresh bool
}

// seenKey finds an archive's line.
type seenKey struct{ tenant, file string }

type seenEntry struct {
	Tenant  string          `json:"t,omitempty"`
	File    string          `json:"f"`
	Name    string          `json:"n"`
	Version string          `json:"v"`
	Digest  string          `json:"d"`
	Size    int64           `json:"s"`
	Created time.Time       `json:"c"`
	JSON    json.RawMessage `json:"j"`

	Description string   `json:"desc,omitempty"`
	AppVersion  string   `json:"app,omitempty"`
	Keywords    []string `json:"words,omitempty"`
	Deprecated  bool     `json:"old,omitempty"`
}

// maxSeenLine bounds a line; entries beyond it are read from their archive.
const maxSeenLine = 4 << 20

func openSeenLog(path string) (*seenLog, map[seenKey]*Entry, error) {
	l, known := &seenLog{path: path}, map[seenKey]*Entry{}
	data, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, nil, err
	default:
		lines := bufio.NewScanner(data)
		lines.Buffer(make([]byte, 1<<16), maxSeenLine)
		for lines.Scan() {
			l.lines++
			if tenant, e := parseSeen(lines.Bytes()); e != nil {
				known[seenKey{tenant, e.File}] = e
			}
		}
		if err := data.Close(); err != nil {
			return nil, nil, err
		}
	}
	return l, known, nil
}

func parseSeen(line []byte) (string, *Entry) {
	sum, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok {
		return "", nil
	}
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if err != nil || crc32.ChecksumIEEE(rest) != uint32(want) {
		return "", nil
	}
	var s seenEntry
	if err := json.Unmarshal(rest, &s); err != nil {
		return "", nil
	}
	v, err := semver.NewVersion(s.Version)
	if err != nil {
		return "", nil
	}
	return s.Tenant, &Entry{
		Name: s.Name, Version: s.Version, File: s.File, Digest: s.Digest,
		Size: s.Size, Created: s.Created, JSON: s.JSON, semver: v,
		Description: s.Description, AppVersion: s.AppVersion, Keywords: s.Keywords, Deprecated: s.Deprecated,
	}
}

func appendSeen(out []byte, tenant string, e *Entry) []byte {
	data, err := json.Marshal(seenEntry{
		Tenant: tenant, File: e.File, Name: e.Name, Version: e.Version,
		Digest: e.Digest, Size: e.Size, Created: e.Created, JSON: e.JSON,
		Description: e.Description, AppVersion: e.AppVersion, Keywords: e.Keywords, Deprecated: e.Deprecated,
	})
	if err != nil || len(data) > maxSeenLine-10 {
		return out
	}
	return append(fmt.Appendf(out, "%08x ", crc32.ChecksumIEEE(data)), append(data, '\n')...)
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
	if !l.fresh && l.lines >= there && l.lines <= there+there/4 {
		f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		l.file = f
		return err
	}
	tmp := l.path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<16)
	for tenant, entries := range all {
		for _, e := range entries {
			_, _ = out.Write(appendSeen(nil, tenant, e)) // Flush returns the error
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
