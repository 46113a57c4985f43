package engine

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/seed38700745/pkg/engine/gotemplate"
)

// quickTemplates are templates in the hands of package gotemplate. Its errors only
// say that text/template must render everything again.
type quickTemplates struct {
	run    *run
	set    *gotemplate.Set
	parser *gotemplate.Parser
	texts  map[string]*gotemplate.Parsed // of tpl

	changes bool // a template may change what others see
	lane    bool // other goroutines run templates at the same time
}

func newQuickTemplates(r *run, order []string) (*quickTemplates, error) {
	q := &quickTemplates{run: r, texts: map[string]*gotemplate.Parsed{}}
	q.parser = gotemplate.NewParser(known, changing...)
	q.set = gotemplate.New(r.functions(q), r.in.Strict)
	parsed, err := q.parseFiles(order)
	if err != nil {
		return nil, err
	}
	for i, name := range order {
		if err := q.set.Add(name, parsed[i]); err != nil {
			return nil, err
		}
		q.changes = q.changes || parsed[i].Named
	}
	return q, nil
}

// parallelText is the size of all templates, in bytes, from which several goroutines
// parse them: below that starting them takes longer.
const parallelText = 128 << 10

// parseFiles parses the files in the given order. Parsing one does not depend on
// another, so that large charts use all processors. Files with the same content, as
// subcharts that bring the same library have, are parsed once.
func (q *quickTemplates) parseFiles(order []string) ([]*gotemplate.Parsed, error) {
	parsed := make([]*gotemplate.Parsed, len(order))
	failed := make([]error, len(order))
	same := make([]int, len(order)) // the first file with this content
	first := make(map[uint64]int, len(order))
	seed := maphash.MakeSeed()
	var different []int
	size := 0
	for i, name := range order {
		text := q.run.files[name].text
		hash := maphash.Bytes(seed, text)
		if f, ok := first[hash]; ok && bytes.Equal(text, q.run.files[order[f]].text) {
			same[i] = f
			continue
		}
		first[hash], same[i] = i, i
		different = append(different, i)
		size += len(text)
	}
	workers := runtime.GOMAXPROCS(0)
	if size < parallelText {
		workers = 1
	}
	var next atomic.Int64
	work := func() {
		for n := next.Add(1); n <= int64(len(different)); n = next.Add(1) {
			i := different[n-1]
			parsed[i], failed[i] = q.parser.Parse(q.run.files[order[i]].text)
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	for i, f := range same {
		if failed[f] != nil {
			return nil, failed[f]
		}
		parsed[i] = parsed[f]
	}
	return parsed, nil
}

func (q *quickTemplates) execute(out *writer, name string, data any) error {
	return q.set.Execute(out, name, data)
}

// executeText runs a text, parsed once. If it defines templates it runs in a set of
// its own.
func (q *quickTemplates) executeText(out *writer, text string, data any) error {
	parsed, ok := q.texts[text]
	if !ok {
		var err error
		if parsed, err = q.parser.Parse([]byte(text)); err != nil {
			return err
		}
		q.texts[text] = parsed
	}
	if q.lane && (parsed.Named || seesOthers([]byte(text))) {
		return fmt.Errorf("%w: tpl changes what others see", gotemplate.ErrRefused)
	}
	if len(parsed.Defines) == 0 {
		return q.set.ExecuteTree(out, parsed.Root, data)
	}
	clone := &quickTemplates{run: q.run, parser: q.parser, texts: q.texts, lane: q.lane}
	clone.set = q.set.Clone(q.run.functions(clone))
	if err := clone.set.Add(rootName, parsed); err != nil {
		return err
	}
	return clone.set.ExecuteTree(out, parsed.Root, data)
}
