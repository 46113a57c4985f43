package gotemplate

import (
	"strconv"
	"strings"
)

// The delimiters of actions and of comments.
const (
	opening      = "{{"
	closing      = "}}"
	commentBegin = "/*"
	commentEnd   = "*/"
	trimmed      = " \t\r\n" // what a dash in a delimiter removes
)

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isWord reports whether c may be part of a name. Letters beyond ASCII are left to
// text/template/parse: nothing here lets them pass.
func isWord(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || isDigit(c) || c == '_'
}

// at is the byte at the position, 0 at the end.
func (t *tree) at() byte {
	if t.pos < len(t.text) {
		return t.text[t.pos]
	}
	return 0
}

func (t *tree) follows(s string) bool { return strings.HasPrefix(t.text[t.pos:], s) }

// spaces skips white space inside an action and reports whether there was any.
func (t *tree) spaces() bool {
	from := t.pos
	for t.pos < len(t.text) && isSpace(t.text[t.pos]) {
		t.pos++
	}
	return t.pos > from
}

// open is behind an opening delimiter: it skips the dash and reports whether the text
// before is to be trimmed.
func (t *tree) open() bool {
	t.pos += len(opening)
	if t.at() == '-' && t.pos+1 < len(t.text) && isSpace(t.text[t.pos+1]) {
		t.pos += 2
		return true
	}
	return false
}

// closes reports whether a closing delimiter stands here, behind any white space.
func (t *tree) closes() bool {
	return t.follows(closing) || t.pos > 0 && isSpace(t.text[t.pos-1]) && t.follows("-"+closing)
}

// close skips a closing delimiter, and the white space that a dash in it removes.
func (t *tree) close() {
	t.spaces()
	if !t.closes() {
		refuse("end of an action expected")
	}
	if t.at() == '-' {
		t.pos += len("-" + closing)
		t.spaces()
		return
	}
	t.pos += len(closing)
}

// comment skips a comment that stands behind an opening delimiter.
func (t *tree) comment() bool {
	if !t.follows(commentBegin) {
		return false
	}
	t.pos += len(commentBegin)
	end := strings.Index(t.text[t.pos:], commentEnd)
	if end < 0 {
		refuse("comment without end")
	}
	t.pos += end + len(commentEnd)
	if t.follows(closing) {
		t.pos += len(closing)
		return true
	}
	if !isSpace(t.at()) || !strings.HasPrefix(t.text[t.pos+1:], "-"+closing) {
		refuse("comment does not end its action")
	}
	t.pos += len(" -" + closing)
	t.spaces()
	return true
}

// word reads a name, which something must end that may.
func (t *tree) word() string {
	from := t.pos
	for t.pos < len(t.text) && isWord(t.text[t.pos]) {
		t.pos++
	}
	switch c := t.at(); c {
	case ' ', '\t', '\r', '\n', '.', ',', '|', ':', ')', '(':
	default:
		if !t.follows(closing) {
			refuse("strange name")
		}
	}
	return t.text[from:t.pos]
}

// quoted reads a text in quotes; source is how it is written.
func (t *tree) quoted() (source, text string) {
	from, quote := t.pos, t.at()
	plain := true
	for t.pos++; t.pos < len(t.text); t.pos++ {
		switch c := t.text[t.pos]; {
		case c == quote:
			t.pos++
			source = t.text[from:t.pos]
			if plain {
				return source, source[1 : len(source)-1]
			}
			text, err := strconv.Unquote(source)
			if err != nil {
				refuse("strange text")
			}
			return source, text
		case c == '\n' && quote == '"':
			refuse("text without end")
		case c == '\\' && quote == '"':
			plain = false
			t.pos++
			if t.at() == '\n' || t.at() >= 0x80 {
				refuse("strange text")
			}
		case c == '\r', c >= 0x80:
			plain = false
		}
	}
	refuse("text without end")
	return "", ""
}
