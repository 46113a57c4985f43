package engine

import (
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
	texts  map[string]gotemplate.Trees // of tpl
}

func newQuickTemplates(r *run, order []string) (*quickTemplates, error) {
	q := &quickTemplates{run: r, texts: map[string]gotemplate.Trees{}}
	funcs := r.funcMap(q)
	q.parser = gotemplate.NewParser(funcs)
	q.set = gotemplate.New(funcs, r.in.Strict)
	for _, parsed := range q.parseFiles(order) {
		if parsed.err != nil {
			return nil, parsed.err
		}
		q.add(parsed.trees)
	}
	return q, nil
}

func (q *quickTemplates) add(trees gotemplate.Trees) {
	for name, root := range trees {
		q.set.Add(name, root)
	}
}

// parsedFile is what one file defines, itself included.
type parsedFile struct {
	trees gotemplate.Trees
	err   error
}

// parallelText is the size of all templates, in bytes, from which several goroutines
// parse them: below that starting them takes longer.
const parallelText = 64 << 10

// parseFiles parses the files in the given order. Parsing one does not depend on
// another, so that large charts use all processors.
func (q *quickTemplates) parseFiles(order []string) []parsedFile {
	parsed := make([]parsedFile, len(order))
	size := 0
	for _, name := range order {
		size += len(q.run.files[name].text)
	}
	workers := runtime.GOMAXPROCS(0)
	if size < parallelText {
		workers = 1
	}
	var next atomic.Int64
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(order) {
				return
			}
			name := order[i]
			parsed[i].trees, parsed[i].err = q.parser.Parse(name, q.run.files[name].text)
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	return parsed
}

func (q *quickTemplates) execute(out *writer, name string, data any) error {
	return q.set.Execute(out, name, data)
}

// executeText runs a text, parsed once. If it defines templates it runs in a set of
// its own.
func (q *quickTemplates) executeText(out *writer, text string, data any) error {
	trees, ok := q.texts[text]
	if !ok {
		var err error
		if trees, err = q.parser.Parse(rootName, text); err != nil {
			return err
		}
		q.texts[text] = trees
	}
	if len(trees) == 1 {
		return q.set.ExecuteTree(out, trees[rootName], data)
	}
	clone := &quickTemplates{run: q.run, parser: q.parser, texts: q.texts}
	clone.set = q.set.Clone(q.run.setFuncs(clone))
	clone.add(trees)
	return clone.set.ExecuteTree(out, trees[rootName], data)
}
