package chart

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed38700745/pkg/chart/semver"
)

// ProcessDependencies applies what Chart.yaml says of the subcharts: it makes
// aliased copies, removes those that tags and conditions turn off, and imports
// values from the rest. It changes c's metadata, values and dependency tree;
// [Clone] first to keep the original. It returns vals coalesced with what is left,
// as [Coalesce] would.
func ProcessDependencies(c *Chart, vals map[string]any, warn Warn) (map[string]any, error) {
	e := enabler{warn: warn}
	if err := e.enable(c, vals, ""); err != nil {
		return nil, err
	}
	if !e.clashed && isPlainTable(vals, true) && importsNothing(c) {
		if e.coalesced != nil {
			return e.coalesced, nil
		}
		m := coalescer{clashed: &e.clashed}
		if coalesced, err := m.chart(c, CopyValues(vals), ""); err == nil && !e.clashed {
			return coalesced, nil
		}
	}
	return importAndCoalesce(c, vals, warn)
}

// importAndCoalesce is the second half of ProcessDependencies as Helm does it: first
// every chart's defaults take in those of its subcharts, then the values come on top.
func importAndCoalesce(c *Chart, vals map[string]any, warn Warn) (map[string]any, error) {
	if err := importValues(c, warn); err != nil {
		return nil, err
	}
	return Coalesce(c, vals, warn)
}

// enabler settles which subcharts there are.
type enabler struct {
	warn      Warn
	clashed   bool           // tables met something else on the way
	coalesced map[string]any // the values of the whole chart, as long as no subchart went or was renamed after that
}

// enable settles c's subcharts and then theirs. vals are the values of the top chart,
// coalesced so far, and path the dotted prefix of c's own in them.
func (e *enabler) enable(c *Chart, vals map[string]any, path string) error {
	if c.Metadata.Dependencies == nil {
		return nil
	}
	if c.SetDependencies(declaredDependencies(c)...); path != "" {
		e.coalesced = nil
	}
	for _, d := range c.Metadata.Dependencies {
		d.Enabled = true
	}
	cvals := vals
	if asksValues(c, vals) {
		var err error
		if cvals, err = (coalescer{warn: e.warn, clashed: &e.clashed}).chart(c, CopyValues(vals), ""); err != nil {
			return err
		}
		if path == "" {
			e.coalesced = cvals
		}
	}
	applyTags(c.Metadata.Dependencies, cvals, e.warn)
	applyConditions(c.Metadata.Dependencies, cvals, path, e.warn)

	off := map[string]bool{}
	kept := []*Dependency(nil)
	for _, d := range c.Metadata.Dependencies {
		if !d.Enabled {
			off[d.Name] = true
			e.coalesced = nil
		}
	}
	for _, d := range c.Metadata.Dependencies {
		if !off[d.Name] {
			kept = append(kept, d)
		}
	}
	var subs []*Chart
	for _, sub := range c.Dependencies() {
		if !off[sub.Name()] {
			subs = append(subs, sub)
		}
	}
	for _, sub := range subs {
		if err := e.enable(sub, cvals, path+sub.Name()+"."); err != nil {
			return err
		}
	}
	c.Metadata.Dependencies = kept
	c.SetDependencies(subs...)
	return nil
}

// asksValues reports whether values can turn anything in c's tree off, or cannot be
// combined with it. Most subcharts only depend on a library: combining all values
// again for each of them would make large umbrellas quadratic.
func asksValues(c *Chart, vals map[string]any) bool {
	_, tagged := vals["tags"]
	return tagged || treeAsksValues(c, vals)
}

// treeAsksValues is asksValues for a part of the tree. Its charts may find their values
// in any of several tables: Helm gives each chart the values of the top chart, with the
// defaults of all charts on the way down added, as if they were the top's.
func treeAsksValues(c *Chart, tables ...map[string]any) bool {
	if _, tagged := c.Values["tags"]; tagged {
		return true
	}
	for _, d := range c.Metadata.Dependencies {
		if d != nil && strings.Trim(d.Condition, ", \t\n") != "" {
			return true
		}
	}
	tables = append(slices.Clip(tables), c.Values)
	for _, sub := range c.Dependencies() {
		below := slices.Clip(tables)
		for _, name := range namesOf(sub, c.Metadata.Dependencies) {
			for _, table := range tables {
				v, ok := table[name]
				if !ok {
					continue
				}
				own, isTable := v.(map[string]any)
				if !isTable {
					return true
				}
				below = append(below, own)
			}
		}
		if treeAsksValues(sub, below...) {
			return true
		}
	}
	return false
}

// namesOf are the names that a subchart has or will get.
func namesOf(sub *Chart, deps []*Dependency) []string {
	names := []string{sub.Name()}
	for _, d := range deps {
		if d != nil && d.Alias != "" && d.Name == sub.Name() {
			names = append(names, d.Alias)
		}
	}
	return names
}

// declaredDependencies returns the vendored charts that Chart.yaml does not mention,
// then those it does, in its order, copied and renamed under their aliases. A
// requirement's own name becomes its alias.
func declaredDependencies(c *Chart) []*Chart {
	var out []*Chart
	for _, sub := range c.Dependencies() {
		declared := false
		for _, d := range c.Metadata.Dependencies {
			if d != nil && matchesDependency(sub, d) {
				declared = true
				break
			}
		}
		if !declared {
			out = append(out, sub)
		}
	}
	for _, d := range c.Metadata.Dependencies {
		if d == nil {
			continue
		}
		for _, sub := range c.Dependencies() {
			if matchesDependency(sub, d) {
				out = append(out, renamed(sub, d.Alias))
				break
			}
		}
		if d.Alias != "" {
			d.Name = d.Alias
		}
	}
	return out
}

func matchesDependency(sub *Chart, d *Dependency) bool {
	return sub.Name() == d.Name && CompatibleVersion(d.Version, sub.Metadata.Version)
}

// renamed copies a subchart under an alias. The copy shares the original's own
// subcharts, whose parent stays the original, as in Helm: their paths therefore
// show the original's name unless they are declared (and so copied) themselves.
func renamed(sub *Chart, alias string) *Chart {
	out := *sub
	md := *sub.Metadata
	if alias != "" {
		md.Name = alias
	}
	out.Metadata = &md
	return &out
}

// CompatibleVersion reports whether version satisfies a semver constraint; a
// constraint or version that does not parse satisfies nothing.
func CompatibleVersion(constraint, version string) bool {
	if constraint == version && isRelease(version) {
		return true
	}
	v, err := semver.NewVersion(version)
	if err != nil {
		return false
	}
	c, err := semver.NewConstraint(constraint)
	return err == nil && c.Check(v)
}

// isRelease recognises most versions at a glance: three numbers.
func isRelease(version string) bool {
	dots, digits := 0, 0
	for i := 0; i < len(version); i++ {
		switch c := version[i]; {
		case c == '.' && digits > 0:
			dots++
			digits = 0
		case c >= '0' && c <= '9' && (digits == 0 || version[i-digits] != '0') && digits < 10:
			digits++
		default:
			return false
		}
	}
	return dots == 2 && digits > 0
}

// applyTags turns off a dependency when all of its tags that have a value are false.
func applyTags(deps []*Dependency, vals map[string]any, warn Warn) {
	tags, ok := Table(vals, "tags")
	if !ok {
		return
	}
	for _, d := range deps {
		var on, off bool
		for _, tag := range d.Tags {
			switch b := tags[tag].(type) {
			case bool:
				on, off = on || b, off || !b
			default:
				if _, exists := tags[tag]; exists {
					warn.printf("Warning: Tag '%s' for chart %s returned non-bool value", tag, d.Name)
				}
			}
		}
		d.Enabled = on || !off
	}
}

// applyConditions lets the first path of a condition that holds a bool decide.
func applyConditions(deps []*Dependency, vals map[string]any, prefix string, warn Warn) {
	for _, d := range deps {
		for _, cond := range strings.Split(strings.TrimSpace(d.Condition), ",") {
			if cond == "" {
				continue
			}
			v, ok := PathValue(vals, prefix+cond)
			if !ok {
				continue
			}
			if b, isBool := v.(bool); isBool {
				d.Enabled = b
				break
			}
			warn.printf("Warning: Condition path '%s' for chart %s returned non-bool value", cond, d.Name)
		}
	}
}

// importsNothing reports whether importAndCoalesce only needs to coalesce: whether
// charts whose defaults have taken in those of their subcharts give the same result
// as they do without. Nulls make a difference, since each pass removes some; so do
// deep tables in globals, see [coalescer.globals], but for those of the charts
// themselves, where both ways meet them in the same order; so do subcharts of one
// name. That nowhere a table and something else meet is for the caller to see.
func importsNothing(c *Chart) bool {
	if !isPlainTable(c.Values, true) {
		return false
	}
	for _, d := range c.Metadata.Dependencies {
		if d != nil && len(d.ImportValues) > 0 {
			return false
		}
	}
	names := map[string]bool{}
	for _, sub := range c.Dependencies() {
		if names[sub.Name()] || !importsNothing(sub) {
			return false
		}
		names[sub.Name()] = true
	}
	return true
}

// isPlainTable reports whether a table has no nulls, and no deep globals but those
// of the chart to which it belongs, at its top.
func isPlainTable(table map[string]any, top bool) bool {
	for key, v := range table {
		if v == nil {
			return false
		}
		below, ok := v.(map[string]any)
		if !ok {
			continue
		}
		if !isPlainTable(below, false) || key == GlobalKey && !top && tableDepth(below) > 2 {
			return false
		}
	}
	return true
}

// tableDepth counts the tables inside each other.
func tableDepth(table map[string]any) int {
	deepest := 0
	for _, v := range table {
		if below, ok := v.(map[string]any); ok {
			deepest = max(deepest, tableDepth(below))
		}
	}
	return deepest + 1
}

// importValues brings values of subcharts up into their parents, deepest first.
func importValues(c *Chart, warn Warn) error {
	for _, sub := range c.Dependencies() {
		if err := importValues(sub, warn); err != nil {
			return err
		}
	}
	if c.Metadata.Dependencies == nil {
		return nil
	}
	merge := coalescer{warn: warn, keepNull: true}
	cvals, err := merge.chart(c, map[string]any{}, "")
	if err != nil {
		return err
	}
	imported := map[string]any{}
	for _, d := range c.Metadata.Dependencies {
		var done []any
		for _, spec := range d.ImportValues {
			child, parent, ok := importSpec(spec)
			if !ok {
				continue
			}
			done = append(done, map[string]string{"child": child, "parent": parent})
			table, missing := tableAt(cvals, d.Name+"."+child)
			if missing != "" {
				of := " from chart " + d.Name
				if _, short := spec.(string); short {
					of = "" // Helm's short form does not say
				}
				warn.printf("Warning: ImportValues missing table%s: %q is not a table", of, missing)
				continue
			}
			if len(table) == 0 {
				table = map[string]any{} // Helm shares only tables that have something, and others are merged into it
			}
			imported = MergeTables(imported, nest(parent, table), warn)
		}
		d.ImportValues = done
	}
	if len(imported) == 0 {
		c.Values = cvals
		return nil
	}
	// The parent's own values win over imported ones. The copy keeps tables that
	// were imported from being changed through the parent's.
	c.Values = MergeTables(CopyValues(cvals), imported, warn)
	return nil
}

// importSpec reads one entry of import-values: a child/parent pair of paths, or
// the name X, which means the child's table exports.X into the top.
func importSpec(spec any) (child, parent string, ok bool) {
	switch s := spec.(type) {
	case map[string]any:
		return fmt.Sprint(s["child"]), fmt.Sprint(s["parent"]), true
	case string:
		return "exports." + s, ".", true
	}
	return "", "", false
}

// MissingDependencies names what Chart.yaml requires and charts/ does not hold.
func MissingDependencies(c *Chart) []*Dependency {
	var missing []*Dependency
	for _, d := range c.Metadata.Dependencies {
		found := false
		for _, sub := range c.Dependencies() {
			found = found || sub.Name() == d.Name
		}
		if !found {
			missing = append(missing, d)
		}
	}
	return missing
}

// CheckDependencies returns Helm's error when charts/ lacks a required chart.
func CheckDependencies(c *Chart) error {
	missing := MissingDependencies(c)
	if len(missing) == 0 {
		return nil
	}
	names := make([]string, len(missing))
	for i, d := range missing {
		names[i] = d.Name
	}
	return fmt.Errorf("found in Chart.yaml, but missing in charts/ directory: %s", strings.Join(names, ", "))
}
