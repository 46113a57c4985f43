package schema

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deep schemas and values nest together. References that go in
// circles without descending into the value end here.
const maxDepth = 1000

// Validate checks a value made of map[string]any, []any, string, bool, nil and
// numbers. The error is an [*Invalid] or wraps [ErrUnsupported].
func (s *Schema) Validate(v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			stop, ok := p.(unknown)
			if !ok {
				panic(p)
			}
			err = unsupported("%s", string(stop))
		}
	}()
	if fail := (&validator{}).validate(s.root, v, false); fail != nil {
		return &Invalid{causes: fail.spread()}
	}
	return nil
}

// unknown is panicked with when only the library knows what a schema says of a value.
type unknown string

// validator walks a value and a schema together.
type validator struct {
	path  []string // of the value
	depth int
}

// failures collects what one subschema says of one value.
type failures struct {
	v     *validator
	quick bool // only whether there is one matters
	list  []*failure
}

func (f *failures) add(kind failureKind, format string, args ...any) *failure {
	fail := &failure{kind: kind}
	if !f.quick {
		fail.path = slices.Clone(f.v.path)
		fail.text = fmt.Sprintf(format, args...)
	}
	f.list = append(f.list, fail)
	return fail
}

func (f *failures) addAll(fails []*failure, format string, args ...any) {
	f.add(plain, format, args...).causes = fails
}

func (f *failures) merge(fail *failure) {
	if fail != nil {
		f.list = append(f.list, fail)
	}
}

func (f *failures) result() *failure {
	switch len(f.list) {
	case 0:
		return nil
	case 1:
		return f.list[0]
	}
	return &failure{kind: group, path: slices.Clone(f.v.path), text: "validation failed", causes: f.list}
}

// validate returns nil when v satisfies n. With quick set the failure has no text.
func (v *validator) validate(n *node, val any, quick bool) *failure {
	if v.depth++; v.depth > maxDepth {
		panic(unknown("references in circles"))
	}
	defer func() { v.depth-- }()
	f := &failures{v: v, quick: quick}
	if n.always != nil {
		if !*n.always {
			f.add(plain, "false schema")
		}
		return f.result()
	}
	kind := typeOf(val)
	if kind == "" {
		panic(unknown(fmt.Sprintf("a value of type %T", val)))
	}
	if n.types != nil && !slices.Contains(n.types, kind) && !(kind == "number" && slices.Contains(n.types, "integer") && isInteger(val)) {
		f.add(plain, "got %s, want %s", kind, strings.Join(n.types, " or "))
		return f.result()
	}
	if n.constant != nil && !equal(val, *n.constant) {
		if isPrimitive(*n.constant) {
			f.add(plain, "value must be %s", display(*n.constant))
		} else {
			f.add(plain, "'const' failed")
		}
		return f.result()
	}
	if n.enum != nil && !slices.ContainsFunc(n.enum, func(want any) bool { return equal(val, want) }) {
		f.add(plain, "%s", enumText(n.enum))
		return f.result()
	}
	if n.format != "" && kind == "string" && !acceptsAll(n.format) {
		panic(unknown("format " + n.format))
	}
	if n.ref != nil {
		f.merge(v.reference(n.ref, val, quick))
	}
	switch val := val.(type) {
	case map[string]any:
		v.object(f, n, val)
	case []any:
		v.array(f, n, val)
	case string:
		v.text(f, n, val)
	default:
		if kind == "number" {
			v.number(f, n, val)
		}
	}
	if len(f.list) == 0 || !quick {
		v.combined(f, n, val)
	}
	return f.result()
}

func (v *validator) reference(ref *reference, val any, quick bool) *failure {
	fail := v.validate(ref.target, val, quick)
	if fail == nil {
		return nil
	}
	return &failure{kind: reached, path: slices.Clone(v.path), text: "validation failed", causes: fail.spread()}
}

// below validates a part of the value.
func (v *validator) below(n *node, val any, token string, quick bool) *failure {
	v.path = append(v.path, token)
	defer func() { v.path = v.path[:len(v.path)-1] }()
	return v.validate(n, val, quick)
}

func (v *validator) object(f *failures, n *node, obj map[string]any) {
	if n.minProperties >= 0 && len(obj) < n.minProperties {
		f.add(plain, "minProperties: got %s, want %s", grouped(len(obj)), grouped(n.minProperties))
	}
	if n.maxProperties >= 0 && len(obj) > n.maxProperties {
		f.add(plain, "maxProperties: got %s, want %s", grouped(len(obj)), grouped(n.maxProperties))
	}
	if missing := missingOf(obj, n.required); len(missing) == 1 {
		f.add(plain, "missing property %s", quote(missing[0]))
	} else if len(missing) > 1 {
		f.add(plain, "missing properties %s", quoteAll(missing))
	}
	for _, d := range n.dependencies {
		if _, ok := obj[d.property]; !ok {
			continue
		}
		if d.node != nil {
			f.merge(v.validate(d.node, obj, f.quick))
		} else if missing := missingOf(obj, d.required); len(missing) > 0 {
			f.add(plain, "properties %s required, if %s exists", quoteAll(missing), quote(d.property))
		}
	}
	if n.properties == nil && n.patterns == nil && n.additional == nil && !n.noAdditional && n.propertyNames == nil {
		return
	}
	var refused []string
	names := sortedKeys(obj)
	for _, name := range names {
		if f.quick && len(f.list) > 0 {
			return
		}
		known := false
		if sub, ok := n.properties[name]; ok {
			known = true
			f.merge(v.below(sub, obj[name], name, f.quick))
		}
		for _, p := range n.patterns {
			if p.pattern.MatchString(name) {
				known = true
				f.merge(v.below(p.node, obj[name], name, f.quick))
			}
		}
		switch {
		case known:
		case n.noAdditional:
			refused = append(refused, name)
		case n.additional != nil:
			f.merge(v.below(n.additional, obj[name], name, f.quick))
		}
	}
	if len(refused) > 0 {
		f.add(plain, "additional properties %s not allowed", quoteAll(refused))
	}
	if n.propertyNames != nil {
		for _, name := range names {
			if fail := (&validator{depth: v.depth}).validate(n.propertyNames, name, f.quick); fail != nil {
				f.add(plain, "invalid propertyName %s", quote(name)).causes = fail.spread()
			}
		}
	}
}

func missingOf(obj map[string]any, required []string) []string {
	var missing []string
	for _, name := range required {
		if _, ok := obj[name]; !ok {
			missing = append(missing, name)
		}
	}
	return missing
}

func (v *validator) array(f *failures, n *node, list []any) {
	if n.minItems >= 0 && len(list) < n.minItems {
		f.add(plain, "minItems: got %s, want %s", grouped(len(list)), grouped(n.minItems))
	}
	if n.maxItems >= 0 && len(list) > n.maxItems {
		f.add(plain, "maxItems: got %s, want %s", grouped(len(list)), grouped(n.maxItems))
	}
	if n.unique {
		i, j, ok := duplicates(list)
		if !ok {
			panic(unknown("many items that must differ"))
		}
		if i >= 0 {
			f.add(plain, "items at %s and %s are equal", grouped(i), grouped(j))
		}
	}
	for i, item := range list {
		switch {
		case i < len(n.prefix):
			f.merge(v.below(n.prefix[i], item, strconv.Itoa(i), f.quick))
		case n.items != nil:
			f.merge(v.below(n.items, item, strconv.Itoa(i), f.quick))
		}
	}
	if n.noMoreItems && len(list) > len(n.prefix) {
		f.add(plain, "last %s additionalItem(s) not allowed", grouped(len(list)-len(n.prefix)))
	}
	if n.contains != nil {
		v.contains(f, n, list)
	}
}

func (v *validator) contains(f *failures, n *node, list []any) {
	var fails []*failure
	var matched []string
	for i, item := range list {
		if fail := v.below(n.contains, item, strconv.Itoa(i), f.quick); fail != nil {
			fails = append(fails, fail)
		} else {
			matched = append(matched, strconv.Itoa(i))
		}
	}
	switch {
	case n.minContains < 0 && len(matched) == 0:
		f.addAll(fails, "no items match contains schema")
	case n.minContains > len(matched) && len(matched) == 0:
		f.addAll(fails, "min %s items required to match contains schema, but none matched", grouped(n.minContains))
	case n.minContains > len(matched):
		f.addAll(fails, "min %s items required to match contains schema, but matched %s items at %s", grouped(n.minContains), grouped(len(matched)), strings.Join(matched, " "))
	}
	if n.maxContains >= 0 && len(matched) > n.maxContains {
		f.add(plain, "max %s items required to match contains schema, but matched %s items at %s", grouped(n.maxContains), grouped(len(matched)), strings.Join(matched, " "))
	}
}

func (v *validator) text(f *failures, n *node, s string) {
	if n.minLength >= 0 || n.maxLength >= 0 {
		length := utf8.RuneCountInString(s)
		if n.minLength >= 0 && length < n.minLength {
			f.add(plain, "minLength: got %s, want %s", grouped(length), grouped(n.minLength))
		}
		if n.maxLength >= 0 && length > n.maxLength {
			f.add(plain, "maxLength: got %s, want %s", grouped(length), grouped(n.maxLength))
		}
	}
	if n.pattern != nil && !n.pattern.MatchString(s) {
		f.add(plain, "%s does not match pattern %s", quote(s), quote(n.pattern.String()))
	}
}

func (v *validator) number(f *failures, n *node, val any) {
	if n.minimum == nil && n.maximum == nil && n.above == nil && n.below == nil && n.multiple == nil {
		return
	}
	got, ok := rational(val)
	if !ok {
		panic(unknown("a number of unusual form"))
	}
	check := func(limit *number, name string, bad func() bool) {
		switch {
		case limit == nil || !bad():
		case f.quick:
			f.add(plain, "")
		default:
			f.add(plain, "%s: got %s, want %s", name, decimal(got), decimal(limit))
		}
	}
	check(n.minimum, "minimum", func() bool { return got.Cmp(n.minimum) < 0 })
	check(n.maximum, "maximum", func() bool { return got.Cmp(n.maximum) > 0 })
	check(n.above, "exclusiveMinimum", func() bool { return got.Cmp(n.above) <= 0 })
	check(n.below, "exclusiveMaximum", func() bool { return got.Cmp(n.below) >= 0 })
	check(n.multiple, "multipleOf", func() bool { return !new(big.Rat).Quo(got, n.multiple).IsInt() })
}

func (v *validator) combined(f *failures, n *node, val any) {
	if n.not != nil && v.validate(n.not, val, true) == nil {
		f.add(plain, "'not' failed")
	}
	var fails []*failure
	for _, sub := range n.allOf {
		if fail := v.validate(sub, val, f.quick); fail != nil {
			fails = append(fails, fail)
		}
	}
	if fails != nil {
		f.addAll(fails, "'allOf' failed")
	}
	fails = nil
	for _, sub := range n.anyOf {
		fail := v.validate(sub, val, f.quick)
		if fail == nil {
			fails = nil
			break
		}
		fails = append(fails, fail)
	}
	if fails != nil {
		f.addAll(fails, "'anyOf' failed")
	}
	v.exactlyOne(f, n.oneOf, val)
	if n.when == nil {
		return
	}
	branch := n.then
	if v.validate(n.when, val, true) != nil {
		branch = n.otherwise
	}
	if branch != nil {
		f.merge(v.validate(branch, val, f.quick))
	}
}

func (v *validator) exactlyOne(f *failures, subs []*node, val any) {
	matched := -1
	var fails []*failure
	for i, sub := range subs {
		fail := v.validate(sub, val, f.quick || matched >= 0)
		switch {
		case fail != nil && matched < 0:
			fails = append(fails, fail)
		case fail == nil && matched >= 0:
			f.add(plain, "'oneOf' failed, subschemas %s, %s matched", grouped(matched), grouped(i))
			return
		case fail == nil:
			matched = i
		}
	}
	if len(subs) > 0 && matched < 0 {
		f.addAll(fails, "'oneOf' failed, none matched")
	}
}

// typeOf is the JSON type of a value, empty for what is none.
func typeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return ""
		}
		return "number"
	case json.Number, float32, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return "number"
	}
	return ""
}

func isInteger(v any) bool {
	switch v := v.(type) {
	case float64:
		return v == math.Trunc(v)
	case json.Number, float32:
		n, ok := rational(v)
		return ok && n.IsInt()
	}
	return true // the other numbers are integers
}

// rational reads a number; false for one whose exact form would be huge.
func rational(v any) (*number, bool) {
	text := fmt.Sprint(v)
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		if exp, err := strconv.Atoi(text[i+1:]); err != nil || exp > 400 || exp < -400 {
			return nil, false
		}
	}
	return new(big.Rat).SetString(text)
}

func equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key := range a {
			if other, ok := b[key]; !ok || !equal(a[key], other) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	case nil, bool, string:
		return a == b
	}
	if typeOf(b) != "number" {
		return false
	}
	x, okx := rational(a)
	y, oky := rational(b)
	return okx && oky && x.Cmp(y) == 0
}

// maxCompared bounds the quadratic search for equal items.
const maxCompared = 300

// duplicates returns the first two equal items, as the library finds them for up to
// 20 items; false when it cannot say, which is for long lists that have some.
func duplicates(list []any) (int, int, bool) {
	if len(list) > maxCompared {
		return -1, -1, false
	}
	for i := 1; i < len(list); i++ {
		for j := range i {
			if equal(list[i], list[j]) {
				return j, i, len(list) <= 20
			}
		}
	}
	return -1, -1, true
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
