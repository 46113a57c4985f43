package engine

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine/gotemplate"
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
	files   map[string]renderable
	regexes map[string]*regexp.Regexp
}

// templates are all templates of a chart tree, parsed: by the quick engine, or by
// text/template, which knows everything and words the errors.
type templates interface {
	// execute runs a template by its name.
	execute(out *writer, name string, data any) error
	// executeText runs a text as a template, for tpl. Templates that the text defines
	// are gone afterwards.
	executeText(out *writer, text string, data any) error
}

// renderFiles executes every template that is not a partial; the result maps the
// template's path to its text, and docs gets each at once. With valid it is done by the quick engine, which may
// refuse with gotemplate.ErrRefused: then vals may have been changed by templates. No template runs before valid
// has returned, whose error comes before those of parsing.
func renderFiles(ctx context.Context, in Input, c *chart.Chart, vals map[string]any, docs *documents, valid func() error) (rendered map[string]string, err error) {
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
	r := &run{ctx: ctx, cancel: cancel, in: in, active: map[string]int{}, files: map[string]renderable{}, regexes: map[string]*regexp.Regexp{}}
	collect(c, top, r.files)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("rendering template failed: %v", p)
		}
	}()
	order := parseOrder(r.files)
	if valid == nil {
		set, err := newTextTemplates(r, c, order)
		if err != nil {
			return nil, err
		}
		return r.all(c, set, order, docs)
	}
	set, err := newQuickTemplates(r, order)
	if invalid := valid(); invalid != nil {
		return nil, invalid
	}
	if err != nil {
		return nil, err
	}
	if lanes := set.lanes(order); lanes > 1 {
		return set.allInLanes(order, docs, lanes)
	}
	return r.all(c, set, order, docs)
}

// all executes the templates one after another.
func (r *run) all(c *chart.Chart, set templates, order []string, docs *documents) (map[string]string, error) {
	rendered := make(map[string]string, len(order))
	for _, name := range order {
		if isPartial(name) {
			continue
		}
		if r.ctx.Err() != nil {
			return nil, context.Cause(r.ctx)
		}
		file := r.files[name]
		file.dot["Template"] = file.template(name)
		out := writer{run: r}
		if err := set.execute(&out, name, file.dot); err != nil {
			if errors.Is(err, chart.ErrElsewhere) {
				return nil, err
			}
			var limit *LimitError
			if errors.As(context.Cause(r.ctx), &limit) {
				return nil, limit
			}
			if errors.Is(err, gotemplate.ErrEndless) {
				return nil, &TemplateError{Message: fmt.Sprintf("template: %s: %s", name, gotemplate.ErrEndless), File: name}
			}
			if errors.Is(err, gotemplate.ErrRefused) {
				return nil, err
			}
			return nil, r.execError(c, name, err)
		}
		rendered[name] = withoutNoValue(out.String())
		docs.add(name, rendered[name])
	}
	return rendered, nil
}

// template is what the file of a name sees as .Template.
func (f *renderable) template(name string) chartutil.Values {
	return chartutil.Values{"Name": name, "BasePath": f.basePath}
}

// withoutNoValue removes what text/template prints for a missing value.
func withoutNoValue(s string) string { return strings.ReplaceAll(s, "<no value>", "") }

func (r *run) include(set templates) func(string, any) (string, error) {
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
		err := set.execute(&out, name, data)
		return out.String(), err
	}
}

func (r *run) lookup(apiVersion, kind, namespace, name string) (map[string]any, error) {
	if r.in.Lookup == nil || r.in.Lint {
		return map[string]any{}, nil
	}
	return r.in.Lookup(apiVersion, kind, namespace, name)
}

// tpl renders a text as a template.
func (r *run) tpl(set templates) func(string, any) (string, error) {
	return func(text string, data any) (string, error) {
		if r.nested >= maxTpl {
			return "", fmt.Errorf("tpl is nested more than %d times: does the text call itself?", maxTpl)
		}
		if r.ctx.Err() != nil {
			return "", context.Cause(r.ctx)
		}
		if !strings.Contains(text, "{{") {
			return withoutNoValue(text), nil
		}
		r.nested++
		defer func() { r.nested-- }()
		out := writer{run: r}
		if err := set.executeText(&out, text, data); err != nil {
			return "", err
		}
		return withoutNoValue(out.String()), nil
	}
}

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
