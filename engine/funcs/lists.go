package funcs

import (
	"fmt"
	"math"
	"reflect"
	"slices"
)

// items returns those of any list or array: the list itself if it is a []any, which
// must not be changed then. Complaint begins the error of what is no list. Of nil
// there is no type to complain about: that is a panic.
func items(list any, complaint string) ([]any, error) {
	if items, ok := list.([]any); ok {
		return items, nil
	}
	kind := reflect.TypeOf(list).Kind()
	if kind != reflect.Slice && kind != reflect.Array {
		return nil, fmt.Errorf("%s type %s", complaint, kind)
	}
	v := reflect.ValueOf(list)
	out := make([]any, v.Len())
	for i := range out {
		out[i] = v.Index(i).Interface()
	}
	return out, nil
}

func mustAppend(list, v any) ([]any, error) {
	l, err := items(list, "Cannot push on")
	if err != nil {
		return nil, err
	}
	return append(l[:len(l):len(l)], v), nil
}

func mustPrepend(list, v any) ([]any, error) {
	l, err := items(list, "Cannot prepend on")
	if err != nil {
		return nil, err
	}
	return append([]any{v}, l...), nil
}

// mustChunk cuts a list into lists of a size. The number of these is computed as
// sprig does, with floats: so sizes below one find their way into the same panics.
func mustChunk(size int, list any) ([][]any, error) {
	l, err := items(list, "Cannot chunk")
	if err != nil {
		return nil, err
	}
	count := int(math.Floor(float64(len(l)-1)/float64(size)) + 1)
	out := make([][]any, count)
	for i := range out {
		n := size
		if i == count-1 {
			if last := int(math.Floor(math.Mod(float64(len(l)), float64(size)))); last != 0 {
				n = last
			}
		}
		out[i] = make([]any, n)
		copy(out[i], l[i*size:])
	}
	return out, nil
}

func mustFirst(list any) (any, error) {
	l, err := items(list, "Cannot find first on")
	if err != nil || len(l) == 0 {
		return nil, err
	}
	return l[0], nil
}

func mustLast(list any) (any, error) {
	l, err := items(list, "Cannot find last on")
	if err != nil || len(l) == 0 {
		return nil, err
	}
	return l[len(l)-1], nil
}

func mustRest(list any) ([]any, error) {
	l, err := items(list, "Cannot find rest on")
	if err != nil || len(l) == 0 {
		return nil, err
	}
	out := make([]any, len(l)-1)
	copy(out, l[1:])
	return out, nil
}

func mustInitial(list any) ([]any, error) {
	l, err := items(list, "Cannot find initial on")
	if err != nil || len(l) == 0 {
		return nil, err
	}
	out := make([]any, len(l)-1)
	copy(out, l)
	return out, nil
}

func mustReverse(list any) ([]any, error) {
	l, err := items(list, "Cannot find reverse on")
	if err != nil {
		return nil, err
	}
	out := make([]any, len(l))
	copy(out, l)
	slices.Reverse(out)
	return out, nil
}

// filtered returns the items that keep accepts. The list grows item by item, which
// gives it sprig's capacity.
func filtered(list []any, keep func(any) bool) []any {
	out := []any{}
	for _, item := range list {
		if keep(item) {
			out = append(out, item)
		}
	}
	return out
}

func mustCompact(list any) ([]any, error) {
	l, err := items(list, "Cannot compact on")
	if err != nil {
		return nil, err
	}
	return filtered(l, func(item any) bool { return !empty(item) }), nil
}

func mustUniq(list any) ([]any, error) {
	l, err := items(list, "Cannot find uniq on")
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, item := range l {
		if !contains(out, item) {
			out = append(out, item)
		}
	}
	return out, nil
}

func mustWithout(list any, those ...any) ([]any, error) {
	l, err := items(list, "Cannot find without on")
	if err != nil {
		return nil, err
	}
	return filtered(l, func(item any) bool { return !contains(those, item) }), nil
}

func mustHas(v, list any) (bool, error) {
	if list == nil {
		return false, nil
	}
	l, err := items(list, "Cannot find has on")
	if err != nil {
		return false, err
	}
	return contains(l, v), nil
}

// contains compares deeply.
func contains(list []any, v any) bool {
	for _, item := range list {
		if equal(v, item) {
			return true
		}
	}
	return false
}

// equal is reflect.DeepEqual, quicker for texts.
func equal(a, b any) bool {
	if s, ok := a.(string); ok {
		t, ok := b.(string)
		return ok && s == t
	}
	return reflect.DeepEqual(a, b)
}

// mustSlice is the part of a list between two bounds; without the second up to its
// end, without both all of it. The result shares the items with the list.
func mustSlice(list any, bounds ...any) (any, error) {
	kind := reflect.TypeOf(list).Kind()
	if kind != reflect.Slice && kind != reflect.Array {
		return nil, fmt.Errorf("list should be type of slice or array but %s", kind)
	}
	v := reflect.ValueOf(list)
	if v.Len() == 0 {
		return nil, nil
	}
	start, end := 0, v.Len()
	if len(bounds) > 0 {
		start = int(toInt64(bounds[0]))
	}
	if len(bounds) > 1 {
		end = int(toInt64(bounds[1]))
	}
	return v.Slice(start, end).Interface(), nil
}

func concat(lists ...any) any {
	var out []any
	for _, list := range lists {
		l, err := items(list, "")
		if err != nil {
			panic(fmt.Sprintf("Cannot concat type %s as list", reflect.TypeOf(list).Kind()))
		}
		for ; len(l) > 0; l = l[1:] { // one by one for sprig's capacity
			out = append(out, l[0])
		}
	}
	return out
}

// sortAlpha sorts any list as texts. A list of texts is sorted itself.
func sortAlpha(list any) []string {
	switch reflect.Indirect(reflect.ValueOf(list)).Kind() {
	case reflect.Slice, reflect.Array:
		out := texts(list)
		slices.Sort(out)
		return out
	}
	return []string{text(list)}
}
