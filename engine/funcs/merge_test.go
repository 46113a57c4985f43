package funcs

import (
	"math/rand"
	"regexp"
	"testing"
	"time"

	"github.com/Masterminds/sprig/v3"

	"github.com/seed38700745/pkg/engine/internal/chartutil"
)

// randomTable is a table of few different keys, with plain values and others.
func randomTable(r *rand.Rand, depth int) map[string]any {
	if r.Intn(20) == 0 {
		return nil
	}
	table := map[string]any{}
	for range r.Intn(5) {
		key := string(rune('a' + r.Intn(4)))
		switch kind := r.Intn(12); {
		case kind < 5 && depth > 0:
			table[key] = randomTable(r, depth-1)
		case kind == 5 && depth > 0:
			table[key] = chartutil.Values(randomTable(r, depth-1))
		case kind < 8:
			plain := []any{nil, "", "x", "y", 0, 7, 0.0, 1.5, false, true, int64(0), int64(2), []any{}, []any{1}, []any(nil), []string{"s"}, []string{}}
			table[key] = plain[r.Intn(len(plain))]
		case kind < 10:
			table[key] = []any{r.Intn(3)}
		default:
			one, zero := 1, 0
			odd := []any{&one, &zero, &point{1, 0, nil}, point{0, 2, nil}, (*point)(nil), map[string]string{"a": "b"}, map[string]string{}, map[int]any{1: 2}, []int{1}, []int{}, [0]int{}, uint8(0), float32(1), complex(0, 0), time.Duration(0), &map[string]any{"p": 1}, func() {}}
			table[key] = odd[r.Intn(len(odd))]
		}
	}
	return table
}

func TestSameMergesAsSprig(t *testing.T) {
	for _, name := range []string{"merge", "mergeOverwrite", "mustMerge", "mustMergeOverwrite"} {
		p, failures := newPair(name), 0
		for seed := range int64(2000) {
			args := func() []any {
				r := rand.New(rand.NewSource(seed))
				args := []any{randomTable(r, 3), randomTable(r, 3)}
				if r.Intn(3) == 0 {
					args = append(args, randomTable(r, 2))
				}
				return args
			}
			// How far a merge comes that fails, and what fails first, is chance.
			failed := regexp.MustCompile(`^(error|string:"")`)
			if got := p.ours.call(args()); failed.MatchString(got) && failed.MatchString(p.sprigs.call(args())) {
				failures++
				continue
			}
			p.compare(t, args)
		}
		if failures > 1000 {
			t.Errorf("%s: %d of 2000 merges fail", name, failures)
		}
	}
	for seed := range int64(500) { // tables that are part of each other
		var results [2]string
		for i, f := range []any{sprig.TxtFuncMap()["merge"], Lookup("merge")} {
			r := rand.New(rand.NewSource(seed))
			inner := map[string]any{"k": map[string]any{"new": 1, "x": ""}, "y": 2}
			dst := map[string]any{"k": inner, "a": randomTable(r, 1)}
			f.(func(map[string]any, ...map[string]any) any)(dst, inner, dst)
			results[i] = shown(dst)
		}
		if results[0] != results[1] {
			t.Fatalf("merge gives %s, sprig %s", results[1], results[0])
		}
	}
}
