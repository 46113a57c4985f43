package funcs

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/seed38700745/pkg/engine/internal/endless"
)

// text is a value as templates print it, but bytes are a text.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []byte:
		return string(v)
	case error:
		return v.Error()
	case fmt.Stringer:
		return v.String()
	}
	return formatted(v)
}

// formatted is fmt's text of a value.
func formatted(v any) string {
	if err := endless.Check(v); err != nil {
		panic(err)
	}
	return fmt.Sprint(v)
}

// printed is a value as templates print it.
func printed(v any) string {
	switch v.(type) {
	case string, bool, int, int64, float64:
		return text(v)
	}
	return formatted(v)
}

// texts makes a list of texts of any list, without what is nil; a list of texts is
// returned itself. Anything else is the one item, nil none.
func texts(v any) []string {
	switch v := v.(type) {
	case []string:
		return v
	case []any:
		out := make([]string, 0, len(v))
		for _, item := range v {
			if item != nil {
				out = append(out, text(item))
			}
		}
		return out
	case nil:
		return []string{}
	}
	list := reflect.ValueOf(v)
	if kind := list.Kind(); kind != reflect.Array && kind != reflect.Slice {
		return []string{text(v)}
	}
	out := make([]string, 0, list.Len())
	for i := range list.Len() {
		if item := list.Index(i).Interface(); item != nil {
			out = append(out, text(item))
		}
	}
	return out
}

// joined writes the values that are not nil, with spaces between.
func joined(values []any, form func(any) string) string {
	out, n := "", 0
	var b strings.Builder
	for _, v := range values {
		if v == nil {
			continue
		}
		s := form(v)
		switch n++; n {
		case 1:
			out = s
			continue
		case 2:
			b.WriteString(out)
		}
		b.WriteByte(' ')
		b.WriteString(s)
	}
	if n > 1 {
		return b.String()
	}
	return out
}

func cat(values ...any) string { return joined(values, printed) }

func quote(values ...any) string {
	return joined(values, func(v any) string { return strconv.Quote(text(v)) })
}

func singleQuote(values ...any) string {
	return joined(values, func(v any) string { return "'" + printed(v) + "'" })
}

// indent puts spaces before each line of s, empty ones too, and first before them all.
func indent(first string, spaces int, s string) string {
	pad := strings.Repeat(" ", spaces)
	var b strings.Builder
	b.Grow(len(first) + len(s) + len(pad)*(strings.Count(s, "\n")+1))
	b.WriteString(first)
	b.WriteString(pad)
	for {
		i := strings.IndexByte(s, '\n') + 1
		if i == 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		b.WriteString(pad)
		s = s[i:]
	}
}

// numbered is a table of texts under the keys _0, _1 and so on.
func numbered(parts []string) map[string]string {
	out := make(map[string]string, len(parts))
	for i, part := range parts {
		out["_"+strconv.Itoa(i)] = part
	}
	return out
}

func plural(one, many string, count int) string {
	if count == 1 {
		return one
	}
	return many
}

// trunc keeps the first bytes of a text, or with a negative count the last.
func trunc(count int, s string) string {
	switch {
	case count < 0 && len(s)+count > 0:
		return s[len(s)+count:]
	case count >= 0 && count < len(s):
		return s[:count]
	}
	return s
}

// substr cuts out bytes: a negative start means from the beginning, an end that is
// negative or too large to the end. Everything else out of bounds is a panic.
func substr(start, end int, s string) string {
	switch {
	case start < 0:
		return s[:end]
	case end < 0 || end > len(s):
		return s[start:]
	}
	return s[start:end]
}
