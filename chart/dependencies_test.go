package chart

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestProcessDependenciesShortcut compares, for charts made at random, the values that
// ProcessDependencies returns, and what it says, with those of Helm's longer way.
func TestProcessDependenciesShortcut(t *testing.T) {
	short := 0
	for seed := range uint64(10000) {
		r := maker{rand.New(rand.NewPCG(seed, 1))}
		c := r.chart("top", 2)
		vals := r.values(c, 0)
		process := func(way func(*Chart, map[string]any, Warn) (map[string]any, error)) (string, map[string]any) {
			var said []string
			got, err := way(Clone(c), vals, func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
			slices.Sort(said) // tables are walked in any order
			return fmt.Sprintf("error %v, said %q", err, said), got
		}
		wantSaid, want := process(func(c *Chart, vals map[string]any, warn Warn) (map[string]any, error) {
			e := enabler{warn: warn}
			if err := e.enable(c, vals, ""); err != nil {
				return nil, err
			}
			if !e.clashed && isPlainTable(vals, true) && importsNothing(c) {
				short++
			}
			return importAndCoalesce(c, vals, warn)
		})
		gotSaid, got := process(ProcessDependencies)
		if diff := cmp.Diff(want, got); diff != "" || gotSaid != wantSaid {
			t.Fatalf("seed %d: %s, want %s; values (-want +got):\n%s\nof %s", seed, gotSaid, wantSaid, diff, describe(c, vals))
		}
	}
	if short < 1000 {
		t.Errorf("only %d of the charts were fit for the shortcut", short)
	}
}

// describe prints a chart tree's values.
func describe(c *Chart, vals map[string]any) string {
	var b strings.Builder
	fmt.Fprintf(&b, "user %v\n", vals)
	var walk func(*Chart)
	walk = func(c *Chart) {
		fmt.Fprintf(&b, "%s %v\n", c.ChartFullPath(), c.Values)
		for _, d := range c.Metadata.Dependencies {
			fmt.Fprintf(&b, "  %+v\n", *d)
		}
		for _, sub := range c.Dependencies() {
			walk(sub)
		}
	}
	walk(c)
	return b.String()
}

// maker makes small charts with few keys, so that values of different charts meet.
type maker struct{ *rand.Rand }

func (r maker) one(in int) bool { return r.IntN(in) == 0 }

func (r maker) chart(name string, depth int) *Chart {
	c := &Chart{Metadata: &Metadata{APIVersion: "v2", Name: name, Version: "1.0.0"}}
	if depth > 0 {
		for i := range r.IntN(3) {
			sub := r.chart(fmt.Sprintf("%s%d", name, i), depth-1)
			c.AddDependency(sub)
			if r.one(4) {
				continue
			}
			d := &Dependency{Name: sub.Name(), Version: "1.x"}
			switch r.IntN(8) {
			case 0:
				d.Alias = name + "alias"
			case 1, 2:
				d.Condition = sub.Name() + ".a,a"
			case 3:
				d.Condition = "global.a"
			case 4:
				d.Tags = []string{"a"}
			}
			c.Metadata.Dependencies = append(c.Metadata.Dependencies, d)
		}
	}
	c.Values = r.values(c, 0)
	return c
}

// values are some for a chart: for itself, and for those below.
func (r maker) values(c *Chart, depth int) map[string]any {
	out := r.table(depth)
	if r.one(2) {
		out[GlobalKey] = r.table(depth)
	}
	if r.one(20) {
		out["tags"] = map[string]any{"a": r.one(2)}
	}
	for _, sub := range c.Dependencies() {
		switch {
		case r.one(3):
			out[sub.Name()] = r.values(sub, depth+1)
		case r.one(80):
			out[sub.Name()] = "no table"
		}
	}
	return out
}

// table has tables under t and s, seldom something else, and other things under a to c.
func (r maker) table(depth int) map[string]any {
	out := map[string]any{}
	for _, key := range []string{"a", "b", "c", "t", "s"} {
		switch n := r.IntN(60); {
		case n > 30:
		case n == 0:
			out[key] = nil
		case (key >= "s") != (n == 1):
			if depth < 3 {
				out[key] = r.table(depth + 1)
			}
		case key == "a":
			out[key] = n%2 == 0
		default:
			out[key] = float64(n)
		}
	}
	return out
}

// TestDeepGlobalsTakeTheLongWay: tables three levels into the globals are the same for
// all charts, so that a subchart's default gets to its parent, and wins over the user.
func TestDeepGlobalsTakeTheLongWay(t *testing.T) {
	deep := func(key string, v any) map[string]any {
		return map[string]any{GlobalKey: map[string]any{"t": map[string]any{"deep": map[string]any{key: v}}}}
	}
	c := &Chart{Metadata: &Metadata{APIVersion: "v2", Name: "top", Version: "1.0.0", Dependencies: []*Dependency{{Name: "sub", Version: "1.x"}}}}
	c.Values = deep("parent", true)
	sub := &Chart{Metadata: &Metadata{APIVersion: "v2", Name: "sub", Version: "1.0.0"}}
	sub.Values = deep("key", "default")
	c.AddDependency(sub)
	got, err := ProcessDependencies(c, map[string]any{"sub": deep("key", "user")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := PathValue(got, "sub.global.t.deep.key"); v != "default" {
		t.Errorf("got %v, want Helm's %q", v, "default")
	}
}
