package funcs

import (
	"cmp"

	"dario.cat/mergo"

	"github.com/seed38700745/pkg/engine/internal/chartutil"
	"github.com/seed38700745/pkg/engine/internal/endless"
)

// The functions that merge tables change the first one and return it. merge fills in
// what is missing or empty there, mergeOverwrite takes everything from the later
// tables; both go into tables that are on both sides. Tables that are on one side only
// are not copied. The rules are those of the library mergo; where it fails the result
// is an empty text, or of the functions that begin with must an error.

func merge(table map[string]any, others ...map[string]any) any {
	out, err := mustMerge(table, others...)
	if err != nil {
		return ""
	}
	return out
}

func mustMerge(table map[string]any, others ...map[string]any) (any, error) {
	return merged(table, others, false)
}

func mergeOverwrite(table map[string]any, others ...map[string]any) any {
	out, err := mustMergeOverwrite(table, others...)
	if err != nil {
		return ""
	}
	return out
}

func mustMergeOverwrite(table map[string]any, others ...map[string]any) (any, error) {
	return merged(table, others, true)
}

func merged(table map[string]any, others []map[string]any, overwrite bool) (any, error) {
	for _, other := range others {
		if table == nil && other != nil {
			table = map[string]any{}
		}
		if err := mergeInto(table, other, overwrite, endless.Levels); err != nil {
			return nil, err
		}
	}
	return table, nil
}

// mergeInto merges tables that nest at most so many levels.
func mergeInto(dst, src map[string]any, overwrite bool, levels int) error {
	if levels == 0 {
		return endless.Err
	}
	var few [16]string
	names := few[:0] // taken before, since dst may be a part of src
	for key := range src {
		names = append(names, key)
	}
	for _, key := range names {
		v, there := src[key]
		old, known := dst[key]
		if !there {
			continue
		}
		if !isPlain(v) || !isPlain(old) {
			if err := mergeKey(dst, src, key, overwrite); err != nil {
				return err
			}
			continue
		}
		if v == nil {
			if overwrite {
				dst[key] = nil
			}
			continue
		}
		if from, ok := asTable(v); ok {
			if into, ok := asTable(old); ok && into != nil {
				if err := mergeInto(into, from, overwrite, levels-1); err != nil {
					return err
				}
				if len(into) > 0 {
					continue
				}
			}
		}
		if overwrite || !known || empty(old) {
			dst[key] = v
		}
	}
	return nil
}

// mergeKey leaves one key to mergo.
func mergeKey(dst, src map[string]any, key string, overwrite bool) error {
	if err := cmp.Or(endless.Check(dst[key]), endless.Check(src[key])); err != nil {
		return err
	}
	one := map[string]any{}
	if old, ok := dst[key]; ok {
		one[key] = old
	}
	err := mergo.Merge(&one, map[string]any{key: src[key]}, func(c *mergo.Config) { c.Overwrite = overwrite })
	if v, ok := one[key]; ok {
		dst[key] = v
	}
	return err
}

// isPlain is true of what YAML gives: these types mergeInto knows.
func isPlain(v any) bool {
	switch v.(type) {
	case nil, string, bool, int, int64, float64, []any, []string, map[string]any, chartutil.Values:
		return true
	}
	return false
}

func asTable(v any) (map[string]any, bool) {
	switch v := v.(type) {
	case map[string]any:
		return v, true
	case chartutil.Values:
		return v, true
	}
	return nil, false
}
