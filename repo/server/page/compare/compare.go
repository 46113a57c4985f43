// Package compare makes the difference of two texts, line by line, for pages: with
// line numbers, unchanged parts to fold away, and the changed words of a line.
package compare

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/diff"
)

// Kind is what happened to a line.
type Kind string

const (
	Same   Kind = "same"
	Add    Kind = "add"
	Remove Kind = "remove"
)

// Line is a line of either text.
type Line struct {
	Kind     Kind
	Old, New int // line numbers from 1; 0 on the side that does not have it
	// The text is Before + Changed + After. Changed is what differs from the
	// line that took its place; "" when that is not worth telling.
	Before, Changed, After string
}

// Block is lines in a row: a change with some lines around it, or lines far from
// any change, which are Folded.
type Block struct {
	Folded bool
	Lines  []Line
	Hidden int // lines that were left out for want of room
}

// Row is a line of both texts side by side; either may be nil.
type Row struct{ Left, Right *Line }

// Old is the line's number in the old text, 0 for none.
func (r Row) Old() int {
	if r.Left == nil {
		return 0
	}
	return r.Left.Old
}

// New is the line's number in the new text, 0 for none.
func (r Row) New() int {
	if r.Right == nil {
		return 0
	}
	return r.Right.New
}

// Difference is what changed between two texts.
type Difference struct {
	Blocks         []Block
	Added, Removed int // lines
}

// Texts compares. Equal texts have no blocks.
func Texts(before, after string) Difference {
	before, after = lineEnds(before), lineEnds(after)
	raw := diff.Diff("a", []byte(before), "b", []byte(after))
	var d Difference
	if len(raw) == 0 {
		return d
	}
	all := strings.Split(strings.TrimSuffix(after, "\n"), "\n")
	if after == "" {
		all = nil
	}
	lastOld, lastNew := 0, 0 // lines that are in blocks already
	skip := func(upToNew int) {
		if upToNew <= lastNew {
			return
		}
		b := Block{Folded: true}
		for lastNew < upToNew {
			lastOld, lastNew = lastOld+1, lastNew+1
			b.Lines = append(b.Lines, Line{Kind: Same, Old: lastOld, New: lastNew, Before: all[lastNew-1]})
		}
		d.Blocks = append(d.Blocks, b)
	}
	const header = 3 // "diff", "---", "+++"
	for i, text := range bytes.Split(bytes.TrimSuffix(raw, []byte("\n")), []byte("\n")) {
		if i < header || len(text) == 0 {
			continue
		}
		if text[0] == '@' {
			var old, oldCount, start, count int
			if _, err := fmt.Sscanf(string(text), "@@ -%d,%d +%d,%d @@", &old, &oldCount, &start, &count); err != nil {
				continue // the library writes no other form
			}
			if count == 0 {
				start++ // an empty hunk names the line before it
			}
			skip(start - 1)
			d.Blocks = append(d.Blocks, Block{})
			continue
		}
		l := Line{Before: string(text[1:])}
		switch text[0] {
		case '+':
			lastNew++
			d.Added++
			l.Kind, l.New = Add, lastNew
		case '-':
			lastOld++
			d.Removed++
			l.Kind, l.Old = Remove, lastOld
		case ' ':
			lastOld, lastNew = lastOld+1, lastNew+1
			l.Kind, l.Old, l.New = Same, lastOld, lastNew
		default:
			continue // "\ No newline at end of file"
		}
		b := &d.Blocks[len(d.Blocks)-1]
		b.Lines = append(b.Lines, l)
	}
	skip(len(all))
	for i := range d.Blocks {
		markWords(d.Blocks[i].Lines)
	}
	return d
}

// lineEnds ends the last line, so that the difference is of lines only.
func lineEnds(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text
}

// markWords finds lines that were replaced one by one and what changed in them.
func markWords(lines []Line) {
	for i := 0; i < len(lines); {
		removed := i
		for i < len(lines) && lines[i].Kind == Remove {
			i++
		}
		added := i
		for i < len(lines) && lines[i].Kind == Add {
			i++
		}
		for n := range min(added-removed, i-added) {
			markPair(&lines[removed+n], &lines[added+n])
		}
		if i == removed {
			i++
		}
	}
}

// markPair tells the common beginning and end of two lines from what differs, when
// there is enough in common for the lines to be the same one.
func markPair(a, b *Line) {
	x, y := a.Before, b.Before
	start := 0
	for start < min(len(x), len(y)) && x[start] == y[start] {
		start++
	}
	for start > 0 && (start < len(x) && !utf8.RuneStart(x[start]) || start < len(y) && !utf8.RuneStart(y[start])) {
		start--
	}
	end := 0
	for end < min(len(x), len(y))-start && x[len(x)-1-end] == y[len(y)-1-end] {
		end++
	}
	for end > 0 && !utf8.RuneStart(x[len(x)-end]) {
		end--
	}
	common := len(strings.TrimSpace(x[:start])) + end
	if common*2 < max(len(strings.TrimSpace(x)), len(strings.TrimSpace(y)))-start {
		return
	}
	a.Before, a.Changed, a.After = x[:start], x[start:len(x)-end], x[len(x)-end:]
	b.Before, b.Changed, b.After = y[:start], y[start:len(y)-end], y[len(y)-end:]
}

// Rows puts a block's lines side by side.
func (b Block) Rows() []Row {
	var rows []Row
	for i := 0; i < len(b.Lines); {
		if b.Lines[i].Kind == Same {
			rows = append(rows, Row{&b.Lines[i], &b.Lines[i]})
			i++
			continue
		}
		removed := i
		for i < len(b.Lines) && b.Lines[i].Kind == Remove {
			i++
		}
		added := i
		for i < len(b.Lines) && b.Lines[i].Kind == Add {
			i++
		}
		for n := range max(added-removed, i-added) {
			var r Row
			if removed+n < added {
				r.Left = &b.Lines[removed+n]
			}
			if added+n < i {
				r.Right = &b.Lines[added+n]
			}
			rows = append(rows, r)
		}
	}
	return rows
}
