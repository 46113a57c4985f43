package plain

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Marshal writes values as sigs.k8s.io/yaml does, without the newline at the end;
// false for what it is not certain of: types other than those of JSON, unusual
// numbers, texts with special characters.
func Marshal(v any) (text string, ok bool) {
	w := &writer{out: make([]byte, 0, 512)}
	defer func() {
		if r := recover(); r != nil {
			if _, mine := r.(refused); !mine {
				panic(r)
			}
			text, ok = "", false
		}
	}()
	switch v := v.(type) {
	case nil:
		return "null", true
	case map[string]string: // files as data of a ConfigMap or Secret
		if v == nil {
			return "null", true
		}
		m := make(map[string]any, len(v))
		for key, text := range v {
			m[key] = text
		}
		return Marshal(m)
	case map[string]any:
		if len(v) == 0 {
			if v == nil {
				return "null", true
			}
			return "{}", true
		}
		w.table(v, 0, false)
	case []any:
		if len(v) == 0 {
			if v == nil {
				return "null", true
			}
			return "[]", true
		}
		w.list(v, 0, false)
	case string:
		w.text(v, 0, false)
		w.out = append(w.out, '\n')
	default:
		return "", false // rare, and not worth rules of their own
	}
	return strings.TrimSuffix(string(w.out), "\n"), true
}

type writer struct {
	out   []byte
	keys  []string // of the tables that are being written
	depth int
}

func (w *writer) indent(n int) {
	for range n {
		w.out = append(w.out, ' ')
	}
}

// table writes a non-empty mapping; inline means that the cursor stands behind a dash
// already.
func (w *writer) table(m map[string]any, indent int, inline bool) {
	if w.depth++; w.depth > maxDepth {
		refuse()
	}
	from := len(w.keys)
	defer func() { w.depth, w.keys = w.depth-1, w.keys[:from] }()
	w.keys = slices.Grow(w.keys, len(m))
	for key := range m {
		if !isSimpleKey(key) {
			refuse()
		}
		w.keys = append(w.keys, key)
	}
	keys := w.keys[from:]
	slices.SortFunc(keys, func(a, b string) int {
		if keyLess(a, b) {
			return -1
		}
		return 1
	})
	for i, key := range keys {
		if i > 0 || !inline {
			w.indent(indent)
		}
		w.text(key, indent, true)
		w.out = append(w.out, ':')
		w.value(m[key], indent, true)
	}
}

func (w *writer) list(list []any, indent int, inline bool) {
	if w.depth++; w.depth > maxDepth {
		refuse()
	}
	defer func() { w.depth-- }()
	for i, item := range list {
		if i > 0 || !inline {
			w.indent(indent)
		}
		w.out = append(w.out, '-')
		w.value(item, indent, false)
	}
}

// value writes what comes behind a key's colon or a dash, with its newline. Lists
// stand as far left as their key.
func (w *writer) value(v any, indent int, afterKey bool) {
	switch v := v.(type) {
	case map[string]any:
		switch {
		case v == nil:
			w.word("null")
		case len(v) == 0:
			w.word("{}")
		case afterKey:
			w.out = append(w.out, '\n')
			w.table(v, indent+2, false)
		default:
			w.out = append(w.out, ' ')
			w.table(v, indent+2, true)
		}
	case []any:
		switch {
		case v == nil:
			w.word("null")
		case len(v) == 0:
			w.word("[]")
		case afterKey:
			w.out = append(w.out, '\n')
			w.list(v, indent, false)
		default:
			w.out = append(w.out, ' ')
			w.list(v, indent+2, true)
		}
	case string:
		w.out = append(w.out, ' ')
		w.text(v, indent, false)
		w.out = append(w.out, '\n')
	case nil:
		w.word("null")
	case bool:
		w.word(strconv.FormatBool(v))
	case int:
		w.word(strconv.Itoa(v))
	case int64:
		w.word(strconv.FormatInt(v, 10))
	case float64:
		if v != float64(int64(v)) || v >= 1e15 || v <= -1e15 || v == 0 && 1/v < 0 {
			refuse()
		}
		w.word(strconv.FormatInt(int64(v), 10))
	default:
		refuse()
	}
}

func (w *writer) word(s string) {
	w.out = append(w.out, ' ')
	w.out = append(w.out, s...)
	w.out = append(w.out, '\n')
}

// foldColumn is where the full writer begins to fold lines at spaces.
const foldColumn = 80

// text writes a string: unquoted where that reads back as the same string.
func (w *writer) text(s string, indent int, key bool) {
	if s == "" {
		w.out = append(w.out, '"', '"')
		return
	}
	several := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\n':
			several = true
			if i > 0 && s[i-1] == ' ' {
				refuse()
			}
		case c < ' ' || c > '~':
			refuse()
		}
	}
	if s[len(s)-1] == ' ' {
		refuse()
	}
	if several {
		w.literal(s, indent)
		return
	}
	if isDate(s) {
		if _, err := time.Parse(time.DateOnly, s); err != nil {
			refuse()
		}
		w.out = append(append(append(w.out, '"'), s...), '"')
		return
	}
	if !isText(s) || isSexagesimal(s) {
		w.out = append(w.out, '"')
		for i := 0; i < len(s); i++ {
			if s[i] == '"' || s[i] == '\\' {
				refuse()
			}
		}
		w.out = append(w.out, s...)
		w.out = append(w.out, '"')
		return
	}
	if isPlain(s) {
		w.folded(s, indent+2)
		return
	}
	if s[0] == ' ' {
		refuse()
	}
	w.out = append(w.out, '\'')
	w.folded(strings.ReplaceAll(s, "'", "''"), indent+2)
	w.out = append(w.out, '\'')
}

// folded writes a text, going on in the next line at each single space that lies
// behind foldColumn.
func (w *writer) folded(s string, indent int) {
	column := len(w.out) - bytes.LastIndexByte(w.out, '\n') - 1
	if column+len(s) <= foldColumn || strings.IndexByte(s, ' ') < 0 {
		w.out = append(w.out, s...)
		return
	}
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' && column > foldColumn && s[i-1] != ' ' && s[i+1] != ' ' {
			w.out = append(w.out, '\n')
			w.indent(indent)
			column = indent
			continue
		}
		w.out = append(w.out, s[i])
		column++
	}
}

// literal writes a text of several lines after a bar.
func (w *writer) literal(s string, indent int) {
	if s[0] == ' ' || s[0] == '\n' {
		refuse()
	}
	w.out = append(w.out, '|')
	body := strings.TrimRight(s, "\n")
	switch len(s) - len(body) {
	case 0:
		w.out = append(w.out, '-')
	case 1:
	default:
		w.out = append(w.out, '+')
	}
	for line := range strings.SplitSeq(body, "\n") {
		w.out = append(w.out, '\n')
		if line != "" {
			w.indent(indent + 2)
			w.out = append(w.out, line...)
		}
	}
	for range len(s) - len(body) - 1 {
		w.out = append(w.out, '\n')
	}
}

// isPlain reports whether a text of printable ASCII on one line needs no quotes.
func isPlain(s string) bool {
	switch c := s[0]; c {
	case ' ', '#', ',', '[', ']', '{', '}', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`':
		return false
	case '-', '?', ':':
		if len(s) == 1 || s[1] == ' ' {
			return false
		}
	}
	if strings.HasPrefix(s, "---") || strings.HasPrefix(s, "...") {
		return false
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case ':':
			if i+1 == len(s) || s[i+1] == ' ' {
				return false
			}
		case '#':
			if s[i-1] == ' ' {
				return false
			}
		}
	}
	return true
}

// isSexagesimal reports whether YAML 1.1 reads a text as a number of base 60, as the
// full writer sees it: 1:30, -190:20:30.15, but not 0.0.0.0:80 or 10:99.
func isSexagesimal(s string) bool {
	if s[0] == '-' || s[0] == '+' {
		s = s[1:]
	}
	if s == "" || !isDigit(s[0]) {
		return false
	}
	skip := func(i int) int { // to behind digits and underscores
		for i < len(s) && (isDigit(s[i]) || s[i] == '_') {
			i++
		}
		return i
	}
	i := skip(0)
	first := i
	for i+1 < len(s) && s[i] == ':' && isDigit(s[i+1]) {
		if i+2 < len(s) && s[i+1] <= '5' && isDigit(s[i+2]) {
			i++
		}
		i += 2
	}
	if i == first {
		return false
	}
	if i < len(s) && s[i] == '.' {
		i = skip(i + 1)
	}
	return i == len(s)
}

// isSimpleKey accepts the keys that need no quotes and no thought.
func isSimpleKey(s string) bool {
	if s == "" || len(s) > 100 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !isKeyStart(c) && (c != '-' || i == 0) {
			return false
		}
	}
	return true
}

// keyLess is the order of the full writer: letters come after everything else, and
// names that differ in a digit go by the numbers there. For a10, a20 and a2x that is
// no order at all: there the full writer gives a random one.
func keyLess(a, b string) bool {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	if i == len(a) || i == len(b) {
		return len(a) < len(b)
	}
	switch al, bl := isLetter(a[i]), isLetter(b[i]); {
	case al && bl:
		return a[i] < b[i]
	case al || bl:
		return bl
	}
	// A zero inside a number counts, one in front of it does not.
	var first int64
	if a[i] == '0' || b[i] == '0' {
		for j := i - 1; j >= 0 && isDigit(a[j]) && first == 0; j-- {
			if a[j] != '0' {
				first = 1
			}
		}
	}
	an, aEnd := numberAt(a, i, first)
	bn, bEnd := numberAt(b, i, first)
	switch {
	case an != bn:
		return an < bn
	case aEnd != bEnd:
		return aEnd < bEnd
	}
	return a[i] < b[i]
}

// numberAt continues a number with the digits at i, and returns where they end.
func numberAt(s string, i int, n int64) (int64, int) {
	from := i
	for i < len(s) && isDigit(s[i]) {
		n = n*10 + int64(s[i]-'0')
		i++
	}
	if i-from > 17 {
		refuse() // too large to compare here
	}
	return n, i
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
