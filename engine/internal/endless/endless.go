// Package endless finds values that contain themselves. Templates can make them with
// set, and whoever then prints, copies or merges them never comes to an end: in Go that
// is the end of the process.
package endless

import (
	"errors"
	"reflect"
)

// Levels is how deep values may nest. Documents nest a hundred levels at most.
const Levels = 10000

// Err is the error of [Check].
var Err = errors.New("a table or list contains itself, or nests more than 10000 levels deep")

// Check returns Err when following a value's tables and lists leads too deep.
func Check(v any) error {
	if !within(v, Levels) {
		return Err
	}
	return nil
}

// Printer is a function that makes a text of its arguments, or returns Err for those that
// have no end.
func Printer(text func(...any) string) func(...any) (string, error) {
	return func(args ...any) (string, error) {
		for _, v := range args {
			if err := Check(v); err != nil {
				return "", err
			}
		}
		return text(args...), nil
	}
}

// within reports whether so many levels are enough for a value.
func within(v any, left int) bool {
	switch v := v.(type) {
	case nil, string, bool, int, int64, float64, []string, []byte:
		return true
	case map[string]any:
		for _, below := range v {
			if left == 0 || !within(below, left-1) {
				return false
			}
		}
		return true
	case []any:
		for _, below := range v {
			if left == 0 || !within(below, left-1) {
				return false
			}
		}
		return true
	}
	return withinOther(reflect.ValueOf(v), left)
}

// withinOther is within for tables and lists of other types.
func withinOther(v reflect.Value, left int) bool {
	switch v.Kind() {
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			if left == 0 || !within(entries.Value().Interface(), left-1) {
				return false
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if left == 0 || !within(v.Index(i).Interface(), left-1) {
				return false
			}
		}
	}
	return true
}
