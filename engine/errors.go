package engine

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"text/template"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/chart/spelling"
	"github.com/seed38700745/pkg/engine/internal/chartutil"
)

// TemplateError is a failure inside a template, or of what it rendered, or a chart
// that is not for this Kubernetes: what Helm answers with a pointer to --debug.
type TemplateError struct {
	Message string // Helm's text, whole
	Chart   string // name and version of the chart the file belongs to

	File       string  // path of the template, "mysql/templates/service.yaml"
	Line       int     // 1-based; 0 when unknown
	Column     int     // 1-based; 0 when unknown
	SourceLine string  // the line of File, or of the rendered text
	Rendered   bool    // Line counts in the rendered document, not in File
	Callers    []Place // the templates that led to File, the nearest first

	MissingPath string   // the values path that was nil, ".Values.a.b"
	Nearest     []string // keys that do exist where MissingPath ends
}

// Place is a point in a template. Line and Column count from 1; Column is 0 when
// unknown.
type Place struct {
	File         string
	Line, Column int
}

// String is the place as editors take it.
func (p Place) String() string {
	if p.Column == 0 {
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// maxCallers bounds how many callers a message lists: of an endless recursion there
// are a thousand.
const maxCallers = 8

// Error returns Helm's text.
func (e *TemplateError) Error() string { return e.Message }

// Detail returns what we know beyond Helm's text, for a person to read: the place,
// the source line with a mark under the column, the templates that led there, the
// missing path. It ends with a newline or is empty.
func (e *TemplateError) Detail() string {
	var b strings.Builder
	if e.Line > 0 {
		where := Place{e.File, e.Line, e.Column}.String()
		if e.Rendered {
			where = fmt.Sprintf("%s, line %d of the rendered document", e.File, e.Line)
		}
		fmt.Fprintf(&b, "  at %s", where)
		if e.Chart != "" {
			fmt.Fprintf(&b, " (chart %s)", e.Chart)
		}
		b.WriteString("\n")
		if e.SourceLine != "" {
			number := strconv.Itoa(e.Line)
			fmt.Fprintf(&b, "  %s | %s\n", number, strings.TrimRight(e.SourceLine, " \t\r"))
			if e.Column > 0 && e.Column <= len(e.SourceLine) {
				fmt.Fprintf(&b, "  %s | %s^\n", strings.Repeat(" ", len(number)), blanks(e.SourceLine[:e.Column-1]))
			}
		}
	}
	for i, caller := range e.Callers {
		if i == maxCallers {
			fmt.Fprintf(&b, "  and %d more\n", len(e.Callers)-i)
			break
		}
		fmt.Fprintf(&b, "  called at %s\n", caller)
	}
	if e.MissingPath != "" {
		fmt.Fprintf(&b, "  %s is not set", e.MissingPath)
		if len(e.Nearest) > 0 {
			fmt.Fprintf(&b, "; there is: %s", strings.Join(e.Nearest, ", "))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// blanks keeps tabs, so that a mark stays under its column.
func blanks(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, s)
}

// location matches the last place in a chain of templates: file, line, column.
var location = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`([^\s():"]+):(\d+)(?::(\d+))?`) })

// parseError words a template that does not parse as Helm does.
func (r *run) parseError(c *chart.Chart, name string, err error) error {
	tokens := strings.Split(err.Error(), ": ")
	e := &TemplateError{}
	if len(tokens) == 1 {
		e.Message = fmt.Sprintf("parse error in (%s): %s", name, err)
	} else {
		e.Message = fmt.Sprintf("parse error at (%s): %s", tokens[1], tokens[len(tokens)-1])
	}
	r.locate(e, c, err.Error(), name)
	return e
}

var failText = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(failStart + `((?s).*)` + failEnd) })

// execError words a template that fails as Helm does.
func (r *run) execError(c *chart.Chart, name string, err error) error {
	if errors.Is(err, chart.ErrElsewhere) {
		return err
	}
	e := &TemplateError{Message: err.Error(), File: name}
	if _, ok := err.(template.ExecError); !ok {
		return e
	}
	tokens := strings.SplitN(err.Error(), ": ", 3)
	if len(tokens) != 3 {
		e.Message = fmt.Sprintf("execution error in (%s): %s", name, err)
	} else if m := failText().FindStringSubmatch(tokens[2]); m != nil {
		e.Message = fmt.Sprintf("execution error at (%s): %s", tokens[1], m[1])
	}
	r.locate(e, c, err.Error(), name)
	r.findMissing(e, name, err.Error())
	return e
}

// locate finds the places in a message that are in our files: the innermost comes
// last, after those that called it.
func (r *run) locate(e *TemplateError, c *chart.Chart, text, fallback string) {
	e.File = fallback
	var callers []Place
	for _, m := range location().FindAllStringSubmatch(text, -1) {
		file, ok := r.files[m[1]]
		if !ok {
			continue
		}
		line, _ := strconv.Atoi(m[2])
		lines := strings.Split(string(file.text), "\n")
		if line < 1 || line > len(lines) {
			continue
		}
		if e.Line > 0 {
			callers = append(callers, Place{e.File, e.Line, e.Column})
		}
		e.File, e.Line, e.SourceLine, e.Column = m[1], line, lines[line-1], 0
		if col, err := strconv.Atoi(m[3]); err == nil {
			e.Column = col + 1 // text/template counts bytes from 0
		}
	}
	slices.Reverse(callers)
	e.Callers = callers
	if owner := ownerOf(c, e.File); owner != nil {
		e.Chart = owner.Name() + "-" + owner.Metadata.Version
	}
}

// ownerOf returns the chart whose folder is the nearest above a template's path.
func ownerOf(c *chart.Chart, file string) *chart.Chart {
	if !strings.HasPrefix(file, c.ChartFullPath()+"/") {
		return nil
	}
	for _, sub := range c.Dependencies() {
		if owner := ownerOf(sub, file); owner != nil {
			return owner
		}
	}
	return c
}

// nilPointer matches text/template's complaint about a field of nothing.
var nilPointer = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`<(\$?\.[^<>]*)>: nil pointer evaluating .+\.\w+$`) })

// findMissing follows the expression that met a nil through the values, and notes
// where the path ends and which keys exist there.
func (r *run) findMissing(e *TemplateError, name, text string) {
	m := nilPointer().FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return
	}
	keys := strings.Split(strings.TrimPrefix(strings.TrimPrefix(m[1], "$"), "."), ".")
	file, ok := r.files[e.File]
	if !ok || isPartial(e.File) {
		file = r.files[name]
	}
	var at any = map[string]any(file.dot)
	walked := ""
	for _, key := range keys {
		table, ok := tableOf(at)
		if !ok {
			return
		}
		walked += "." + key
		next, exists := table[key]
		if !exists || next == nil {
			if path.Base(walked) == "" || walked == "."+key && key != "Values" {
				return // not a path from the top: the template's dot was something else
			}
			e.MissingPath = walked
			e.Nearest = nearestKeys(table, key)
			return
		}
		at = next
	}
}

func tableOf(v any) (map[string]any, bool) {
	switch v := v.(type) {
	case map[string]any:
		return v, true
	case chartutil.Values:
		return v, true
	}
	return nil, false
}

// maxNearest bounds how many existing keys a message lists.
const maxNearest = 8

// nearestKeys returns the keys of a table, those most like the wanted one first.
func nearestKeys(table map[string]any, want string) []string {
	keys := make([]string, 0, len(table))
	for key := range table {
		keys = append(keys, key)
	}
	sort.Slice(keys, func(i, j int) bool {
		di, dj := editDistance(keys[i], want), editDistance(keys[j], want)
		if di != dj {
			return di < dj
		}
		return keys[i] < keys[j]
	})
	if len(keys) > maxNearest {
		keys = keys[:maxNearest]
	}
	return keys
}

// editDistance is Levenshtein's, ignoring case.
func editDistance(a, b string) int {
	return spelling.Distance(strings.ToLower(a), strings.ToLower(b))
}
