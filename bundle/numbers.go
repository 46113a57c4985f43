package bundle

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Templates see whether a number of the values is an integer (from --set) or a float
// (from YAML: 1000000 is printed as 1e+06 then, as in Helm). JSON keeps that apart
// only if floats are written with a point.

// keepNumbers returns values whose floats json.Marshal writes with a point.
func keepNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, item := range v {
			out[k] = keepNumbers(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = keepNumbers(item)
		}
		return out
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return v // json.Marshal says that it cannot be
		}
		text := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(text, ".") {
			text += ".0"
		}
		return json.Number(text)
	}
	return v
}

// restoreNumbers undoes keepNumbers after decoding with UseNumber, in place.
func restoreNumbers(v any) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		for k, item := range v {
			restored, err := restoreNumbers(item)
			if err != nil {
				return nil, err
			}
			v[k] = restored
		}
	case []any:
		for i, item := range v {
			restored, err := restoreNumbers(item)
			if err != nil {
				return nil, err
			}
			v[i] = restored
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		n, err := v.Float64()
		if err != nil {
			return nil, fmt.Errorf("values: %q: %w", v, err)
		}
		return n, nil
	}
	return v, nil
}
