package funcs

import (
	"encoding/base64"
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

	"github.com/Masterminds/sprig/v3"
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

// compared are the functions that are compared call by call.
func compared() []string {
	names := slices.DeleteFunc(Names(), func(name string) bool {
		return slices.Contains(helms, name) || slices.Contains(random, name) || isHeavy(name)
	})
	slices.Sort(names)
	return names
}

// cases is how many calls of each function are compared.
const cases = 1000

func TestSameResultsAsSprig(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, name := range compared() {
		p := newPair(name)
		fits := fitting(Lookup(name))
		variadic := reflect.TypeOf(Lookup(name)).IsVariadic()
		for i := range odds { // each value alone, also of wrong types
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
		if one, other := call(name, 20), call(name, 20); one == other {
			t.Errorf("%s: twice %q", name, one)
		}
		for _, n := range []int{1, 55, 56, 57, 63, 64, 65, 200} {
			if text := call(name, n); len(text) != n {
				t.Errorf("%s %d: %q", name, n, text)
			}
		}
	}
	id := Lookup("uuidv4").(func() string)
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	if one, other := id(), id(); !form.MatchString(one) || !form.MatchString(other) || one == other {
		t.Errorf("uuidv4: %s, %s", one, other)
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
