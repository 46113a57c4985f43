// Package ignore decides which files of a chart's folder .helmignore leaves out.
//
// The rules are those of Helm's pkg/ignore, one a line, which look like git's and are
// not: the first one that matches decides; a pattern with a slash is matched with the
// whole path, other ones with the last element; ** is an error; and a line that begins
// with ! leaves out everything that it does not match.
//
// Rules are not safe for concurrent use.
package ignore

import (
	"bufio"
	"bytes"
	"errors"
	"log"
	"path/filepath"
	"strings"
)

// Rules are the lines of a file, in their order.
type Rules struct{ patterns []pattern }

// pattern is one line.
type pattern struct {
	negated bool // with !
	folders bool // with / at the end: only folders match
	path    bool // is matched with the whole path
	slashes int  // at the beginning, after the first one; see [pattern.match]

	kind   kind
	before string // kind literal: the whole; others: what comes before the first special character
	after  string // kind star: what comes behind it
	glob   string // kind glob: the whole
}

// kind is how a pattern can be matched. Nearly all are of the first two.
type kind int

const (
	literal kind = iota // a name
	star                // one star is all that is special
	glob                // whatever [filepath.Match] knows
)

const (
	// defaults are Helm's, after all lines of the file.
	defaults = "templates/.?*"

	// maxLine is the length of a line, bytes, from which Helm cannot read it.
	maxLine = bufio.MaxScanTokenSize
)

var utf8bom = []byte{0xEF, 0xBB, 0xBF}

// Parse reads a .helmignore; an empty one leaves Helm's defaults. Its errors are Helm's.
func Parse(text []byte) (*Rules, error) {
	r := &Rules{}
	text = bytes.TrimPrefix(text, utf8bom)
	for len(text) > 0 {
		var line []byte
		if line, text, _ = bytes.Cut(text, []byte{'\n'}); len(line) >= maxLine {
			return nil, bufio.ErrTooLong
		}
		if err := r.add(string(bytes.TrimSpace(line))); err != nil {
			return nil, err
		}
	}
	return r, r.add(defaults)
}

// add takes in one line.
func (r *Rules) add(line string) error {
	if line == "" || line[0] == '#' {
		return nil
	}
	if strings.Contains(line, "**") {
		return errors.New("double-star (**) syntax is not supported")
	}
	if _, err := filepath.Match(line, "abc"); err != nil { // which does not find all mistakes: see match
		return err
	}
	var p pattern
	line, p.negated = strings.CutPrefix(line, "!")
	line, p.folders = strings.CutSuffix(line, "/")
	p.path = strings.Contains(line, "/")
	if rooted := strings.TrimLeft(line, "/"); len(rooted) < len(line) {
		p.slashes = len(line) - len(rooted) - 1
		line = rooted
	}
	special := strings.IndexAny(line, `*?[\`)
	switch {
	case special < 0:
		p.before = line
	case line[special] == '*' && !strings.ContainsAny(line[special+1:], `*?[\`):
		p.kind, p.before, p.after = star, line[:special], line[special+1:]
	default:
		p.kind, p.before, p.glob = glob, line[:special], line
	}
	r.patterns = append(r.patterns, p)
	return nil
}

// Ignore reports whether a file or folder is left out; name is its path below the
// chart's folder, with slashes. What is in a folder that is left out goes with it, which
// is for the caller to see to.
func (r *Rules) Ignore(name string, isFolder bool) bool {
	last := name[strings.LastIndexByte(name, '/')+1:]
	for i := range r.patterns {
		p := &r.patterns[i]
		matches := isFolder || !p.folders
		if matches {
			matches = p.match(name, last)
		}
		if matches != p.negated {
			return true
		}
	}
	return false
}

// match compares a path, or its last element. A pattern that begins with several slashes
// matches nothing until it has been asked as often as it has further ones, since Helm
// takes one away each time.
func (p *pattern) match(name, last string) bool {
	if p.slashes > 0 {
		p.slashes--
		return false
	}
	if !p.path {
		name = last
	}
	rest, ok := strings.CutPrefix(name, p.before)
	switch {
	case !ok:
		return false
	case p.kind == literal:
		return rest == ""
	case p.kind == star:
		covered, ok := strings.CutSuffix(rest, p.after)
		return ok && strings.IndexByte(covered, '/') < 0
	}
	ok, err := filepath.Match(p.glob, name)
	if err != nil {
		log.Printf("Failed to compile %q: %s", p.glob, err)
	}
	return ok
}
