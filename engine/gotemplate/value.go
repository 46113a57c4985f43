package gotemplate

import (
	"reflect"

	"github.com/seed38700745/pkg/engine/internal/chartutil"
)

// null is a nil that lies in a map or a list: where a function wants a map or a list
// text/template takes an invalid value for an empty one, but not this.
type null struct{}

// ref is a value with methods that need its address, as fields of a struct behind a
// pointer are.
type ref struct{ reflect.Value }

// boxed makes a value of an item of a map or a list.
func boxed(item any) any {
	if item == nil {
		return null{}
	}
	return item
}

// unboxed is what stands in a pipeline: there all kinds of nil are one.
func unboxed(v any) any {
	if v == (null{}) {
		return nil
	}
	return v
}

// plainValue is what functions get: Go's nil for all kinds of it, the value of a
// ref, and tables of charts as plain maps.
func plainValue(v any) any {
	switch v := v.(type) {
	case null:
		return nil
	case ref:
		return v.Interface()
	case chartutil.Values:
		return map[string]any(v)
	}
	return v
}

// argument is what a parameter of type any gets: as plainValue, but types are kept.
func argument(v any) any {
	switch v := v.(type) {
	case null:
		return nil
	case ref:
		return v.Interface()
	}
	return v
}

// fromReflect is the way back from reflection.
func fromReflect(v reflect.Value) any {
	switch {
	case !v.IsValid():
		return nil
	case v.Kind() == reflect.Interface:
		if v.Type().NumMethod() > 0 {
			refuse("a value of type " + v.Type().String())
		}
		return boxed(v.Interface())
	case v.CanAddr() && reflect.PointerTo(v.Type()).NumMethod() > v.Type().NumMethod():
		return ref{v}
	}
	return v.Interface()
}

// toReflect is v as reflection sees it.
func toReflect(v any) reflect.Value {
	if r, ok := v.(ref); ok {
		return r.Value
	}
	return reflect.ValueOf(v)
}
