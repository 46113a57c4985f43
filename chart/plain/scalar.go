package plain

import (
	"strconv"
	"strings"
	"time"
)

// value reads what stands behind a key or a dash, and moves past it. Indent is that
// of the collection: what is further right continues the value.
func (p *parser) value(rest string, indent int) any {
	switch c := rest[0]; c {
	case '|', '>':
		return p.literal(rest, indent)
	case '"', '\'':
		return p.quoted(rest, indent)
	case '{', '[':
		f := &flow{text: rest, skim: p.skim}
		v := f.value(0)
		f.spaces()
		if !endsHere(rest[f.at:]) || f.at > 0 && f.at < len(rest) && rest[f.at] == '#' && rest[f.at-1] != ' ' {
			refuse()
		}
		p.advance()
		if p.line.indent > indent {
			refuse()
		}
		return v
	case '&', '*', '!', '%', '@', '`', '?', ',', ']', '}', '#':
		refuse()
	case ':':
		if len(rest) == 1 || rest[1] == ' ' {
			refuse()
		}
	case '-':
		if isEntry(rest) {
			refuse()
		}
	}
	return p.plainText(rest, indent)
}

// endsHere reports whether only a comment, or nothing, is left.
func endsHere(s string) bool { return s == "" || s[0] == '#' }

// plainText reads an unquoted scalar, which may go on on further lines.
func (p *parser) plainText(first string, indent int) any {
	text, comment := cutPlain(first)
	from := p.next
	p.advance()
	if p.line.indent <= indent {
		if p.skim {
			return nil
		}
		return resolve(text)
	}
	p.next = from
	// Blank lines become newlines, other ends of lines a space.
	if comment {
		refuse()
	}
	var b strings.Builder
	b.WriteString(text)
	for at, breaks := from, 0; ; {
		raw, after := p.rawLine(at)
		trimmed := strings.TrimLeft(raw, " ")
		switch {
		case trimmed == "":
			if after == len(p.text) && at == after {
				goto done
			}
			breaks++
		case len(raw)-len(trimmed) <= indent:
			goto done
		case trimmed[0] == '#':
			refuse()
		default:
			text, comment := cutPlain(trimmed)
			if comment {
				refuse()
			}
			fold(&b, breaks)
			b.WriteString(text)
			breaks = 0
			p.next = after
		}
		if at = after; at >= len(p.text) {
			goto done
		}
	}
done:
	p.advance()
	if p.line.indent > indent {
		refuse()
	}
	return resolve(b.String())
}

// fold joins lines between which there were blank ones.
func fold(b *strings.Builder, blank int) {
	if blank == 0 {
		b.WriteByte(' ')
	}
	newlines(b, blank)
}

func newlines(b *strings.Builder, n int) {
	for range n {
		b.WriteByte('\n')
	}
}

// cutPlain returns one line of an unquoted scalar without its comment. What would be
// a mapping inside it is an error in YAML.
func cutPlain(s string) (text string, comment bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ':':
			if i+1 == len(s) || s[i+1] == ' ' {
				refuse()
			}
		case '#':
			if i > 0 && s[i-1] == ' ' {
				return strings.TrimRight(s[:i], " "), true
			}
		}
	}
	return strings.TrimRight(s, " "), false
}

// quoted reads a text in quotes, also over several lines.
func (p *parser) quoted(rest string, indent int) any {
	quote := rest[0]
	body := rest[1:]
	end := closing(body, quote)
	var raw string
	if end >= 0 {
		raw = body[:end]
	} else {
		var b strings.Builder
		b.WriteString(endOfLine(body, quote))
		for blank := 0; ; {
			if p.next >= len(p.text) {
				refuse()
			}
			text, after := p.rawLine(p.next)
			p.next = after
			trimmed := strings.TrimLeft(text, " ")
			if trimmed == "" {
				blank++
				continue
			}
			if len(text)-len(trimmed) <= indent {
				refuse()
			}
			fold(&b, blank)
			blank, body = 0, trimmed
			if end = closing(body, quote); end >= 0 {
				b.WriteString(body[:end])
				break
			}
			b.WriteString(endOfLine(body, quote))
		}
		raw = b.String()
	}
	if strings.IndexByte(raw, '\t') >= 0 { // at an end of a line it would not count
		refuse()
	}
	after := body[end+1:]
	if trimmed := strings.TrimLeft(after, " "); trimmed != "" && (trimmed[0] != '#' || trimmed == after) {
		refuse()
	}
	p.advance()
	if p.line.indent > indent {
		refuse()
	}
	return unquote(raw, quote)
}

// endOfLine trims a line of a text in quotes that goes on.
func endOfLine(s string, quote byte) string {
	s = strings.TrimRight(s, " ")
	if quote == '"' && strings.HasSuffix(s, `\`) {
		refuse()
	}
	return s
}

// closing is the index of the closing quote, -1 when it is not in s.
func closing(s string, quote byte) int {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quote == '"':
			i++
		case s[i] == quote:
			if quote == '\'' && i+1 < len(s) && s[i+1] == '\'' {
				i++
				continue
			}
			return i
		}
	}
	return -1
}

// unquote resolves escapes; rare ones are refused.
func unquote(raw string, quote byte) string {
	if quote == '\'' {
		if strings.IndexByte(raw, '\'') < 0 {
			return raw
		}
		return strings.ReplaceAll(raw, "''", "'")
	}
	if strings.IndexByte(raw, '\\') < 0 {
		return raw
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			b.WriteByte(raw[i])
			continue
		}
		if i++; i == len(raw) {
			refuse()
		}
		switch raw[i] {
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'r':
			b.WriteByte('\r')
		case '"', '\\', ' ':
			b.WriteByte(raw[i])
		default:
			refuse()
		}
	}
	return b.String()
}

// literal reads a text after |, or after >, which folds lines: those that do not begin
// with a space are joined.
func (p *parser) literal(header string, indent int) any {
	folds := false // between the last line and the next one, if that allows it
	style, comment, _ := strings.Cut(header[1:], " ")
	if comment = strings.TrimLeft(comment, " "); comment != "" && comment[0] != '#' {
		refuse()
	}
	if style != "" && style != "-" && style != "+" {
		refuse()
	}
	var b strings.Builder
	column, blank, breaks := -1, 0, 0 // blank: the longest line of spaces so far; breaks: pending
	ended := false                    // the last line had a newline
	any := false
	for p.next < len(p.text) {
		raw, after := p.rawLine(p.next)
		n := indentOf(raw)
		if n == len(raw) && (column < 0 || n <= column) {
			blank = max(blank, n)
			breaks++
			p.next = after
			if after == len(p.text) && !strings.HasSuffix(p.text, "\n") {
				refuse()
			}
			continue
		}
		if n <= indent {
			break
		}
		if column < 0 {
			if column = n; blank > n {
				refuse()
			}
		}
		if n < column {
			refuse()
		}
		if !p.skim {
			spaced := raw[column] == ' '
			if folds && !spaced {
				fold(&b, breaks-1)
			} else {
				newlines(&b, breaks)
			}
			folds = header[0] == '>' && !spaced
			b.WriteString(raw[column:])
		}
		any, ended, breaks = true, after > p.next+len(raw), 1
		p.next = after
	}
	if !any && style == "+" {
		refuse()
	}
	p.advance()
	if p.skim {
		return nil
	}
	if !any {
		return ""
	}
	if !ended {
		breaks--
	}
	switch style {
	case "":
		breaks = min(breaks, 1)
	case "-":
		breaks = 0
	}
	newlines(&b, breaks)
	return b.String()
}

// isFloat reports whether a text is what YAML 1.1 of the full parser calls a float:
// ^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$
func isFloat(s string) bool {
	const digits = "0123456789"
	s = withoutSign(s)
	rest := strings.TrimLeft(s, digits)
	whole := len(rest) < len(s)
	if fraction, ok := strings.CutPrefix(rest, "."); ok {
		rest = strings.TrimLeft(fraction, digits)
		if !whole && len(rest) == len(fraction) {
			return false
		}
	} else if !whole {
		return false
	}
	return rest == "" || rest[0]|0x20 == 'e' && isDigits(withoutSign(rest[1:]))
}

func withoutSign(s string) string {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		return s[1:]
	}
	return s
}

// resolve gives an unquoted scalar its type, as the full parser and a trip through
// JSON do.
func resolve(s string) any {
	v, isText := notText(s)
	if isText {
		return s
	}
	return v
}

// isText reports whether an unquoted scalar is a text.
func isText(s string) bool {
	_, isText := notText(s)
	return isText
}

// notText is resolve for what is no text.
func notText(s string) (v any, isText bool) {
	if s == "" {
		return nil, false
	}
	switch c := s[0]; {
	case c >= '0' && c <= '9' || c == '-' || c == '+':
		n, isText := number(s)
		if isText {
			return nil, true
		}
		return n, false
	case c == '.':
		if len(s) > 1 && strings.IndexByte("iInN", s[1]) >= 0 {
			refuse()
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return f, false
		}
	case len(s) > len("false"):
	default:
		switch s {
		case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
			return true, false
		case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
			return false, false
		case "~", "null", "Null", "NULL":
			return nil, false
		case "<<":
			refuse()
		}
	}
	return nil, true
}

// number is notText for what begins with a digit or a sign.
func number(s string) (n float64, isText bool) {
	if len(s) <= 15 && s[0] != '0' && isDigits(s) {
		n, _ := strconv.Atoi(s)
		return float64(n), false
	}
	if isDate(s) {
		return 0, true // times stay texts
	}
	if len(s) >= 8 && s[4] == '-' && isDigits(s[:4]) || len(s) > 1 && (s[1] == '.' && (s[0] == '+' || s[0] == '-') && len(s) > 2 && strings.IndexByte("iI", s[2]) >= 0) {
		refuse() // a time, or infinity
	}
	digits := s
	if strings.IndexByte(s, '_') >= 0 {
		digits = strings.ReplaceAll(s, "_", "")
	}
	if n, err := strconv.ParseInt(digits, 0, 64); err == nil {
		return float64(n), false
	}
	if n, err := strconv.ParseUint(digits, 0, 64); err == nil {
		return float64(n), false
	}
	if isFloat(digits) {
		if f, err := strconv.ParseFloat(digits, 64); err == nil {
			return f, false
		}
	}
	if strings.HasPrefix(digits, "0b") || strings.HasPrefix(digits, "-0b") {
		refuse()
	}
	return 0, true
}

// isDate reports whether a text has the form of 2006-01-02.
func isDate(s string) bool {
	return len(s) == len(time.DateOnly) && s[4] == '-' && s[7] == '-' && isDigits(s[:4]) && isDigits(s[5:7]) && isDigits(s[8:])
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// flow reads collections in brackets and braces on one line.
type flow struct {
	text string
	at   int
	skim bool
}

func (f *flow) spaces() {
	for f.at < len(f.text) && f.text[f.at] == ' ' {
		f.at++
	}
}

// peek is the next character that is no space.
func (f *flow) peek() byte {
	f.spaces()
	if f.at == len(f.text) {
		refuse() // goes on on the next line
	}
	return f.text[f.at]
}

func (f *flow) value(depth int) any {
	if depth > maxDepth {
		refuse()
	}
	switch c := f.peek(); c {
	case '[':
		return f.list(depth)
	case '{':
		return f.table(depth)
	case '"', '\'':
		return f.quoted(c)
	}
	return resolve(f.word())
}

func (f *flow) list(depth int) any {
	list := []any{}
	f.at++
	for f.peek() != ']' {
		list = append(list, f.value(depth+1))
		if f.peek() == ',' {
			f.at++
		} else if f.peek() != ']' {
			refuse()
		}
	}
	f.at++
	return list
}

func (f *flow) table(depth int) any {
	m := map[string]any{}
	f.at++
	for f.peek() != '}' {
		var key string
		if c := f.peek(); c == '"' || c == '\'' {
			key = f.quoted(c)
		} else {
			key = f.word()
			if !isText(key) {
				refuse()
			}
		}
		if f.at >= len(f.text) || f.text[f.at] != ':' {
			refuse()
		}
		if f.at++; f.at >= len(f.text) || f.text[f.at] != ' ' && f.text[f.at] != '"' && f.text[f.at] != '[' && f.text[f.at] != '{' {
			refuse()
		}
		if f.text[f.at] != ' ' && f.text[f.at-2] != '"' {
			refuse() // a colon without a space is for JSON only
		}
		m[key] = f.value(depth + 1)
		if f.peek() == ',' {
			f.at++
		} else if f.peek() != '}' {
			refuse()
		}
	}
	f.at++
	return m
}

func (f *flow) quoted(quote byte) string {
	body := f.text[f.at+1:]
	end := closing(body, quote)
	if end < 0 {
		refuse()
	}
	f.at += end + 2
	return unquote(body[:end], quote)
}

// word reads an unquoted scalar of harmless characters.
func (f *flow) word() string {
	from := f.at
	for f.at < len(f.text) {
		c := f.text[f.at]
		if !isKeyStart(c) && c != '-' && c != '*' && c != '=' {
			break
		}
		f.at++
	}
	word := f.text[from:f.at]
	if word == "" || word[0] == '*' || word[0] == '=' || word[0] == '-' && (len(word) == 1 || !isKeyStart(word[1])) {
		refuse()
	}
	if rest := f.text[f.at:]; rest == "" || strings.IndexByte(",]}: ", rest[0]) < 0 {
		refuse()
	}
	if word != "" && f.at < len(f.text) && f.text[f.at] == ' ' { // several words, or a comment
		if c := f.peek(); c != ',' && c != ']' && c != '}' {
			refuse()
		}
	}
	return word
}
