package funcs

import (
	"fmt"
	"reflect"
)

// empty is true of nothing, false, zero, and of texts, lists and tables without
// content; never of a struct.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case bool:
		return !v
	case int:
		return v == 0
	case float64:
		return v == 0
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Array, reflect.Slice, reflect.Map, reflect.String:
		return r.Len() == 0
	case reflect.Struct:
		return false
	case reflect.Bool, reflect.Uintptr,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return r.IsZero()
	case reflect.Float32, reflect.Float64: // for -0 IsZero is false
		return r.Float() == 0
	case reflect.Complex64, reflect.Complex128:
		return r.Complex() == 0
	}
	return r.IsNil()
}

func defaultTo(other any, given ...any) any {
	if len(given) == 0 || empty(given[0]) {
		return other
	}
	return given[0]
}

// coalesce returns the first value that is not empty, or nil.
func coalesce(values ...any) any {
	for _, v := range values {
		if !empty(v) {
			return v
		}
	}
	return nil
}

func all(values ...any) bool {
	for _, v := range values {
		if empty(v) {
			return false
		}
	}
	return true
}

func anyOf(values ...any) bool {
	for _, v := range values {
		if !empty(v) {
			return true
		}
	}
	return false
}

func ternary(yes, no any, which bool) any {
	if which {
		return yes
	}
	return no
}

func kindOf(v any) string { return reflect.ValueOf(v).Kind().String() }

// typeIsLike is true for a pointer to the type, too.
func typeIsLike(name string, v any) bool {
	t := typeOf(v)
	return name == t || "*"+name == t
}

func typeOf(v any) string { return fmt.Sprintf("%T", v) }
