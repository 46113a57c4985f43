package localindex

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/chart/plain"
)

// listed is one version of a chart as index.yaml has it.
type listed struct {
	*chart.Metadata
	URLs    []string  `json:"urls"`
	Created time.Time `json:"created"`
	Digest  string    `json:"digest"`
}

// valid reports whether an entry can be a chart; older ones may lack the API version.
func (e *listed) valid() bool {
	if e == nil || e.Metadata == nil || e.Name == "" {
		return false
	}
	if e.APIVersion == "" {
		e.APIVersion = "v1"
	}
	return e.Validate() == nil
}

var (
	// errNotPlain: the source has to be read as a whole.
	errNotPlain  = errors.New("not a plain index")
	errNoVersion = errors.New("no API version specified")
	errEmpty     = errors.New("empty index.yaml file")
)

// maxLine bounds one line of an index, bytes: JSON may stand on one.
const maxLine = 16 << 20

// stream reads an index and calls f for each chart. It returns errNotPlain, perhaps
// after some calls, for YAML that is not laid out as Helm and its likes write it.
func stream(source io.Reader, f func(name string, list []*listed) error) error {
	r := bufio.NewReaderSize(source, 1<<18)
	first, err := r.Peek(1)
	if err != nil {
		return errEmpty
	}
	if first[0] == '{' {
		return streamJSON(r, f)
	}
	s := &splitter{emit: f}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 1<<16), maxLine)
	for lines.Scan() {
		if err := s.line(lines.Text()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return errNotPlain
	}
	if err := s.endChart(); err != nil {
		return err
	}
	var head struct {
		APIVersion string    `json:"apiVersion"`
		Generated  time.Time `json:"generated"` // has to be a time
	}
	if err := yaml.Unmarshal([]byte(s.head.String()), &head); err != nil {
		return err
	}
	if head.APIVersion == "" {
		return errNoVersion
	}
	return nil
}

// splitter cuts the lines of a block-style index into charts and their versions:
//
//	apiVersion: v1
//	entries:
//	  name:
//	  - version: ...
//
// by indentation alone. Whatever might be something else makes it give up.
type splitter struct {
	emit   func(name string, list []*listed) error
	head   strings.Builder // everything outside of entries
	inside bool            // of entries
	seen   bool            // entries were
	names  int             // columns before charts' names; 0 when not known yet
	dashes int             // columns before the dashes of versions; -1 when not known yet
	column int             // of the keys of the version being collected; -1 when not known yet
	chart  string
	folds  int // column of a key whose value may go on in the next line; -1 for none
	block  int // column of a key whose value is a block of text; -1 outside of one
	list   []*listed
	item   strings.Builder // the version being collected
}

func (s *splitter) line(line string) error {
	content := strings.TrimLeft(line, " ")
	indent := len(line) - len(content)
	blank := content == "" || content == "\r"
	switch {
	case breaksInside(line), strings.HasPrefix(content, "\t"), indent == 0 && (strings.HasPrefix(line, "...") || line == "---" && s.head.Len() > 0):
		return errNotPlain
	case line == "---":
		return nil
	case !blank && indent == 0 && content[0] != '#' && !(s.inside && content[0] == '-'):
		return s.top(line)
	case !s.inside:
		s.head.WriteString(line + "\n")
		return nil
	case blank || content[0] == '#' && s.item.Len() == 0:
		if strings.ContainsFunc(line, unprintable) {
			return errNotPlain
		}
		if s.item.Len() > 0 {
			s.item.WriteString("\n" + line)
			s.folds = -1
		}
		return nil
	}
	return s.nested(line, content, indent)
}

// breaksInside reports a line that to YAML is several.
func breaksInside(line string) bool {
	if i := strings.IndexByte(line, '\r'); i >= 0 && i < len(line)-1 {
		return true
	}
	return strings.Contains(line, "\u0085") || strings.Contains(line, "\u2028") || strings.Contains(line, "\u2029")
}

// unprintable is true of what may not be in YAML, comments included; of some more, too.
func unprintable(r rune) bool {
	return r < ' ' && r != '\t' && r != '\r' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError || r == 0xfeff
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// foreign reports a key that the full parser takes for one of ours, though it is
// spelled otherwise.
func foreign(key string) bool {
	for _, ours := range []string{"entries", "apiVersion", "generated"} {
		if key != ours && strings.EqualFold(key, ours) {
			return true
		}
	}
	return false
}

// top is a line in the first column.
func (s *splitter) top(line string) error {
	if err := s.endChart(); err != nil {
		return err
	}
	key, value, ok := strings.Cut(strings.TrimRight(line, " \r"), ":")
	if !ok || strings.Trim(key, letters) != "" || foreign(key) || key == "entries" && s.seen {
		return errNotPlain
	}
	s.inside = key == "entries"
	s.seen = s.seen || s.inside
	if !s.inside {
		s.head.WriteString(line + "\n")
		return nil
	}
	if value = strings.TrimSpace(value); value != "" && value != "{}" {
		return errNotPlain
	}
	return nil
}

// nested is a line below entries.
func (s *splitter) nested(line, content string, indent int) error {
	dash := content == "-" || strings.HasPrefix(content, "- ")
	if s.names == 0 {
		if dash || indent == 0 {
			return errNotPlain
		}
		s.names = indent
	}
	switch {
	case indent == s.names && !dash:
		if err := s.endChart(); err != nil {
			return err
		}
		return s.beginChart(strings.TrimRight(content, " \r"))
	case s.chart == "":
		return errNotPlain
	case dash && s.dashes < 0 && indent >= s.names:
		s.dashes = indent
	}
	switch {
	case dash && indent == s.dashes:
		if err := s.endItem(); err != nil {
			return err
		}
		rest := strings.TrimLeft(content[1:], " \r")
		s.column = len(line) - len(rest)
		if rest == "" {
			s.column = -1
		}
		// The dash becomes a space: so the item is a document of its own.
		line = line[:indent] + " " + line[indent+1:]
		s.block = -1
		s.look(line)
		s.item.WriteString(line)
		return nil
	case s.item.Len() == 0 || indent <= s.dashes || indent < s.column:
		return errNotPlain
	case s.column < 0:
		s.column = indent
	}
	if s.folds >= 0 && indent > s.folds && plainWords(content) {
		s.item.WriteString(" " + content)
		return nil
	}
	s.look(line)
	s.item.WriteString("\n" + line)
	return nil
}

// look notes what a line of a version means for the next ones: Helm folds long texts,
// and package plain does not read those.
func (s *splitter) look(line string) {
	content := strings.TrimLeft(line, " -")
	column := len(line) - len(content)
	s.folds = -1
	if s.block >= 0 && len(line)-len(strings.TrimLeft(line, " ")) > s.block {
		return
	}
	s.block = -1
	key, value, ok := strings.Cut(content, ": ")
	switch {
	case !ok || strings.Trim(key, letters) != "" || value == "":
	case value[0] == '|' || value[0] == '>':
		s.block = column
	case plainWords(value):
		s.folds = column
	}
}

// plainWords reports a piece of text that means the same wherever its lines end.
func plainWords(text string) bool {
	first, last := text[0], text[len(text)-1]
	return (strings.IndexByte(letters, first) >= 0 || '0' <= first && first <= '9') &&
		strings.IndexByte(" :\r\t\\", last) < 0 && !strings.Contains(text, " #") && !strings.Contains(text, ": ")
}

// beginChart reads the line "name:", perhaps with an empty list behind it.
func (s *splitter) beginChart(content string) error {
	name, ok := strings.CutSuffix(content, ":")
	empty := false
	for _, none := range []string{": []", ": null"} {
		if !ok && !empty {
			name, empty = strings.CutSuffix(content, none)
		}
	}
	if !ok && !empty {
		return errNotPlain
	}
	if !plainName(name) {
		inner, quoted := unquote(name)
		if !quoted {
			return errNotPlain
		}
		name = inner
	}
	if empty {
		return s.emit(name, nil)
	}
	s.chart, s.dashes = name, -1
	return nil
}

// unquote takes the quotes off a key that has nothing to be undone inside.
func unquote(s string) (string, bool) {
	n := len(s) - 1
	if n < 2 || s[0] != '"' && s[0] != '\'' || s[n] != s[0] {
		return "", false
	}
	inner := s[1:n]
	return inner, !strings.ContainsAny(inner, "\"'\\") && !strings.ContainsFunc(inner, unprintable)
}

// plainName reports a key that stands for itself without quotes. Words that YAML takes
// for something else (yes, null, 1e3) are none.
func plainName(name string) bool {
	if name == "" || strings.IndexByte(letters, name[0]) < 0 || strings.Trim(name, letters+"0123456789._-") != "" {
		return false
	}
	switch strings.ToLower(name) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return false
	}
	return true
}

func (s *splitter) endChart() error {
	if err := s.endItem(); err != nil {
		return err
	}
	name, list := s.chart, s.list
	s.chart, s.list = "", nil
	if name == "" {
		return nil
	}
	return s.emit(name, list)
}

func (s *splitter) endItem() error {
	if s.item.Len() == 0 {
		return nil
	}
	e, err := parseItem(s.item.String())
	s.item.Reset()
	s.list = append(s.list, e)
	return err
}

// parseItem reads one version, a mapping.
func parseItem(text string) (*listed, error) {
	if m, ok := plain.Values(text); ok {
		if e, ok := entryOf(m); ok {
			return e, nil
		}
	}
	e := &listed{}
	if err := yaml.Unmarshal([]byte(text), e); err != nil {
		return nil, errNotPlain // anchors may be defined elsewhere; else the whole has the error
	}
	return e, nil
}

// entryOf converts a mapping, and takes what it reads out of it; false when a value has
// an unexpected type.
func entryOf(m map[string]any) (*listed, bool) {
	e := &listed{}
	for key, v := range m {
		ok := true
		switch key {
		case "urls":
			ok = texts(v, &e.URLs)
		case "created":
			stamp, isText := v.(string)
			ok = isText && e.Created.UnmarshalText([]byte(stamp)) == nil
		case "digest":
			e.Digest, ok = v.(string)
		default:
			if strings.EqualFold(key, "urls") || strings.EqualFold(key, "created") || strings.EqualFold(key, "digest") {
				return nil, false // the full parser is not strict about case
			}
			continue
		}
		if !ok && v != nil {
			return nil, false
		}
		delete(m, key)
	}
	var ok bool
	e.Metadata, ok = chart.MetadataOf(m)
	return e, ok
}

func texts(v any, into *[]string) bool {
	list, ok := v.([]any)
	if !ok {
		return false
	}
	*into = make([]string, len(list))
	for i, one := range list {
		if (*into)[i], ok = one.(string); !ok {
			return false
		}
	}
	return true
}

// streamJSON reads an index in JSON. What is none may be YAML in flow style.
func streamJSON(r io.Reader, f func(name string, list []*listed) error) error {
	d := json.NewDecoder(r)
	if _, err := d.Token(); err != nil {
		return errNotPlain
	}
	version := ""
	seen := map[any]bool{}
	for d.More() {
		key, err := d.Token()
		if name, ok := key.(string); err != nil || !ok || foreign(name) || seen[key] {
			return errNotPlain
		}
		seen[key] = true
		switch key {
		case "apiVersion":
			err = d.Decode(&version)
		case "generated":
			err = d.Decode(&time.Time{})
		case "entries":
			if err := streamEntries(d, f); err != nil {
				return err
			}
		default:
			var skipped json.RawMessage
			err = d.Decode(&skipped)
		}
		if err != nil {
			return errNotPlain
		}
	}
	if _, err := d.Token(); err != nil {
		return errNotPlain
	}
	if version == "" {
		return errNoVersion
	}
	return nil
}

func streamEntries(d *json.Decoder, f func(name string, list []*listed) error) error {
	open, err := d.Token()
	if err != nil || open != nil && open != json.Delim('{') {
		return errNotPlain
	}
	if open == nil { // entries: null
		return nil
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return errNotPlain
		}
		var list []*listed
		if err := d.Decode(&list); err != nil {
			return errNotPlain
		}
		if err := f(name.(string), list); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return errNotPlain
	}
	return nil
}
