package engine

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"regexp"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine/gotemplate"
)

// Templates see each other's changes to the values, and so run in order. Those of
// most large charts change nothing: then their order is of no matter, and they run in
// several lanes, each with functions, counters and caches of its own.

// changing are the functions that change an argument: a table of the values, perhaps.
var changing = []string{"set", "unset", "merge", "mustMerge", "mergeOverwrite", "mustMergeOverwrite"}

// seesOthers reports whether a text may see which template of another chart ran last
// (.Subcharts.x.Template), or sort the metadata's lists in place.
func seesOthers(text []byte) bool {
	return bytes.Contains(text, []byte("Subcharts")) || bytes.Contains(text, []byte("Keywords")) || bytes.Contains(text, []byte("Sources"))
}

// parallelTemplates is the number of files from which lanes pay.
const parallelTemplates = 64

// lanes is in how many lanes the templates may run.
func (q *quickTemplates) lanes(order []string) int {
	lanes := runtime.GOMAXPROCS(0)
	if lanes < 2 || len(order) < parallelTemplates || q.changes || q.run.in.Lint || q.run.in.Lookup != nil {
		return 1
	}
	for _, name := range order {
		if seesOthers(q.run.files[name].text) {
			return 1
		}
	}
	return lanes
}

// newLane is a rendering of the same files beside q's.
func (q *quickTemplates) newLane() *quickTemplates {
	r := *q.run
	r.active = map[string]int{}
	r.regexes = map[string]*regexp.Regexp{}
	lane := &quickTemplates{run: &r, parser: q.parser, texts: map[string]*gotemplate.Parsed{}, lane: true}
	lane.set = q.set.Share(r.functions(lane))
	return lane
}

// allInLanes executes all templates. What they write is bounded for each lane, and
// for all of them together in the end.
func (q *quickTemplates) allInLanes(order []string, docs *documents, lanes int) (map[string]string, error) {
	texts := make([]string, len(order))
	failed := make([]error, lanes)
	written := make([]int64, lanes)
	var next atomic.Int64
	var stop atomic.Bool
	work := func(n int) {
		lane := q.newLane()
		for i := next.Add(1) - 1; i < int64(len(order)) && !stop.Load(); i = next.Add(1) - 1 {
			if name := order[i]; !isPartial(name) {
				if texts[i], failed[n] = lane.file(name); failed[n] != nil {
					stop.Store(true)
					break
				}
				docs.add(name, texts[i])
			}
		}
		written[n] = lane.run.written
	}
	var wg sync.WaitGroup
	for n := range lanes {
		wg.Go(func() { work(n) })
	}
	wg.Wait()
	r := q.run
	for _, err := range failed {
		if errors.Is(err, chart.ErrElsewhere) {
			return nil, err // whatever the other lanes met
		}
	}
	for n, err := range failed {
		r.written += written[n]
		var limit *LimitError
		switch {
		case errors.As(context.Cause(r.ctx), &limit):
			return nil, limit
		case err != nil:
			return nil, err
		}
	}
	if limit := r.in.Limits.Output; limit > 0 && r.written > limit {
		return nil, (&writer{run: r}).count(0)
	}
	rendered := make(map[string]string, len(order))
	for i, name := range order {
		if !isPartial(name) {
			rendered[name] = texts[i]
		}
	}
	return rendered, nil
}

// file executes the template of a file.
func (q *quickTemplates) file(name string) (string, error) {
	if q.run.ctx.Err() != nil {
		return "", context.Cause(q.run.ctx)
	}
	file := q.run.files[name]
	dot := maps.Clone(file.dot)
	dot["Template"] = file.template(name)
	out := writer{run: q.run}
	err := q.execute(&out, name, dot)
	return withoutNoValue(out.String()), err
}
