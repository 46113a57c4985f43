package funcs

import (
	"strings"
	"unicode"
)

const ellipsis = "..."

// minAbbrev is the least width that a text is abbreviated to, with an ellipsis on one
// side; minAbbrevBoth that with one on both sides.
const (
	minAbbrev     = len(ellipsis) + 1
	minAbbrevBoth = 2*len(ellipsis) + 1
)

func abbrev(width int, s string) string {
	if width < minAbbrev {
		return s
	}
	return abbreviated(0, width, s)
}

func abbrevBoth(offset, width int, s string) string {
	if width < minAbbrev || offset > 0 && width < minAbbrevBoth {
		return s
	}
	return abbreviated(offset, width, s)
}

// abbreviated cuts a text to a width, in bytes, such that the byte at offset is seen.
// Offsets up to the width of an ellipsis and one are none.
func abbreviated(offset, width int, s string) string {
	if len(s) <= width {
		return s
	}
	offset = min(offset, len(s))
	tail := width - len(ellipsis)
	if len(s)-offset < tail {
		offset = len(s) - tail
	}
	switch {
	case offset <= len(ellipsis)+1:
		return s[:tail] + ellipsis
	case width < minAbbrevBoth:
		return ""
	case len(s)-offset > tail:
		return ellipsis + s[offset:offset+tail-len(ellipsis)] + ellipsis
	}
	return ellipsis + s[len(s)-tail:]
}

// initials are the first letters of all words. Like noSpace it takes each byte for a
// character.
func initials(s string) string {
	var b strings.Builder
	gap := true
	for i := range len(s) {
		c := rune(s[i])
		if unicode.IsSpace(c) {
			gap = true
		} else if gap {
			b.WriteRune(c)
			gap = false
		}
	}
	return b.String()
}

// noSpace removes white space. It takes each byte for a character: what is not ASCII
// is garbled if there is anything to remove.
func noSpace(s string) string {
	var b strings.Builder
	kept := 0
	for i := range len(s) {
		if c := rune(s[i]); !unicode.IsSpace(c) {
			b.WriteRune(c)
			kept++
		}
	}
	if kept == len(s) {
		return s
	}
	return b.String()
}

// untitle makes the first letter of every word small.
func untitle(s string) string {
	begins := true
	return strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c):
			begins = true
		case begins:
			begins = false
			return unicode.ToLower(c)
		}
		return c
	}, s)
}

// swapCase makes small letters large and large ones small; a small letter at the
// beginning of a word becomes one of a title.
func swapCase(s string) string {
	begins := true
	return strings.Map(func(c rune) rune {
		switch {
		case unicode.IsUpper(c), unicode.IsTitle(c):
			begins = false
			return unicode.ToLower(c)
		case unicode.IsLower(c) && begins:
			begins = false
			return unicode.ToTitle(c)
		case unicode.IsLower(c):
			return unicode.ToUpper(c)
		}
		begins = unicode.IsSpace(c)
		return c
	}, s)
}

// wrap breaks a text at spaces into lines of at most width bytes. Words that are
// longer are cut, or else keep a line for themselves.
func wrap(s string, width int, newline string, cut bool) string {
	if newline == "" {
		newline = "\n"
	}
	width = max(width, 1)
	var b strings.Builder
	for len(s) > width {
		if s[0] == ' ' {
			s = s[1:]
			continue
		}
		end, next := strings.LastIndexByte(s[:width+1], ' '), 0
		switch {
		case end >= 0:
			next = end + 1
		case cut:
			end, next = width, width
		default:
			space := strings.IndexByte(s[width:], ' ')
			if space < 0 {
				b.WriteString(s)
				return b.String()
			}
			end = width + space
			next = end + 1
		}
		b.WriteString(s[:end])
		b.WriteString(newline)
		s = s[next:]
	}
	b.WriteString(s)
	return b.String()
}
