package schema_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed38700745/pkg/chart/schema"
	"github.com/seed38700745/pkg/chart/schema/library"
)

// verdict runs one of the two validators; sure is false for what ours leaves alone.
func verdict(t *testing.T, text, values string) (got, want string, sure bool) {
	t.Helper()
	var vals map[string]any
	if err := json.Unmarshal([]byte(values), &vals); err != nil {
		t.Fatal(err)
	}
	if err := library.Validate(vals, []byte(text), nil); err != nil {
		want = err.Error()
	}
	s, err := schema.Compile([]byte(text))
	if err == nil {
		err = s.Validate(vals)
	}
	if errors.Is(err, schema.ErrUnsupported) {
		return "", want, false
	}
	if err != nil {
		got = err.Error()
	}
	return got, want, true
}

var propertyName = regexp.MustCompile(`at '.*': invalid propertyName`)

// sorted makes texts comparable: the library reports properties in random order, and
// the place of a wrong property's name is whatever it looked at last.
func sorted(text string) string {
	text = propertyName.ReplaceAllString(text, "invalid propertyName")
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("\n ,", r) })
	slices.Sort(words)
	return strings.Join(words, " ")
}

func TestAgreesWithLibrary(t *testing.T) {
	const d4, d7, d20 = `"$schema":"http://json-schema.org/draft-04/schema#",`, `"$schema":"http://json-schema.org/draft-07/schema#",`, ``
	for _, tc := range []struct{ name, schema, values string }{
		{"type", `{"properties":{"a":{"type":"integer"}}}`, `{"a":"x"}`},
		{"types", `{"properties":{"a":{"type":["string","null","integer"]}}}`, `{"a":1.5}`},
		{"integer as float", `{"properties":{"a":{"type":"integer"}}}`, `{"a":1.0}`},
		{"required", `{"required":["a","b"]}`, `{"c":1}`},
		{"required below", `{"properties":{"a":{"required":["x"]}}}`, `{"a":{}}`},
		{"additional", `{"properties":{"a":true},"additionalProperties":false}`, `{"a":1,"b":2,"it's":3}`},
		{"additional schema", `{"additionalProperties":{"type":"string"}}`, `{"a":1,"b":"x"}`},
		{"patterns", `{"patternProperties":{"^x":{"type":"string"}},"additionalProperties":false}`, `{"x1":1,"y":2}`},
		{"names", `{"propertyNames":{"maxLength":2,"pattern":"^a"}}`, `{"abc":1,"bcd":1}`},
		{"enum", `{"properties":{"a":{"enum":["x",1,null,true]}}}`, `{"a":"y"}`},
		{"enum one", `{"properties":{"a":{"enum":["x"]}}}`, `{"a":"y"}`},
		{"enum deep", `{"properties":{"a":{"enum":[{"b":1}]}}}`, `{"a":"y"}`},
		{"enum number", `{"properties":{"a":{"enum":[1]}}}`, `{"a":1.0}`},
		{"const", `{"properties":{"a":{"const":5}}}`, `{"a":6}`},
		{"bounds", `{"properties":{"a":{"minimum":1000,"multipleOf":7},"b":{"exclusiveMaximum":2.5}}}`, `{"a":8,"b":3}`},
		{"draft 4 bounds", `{` + d4 + `"properties":{"a":{"minimum":3,"exclusiveMinimum":true}}}`, `{"a":3}`},
		{"draft 4 new bounds", `{` + d4 + `"properties":{"a":{"exclusiveMinimum":3}}}`, `{"a":3}`},
		{"lengths", `{"properties":{"a":{"minLength":3},"b":{"maxLength":1,"pattern":"^x\"'$"}}}`, `{"a":"ä","b":"yy"}`},
		{"items", `{"properties":{"a":{"items":{"type":"string"},"minItems":3,"uniqueItems":true}}}`, `{"a":[1,1]}`},
		{"prefix", `{"properties":{"a":{"prefixItems":[{"type":"string"}],"items":false}}}`, `{"a":[1,2]}`},
		{"tuple", `{` + d7 + `"properties":{"a":{"items":[{"type":"string"}],"additionalItems":false}}}`, `{"a":[1,2,3]}`},
		{"tuple in 2020", `{"properties":{"a":{"items":[{"type":"string"}]}}}`, `{"a":[1]}`},
		{"contains", `{"properties":{"a":{"contains":{"type":"string"},"maxContains":1}}}`, `{"a":["x","y"]}`},
		{"contains none", `{"properties":{"a":{"contains":{"type":"string"}}}}`, `{"a":[1]}`},
		{"all any one", `{"properties":{"a":{"allOf":[{"type":"string"},{"minLength":3}],"anyOf":[{"type":"number"},{"const":"q"}],"oneOf":[{"type":"string"},{"maxLength":9}]}}}`, `{"a":"x"}`},
		{"one of none", `{"properties":{"a":{"oneOf":[{"type":"number"},{"required":["x","y"],"minProperties":4,"type":"object"}]}}}`, `{"a":{}}`},
		{"not", `{"properties":{"a":{"not":{"type":"string"}}}}`, `{"a":"x"}`},
		{"if", `{` + d7 + `"if":{"properties":{"a":{"const":1}},"required":["a"]},"then":{"required":["b"]},"else":{"required":["c"]}}`, `{"a":1}`},
		{"else", `{"if":{"required":["a"]},"then":{"required":["b"]},"else":{"required":["c"]}}`, `{}`},
		{"ref", `{"$defs":{"p":{"type":"object","required":["x"]}},"properties":{"a":{"$ref":"#/$defs/p"}}}`, `{"a":{}}`},
		{"ref with several", `{"$defs":{"p":{"properties":{"x":{"type":"string"},"y":{"type":"string"}}}},"properties":{"a":{"$ref":"#/$defs/p"}}}`, `{"a":{"x":1,"y":2}}`},
		{"ref and siblings", `{"$defs":{"p":{"type":"string"}},"properties":{"a":{"$ref":"#/$defs/p","maxLength":1}}}`, `{"a":"xx"}`},
		{"ref without siblings", `{` + d7 + `"definitions":{"p":{"type":"string"}},"properties":{"a":{"$ref":"#/definitions/p","maxLength":1}}}`, `{"a":"xx"}`},
		{"recursion", `{"properties":{"a":{"$ref":"#"}},"additionalProperties":false}`, `{"a":{"a":{"b":1}}}`},
		{"circle", `{"properties":{"a":{"$ref":"#/properties/a"}}}`, `{"a":1}`},
		{"dependencies", `{` + d7 + `"dependencies":{"a":["b","c"],"d":{"required":["e"]}}}`, `{"a":1,"d":1}`},
		{"dependent", `{"dependentRequired":{"a":["b"]},"dependentSchemas":{"a":{"maxProperties":0}}}`, `{"a":1}`},
		{"format asserted", `{` + d7 + `"properties":{"a":{"format":"ipv4"}}}`, `{"a":"x"}`},
		{"format not asserted", `{"properties":{"a":{"format":"ipv4"}}}`, `{"a":"x"}`},
		{"bad type", `{"type":"text"}`, `{}`},
		{"bad count", `{"minLength":-1}`, `{}`},
		{"nothing there", `{"$ref":"#/nowhere"}`, `{}`},
		{"bool in draft 4", `{` + d4 + `"properties":{"a":true}}`, `{}`},
		{"unevaluated", `{"properties":{"a":true},"unevaluatedProperties":false}`, `{"b":1}`},
		{"false", `{"properties":{"a":false}}`, `{"a":1}`},
		{"escapes", `{"properties":{"a/b~c":{"type":"string"}}}`, `{"a/b~c":1}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, want, sure := verdict(t, tc.schema, tc.values)
			if sure && sorted(got) != sorted(want) {
				t.Errorf("ours:\n%s\nlibrary:\n%s", got, want)
			}
		})
	}
}

// generator makes random schemas and values from few names, so that they meet.
type generator struct{ *rand.Rand }

func (g generator) pick(words ...string) string { return words[g.IntN(len(words))] }

func (g generator) schema(depth int) any {
	if depth == 0 || g.IntN(12) == 0 {
		return g.IntN(5) > 0
	}
	s := map[string]any{}
	for range 1 + g.IntN(3) {
		switch g.IntN(19) {
		case 0, 1:
			s["type"] = g.pick("string", "integer", "number", "object", "array", "boolean", "null")
		case 2, 3, 4:
			s["properties"] = map[string]any{g.pick("a", "b"): g.schema(depth - 1), g.pick("c", "d"): g.schema(depth - 1)}
		case 5:
			s["required"] = []any{g.pick("a", "b", "c")}
		case 6:
			s["additionalProperties"] = g.schema(depth - 1)
		case 7:
			s["items"] = g.schema(depth - 1)
		case 8:
			s[g.pick("allOf", "anyOf", "oneOf")] = []any{g.schema(depth - 1), g.schema(depth - 1)}
		case 9:
			s["not"] = g.schema(depth - 1)
		case 10:
			s["if"], s["then"], s["else"] = g.schema(depth-1), g.schema(depth-1), g.schema(depth-1)
		case 11:
			s["enum"] = []any{g.value(0), "x", 2}
		case 12:
			s["const"] = g.value(1)
		case 13:
			s[g.pick("minimum", "maximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "exclusiveMinimum")] = 1 + g.IntN(3)
		case 14:
			s["pattern"] = g.pick("^x", "y$", "[0-9]")
		case 15:
			s["$ref"] = g.pick("#", "#/$defs/one", "#/definitions/two")
		case 16:
			s["patternProperties"] = map[string]any{g.pick("^a", "[bc]"): g.schema(depth - 1)}
		case 17:
			s[g.pick("contains", "propertyNames")] = g.schema(depth - 1)
		case 18:
			s["uniqueItems"] = true
		}
	}
	return s
}

func (g generator) value(depth int) any {
	switch n := g.IntN(9); {
	case n < 3 && depth > 0:
		m := map[string]any{}
		for range g.IntN(4) {
			m[g.pick("a", "b", "c", "d")] = g.value(depth - 1)
		}
		return m
	case n < 5 && depth > 0:
		var list []any
		for range g.IntN(4) {
			list = append(list, g.value(depth-1))
		}
		return append([]any{}, list...)
	case n == 5:
		return g.pick("x", "xy", "7", "")
	case n == 6:
		return g.IntN(2) == 0
	case n == 7:
		return nil
	}
	return float64(g.IntN(8)) / 2
}

// TestRandom compares the verdicts on random schemas; of the texts only whether
// there is one, since the library drops what it need not know in random order.
func TestRandom(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 2))}
	sure := 0
	for i := range 4000 {
		s := map[string]any{
			"$schema":     g.pick("http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-06/schema#", "https://json-schema.org/draft/2019-09/schema"),
			"properties":  map[string]any{"a": g.schema(3), "b": g.schema(3)},
			"$defs":       map[string]any{"one": g.schema(2)},
			"definitions": map[string]any{"two": g.schema(2)},
		}
		text, _ := json.Marshal(s)
		vals := map[string]any{"a": g.value(3), "b": g.value(3)}
		data, _ := json.Marshal(vals)
		got, want, ok := verdict(t, string(text), string(data))
		if !ok {
			continue
		}
		sure++
		if sorted(got) != sorted(want) {
			t.Fatalf("%d: schema %s\nvalues %s\nours:\n%s\nlibrary:\n%s", i, text, data, got, want)
		}
	}
	if sure < 2500 {
		t.Errorf("only %d of 4000 random schemas were judged", sure)
	}
}

// TestNumbersAreWorded compares how numbers of all sizes are worded.
func TestNumbersAreWorded(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 7))
	for range 3000 {
		number := func() float64 {
			f := (r.Float64() - 0.3) * math.Pow10(r.IntN(26)-8)
			switch r.IntN(3) {
			case 0:
				f = math.Round(f)
			case 1:
				f = math.Round(f*100) / 100
			}
			return f
		}
		text, err := json.Marshal(map[string]any{"properties": map[string]any{"a": map[string]any{"minimum": number(), "exclusiveMaximum": number()}}})
		if err != nil {
			t.Fatal(err)
		}
		values, err := json.Marshal(map[string]any{"a": number()})
		if err != nil {
			t.Fatal(err)
		}
		got, want, sure := verdict(t, string(text), string(values))
		if !sure || got != want {
			t.Fatalf("%s of %s (sure: %v)\nours:    %s\nlibrary: %s", values, text, sure, got, want)
		}
	}
}
