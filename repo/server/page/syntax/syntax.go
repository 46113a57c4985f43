// Package syntax colours YAML and the actions of Go templates in it, line by line,
// as HTML that is safe: every byte of the text is escaped, and nothing else is in
// it but spans with one of these classes:
//
//	c comment   k key   s string   n number, true, null   t template action
//
// It is a scanner, not a parser: text that is no YAML comes out uncoloured or oddly
// coloured, never changed.
package syntax

import (
	"html/template"
	"strings"
)

// maxLine is the bytes of one line that are coloured; the rest follows plainly.
const maxLine = 2000

// YAML returns the lines of a text, without their ends.
func YAML(text string) []template.HTML {
	text = strings.TrimSuffix(text, "\n")
	s := scanner{}
	out := make([]template.HTML, 0, strings.Count(text, "\n")+1)
	for line := range strings.SplitSeq(text, "\n") {
		out = append(out, s.line(strings.TrimSuffix(line, "\r")))
	}
	return out
}

// Plain returns the lines of a text that is not coloured.
func Plain(text string) []template.HTML {
	text = strings.TrimSuffix(text, "\n")
	out := make([]template.HTML, 0, strings.Count(text, "\n")+1)
	for line := range strings.SplitSeq(text, "\n") {
		out = append(out, template.HTML(template.HTMLEscapeString(line)))
	}
	return out
}

// scanner holds what goes on from one line to the next.
type scanner struct {
	action  bool // inside of {{ }}
	comment bool // inside of {{/* */}}
	block   int  // the indentation of the key whose block scalar this is, plus 1; 0: none
	out     strings.Builder
}

func (s *scanner) line(line string) template.HTML {
	s.out.Reset()
	rest := ""
	if len(line) > maxLine {
		line, rest = line[:maxLine], line[maxLine:]
	}
	indent := len(line) - len(strings.TrimLeft(line, " "))
	if s.block > 0 && strings.TrimSpace(line) != "" && indent < s.block {
		s.block = 0
	}
	s.text(line, indent)
	s.span("", rest)
	return template.HTML(s.out.String())
}

// text writes a line: actions, and YAML between them.
func (s *scanner) text(line string, indent int) {
	start := true // nothing of YAML was written yet
	for line != "" {
		if s.action {
			line = s.finishAction(line)
			start = false
			continue
		}
		at := strings.Index(line, "{{")
		if at < 0 {
			at = len(line)
		}
		if at > 0 {
			s.yaml(line[:at], start, indent)
			start = start && strings.TrimSpace(line[:at]) == ""
		}
		line = line[at:]
		if line != "" {
			s.action = true
			inside := strings.TrimLeft(strings.TrimPrefix(line[2:], "-"), " ")
			s.comment = strings.HasPrefix(inside, "/*")
		}
	}
}

// finishAction writes an action up to its end or the line's, and returns the rest.
func (s *scanner) finishAction(line string) string {
	class, stop := "t", "}}"
	if s.comment {
		class, stop = "c", "*/"
	}
	at := strings.Index(line, stop)
	if at < 0 {
		s.span(class, line)
		return ""
	}
	at += len(stop)
	if s.comment {
		if end := strings.Index(line[at:], "}}"); end >= 0 {
			at += end + 2
		}
		s.comment = false
	}
	s.span(class, line[:at])
	s.action = false
	return line[at:]
}

// yaml writes a piece of a line. Start says that it begins the line.
func (s *scanner) yaml(text string, start bool, indent int) {
	if s.block > 0 {
		s.span("s", text)
		return
	}
	trimmed := strings.TrimLeft(text, " \t")
	if start {
		s.span("", text[:len(text)-len(trimmed)])
		for strings.HasPrefix(trimmed, "- ") {
			s.span("", "- ")
			indent += 2
			trimmed = trimmed[2:]
		}
		if at := keyEnd(trimmed); at > 0 {
			s.span("k", trimmed[:at])
			trimmed = trimmed[at:]
			value := strings.TrimSpace(strings.TrimPrefix(trimmed, ":"))
			if value != "" && (value[0] == '|' || value[0] == '>') {
				s.block = indent + 1
			}
			s.span("", ":")
			trimmed = trimmed[1:]
		}
	} else {
		trimmed = text
	}
	if start && strings.HasPrefix(trimmed, "#") {
		s.span("c", trimmed)
		return
	}
	s.value(trimmed)
}

// keyEnd is the place of the ":" behind a key at the beginning, -1 without one.
func keyEnd(text string) int {
	if text == "" || text[0] == '#' || text[0] == '{' || text[0] == '[' {
		return -1
	}
	if text[0] == '"' || text[0] == '\'' {
		end := strings.IndexByte(text[1:], text[0])
		if end >= 0 && strings.HasPrefix(text[end+2:], ":") {
			return end + 2
		}
		return -1
	}
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == ':' && (i+1 == len(text) || text[i+1] == ' '):
			return i
		case text[i] == '#' && i > 0 && text[i-1] == ' ', text[i] == '"':
			return -1
		}
	}
	return -1
}

// value writes what follows a key: strings, words and a comment.
func (s *scanner) value(text string) {
	for text != "" {
		switch c := text[0]; {
		case c == ' ':
			n := len(text) - len(strings.TrimLeft(text, " "))
			s.span("", text[:n])
			text = text[n:]
			if strings.HasPrefix(text, "#") {
				s.span("c", text)
				return
			}
		case c == '"' || c == '\'':
			n := quoted(text)
			s.span("s", text[:n])
			text = text[n:]
		case strings.IndexByte("[]{},", c) >= 0:
			s.span("", text[:1])
			text = text[1:]
		default:
			n := strings.IndexAny(text, " ,]}")
			if n < 0 {
				n = len(text)
			}
			s.span(wordClass(text[:n]), text[:n])
			text = text[n:]
		}
	}
}

// quoted is the length of the quoted string that text begins with.
func quoted(text string) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && text[0] == '"':
			i++
		case text[i] == text[0]:
			return i + 1
		}
	}
	return len(text)
}

func wordClass(word string) string {
	switch word {
	case "true", "false", "null", "~", "yes", "no":
		return "n"
	}
	for i := range len(word) {
		if c := word[i]; (c < '0' || c > '9') && (i == 0 || c != '.') && (c != '-' || i > 0 || len(word) == 1) {
			return ""
		}
	}
	return "n"
}

func (s *scanner) span(class, text string) {
	if text == "" {
		return
	}
	if class == "" {
		s.out.WriteString(template.HTMLEscapeString(text))
		return
	}
	s.out.WriteString(`<span class="` + class + `">`)
	s.out.WriteString(template.HTMLEscapeString(text))
	s.out.WriteString("</span>")
}
