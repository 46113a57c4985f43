package funcs

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/Masterminds/sprig/v3"

	"github.com/seed38700745/pkg/engine/internal/chartutil"
)

// named is a text that is no string, with a method.
type named string

func (n named) String() string { return "named " + string(n) }

type failing struct{}

func (*failing) Error() string { panic("no text") }

type point struct {
	X, Y   int
	hidden []string
}

// Arguments on which the rules of the functions turn are those of oddValues, and of
// oddCollections, made anew by every call since functions change tables and lists.
var oddValues = func() []any {
	x, text := 5, "pointed"
	px := &x
	var noMap map[string]any
	var noList []any
	var noPoint *point
	var noError *failing
	return []any{
		nil, noMap, noList, noPoint, noError, "", " ", "a", "abc", "ABC", "hello World", "the quick  brown fox-jumps_over\tit ", "HTTPServer2xx_OK", "Ünïcödé ſtraße ǅ 日本語", "\xff\xfe broken \xc3", "a\nb\n", "'quoted' \"text\" \\",
		"0", "1", "-1", "+7", "08", "0x1F", "0o17", "0b101", "1_000", "1e3", "1.5", "2.000", ".0", "1.", "-0", "99999999999999999999", "NaN", "Inf", "true", "null", " 1",
		"aGVsbG8=", "NBSWY3DP", "a,b,,c", "/a/../b//c.tar.gz", "../x", "https://user:pw@host:80/p/a?q=1#f", "http://[::1", "%zz", "a.*c", "(", "[a-c]+", "$1x${0}", "1.2.3", "v2", ">=1.0 <2", "^1.2.x", "1.2.3-rc.1+b",
		"2006-01-02", "2020-02-30", "1970-01-01", "1h30m", "95", "UTC", "Local", "Europe/Nowhere", "%d %s", `{"a":[1,{"b":null}],"c":1e2}`, `[1,"x"]`, "{", "a: [1, {b: yes}]\n", "- 1\n- x\n", "a: [", "string", "map", "*funcs.point", "funcs.point",
		0, 1, -1, 2, 3, 7, -7, 63, 100, math.MaxInt, math.MinInt, int64(0), int64(5), int64(-90000), int64(math.MaxInt64), int8(-3), int16(9), int32(70000), uint(4), uint8(200), uint16(1), uint32(2), uint64(math.MaxUint64),
		0.0, math.Copysign(0, -1), 1.0, 1.5, -2.5, 0.05, 1e6, 1e21, 1e-7, 123456789.125, math.Inf(1), math.NaN(), float32(2.25), complex(1, 2), complex(0, 0), true, false, json.Number("12"), json.Number("1.5"), json.Number("x"),
		time.Duration(90) * time.Minute, time.March, time.Saturday, time.Unix(1700000000, 5).UTC(), time.Time{}, named("n"), &failing{}, fmt.Errorf("an error"), []byte("bytes"), px, &px, &text, &point{1, 2, nil}, point{3, 4, []string{"h"}},
		func() string { return "f" },
	}
}()

// odds is how many there are of both.
var odds = len(oddValues) + len(oddCollections())

func oddCollections() []any {
	return []any{
		[]any{}, []any{1, "a", nil, 2.5, "a", "", false}, []any{[]any{1}, []any{1}, map[string]any{"a": 1}}, append(make([]any, 0, 9), "c", "b", "a"), []string{"b", "a", "b"}, []string{}, []int{3, 1, 2, 3}, [2]string{"x", "y"}, [][]any{{1}, {2}}, &[]string{"p"}, []float64{1.5, 2}, []map[string]any{{"a": 1}},
		map[string]any{}, map[string]any{"a": 1}, map[string]any{"a": map[string]any{"b": map[string]any{"c": "deep"}, "l": []any{1}}, "n": nil, "e": "", "z": 0}, map[string]any{"a": "text", "b": []any{1, 2}, "n": map[string]any{"x": 1}, "z": false}, map[string]any{"a": map[string]any{"b": nil, "d": 5}, "e": []any{}, "z": 3.5},
		map[string]any{"scheme": "https", "host": "h:1", "path": "/a b", "query": "q=1", "fragment": "f", "userinfo": "u:p", "opaque": ""}, map[string]any{"userinfo": "@%"}, map[string]any{"host": 5, "path": "p"}, map[string]any{"path": nil}, map[string]any{"p": &point{1, 2, nil}, "s": []string{"x"}, "m": map[string]string{"a": "b"}},
		map[string]string{"a": "b"}, map[int]any{1: "x"}, map[any]any{"k": 1}, chartutil.Values{"a": 1, "v": chartutil.Values{"b": []any{2}}, "n": nil}, chartutil.Values(nil),
	}
}

// caller calls a function as templates do.
type caller struct {
	name   string
	fn     any
	parsed map[string]*template.Template
	result any // of the last call
}

func newCaller(name string, fn any) *caller {
	return &caller{name: name, fn: fn, parsed: map[string]*template.Template{}}
}

// call returns what a template sees of a call: the result with its type, or the error.
// After it stand the arguments, which the function may have changed.
func (c *caller) call(args []any) string {
	text := c.name
	data := map[string]any{}
	for i, arg := range args {
		key := fmt.Sprintf("a%d", i)
		data[key] = arg
		if arg == nil && i%2 == 1 {
			text += " nil" // the constant; a field is another kind of nothing
		} else {
			text += " ." + key
		}
	}
	set := c.parsed[text]
	if set == nil {
		set = template.Must(template.New("t").Option("missingkey=zero").Funcs(template.FuncMap{
			c.name: c.fn,
			"keep": func(v any) string { c.result = v; return "" },
		}).Parse("{{ keep (" + text + ") }}"))
		c.parsed[text] = set
	}
	var out strings.Builder
	if err := set.Execute(&out, data); err != nil {
		return "error " + err.Error() + " of " + shown(args)
	}
	return shown(c.result) + " of " + shown(args)
}

// shown writes a value with its types, and what a list has beyond its length.
func shown(v any) string {
	switch v := v.(type) {
	case []any:
		all := make([]string, 0, cap(v))
		for _, item := range v[:cap(v)] {
			all = append(all, shown(item))
		}
		return fmt.Sprintf("[%s](%d of %d, nil %v)", strings.Join(all, " "), len(v), cap(v), v == nil)
	case map[string]any:
		return shownTable("map", v)
	case chartutil.Values:
		return shownTable("Values", v)
	case *int:
		return fmt.Sprintf("*int %d", *v)
	case *failing, *point, func() string, func(), **int, *string, *[]string, *map[string]any:
		return fmt.Sprintf("%T", v)
	}
	return fmt.Sprintf("%T:%#v", v, v)
}

func shownTable(name string, table map[string]any) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s(nil %v){", name, table == nil)
	for _, key := range slices.Sorted(maps.Keys(table)) {
		fmt.Fprintf(&b, "%s: %s, ", key, shown(table[key]))
	}
	return b.String() + "}"
}

// unfit reports whether a call would take memory or time without end, since counts of
// several functions are as large as a template likes, or print what time it is.
func unfit(name string, args []any) bool {
	switch name {
	case "date", "dateInZone", "date_in_zone", "htmlDate", "htmlDateInZone":
		return !slices.ContainsFunc(args, func(arg any) bool {
			switch arg.(type) {
			case time.Time, int, int32, int64:
				return true
			}
			return false
		})
	case "repeat", "indent", "nindent", "until", "untilStep", "seq", "chunk", "mustChunk":
	default:
		return false
	}
	for _, arg := range args {
		if n := toInt64(arg); n > 1000 || n < -1000 {
			return true
		}
	}
	return false
}

// pair is a function and sprig's.
type pair struct{ ours, sprigs *caller }

func newPair(name string) pair {
	return pair{newCaller(name, Lookup(name)), newCaller(name, sprig.TxtFuncMap()[name])}
}

// compare fails when a function does something else than sprig's. The arguments are
// made for each of the two.
func (p pair) compare(t *testing.T, args func() []any) {
	t.Helper()
	theirs := args()
	if unfit(p.ours.name, theirs) {
		return
	}
	want, got := p.sprigs.call(theirs), p.ours.call(args())
	if address.ReplaceAllString(want, "") != address.ReplaceAllString(got, "") {
		t.Errorf("%s\ngives %s\nsprig %s", p.ours.name, got, want)
	}
}

// address matches what is printed for a pointer.
var address = regexp.MustCompile(`0x[0-9a-f]{8,}`)

// arguments makes arguments from indexes into oddValues and oddCollections behind them,
// no two of them the same table.
func arguments(indexes []int) []any {
	args := make([]any, len(indexes))
	var odd []any
	used := map[int]bool{}
	for i, index := range indexes {
		if index %= odds; index < len(oddValues) {
			args[i] = oddValues[index]
			continue
		}
		if odd == nil || used[index] {
			odd = oddCollections()
		}
		used[index] = true
		args[i] = odd[index-len(oddValues)]
	}
	return args
}

// fitting are the indexes of the odd values that a function's parameters take.
func fitting(fn any) [][]int {
	typ := reflect.TypeOf(fn)
	odd := slices.Concat(oddValues, oddCollections())
	out := make([][]int, typ.NumIn())
	for i := range out {
		in := typ.In(i)
		if typ.IsVariadic() && i == typ.NumIn()-1 {
			in = in.Elem()
		}
		for index, v := range odd {
			if v == nil && in.Kind() == reflect.Interface || v != nil && reflect.TypeOf(v).AssignableTo(in) {
				out[i] = append(out[i], index)
			}
		}
		if len(out[i]) == 0 { // uint32 and the like are there; certificates are not
			out[i] = []int{0}
		}
	}
	return out
}
