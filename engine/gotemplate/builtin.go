package gotemplate

import (
	"fmt"
	"reflect"
	"text/template"
	"text/template/parse"

	"github.com/seed38700745/pkg/engine/internal/endless"
)

// builtin returns one of text/template's own functions; nil for those that are not
// done here.
func builtin(name string) *function {
	raw := param{kind: paramRaw}
	one := []param{raw}
	two := []param{raw, raw}
	switch name {
	case "and":
		return &function{lazy: func(s *state, dot any, args []parse.Node, final any) any { return s.decide(dot, args, final, false) }}
	case "or":
		return &function{lazy: func(s *state, dot any, args []parse.Node, final any) any { return s.decide(dot, args, final, true) }}
	case "not":
		return &function{params: one, direct: func(a []any) (any, error) { return !truth(a[0]), nil }}
	case "len":
		return &function{params: one, direct: func(a []any) (any, error) { return length(a[0]), nil }}
	case "index":
		return &function{params: two, variadic: true, direct: func(a []any) (any, error) { return index(a[0], a[1:]), nil }}
	case "eq":
		return &function{params: two, variadic: true, direct: func(a []any) (any, error) { return equalsAny(a[0], a[1:]), nil }}
	case "ne":
		return &function{params: two, direct: func(a []any) (any, error) { return !equal(a[0], a[1]), nil }}
	case "lt":
		return &function{params: two, direct: func(a []any) (any, error) { return less(a[0], a[1]), nil }}
	case "le":
		return &function{params: two, direct: func(a []any) (any, error) { return less(a[0], a[1]) || equal(a[0], a[1]), nil }}
	case "gt":
		return &function{params: two, direct: func(a []any) (any, error) { return !(less(a[0], a[1]) || equal(a[0], a[1])), nil }}
	case "ge":
		return &function{params: two, direct: func(a []any) (any, error) { return !less(a[0], a[1]), nil }}
	case "html":
		return newFunction(endless.Printer(template.HTMLEscaper))
	case "js":
		return newFunction(endless.Printer(template.JSEscaper))
	case "urlquery":
		return newFunction(endless.Printer(template.URLQueryEscaper))
	case "print":
		return newFunction(endless.Printer(fmt.Sprint))
	case "printf":
		return newFunction(func(format string, args ...any) (string, error) {
			return endless.Printer(func(args ...any) string { return fmt.Sprintf(format, args...) })(args...)
		})
	case "println":
		return newFunction(endless.Printer(fmt.Sprintln))
	}
	return nil
}

// decide is and (ends false) and or (ends true): the first argument whose truth is
// ends, else the last; those behind are not evaluated.
func (s *state) decide(dot any, args []parse.Node, final any, ends bool) any {
	if len(args) == 0 && final == none {
		refuse("wrong number of arguments")
	}
	var v any
	for _, arg := range args {
		v = s.arg(dot, arg, param{kind: paramRaw})
		if truth(v) == ends {
			return v
		}
	}
	if final != none {
		v = final
	}
	return v
}

func length(v any) int {
	switch v := plainValue(v).(type) {
	case string:
		return len(v)
	case []any:
		return len(v)
	case map[string]any:
		return len(v)
	case nil:
	default:
		r := reflect.ValueOf(v)
		switch r.Kind() {
		case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
			return r.Len()
		}
	}
	refuse("no length")
	return 0
}

// index goes into maps and lists, one step for each key.
func index(item any, keys []any) any {
	if argument(item) == nil {
		refuse("index of nothing")
	}
	if len(keys) == 0 {
		return argument(item)
	}
	for _, key := range keys {
		key = plainValue(key)
		switch in := plainValue(item).(type) {
		case map[string]any:
			name, ok := key.(string)
			if !ok {
				refuse("index of a map")
			}
			item = boxed(in[name])
		case []any:
			n, ok := key.(int)
			if n64, is := key.(int64); is {
				n, ok = int(n64), true
			}
			if !ok || n < 0 || n >= len(in) {
				refuse("index of a list")
			}
			item = boxed(in[n])
		case nil:
			refuse("index of nothing")
		default:
			item = indexReflected(reflect.ValueOf(in), key)
		}
	}
	return item
}

func indexReflected(in reflect.Value, key any) any {
	switch in.Kind() {
	case reflect.Map:
		name, ok := key.(string)
		if !ok || in.Type().Key() != reflect.TypeFor[string]() {
			break
		}
		if v := in.MapIndex(reflect.ValueOf(name)); v.IsValid() {
			return fromReflect(v)
		}
		return fromReflect(reflect.Zero(in.Type().Elem()))
	case reflect.Slice, reflect.Array, reflect.String:
		if n, ok := key.(int); ok && n >= 0 && n < in.Len() {
			return fromReflect(in.Index(n))
		}
	}
	refuse("index of " + in.Type().String())
	return nil
}

// basic is a value whose kind can be compared: of each kind the widest type.
// Anything else is left as it is, with ok false.
func basic(v any) (any, bool) {
	switch v := v.(type) {
	case string, bool, int64, float64, uint64:
		return v, true
	case int:
		return int64(v), true
	case nil, null:
		return nil, false
	}
	r := toReflect(v)
	switch {
	case r.Kind() == reflect.String:
		return r.String(), true
	case r.Kind() == reflect.Bool:
		return r.Bool(), true
	case r.CanInt():
		return r.Int(), true
	case r.CanUint():
		return r.Uint(), true
	case r.CanFloat():
		return r.Float(), true
	case r.CanComplex():
		refuse("complex number")
	}
	return v, false
}

func equalsAny(first any, others []any) bool {
	if len(others) == 0 {
		refuse("nothing to compare with")
	}
	for _, other := range others {
		if equal(first, other) {
			return true
		}
	}
	return false
}

func equal(a, b any) bool {
	x, okX := basic(a)
	y, okY := basic(b)
	switch {
	case okX && okY:
		switch x := x.(type) {
		case int64:
			if u, ok := y.(uint64); ok {
				return x >= 0 && uint64(x) == u
			}
		case uint64:
			if i, ok := y.(int64); ok {
				return i >= 0 && uint64(i) == x
			}
		}
		if reflect.TypeOf(x) != reflect.TypeOf(y) {
			refuse("incompatible types for comparison")
		}
		return x == y
	case okX && y == nil, okY && x == nil:
		return false
	case okX || okY:
		refuse("incompatible types for comparison")
	}
	nilX, nilY := isNil(x), isNil(y)
	if x != nil && y != nil {
		if !nilX && !nilY || toReflect(x).Kind() != toReflect(y).Kind() {
			refuse("comparison of maps, lists or structs")
		}
	}
	return nilX && nilY
}

// isNil is true of nothing, and of empty maps and lists that were never made.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	switch r := toReflect(v); r.Kind() {
	case reflect.Map, reflect.Slice, reflect.Pointer, reflect.Func, reflect.Chan:
		return r.IsNil()
	}
	return false
}

func less(a, b any) bool {
	x, okX := basic(a)
	y, okY := basic(b)
	if okX && okY {
		switch x := x.(type) {
		case string:
			if y, ok := y.(string); ok {
				return x < y
			}
		case float64:
			if y, ok := y.(float64); ok {
				return x < y
			}
		case int64:
			switch y := y.(type) {
			case int64:
				return x < y
			case uint64:
				return x < 0 || uint64(x) < y
			}
		case uint64:
			switch y := y.(type) {
			case uint64:
				return x < y
			case int64:
				return y >= 0 && x < uint64(y)
			}
		}
	}
	refuse("no order")
	return false
}
