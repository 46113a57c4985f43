package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"text/template"
	"text/template/parse"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine/internal/chartutil"
)

// How deep templates may nest: one template inside itself by include (Helm's number);
// texts of tpl, and different templates, inside each other, which in Helm ends with
// the stack.
const (
	maxInclude = 1000
	maxTpl     = 1000
	maxNested  = 10000 // includes of different templates inside each other
)

// Marks that Helm puts around the text of required and fail, so that the chain of
// templates around it can be cut from the message.
const (
	failStart = "HELM_ERR_START"
	failEnd   = "HELM_ERR_END"
)

// rootName is the name of the template set; tpl's texts carry it too, and messages
// quote it.
const rootName = "gotpl"

// run is one rendering of one chart tree.
type run struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	in     Input
	active map[string]int // how often a template is on the stack of includes
	depth  int            // includes on the stack
	nested int            // calls of tpl on the stack

	written int64 // bytes, by all templates
	writes  int   // calls of Write
	texts   map[string]*tplText
	funcs   template.FuncMap // of the root set; only names matter to the parser
	files   map[string]renderable
}

// tplText is a parsed argument of tpl.
type tplText struct {
	tree    *parse.Tree // nil: the text has no actions, or must be parsed in a clone
	plain   bool        // the text has no actions and is its own result
	defines bool        // the text defines templates, which must not outlive the call
}

// renderFiles executes every template that is not a partial; the result maps the
// template's path to its text.
func renderFiles(ctx context.Context, in Input, c *chart.Chart, vals map[string]any) (rendered map[string]string, err error) {
	service := in.Release.Service
	if service == "" {
		service = "Helm"
	}
	top := chartutil.Values{
		"Capabilities": in.Capabilities,
		"Values":       chartutil.Values(vals),
		"Release": map[string]any{
			"Name":      in.Release.Name,
			"Namespace": in.Release.Namespace,
			"IsUpgrade": in.Release.IsUpgrade,
			"IsInstall": in.Release.IsInstall,
			"Revision":  in.Release.Revision,
			"Service":   service,
		},
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{ctx: ctx, cancel: cancel, in: in, active: map[string]int{}, texts: map[string]*tplText{}, files: map[string]renderable{}}
	collect(c, top, r.files)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("rendering template failed: %v", p)
		}
	}()
	return r.all(c)
}

func (r *run) all(c *chart.Chart) (map[string]string, error) {
	set := template.New(rootName).Option(r.missingKey())
	r.funcs = r.funcMap(set)
	set.Funcs(r.funcs)
	order := parseOrder(r.files)
	for i, parsed := range r.parseFiles(order) {
		if parsed.err != nil {
			return nil, r.parseError(c, order[i], parsed.err)
		}
		for name, tree := range parsed.trees {
			if _, err := set.AddParseTree(name, tree); err != nil {
				return nil, err
			}
		}
	}
	rendered := make(map[string]string, len(order))
	for _, name := range order {
		if isPartial(name) {
			continue
		}
		if r.ctx.Err() != nil {
			return nil, context.Cause(r.ctx)
		}
		file := r.files[name]
		file.dot["Template"] = chartutil.Values{"Name": name, "BasePath": file.basePath}
		out := writer{run: r}
		if err := set.ExecuteTemplate(&out, name, file.dot); err != nil {
			var limit *LimitError
			if errors.As(context.Cause(r.ctx), &limit) {
				return nil, limit
			}
			return nil, r.execError(c, name, err)
		}
		rendered[name] = withoutNoValue(out.String())
	}
	return rendered, nil
}

// parsedFile is what one file defines, itself included.
type parsedFile struct {
	trees map[string]*parse.Tree
	err   error
}

// parallelText is the size of all templates, in bytes, from which several goroutines
// parse them: below that starting them takes longer.
const parallelText = 32 << 10

// parseFiles parses the files in the given order. Parsing one does not depend on
// another, so that large charts use all processors.
func (r *run) parseFiles(order []string) []parsedFile {
	parsed := make([]parsedFile, len(order))
	size := 0
	for _, name := range order {
		size += len(r.files[name].text)
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
			parsed[i].trees, parsed[i].err = parse.Parse(name, r.files[name].text, "", "", r.funcs, builtins)
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

func (r *run) missingKey() string {
	if r.in.Strict {
		return "missingkey=error"
	}
	return "missingkey=zero"
}

// withoutNoValue removes what text/template prints for a missing value.
func withoutNoValue(s string) string { return strings.ReplaceAll(s, "<no value>", "") }

// funcMap returns the functions of a template set: the shared ones, and those that
// close over the set or over this run.
func (r *run) funcMap(set *template.Template) template.FuncMap {
	m := maps.Clone(sharedFuncs())
	maps.Copy(m, r.setFuncs(set))
	maps.Copy(m, r.boundedFuncs(m))
	m["required"] = r.required
	m["fail"] = r.fail
	m["lookup"] = func(apiVersion, kind, namespace, name string) (map[string]any, error) {
		if r.in.Lookup == nil || r.in.Lint {
			return map[string]any{}, nil
		}
		return r.in.Lookup(apiVersion, kind, namespace, name)
	}
	if !r.in.EnableDNS {
		m["getHostByName"] = func(string) string { return "" }
	}
	return m
}

// setFuncs are the functions that find templates, which a clone must find anew.
func (r *run) setFuncs(set *template.Template) template.FuncMap {
	return template.FuncMap{"include": r.include(set), "tpl": r.tpl(set)}
}

func (r *run) include(set *template.Template) func(string, any) (string, error) {
	return func(name string, data any) (string, error) {
		if r.active[name] > maxInclude || r.depth > maxNested {
			return "", fmt.Errorf("rendering template has a nested reference name: %s: unable to execute template", name)
		}
		if r.ctx.Err() != nil {
			return "", context.Cause(r.ctx)
		}
		r.active[name]++
		r.depth++
		defer func() {
			r.active[name]--
			r.depth--
		}()
		out := writer{run: r}
		err := set.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
}

// tpl renders a text as a template. Helm clones the whole set for each call, so
// that templates the text defines are gone afterwards. Most texts define none: then
// running the parsed text inside the set gives the same, and it is parsed once.
func (r *run) tpl(set *template.Template) func(string, any) (string, error) {
	return func(text string, data any) (string, error) {
		if r.nested >= maxTpl {
			return "", fmt.Errorf("tpl is nested more than %d times: does the text call itself?", maxTpl)
		}
		if r.ctx.Err() != nil {
			return "", context.Cause(r.ctx)
		}
		r.nested++
		defer func() { r.nested-- }()
		t, err := r.parseText(text)
		if err != nil {
			return "", fmt.Errorf("cannot parse template %q: %w", text, err)
		}
		if t.plain {
			return withoutNoValue(text), nil
		}
		var run *template.Template
		if !t.defines {
			run = set.New(rootName)
			run.Tree = t.tree
		} else {
			clone, err := set.Clone()
			if err != nil {
				return "", fmt.Errorf("cannot clone template: %w", err)
			}
			clone.Option(r.missingKey()).Funcs(r.setFuncs(clone))
			if run, err = clone.New(rootName).Parse(text); err != nil {
				return "", fmt.Errorf("cannot parse template %q: %w", text, err)
			}
		}
		out := writer{run: r}
		if err := run.Execute(&out, data); err != nil {
			return "", fmt.Errorf("error during tpl function execution for %q: %w", text, err)
		}
		return withoutNoValue(out.String()), nil
	}
}

func (r *run) parseText(text string) (*tplText, error) {
	if t, ok := r.texts[text]; ok {
		return t, nil
	}
	if !strings.Contains(text, "{{") {
		t := &tplText{plain: true}
		r.texts[text] = t
		return t, nil
	}
	trees, err := parse.Parse(rootName, text, "", "", r.funcs, builtins)
	if err != nil {
		return nil, fmt.Errorf("template: %w", trimTemplatePrefix(err))
	}
	t := &tplText{tree: trees[rootName]}
	t.defines = len(trees) > 1 || t.tree == nil
	r.texts[text] = t
	return t, nil
}

// trimTemplatePrefix undoes the prefix that package parse already puts there.
func trimTemplatePrefix(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "template: "))
}

// builtins are text/template's own functions; the parser wants to know their names
// only.
var builtins = func() map[string]any {
	m := map[string]any{}
	for _, name := range strings.Fields("and call eq ge gt html index js le len lt ne not or print printf println slice urlquery") {
		m[name] = true
	}
	return m
}()

func (r *run) required(text string, v any) (any, error) {
	if v != nil && v != "" {
		return v, nil
	}
	if r.in.Lint {
		r.warn("[INFO] Missing required value: %s", text)
		return "", nil
	}
	return v, errors.New(failStart + text + failEnd)
}

func (r *run) fail(text string) (string, error) {
	if r.in.Lint {
		r.warn("[INFO] Fail: %s", text)
		return "", nil
	}
	return "", errors.New(failStart + text + failEnd)
}

func (r *run) warn(format string, args ...any) {
	if r.in.Warn != nil {
		r.in.Warn(format, args...)
	}
}
