package schema

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// readJSON reads a document as encoding/json does into an interface, with numbers as
// json.Number, in a third of the time. It is false for everything that is not certain:
// errors, texts that are not UTF-8, halves of surrogate pairs, thousands of levels. The
// result shares the memory of the text.
func readJSON(text string) (any, bool) {
	r := reader{text: text}
	if !utf8.ValidString(text) {
		return nil, false
	}
	v, ok := r.value(0)
	r.space()
	return v, ok && r.at == len(text)
}

// reader reads values one after another. Its methods return false where readJSON does.
type reader struct {
	text    string
	at      int
	members []member // of the objects that are being read
	items   []any    // of the lists
}

type member struct {
	key   string
	value any
}

// maxLevels is a tenth of what encoding/json takes.
const maxLevels = 1000

func (r *reader) space() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\n', '\t', '\r':
			r.at++
		default:
			return
		}
	}
}

// peek returns the next byte behind space, 0 at the end.
func (r *reader) peek() byte {
	if r.space(); r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

func (r *reader) value(depth int) (any, bool) {
	if depth > maxLevels {
		return nil, false
	}
	switch c := r.peek(); c {
	case '{':
		return r.object(depth)
	case '[':
		return r.list(depth)
	case '"':
		return r.str()
	case 't':
		return true, r.literal("true")
	case 'f':
		return false, r.literal("false")
	case 'n':
		return nil, r.literal("null")
	}
	return r.number()
}

func (r *reader) literal(word string) bool {
	ok := strings.HasPrefix(r.text[r.at:], word)
	r.at += len(word)
	return ok
}

func (r *reader) object(depth int) (any, bool) {
	r.at++
	from := len(r.members)
	for next := byte('}'); r.peek() != next; next = 0 {
		if r.peek() != '"' {
			return nil, false
		}
		key, ok := r.str()
		if !ok || r.peek() != ':' {
			return nil, false
		}
		r.at++
		v, ok := r.value(depth + 1)
		if !ok {
			return nil, false
		}
		r.members = append(r.members, member{key, v})
		if r.peek() != ',' {
			break
		}
		r.at++
	}
	if r.peek() != '}' {
		return nil, false
	}
	r.at++
	out := make(map[string]any, len(r.members)-from)
	for _, m := range r.members[from:] {
		out[m.key] = m.value
	}
	r.members = r.members[:from]
	return out, true
}

func (r *reader) list(depth int) (any, bool) {
	r.at++
	from := len(r.items)
	for next := byte(']'); r.peek() != next; next = 0 {
		v, ok := r.value(depth + 1)
		if !ok {
			return nil, false
		}
		r.items = append(r.items, v)
		if r.peek() != ',' {
			break
		}
		r.at++
	}
	if r.peek() != ']' {
		return nil, false
	}
	r.at++
	out := append(make([]any, 0, len(r.items)-from), r.items[from:]...)
	r.items = r.items[:from]
	return out, true
}

// str reads a text in quotes.
func (r *reader) str() (string, bool) {
	r.at++
	from := r.at
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c == '"':
			r.at++
			return r.text[from : r.at-1], true
		case c == '\\':
			return r.escaped(from)
		case c < ' ':
			return "", false
		}
	}
	return "", false
}

// simpleEscapes are what stands behind a backslash, and what it means.
const simpleEscapes = `""\\//` + "b\bf\fn\nr\rt\t"

// escaped goes on with a text that began at an offset and has a backslash.
func (r *reader) escaped(from int) (string, bool) {
	var b strings.Builder
	b.WriteString(r.text[from:r.at])
	for r.at < len(r.text) {
		c := r.text[r.at]
		r.at++
		switch {
		case c == '"':
			return b.String(), true
		case c < ' ' || c == '\\' && r.at == len(r.text):
			return "", false
		case c != '\\':
			b.WriteByte(c)
		case r.text[r.at] == 'u':
			if r.at+5 > len(r.text) {
				return "", false
			}
			code, err := strconv.ParseUint(r.text[r.at+1:r.at+5], 16, 16)
			if err != nil || code >= 0xd800 && code < 0xe000 {
				return "", false
			}
			b.WriteRune(rune(code))
			r.at += 5
		default:
			i := strings.IndexByte(simpleEscapes, r.text[r.at])
			if i < 0 || i%2 == 1 {
				return "", false
			}
			b.WriteByte(simpleEscapes[i+1])
			r.at++
		}
	}
	return "", false
}

func (r *reader) number() (any, bool) {
	from := r.at
	r.skip("-")
	whole := r.at
	digits := r.digits()
	ok := digits == 1 || digits > 1 && r.text[whole] != '0'
	if r.skip(".") {
		ok = r.digits() > 0 && ok
	}
	if r.skip("eE") {
		r.skip("+-")
		ok = r.digits() > 0 && ok
	}
	return json.Number(r.text[from:r.at]), ok
}

// skip skips one of some bytes, if it comes next.
func (r *reader) skip(some string) bool {
	if r.at == len(r.text) || strings.IndexByte(some, r.text[r.at]) < 0 {
		return false
	}
	r.at++
	return true
}

// digits skips digits, and counts them.
func (r *reader) digits() int {
	from := r.at
	for r.at < len(r.text) && r.text[r.at] >= '0' && r.text[r.at] <= '9' {
		r.at++
	}
	return r.at - from
}
