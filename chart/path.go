package chart

import "strings"

// Table returns the table at a dotted path, and whether there is one. Keys that
// contain dots themselves cannot be reached, as in Helm.
func Table(vals map[string]any, dotted string) (map[string]any, bool) {
	table, missing := tableAt(vals, dotted)
	return table, missing == ""
}

// tableAt is [Table] that names the first key of the path that is no table.
func tableAt(vals map[string]any, dotted string) (table map[string]any, missing string) {
	table = vals
	for _, key := range strings.Split(dotted, ".") {
		next, ok := table[key].(map[string]any)
		if !ok {
			return nil, key
		}
		table = next
	}
	return table, ""
}

// PathValue returns the value at a dotted path that is not a table.
func PathValue(vals map[string]any, dotted string) (any, bool) {
	table, key := vals, dotted
	if i := strings.LastIndexByte(dotted, '.'); i >= 0 {
		var ok bool
		if table, ok = Table(vals, dotted[:i]); !ok {
			return nil, false
		}
		key = dotted[i+1:]
	}
	v, ok := table[key]
	if _, isTable := v.(map[string]any); !ok || isTable {
		return nil, false
	}
	return v, true
}

// nest wraps table in the tables of a dotted path; "." is the top itself.
func nest(dotted string, table map[string]any) map[string]any {
	if dotted == "." {
		return table
	}
	keys := strings.Split(dotted, ".")
	for i := len(keys) - 1; i >= 0; i-- {
		table = map[string]any{keys[i]: table}
	}
	return table
}
