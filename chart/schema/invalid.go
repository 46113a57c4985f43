package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Invalid says where and why values do not satisfy a schema.
type Invalid struct{ causes []*failure }

// failure is one node of the tree of reasons.
type failure struct {
	kind   failureKind
	path   []string // of the value
	text   string
	causes []*failure
}

type failureKind int

const (
	plain   failureKind = iota
	group               // several failures of one subschema
	reached             // failures behind a $ref, shown only when there are several
)

// spread returns a failure's parts where it is only their sum.
func (f *failure) spread() []*failure {
	if f.kind == group {
		return f.causes
	}
	return []*failure{f}
}

// Error lists the failures, one a line, those that caused another below it.
func (e *Invalid) Error() string {
	var b strings.Builder
	for _, f := range e.causes {
		f.write(&b, 0)
	}
	return strings.TrimPrefix(b.String(), "\n")
}

func (f *failure) write(b *strings.Builder, indent int) {
	if f.kind != reached || len(f.causes) != 1 {
		at := ""
		for _, token := range f.path {
			at += "/" + escape(token)
		}
		fmt.Fprintf(b, "\n%s- at %s: %s", strings.Repeat("  ", indent), quote(at), f.text)
		indent++
	}
	for _, cause := range f.causes {
		cause.write(b, indent)
	}
}

// enumText words the values that a schema allows.
func enumText(want []any) string {
	if slices.ContainsFunc(want, func(v any) bool { return !isPrimitive(v) }) {
		return "'enum' failed"
	}
	texts := make([]string, len(want))
	for i, v := range want {
		texts[i] = display(v)
	}
	if len(texts) == 1 {
		return "value must be " + texts[0]
	}
	return "value must be one of " + strings.Join(texts, ", ")
}

func isPrimitive(v any) bool {
	switch v.(type) {
	case []any, map[string]any:
		return false
	}
	return true
}

func display(v any) string {
	if s, ok := v.(string); ok {
		return quote(s)
	}
	return fmt.Sprint(v)
}

func quote(s string) string {
	s = strconv.Quote(s)
	s = strings.ReplaceAll(s, `\"`, `"`)
	s = strings.ReplaceAll(s, `'`, `\'`)
	return "'" + s[1:len(s)-1] + "'"
}

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quote(name)
	}
	return strings.Join(quoted, ", ")
}

// grouped writes an integer as English does: 1,234.
func grouped(n int) string { return withCommas(strconv.Itoa(n)) }

// withCommas puts commas between the thousands of a decimal number.
func withCommas(s string) string {
	whole, fraction := s, ""
	if point := strings.IndexByte(s, '.'); point >= 0 {
		whole, fraction = s[:point], s[point:]
	}
	for i := len(whole) - 3; i > strings.Count(whole, "-"); i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return whole + fraction
}

// decimal words a number as the library golang.org/x/text does in English: 1,234.5, and
// from a million on, and below a ten-thousandth, 1.5×10⁰⁶.
func decimal(n *number) string {
	f, _ := n.Float64()
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	if e, err := strconv.Atoi(exponent); err == nil && e >= -4 && e < 6 {
		return withCommas(strconv.FormatFloat(f, 'f', -1, 64))
	}
	raised := strings.NewReplacer("+", "", "-", "⁻", "0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴", "5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹")
	return mantissa + "×10" + raised.Replace(exponent)
}

// acceptsAll reports whether a format is one that nobody checks.
func acceptsAll(format string) bool {
	switch format {
	case "regex", "json-pointer", "relative-json-pointer", "uuid", "duration", "period", "ipv4", "ipv6",
		"hostname", "email", "date", "time", "date-time", "uri", "iri", "uri-reference", "iri-reference",
		"uri-template", "semver":
		return false
	}
	return true
}
