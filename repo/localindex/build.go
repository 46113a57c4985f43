package localindex

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart/semver"
)

// Build reads an index.yaml (or JSON) from its start and writes the index to an empty
// file. Entries that cannot be a chart are left out, as one bad upload must not make
// a repository useless.
func Build(out *os.File, source io.ReadSeeker, h Header) error {
	header, err := json.Marshal(h)
	if err != nil {
		return err
	}
	w := &writer{out: out, start: fixedSize + int64(len(header))}
	err = w.blocks(source)
	if errors.Is(err, errNotPlain) {
		err = w.whole(source)
	}
	if err != nil {
		return fmt.Errorf("bad index: %w", err)
	}
	table, err := w.writeTable()
	if err != nil {
		return err
	}
	fixed := []byte(magic)
	fixed = binary.LittleEndian.AppendUint64(fixed, uint64(table))
	fixed = binary.LittleEndian.AppendUint32(fixed, uint32(len(header)))
	fixed = binary.LittleEndian.AppendUint32(fixed, checksum(header))
	_, err = out.WriteAt(append(fixed, header...), 0)
	return err
}

// writer writes blocks behind the place of the header.
type writer struct {
	out   *os.File
	start int64 // of the blocks
	at    int64 // the end of what was written
	buf   *bufio.Writer
	table []place
	names map[string]bool // of the table
}

func (w *writer) begin(source io.ReadSeeker) error {
	if _, err := source.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := w.out.Seek(w.start, io.SeekStart); err != nil {
		return err
	}
	w.at, w.table, w.names = w.start, nil, map[string]bool{}
	w.buf = bufio.NewWriterSize(w.out, 1<<18)
	return nil
}

// blocks reads the source as a stream.
func (w *writer) blocks(source io.ReadSeeker) error {
	if err := w.begin(source); err != nil {
		return err
	}
	return stream(source, w.chart)
}

// whole reads the source at once, with the full parser.
func (w *writer) whole(source io.ReadSeeker) error {
	if err := w.begin(source); err != nil {
		return err
	}
	data, err := io.ReadAll(source)
	if err != nil {
		return err
	}
	var all struct {
		APIVersion string               `json:"apiVersion"`
		Entries    map[string][]*listed `json:"entries"`
		Generated  time.Time            `json:"generated"` // has to be a time
	}
	if json.Unmarshal(data, &all) != nil {
		all.APIVersion, all.Entries = "", nil
		if err := yaml.Unmarshal(data, &all); err != nil {
			return err
		}
	}
	if all.APIVersion == "" {
		return errNoVersion
	}
	for name, list := range all.Entries {
		if err := w.chart(name, list); err != nil {
			return err
		}
	}
	return nil
}

// chart writes a chart's block.
func (w *writer) chart(name string, list []*listed) error {
	if w.names[name] {
		return errNotPlain // a key twice: the full parser knows what that means
	}
	w.names[name] = true
	list = slices.DeleteFunc(list, func(e *listed) bool { return !e.valid() })
	if len(list) == 0 {
		return nil
	}
	raw := encode(list)
	if _, err := w.buf.Write(raw); err != nil {
		return err
	}
	w.table = append(w.table, place{name: name, offset: w.at, length: len(raw), sum: checksum(raw)})
	w.at += int64(len(raw))
	return nil
}

// writeTable ends the file; it returns the table's offset.
func (w *writer) writeTable() (int64, error) {
	slices.SortFunc(w.table, func(a, b place) int { return strings.Compare(a.name, b.name) })
	var raw []byte
	for _, p := range w.table {
		raw = appendString(raw, p.name)
		raw = binary.AppendUvarint(raw, uint64(p.offset))
		raw = binary.AppendUvarint(raw, uint64(p.length))
		raw = binary.AppendUvarint(raw, uint64(p.sum))
	}
	raw = binary.LittleEndian.AppendUint32(raw, checksum(raw))
	if _, err := w.buf.Write(raw); err != nil {
		return 0, err
	}
	if err := w.buf.Flush(); err != nil {
		return 0, err
	}
	return w.at, w.out.Truncate(w.at + int64(len(raw)))
}

func appendString(raw []byte, s string) []byte {
	return append(binary.AppendUvarint(raw, uint64(len(s))), s...)
}

// encode makes a chart's block of valid entries.
func encode(list []*listed) []byte {
	versions := make(map[*listed]*semver.Version, len(list))
	for _, e := range list {
		if v, err := semver.NewVersion(e.Version); err == nil {
			versions[e] = v
		}
	}
	slices.SortStableFunc(list, func(a, b *listed) int {
		va, vb := versions[a], versions[b]
		switch {
		case va == nil && vb == nil:
			return 0
		case va == nil:
			return 1
		case vb == nil:
			return -1
		}
		return vb.Compare(va)
	})
	var texts []byte
	var body []byte
	known := map[string]int{}
	for _, e := range list {
		text := appendString(nil, e.Description)
		text = binary.AppendUvarint(text, uint64(len(e.Keywords)))
		for _, k := range e.Keywords {
			text = appendString(text, k)
		}
		of, ok := known[string(text)]
		if !ok {
			of = len(known)
			known[string(text)] = of
			texts = append(texts, text...)
		}
		body = binary.AppendUvarint(body, flagsOf(e, versions[e]))
		body = binary.AppendUvarint(body, uint64(of))
		url := ""
		if len(e.URLs) > 0 {
			url = e.URLs[0]
		}
		for _, s := range []string{e.Version, e.AppVersion, url, e.Digest} {
			body = appendString(body, s)
		}
		var created uint64
		if e.Created.After(time.Unix(0, 0)) {
			created = uint64(e.Created.Unix())
		}
		body = binary.AppendUvarint(body, created)
	}
	raw := binary.AppendUvarint(nil, uint64(len(known)))
	raw = append(raw, texts...)
	raw = binary.AppendUvarint(raw, uint64(len(list)))
	return append(raw, body...)
}

func flagsOf(e *listed, v *semver.Version) uint64 {
	var flags uint64
	if e.Deprecated {
		flags |= flagDeprecated
	}
	if v == nil {
		return flags
	}
	if v.Prerelease() == "" {
		flags |= flagRelease
	}
	zero := v.Major() == 0 && v.Minor() == 0 && v.Patch() == 0
	switch {
	case v.Prerelease() == "" && !zero:
		flags |= flagPositive | flagPositiveDevel
	case !zero || v.Prerelease() != "0":
		flags |= flagPositiveDevel
	}
	return flags
}
