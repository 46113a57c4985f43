// Package plain reads the plain part of YAML quickly: block mappings and sequences,
// literal and folded texts, quoted and plain scalars, flow collections on one line.
// That is nearly all of what values files contain and templates render.
//
// What it is not certain of (anchors, tags, tabs but in comments, several documents,
// anything that might be an error) it refuses, and the caller uses the full parser,
// which also words the errors. What it accepts it reads exactly as sigs.k8s.io/yaml does
// when it decodes into an interface: numbers are float64, yes and on are booleans, the
// last of equal keys wins. The tests compare the two.
package plain

import (
	"strings"
	"unicode/utf8"
)

// Values reads a document whose top is a mapping; false when it is not plain.
func Values(text string) (map[string]any, bool) {
	p := &parser{}
	v, ok := p.document(text)
	m, isMap := v.(map[string]any)
	return m, ok && isMap
}

// Head checks a whole document but need only return the values of some keys: at its
// top, and in the tables under these. It is false when the document is not plain.
func Head(text string, keys ...string) (map[string]any, bool) {
	p := &parser{only: keys}
	v, ok := p.document(text)
	m, isMap := v.(map[string]any)
	return m, ok && isMap
}

// maxDepth is far beyond what people nest; deeper documents go to the full parser.
const maxDepth = 100

// parser reads lines. Its methods panic with refused when something is not plain.
type parser struct {
	text string
	next int // offset of the line after the current one
	line line
	end  bool // there is no current line

	only  []string // keys of the top mapping and of those under it; nil: all
	skim  bool     // check only, build no values
	depth int

	entries []entry // of the mappings that are being read
}

type entry struct {
	key   string
	value any
}

// line is one line that is neither blank nor a comment. Indent counts its leading
// spaces; content is the rest without the newline.
type line struct {
	indent  int
	content string
}

type refused struct{}

func refuse() { panic(refused{}) }

func (p *parser) document(text string) (v any, ok bool) {
	if !readable(text) {
		return nil, false
	}
	defer func() {
		if r := recover(); r != nil {
			if _, mine := r.(refused); !mine {
				panic(r)
			}
			v, ok = nil, false
		}
	}()
	p.text = text
	p.advance()
	if !p.end && p.line.indent == 0 && p.line.content == "---" {
		p.advance()
	}
	if p.end {
		return nil, false
	}
	v = p.block(0)
	return v, p.end
}

// The same byte eight times, to look at eight bytes at once.
const (
	eachByte = 0x0101010101010101
	highBits = 0x80 * eachByte
)

// simple counts the bytes at the start of a text, eight by eight, that are printable
// ASCII or newlines.
func simple(text string) int {
	i := 0
	for ; i+8 <= len(text); i += 8 {
		x := uint64(text[i]) | uint64(text[i+1])<<8 | uint64(text[i+2])<<16 | uint64(text[i+3])<<24 |
			uint64(text[i+4])<<32 | uint64(text[i+5])<<40 | uint64(text[i+6])<<48 | uint64(text[i+7])<<56
		if x&highBits != 0 {
			break
		}
		// Without high bits no addition carries into the next byte.
		control := ^(x + (0x80-' ')*eachByte)
		other := (x ^ '\n'*eachByte) + 0x7f*eachByte // than newline
		deleted := x + eachByte                      // 0x7f
		if (control&other|deleted)&highBits != 0 {
			break
		}
	}
	return i
}

// readable refuses characters that YAML treats specially or not at all.
func readable(text string) bool {
	ascii := true
	for i := simple(text); i < len(text); i++ {
		switch c := text[i]; {
		case c >= 0x80:
			ascii = false
		case c == '\t' && isComment(text, i):
		case c < ' ' && c != '\n' || c == 0x7f:
			return false
		}
	}
	if ascii {
		return true
	}
	if !utf8.ValidString(text) {
		return false
	}
	for _, r := range text {
		switch {
		case r >= 0x80 && r < 0xa0, r == 0x2028, r == 0x2029, r == 0xfeff, r == 0xfffe, r == 0xffff:
			return false
		}
	}
	return true
}

// isComment reports whether the line around an offset begins as a comment. It may be
// part of a text, too.
func isComment(text string, at int) bool {
	line := text[strings.LastIndexByte(text[:at], '\n')+1 : at]
	return strings.HasPrefix(strings.TrimLeft(line, " "), "#")
}

// rawLine returns the line at an offset and the offset after it.
func (p *parser) rawLine(at int) (string, int) {
	if i := strings.IndexByte(p.text[at:], '\n'); i >= 0 {
		return p.text[at : at+i], at + i + 1
	}
	return p.text[at:], len(p.text)
}

// advance goes to the next line with content.
func (p *parser) advance() {
	for p.next < len(p.text) {
		raw, after := p.rawLine(p.next)
		p.next = after
		indent := indentOf(raw)
		if indent == len(raw) || raw[indent] == '#' {
			continue
		}
		p.line = line{indent, raw[indent:]}
		if indent == 0 && (strings.HasPrefix(raw, "---") && after != len("---\n") || strings.HasPrefix(raw, "...") || raw[0] == '%') {
			if raw == "---" && p.onlyBlankBefore(after-len(raw)-1) {
				return
			}
			refuse()
		}
		return
	}
	p.end = true
	p.line = line{indent: -1}
}

// onlyBlankBefore reports whether nothing but comments and blank lines comes before
// an offset.
func (p *parser) onlyBlankBefore(offset int) bool {
	for at := 0; at < offset; {
		raw, after := p.rawLine(at)
		if trimmed := strings.TrimLeft(raw, " "); trimmed != "" && trimmed[0] != '#' {
			return false
		}
		at = after
	}
	return true
}

func indentOf(s string) int {
	i := 0
	for i < len(s) && s[i] == ' ' {
		i++
	}
	return i
}

// block reads the value that begins on the current line.
func (p *parser) block(least int) any {
	if p.depth++; p.depth > maxDepth || p.line.indent < least {
		refuse()
	}
	defer func() { p.depth-- }()
	switch {
	case isEntry(p.line.content):
		return p.sequence(p.line.indent)
	case p.isKey(p.line.content):
		return p.mapping(p.line.indent)
	}
	return p.value(p.line.content, least-1)
}

func isEntry(content string) bool {
	return content[0] == '-' && (len(content) == 1 || content[1] == ' ')
}

func (p *parser) sequence(indent int) any {
	list := []any{}
	for !p.end && p.line.indent == indent && isEntry(p.line.content) {
		rest := p.line.content[1:]
		spaces := indentOf(rest)
		rest = rest[spaces:]
		var item any
		switch {
		case rest == "" || rest[0] == '#':
			p.advance()
			if p.line.indent > indent {
				item = p.block(indent + 1)
			}
		case isEntry(rest) || p.isKey(rest):
			p.line = line{indent + 1 + spaces, rest}
			item = p.block(indent + 1)
		default:
			item = p.value(rest, indent)
		}
		if !p.skim {
			list = append(list, item)
		}
	}
	if p.line.indent > indent {
		refuse()
	}
	return list
}

func (p *parser) mapping(indent int) any {
	choosy := p.depth <= 2 && p.only != nil && !p.skim
	skim, from := p.skim, len(p.entries)
	for !p.end && p.line.indent == indent && !isEntry(p.line.content) {
		key, rest, ok := p.key(p.line.content)
		if !ok {
			refuse()
		}
		if choosy {
			p.skim = !contains(p.only, key)
		}
		var v any
		if rest == "" || rest[0] == '#' {
			p.advance()
			switch {
			case p.line.indent > indent:
				v = p.block(indent + 1)
			case p.line.indent == indent && isEntry(p.line.content):
				v = p.nested(indent)
			}
		} else {
			v = p.value(rest, indent)
		}
		if !p.skim {
			p.entries = append(p.entries, entry{key, v})
		}
	}
	p.skim = skim
	if p.line.indent > indent || p.line.indent == indent && !p.end && p.depth == 1 {
		refuse()
	}
	if p.skim {
		return nil
	}
	m := make(map[string]any, len(p.entries)-from)
	for _, e := range p.entries[from:] {
		m[e.key] = e.value
	}
	p.entries = p.entries[:from]
	return m
}

// nested reads a sequence that stands as far left as its key.
func (p *parser) nested(indent int) any {
	p.depth++
	defer func() { p.depth-- }()
	return p.sequence(indent)
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

func (p *parser) isKey(content string) bool {
	_, _, ok := p.key(content)
	return ok
}

// maxKey is below YAML's limit for keys that no question mark precedes.
const maxKey = 1000

// key splits "key: rest"; not ok when the content is no such thing. Keys of unusual
// form, and those that are not texts, are refused.
func (p *parser) key(content string) (key, rest string, ok bool) {
	if c := content[0]; c == '"' || c == '\'' {
		end := strings.IndexByte(content[1:], c) + 1
		if end == 0 {
			return "", "", false // a text over several lines
		}
		after := content[end+1:]
		if !strings.HasPrefix(after, ":") || len(after) > 1 && after[1] != ' ' {
			return "", "", false
		}
		key = content[1:end]
		if end > maxKey || strings.IndexByte(key, '\\') >= 0 {
			refuse()
		}
		return key, strings.TrimLeft(after[1:], " "), true
	}
	for i := 0; i < len(content); i++ {
		switch c := content[i]; {
		case c == ':' && (i+1 == len(content) || content[i+1] == ' '):
			key = strings.TrimRight(content[:i], " ")
			if key == "" || i > maxKey || !isKeyStart(key[0]) {
				refuse()
			}
			if !isText(key) {
				refuse()
			}
			return key, strings.TrimLeft(content[i+1:], " "), true
		case c == '#' && i > 0 && content[i-1] == ' ':
			return "", "", false
		case c == '{' || c == '[' || c == '"' || c == '\'' || c == '|' || c == '>' || c == '`':
			if i == 0 {
				return "", "", false
			}
		}
	}
	return "", "", false
}

func isKeyStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '/' || c == '.' || c == '$'
}
