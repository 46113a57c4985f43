package chart

import (
	"cmp"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/seed38700745/pkg/chart/plain"
)

// switches are the conditions by which a chart turns its subcharts off, and the values
// that settle them before any subchart is known.
type switches struct {
	deps     []*Dependency
	vals     map[string]any // the user's
	defaults map[string]any // the chart's own
}

// newSwitches returns a chart's switches; none if they certainly turn nothing off, as in
// most charts.
func newSwitches(md *Metadata, vals, defaults map[string]any) switches {
	s := switches{deps: md.Dependencies, vals: vals, defaults: defaults}
	if vals == nil || !slices.ContainsFunc(s.deps, func(d *Dependency) bool { return d != nil && s.turnOff(d.Condition) }) {
		return switches{}
	}
	return s
}

// off reports whether it is certain that a subchart will be turned off, and that its own
// values settle nothing: it is declared, everything that declares a chart of its name is
// off, and no condition asks for more of its values than the top chart says.
func (s switches) off(sub *Metadata) bool {
	declared := false
	for _, d := range s.deps {
		if d == nil || d.Name != sub.Name {
			continue
		}
		if !s.turnOff(d.Condition) || s.asked(cmp.Or(d.Alias, d.Name)) {
			return false
		}
		declared = declared || CompatibleVersion(d.Version, sub.Version)
	}
	return declared
}

// asked reports whether a condition may find something in a subchart's own values.
func (s switches) asked(name string) bool {
	for _, d := range s.deps {
		if d == nil {
			continue
		}
		for path := range strings.SplitSeq(d.Condition, ",") {
			keys := strings.Split(strings.TrimSpace(path), ".")
			if keys[0] != name {
				continue
			}
			if v := s.leaf(keys); v == nil || v == (missing{}) {
				return true
			}
		}
	}
	return false
}

// turnOff reports whether the first path of a condition certainly holds false.
func (s switches) turnOff(condition string) bool {
	for path := range strings.SplitSeq(strings.TrimSpace(condition), ",") {
		if path != "" {
			on, ok := s.value(path)
			return ok && !on
		}
	}
	return false
}

// value returns the bool at a path of the values, and whether it will be there when they
// are combined with those of the subcharts. What a chart says of a subchart wins over the
// subchart's own values, but for globals, which go downwards.
func (s switches) value(path string) (on, certain bool) {
	keys := strings.Split(path, ".")
	if slices.Contains(keys[1:], GlobalKey) {
		return false, false
	}
	on, certain = s.leaf(keys).(bool)
	return on, certain
}

// leaf looks a path up in the user's values, and if it ends nowhere there in the chart's.
func (s switches) leaf(keys []string) any {
	if v := leaf(s.vals, keys); v != (missing{}) {
		return v
	}
	return leaf(s.defaults, keys)
}

// missing stands for a value that is not there.
type missing struct{}

// leaf returns what is at the end of a path: a value that is no table, missing, or nil
// for anything else, such as a way that ends before.
func leaf(table map[string]any, keys []string) any {
	for n, key := range keys {
		v, ok := table[key]
		if !ok {
			return missing{}
		}
		if below, isTable := v.(map[string]any); isTable {
			table = below
			continue
		}
		if n == len(keys)-1 && v != nil {
			return v
		}
		return nil
	}
	return nil
}

// bareFile reports whether a file is read of a chart that is turned off.
func bareFile(name string) bool {
	switch name {
	case ChartfileName, ValuesfileName, LockfileName, "requirements.yaml", "requirements.lock":
		return true
	}
	return false
}

// bareValues are the values of a chart that is turned off: what they hold for its own
// subcharts, since values that are no table are an error there. The rest is only checked.
func bareValues(data []byte, subs []*Chart) (map[string]any, error) {
	keys := []string{""}
	for _, sub := range subs {
		keys = append(keys, sub.Name())
	}
	if vals, ok := plain.Head(asText(data), keys...); ok {
		return vals, nil
	}
	return parseValues(data)
}

// earlySwitches reads the switches of the chart in a folder before its other files; none
// if it is not in order, which whoever reads the whole chart will say.
func (w *walker) earlySwitches() switches {
	data, err := w.early(ChartfileName)
	if err != nil {
		return switches{}
	}
	md, err := ParseMetadata(data)
	if err != nil {
		return switches{}
	}
	data, err = w.early("requirements.yaml")
	if err == nil {
		err = addRequired(md, data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return switches{}
	}
	if !slices.ContainsFunc(md.Dependencies, func(d *Dependency) bool { return d != nil && d.Condition != "" }) {
		return switches{}
	}
	var defaults map[string]any
	data, err = w.early(ValuesfileName)
	if err == nil {
		defaults, err = parseValues(data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return switches{}
	}
	w.mu.Lock()
	w.values, w.defaults = data, defaults
	w.mu.Unlock()
	return newSwitches(md, w.vals, defaults)
}

// early reads one of the chart's own files before its turn. One that .helmignore names is
// not there.
func (w *walker) early(name string) ([]byte, error) {
	if w.rules.Ignore(name, false) {
		return nil, fs.ErrNotExist
	}
	return readFile(w.top, name)
}

// turnedOff reports whether the subchart in a folder of charts/ will be turned off.
func (w *walker) turnedOff(dir string) bool {
	if path.Dir(dir) != DependencyDir || w.vals == nil {
		return false
	}
	if w.switches == nil {
		s := w.earlySwitches()
		w.switches = &s
	}
	if w.switches.deps == nil {
		return false
	}
	data, err := readFile(w.top, path.Join(dir, ChartfileName))
	if err != nil {
		return false
	}
	sub, err := ParseMetadata(data)
	return err == nil && w.switches.off(sub)
}
