package funcs

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand"
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

// helms are the functions that Helm adds, or has in place of sprig's.
var helms = []string{"fromJson", "fromJsonArray", "fromToml", "fromYaml", "fromYamlArray", "toJson", "toToml", "toYaml", "toYamlPretty"}

// random are the functions whose result is never the same, or that run for long.
var random = []string{
	"ago", "getHostByName", "keys", "now", "randAlpha", "randAlphaNum", "randAscii", "randBytes", "randInt", "randNumeric", "shuffle", "uuidv4", "values",
	"bcrypt", "derivePassword", "encryptAES", "genCA", "genCAWithKey", "genPrivateKey", "genSelfSignedCert", "genSelfSignedCertWithKey",
	"genSignedCert", "genSignedCertWithKey", "htpasswd",
}

func TestSameFunctionsAsSprig(t *testing.T) {
	want := sprig.TxtFuncMap()
	delete(want, "env")
	delete(want, "expandenv")
	for _, name := range helms {
		if want[name] == nil {
			want[name] = ""
		}
	}
	names := Names()
	slices.Sort(names)
	if all := slices.Sorted(maps.Keys(want)); !slices.Equal(all, names) {
		t.Errorf("names are\n%v, want\n%v", names, all)
	}
	for _, name := range names {
		ours := Lookup(name)
		if ours == nil {
			t.Errorf("%s is not there", name)
			continue
		}
		// That the result of semver is a type of ours, of the same name, is the one difference.
		typ, same := reflect.TypeOf(want[name]), fmt.Sprintf("%T", ours) == fmt.Sprintf("%T", want[name])
		if !slices.Contains(helms, name) && (!same || reflect.TypeOf(ours) != typ && name != "semver") {
			t.Errorf("%s is a %T, want %v", name, ours, typ)
		}
	}
	for _, name := range []string{"", "env", "expandenv", "Trim", "include"} {
		if Lookup(name) != nil {
			t.Errorf("%q is there", name)
		}
	}
}

// named is a text that is no string, with a method.
type named string

func (n named) String() string { return "named " + string(n) }

type failing struct{}

func (*failing) Error() string { panic("no text") }

type point struct {
	X, Y   int
	hidden []string
}

// oddValues are arguments on which the rules of the functions turn. Every call makes
// them anew, since functions change tables and lists.
func oddValues() []any {
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
		[]any{}, []any{1, "a", nil, 2.5, "a", "", false}, []any{[]any{1}, []any{1}, map[string]any{"a": 1}}, append(make([]any, 0, 9), "c", "b", "a"), []string{"b", "a", "b"}, []string{}, []int{3, 1, 2, 3}, [2]string{"x", "y"}, [][]any{{1}, {2}}, &[]string{"p"}, []float64{1.5, 2}, []map[string]any{{"a": 1}},
		map[string]any{}, map[string]any{"a": 1}, map[string]any{"a": map[string]any{"b": map[string]any{"c": "deep"}, "l": []any{1}}, "n": nil, "e": "", "z": 0}, map[string]any{"a": "text", "b": []any{1, 2}, "n": map[string]any{"x": 1}, "z": false}, map[string]any{"a": map[string]any{"b": nil, "d": 5}, "e": []any{}, "z": 3.5},
		map[string]any{"scheme": "https", "host": "h:1", "path": "/a b", "query": "q=1", "fragment": "f", "userinfo": "u:p", "opaque": ""}, map[string]any{"userinfo": "@%"}, map[string]any{"host": 5, "path": "p"}, map[string]any{"path": nil}, map[string]any{"p": &point{1, 2, nil}, "s": []string{"x"}, "m": map[string]string{"a": "b"}},
		map[string]string{"a": "b"}, map[int]any{1: "x"}, map[any]any{"k": 1}, chartutil.Values{"a": 1, "v": chartutil.Values{"b": []any{2}}, "n": nil}, chartutil.Values(nil), func() string { return "f" },
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
	case *failing, *point, func() string, *int, **int, *string, *[]string:
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

// compared are the functions that are compared call by call.
func compared() []string {
	names := slices.DeleteFunc(Names(), func(name string) bool {
		return slices.Contains(helms, name) || slices.Contains(random, name) || isHeavy(name)
	})
	slices.Sort(names)
	return names
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
	if unfit(p.ours.name, args()) {
		return
	}
	want, got := p.sprigs.call(args()), p.ours.call(args())
	if address.ReplaceAllString(want, "") != address.ReplaceAllString(got, "") {
		t.Errorf("%s\ngives %s\nsprig %s", p.ours.name, got, want)
	}
}

// address matches what is printed for a pointer.
var address = regexp.MustCompile(`0x[0-9a-f]{8,}`)

// arguments makes arguments from indexes into oddValues, no two of them the same table.
func arguments(indexes []int) []any {
	args := make([]any, len(indexes))
	odd := oddValues()
	for i, index := range indexes {
		if slices.Contains(indexes[:i], index) {
			odd = oddValues()
		}
		args[i] = odd[index%len(odd)]
	}
	return args
}

// fitting are the indexes of the odd values that a function's parameters take.
func fitting(fn any) [][]int {
	typ := reflect.TypeOf(fn)
	odd := oddValues()
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

// cases is how many calls of each function are compared.
const cases = 1000

func TestSameResultsAsSprig(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, name := range compared() {
		p := newPair(name)
		fits := fitting(Lookup(name))
		variadic := reflect.TypeOf(Lookup(name)).IsVariadic()
		for i := range oddValues() { // each value alone, also of wrong types
			p.compare(t, func() []any { return arguments([]int{i}) })
		}
		for range cases {
			n := len(fits)
			if variadic {
				n += r.Intn(4) - 1
			}
			if r.Intn(100) == 0 {
				n = r.Intn(5)
			}
			indexes := make([]int, n)
			for i := range indexes {
				if len(fits) == 0 || r.Intn(20) == 0 {
					indexes[i] = r.Intn(1000)
					continue
				}
				those := fits[min(i, len(fits)-1)]
				indexes[i] = those[r.Intn(len(those))]
			}
			p.compare(t, func() []any { return arguments(indexes) })
			if t.Failed() {
				break
			}
		}
	}
}

func FuzzSameResultsAsSprig(f *testing.F) {
	var pairs []pair
	for i, name := range compared() {
		pairs = append(pairs, newPair(name))
		f.Add(uint8(i), "abc", "x", 2, 1.5, []byte{0, 1, 2}, byte(5))
		f.Add(uint8(i), "a-b c", "-", -1, 0.0, []byte{1, 2, 0, 60, 4}, byte(90))
	}
	f.Fuzz(func(t *testing.T, function uint8, a, b string, n int, x float64, order []byte, odd byte) {
		if len(order) > 5 {
			return
		}
		pairs[int(function)%len(pairs)].compare(t, func() []any {
			pool := []any{a, b, n, x, []any{a, n, b, x}, map[string]any{a: b, b: map[string]any{"k": n}}, map[string]any{a: map[string]any{b: x}, b: []any{a}}, []string{b, a}, int64(n), n % 100, nil}
			pool = append(pool, arguments([]int{int(odd)})...)
			args := make([]any, len(order))
			for i, o := range order {
				args[i] = pool[int(o)%len(pool)]
			}
			return args
		})
	})
}

func TestRandom(t *testing.T) {
	call := func(name string, arg int) string { return Lookup(name).(func(int) string)(arg) }
	for name, set := range map[string]string{
		"randAlpha": `[A-Za-z]`, "randAlphaNum": `[A-Za-z0-9]`, "randNumeric": `[0-9]`, "randAscii": `[ -~]`,
	} {
		text := call(name, 5000)
		if !regexp.MustCompile(`^`+set+`*$`).MatchString(text) || len(text) != 5000 {
			t.Errorf("%s: %q", name, text)
		}
		seen := map[rune]bool{}
		for _, c := range text {
			seen[c] = true
		}
		for c := ' '; c <= '~'; c++ {
			if regexp.MustCompile(set).MatchString(string(c)) != seen[c] {
				t.Errorf("%s: %q seen %v among 5000", name, c, seen[c])
			}
		}
		if text := call(name, 0) + call(name, -1); text != "" {
			t.Errorf("%s of nothing: %q", name, text)
		}
		if call(name, 20) == call(name, 20) {
			t.Errorf("%s: twice the same", name)
		}
		for _, n := range []int{1, 55, 56, 57, 63, 64, 65, 200} {
			if text := call(name, n); len(text) != n {
				t.Errorf("%s %d: %q", name, n, text)
			}
		}
	}
	id := Lookup("uuidv4").(func() string)
	if form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`); !form.MatchString(id()) || id() == id() {
		t.Errorf("uuidv4: %s", id())
	}
	bytes, err := Lookup("randBytes").(func(int) (string, error))(20)
	if data, decodeErr := base64.StdEncoding.DecodeString(bytes); err != nil || decodeErr != nil || len(data) != 20 {
		t.Errorf("randBytes: %q, %v, %v", bytes, err, decodeErr)
	}
	for range 100 {
		if n := Lookup("randInt").(func(int, int) int)(-3, 2); n < -3 || n >= 2 {
			t.Errorf("randInt: %d", n)
		}
	}
	sprigs := sprig.TxtFuncMap()
	for _, name := range []string{"randInt", "randBytes", "randAlpha", "shuffle", "keys", "values", "ago"} { // what they refuse
		for _, args := range [][]any{{}, {"x"}, {-1}, {5, 5}, {5, 4}, {nil}, {map[string]any{"a": 1}}, {math.MaxInt}, {"", ""}, {5, "x"}} {
			want, got := newCaller(name, sprigs[name]).call(args), newCaller(name, Lookup(name)).call(args)
			if strings.HasPrefix(want, "error") && want != got || name == "keys" && want != got || name == "values" && want != got {
				t.Errorf("%s\ngives %s\nsprig %s", name, got, want)
			}
		}
	}
	shuffled := strings.Split(Lookup("shuffle").(func(string) string)("zyxwvutsrqponmlkjihgfedcba"), "")
	slices.Sort(shuffled)
	if text := strings.Join(shuffled, ""); text != "abcdefghijklmnopqrstuvwxyz" {
		t.Errorf("shuffle: %s", text)
	}
}

func TestHelmsConversions(t *testing.T) {
	for call, want := range map[string]string{
		`{{ toYaml (dict "b" 1 "a" (list "x" true)) }}`: "a:\n- x\n- true\nb: 1",
		`{{ toYaml . }}|{{ toJson . }}`:                 "|",
		`{{ fromYaml "a: [" | toJson }}`:                `{"Error":"error converting YAML to JSON: yaml: line 1: did not find expected node content"}`,
		`{{ fromYamlArray "a: 1" | toJson }}`:           `["error unmarshaling JSON: while decoding JSON: json: cannot unmarshal object into Go value of type []interface {}"]`,
		`{{ fromJson "[1]" | toJson }}`:                 `{"Error":"json: cannot unmarshal array into Go value of type map[string]interface {}"}`,
		`{{ fromJsonArray "{" | toJson }}`:              `["unexpected end of JSON input"]`,
		`{{ (fromJson "{\"a\":2}").a }}`:                "2",
		`{{ index (fromYamlArray "[3]") 0 }}`:           "3",
	} {
		funcs := template.FuncMap{}
		for _, name := range Names() {
			funcs[name] = Lookup(name)
		}
		var out strings.Builder
		if err := template.Must(template.New("t").Funcs(funcs).Parse(call)).Execute(&out, func() {}); err != nil || out.String() != want {
			t.Errorf("%s\ngives %s, %v\nwant  %s", call, out.String(), err, want)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	names := []string{"include", "default", "quote", "nindent", "toYaml", "dict", "printf", "eq", "hasKey", "trunc"}
	for b.Loop() {
		for _, name := range names {
			Lookup(name)
		}
	}
}
