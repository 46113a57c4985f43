package funcs

import (
	"github.com/mitchellh/copystructure"

	"github.com/seed38700745/pkg/engine/internal/chartutil"
	"github.com/seed38700745/pkg/engine/internal/endless"
)

// dict makes a table of keys and values in turn; the last value may be missing.
func dict(pairs ...any) map[string]any {
	out := make(map[string]any, (len(pairs)+1)/2)
	for i := 0; i < len(pairs); i += 2 {
		key := text(pairs[i])
		if i+1 < len(pairs) {
			out[key] = pairs[i+1]
		} else {
			out[key] = ""
		}
	}
	return out
}

// get returns an empty text for a key that is not there.
func get(table map[string]any, key string) any {
	if v, ok := table[key]; ok {
		return v
	}
	return ""
}

func hasKey(table map[string]any, key string) bool {
	_, ok := table[key]
	return ok
}

func set(table map[string]any, key string, v any) map[string]any {
	table[key] = v
	return table
}

func unset(table map[string]any, key string) map[string]any {
	delete(table, key)
	return table
}

func pluck(key string, tables ...map[string]any) []any {
	out := []any{}
	for _, table := range tables {
		if v, ok := table[key]; ok {
			out = append(out, v)
		}
	}
	return out
}

// keys are in no order, and those of several tables may repeat.
func keys(tables ...map[string]any) []string {
	out := []string{}
	for _, table := range tables {
		for key := range table {
			out = append(out, key)
		}
	}
	return out
}

// values are in no order.
func values(table map[string]any) []any {
	out := []any{}
	for _, v := range table {
		out = append(out, v)
	}
	return out
}

func pick(table map[string]any, keys ...string) map[string]any {
	out := make(map[string]any, len(keys))
	for _, key := range keys {
		if v, ok := table[key]; ok {
			out[key] = v
		}
	}
	return out
}

func omit(table map[string]any, keys ...string) map[string]any {
	out := make(map[string]any, len(table))
	for key, v := range table {
		out[key] = v
	}
	for _, key := range keys {
		delete(out, key)
	}
	return out
}

// digArguments is the least number of arguments of dig: a key, the default, the table.
const digArguments = 3

// dig follows keys through tables: the last argument is the table, the one before it
// what is returned when a key is missing. A value on the way that is no plain table
// is a panic.
func dig(args ...any) (any, error) {
	if len(args) < digArguments {
		panic("dig needs at least three arguments")
	}
	table := args[len(args)-1].(map[string]any)
	missing := args[len(args)-2]
	path := args[:len(args)-2]
	for _, key := range path {
		_ = key.(string) // panics now even if the walk ends before
	}
	for {
		v, ok := table[path[0].(string)]
		if !ok {
			return missing, nil
		}
		if path = path[1:]; len(path) == 0 {
			return v, nil
		}
		table = v.(map[string]any)
	}
}

func deepCopy(v any) any {
	out, err := mustDeepCopy(v)
	if err != nil {
		panic("deepCopy error: " + err.Error())
	}
	return out
}

func mustDeepCopy(v any) (any, error) {
	if out, ok := copied(v, endless.Levels); ok {
		return out, nil
	}
	if err := endless.Check(v); err != nil {
		return nil, err
	}
	return copystructure.Copy(v)
}

// copied copies a tree of what YAML knows, of at most so many levels; false for a tree
// that has anything else, or is nothing.
func copied(v any, levels int) (any, bool) {
	if levels < 0 {
		return nil, false
	}
	switch v := v.(type) {
	case string, bool, int, int64, float64:
		return v, true
	case map[string]any:
		out, ok := copiedTable(v, levels-1)
		return out, ok
	case chartutil.Values:
		out, ok := copiedTable(v, levels-1)
		return chartutil.Values(out), ok
	case []any:
		if v == nil {
			return v, true
		}
		out := make([]any, len(v), cap(v))
		for i, item := range v {
			if item == nil {
				continue
			}
			c, ok := copied(item, levels-1)
			if !ok {
				return nil, false
			}
			out[i] = c
		}
		return out, true
	}
	return nil, false
}

func copiedTable(table map[string]any, levels int) (map[string]any, bool) {
	if table == nil {
		return nil, true
	}
	out := make(map[string]any, len(table))
	for key, v := range table {
		if v == nil {
			out[key] = nil
			continue
		}
		c, ok := copied(v, levels)
		if !ok {
			return nil, false
		}
		out[key] = c
	}
	return out, true
}
