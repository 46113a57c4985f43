package chart

import (
	"fmt"
	"maps"
)

// GlobalKey is the key of the values that every subchart sees.
const GlobalKey = "global"

// Warn receives what Helm logs while it combines values. It may be nil.
type Warn func(format string, args ...any)

func (w Warn) printf(format string, args ...any) {
	if w != nil {
		w(format, args...)
	}
}

// Coalesce lays the user's values over the chart's defaults, for the chart and all
// its subcharts, and spreads globals downwards. A user's null removes a key whose
// default is not null. The result shares nothing with vals or the chart; inside the
// result a subchart's values are the very map under its name in the parent's, which
// is how templates of different charts see each other's changes.
func Coalesce(c *Chart, vals map[string]any, warn Warn) (map[string]any, error) {
	return coalescer{warn: warn}.chart(c, CopyValues(vals), "")
}

// coalescer walks a chart tree. With keepNull set (Helm calls it merging) nulls
// survive, for values that are to be combined again later.
type coalescer struct {
	warn     Warn
	keepNull bool
	clashed  *bool // set where a table and something else meet; may be nil
}

// clash notes that a table and something else met. Helm warns of most such places.
func (m coalescer) clash(format string, args ...any) {
	if m.clashed != nil {
		*m.clashed = true
	}
	if format != "" {
		m.warn.printf(format, args...)
	}
}

// chart coalesces dest in place with c's defaults and c's subcharts.
func (m coalescer) chart(c *Chart, dest map[string]any, prefix string) (map[string]any, error) {
	m.defaults(c, dest, prefix)
	for _, sub := range c.Dependencies() {
		name := sub.Name()
		if _, ok := dest[name]; !ok {
			dest[name] = map[string]any{}
		}
		table, ok := dest[name].(map[string]any)
		if !ok {
			return dest, fmt.Errorf("type mismatch on %s: %t", name, dest[name])
		}
		subPrefix := joinPrefix(prefix, c.Metadata.Name)
		m.globals(table, dest, subPrefix)
		if _, err := m.chart(sub, table, subPrefix); err != nil {
			return dest, err
		}
	}
	return dest, nil
}

// globals copies the parent's globals into a subchart's values; the parent wins.
// Tables are copied one level deep only, as in Helm: deeper tables are shared
// between charts, and templates that change them show it.
func (m coalescer) globals(dest, src map[string]any, prefix string) {
	into, ok := tableOrNew(dest, GlobalKey)
	if !ok {
		m.clash("warning: skipping globals because destination %s is not a table.", GlobalKey)
		return
	}
	from, ok := tableOrNew(src, GlobalKey)
	if !ok {
		m.clash("warning: skipping globals because source %s is not a table.", GlobalKey)
		return
	}
	// Nulls are always kept here: the chart's own pass removes them afterwards.
	keep := m
	keep.keepNull = true
	for key, val := range from {
		table, isTable := val.(map[string]any)
		if !isTable {
			if _, ok := into[key].(map[string]any); ok {
				m.clash("key %s is table. Skipping", key)
			} else {
				into[key] = val
			}
			continue
		}
		copied := maps.Clone(table)
		below, exists := into[key]
		if !exists {
			into[key] = copied
			continue
		}
		belowTable, ok := below.(map[string]any)
		if !ok {
			m.clash("Conflict: cannot merge map onto non-map for %q. Skipping.", key)
			continue
		}
		keep.tables(copied, belowTable, joinPrefix(prefix, key))
		into[key] = copied
	}
	dest[GlobalKey] = into
}

// tableOrNew returns the table under key, a new one when the key is missing, and
// false when something else is there.
func tableOrNew(m map[string]any, key string) (map[string]any, bool) {
	v, ok := m[key]
	if !ok {
		return map[string]any{}, true
	}
	table, ok := v.(map[string]any)
	return table, ok
}

// defaults fills vals with the chart's own values.yaml.
func (m coalescer) defaults(c *Chart, vals map[string]any, prefix string) {
	subPrefix := joinPrefix(prefix, c.Metadata.Name)
	for key, def := range c.Values {
		val, ok := vals[key]
		if !ok {
			vals[key] = copyValue(def)
			continue
		}
		if val == nil && !m.keepNull {
			delete(vals, key)
			continue
		}
		src, isTable := def.(map[string]any)
		dest, ok := val.(map[string]any)
		if !ok {
			if isTable {
				m.clash("")
			}
			continue
		}
		if !isTable {
			if def != nil {
				m.clash("warning: skipped value for %s.%s: Not a table.", subPrefix, key)
			}
			continue
		}
		// A subchart's values keep their nulls until the subchart's own pass.
		inner := m
		inner.keepNull = m.keepNull || hasSubchart(c, key)
		inner.tables(dest, CopyValues(src), joinPrefix(subPrefix, key))
	}
}

func hasSubchart(c *Chart, name string) bool {
	for _, sub := range c.Dependencies() {
		if sub.Name() == name {
			return true
		}
	}
	return false
}

// tables fills dst with src's keys, recursively; dst wins and is returned, except
// that a nil dst yields src. Both are changed: src receives dst's nulls, as in Helm,
// where a later pass over the same table depends on it.
func (m coalescer) tables(dst, src map[string]any, prefix string) map[string]any {
	if src == nil {
		return dst
	}
	if dst == nil {
		return src
	}
	var nulled map[string]bool // keys null in dst whose default is a value
	for key, val := range dst {
		if val != nil {
			continue
		}
		if src[key] != nil {
			if nulled == nil {
				nulled = map[string]bool{}
			}
			nulled[key] = true
		}
		src[key] = nil
	}
	for key, val := range src {
		dv, ok := dst[key]
		if !ok {
			dst[key] = val
			continue
		}
		if dv == nil && !m.keepNull && nulled[key] {
			delete(dst, key)
			continue
		}
		table, isTable := val.(map[string]any)
		destTable, destIsTable := dv.(map[string]any)
		switch {
		case isTable && destIsTable:
			m.tables(destTable, table, joinPrefix(prefix, key))
		case isTable:
			m.clash("warning: cannot overwrite table with non table for %s (%v)", joinPrefix(prefix, key), val)
		case destIsTable && val != nil:
			m.clash("warning: destination for %s is a table. Ignoring non-table value (%v)", joinPrefix(prefix, key), val)
		}
	}
	return dst
}

// CoalesceTables fills dst with src's keys, recursively; dst wins. Both are changed.
// It is how `upgrade --reuse-values` lays new values over a release's old ones.
func CoalesceTables(dst, src map[string]any, warn Warn) map[string]any {
	return coalescer{warn: warn}.tables(dst, src, "")
}

// MergeTables is [CoalesceTables] with nulls kept.
func MergeTables(dst, src map[string]any, warn Warn) map[string]any {
	return coalescer{warn: warn, keepNull: true}.tables(dst, src, "")
}

// CopyValues copies tables and lists deeply; never nil.
func CopyValues(vals map[string]any) map[string]any {
	out := make(map[string]any, len(vals))
	for k, v := range vals {
		out[k] = copyValue(v)
	}
	return out
}

func copyValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if v == nil {
			return v
		}
		return CopyValues(v)
	case []any:
		if v == nil {
			return v
		}
		out := make([]any, len(v))
		for i := range v {
			out[i] = copyValue(v[i])
		}
		return out
	}
	return v
}

func joinPrefix(a, b string) string {
	if a == "" {
		return b
	}
	return a + "." + b
}
