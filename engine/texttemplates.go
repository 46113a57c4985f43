package engine

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"text/template"
	"text/template/parse"

	"github.com/seed38700745/pkg/chart"
)

// rootName is the name of the template set; tpl's texts carry it too, and messages
// quote it.
const rootName = "gotpl"

// textTemplates are templates in the hands of text/template.
type textTemplates struct {
	run   *run
	set   *template.Template
	funcs template.FuncMap // of the root set; only names matter to the parser
	texts map[string]*parsedText
}

// parsedText is a parsed argument of tpl.
type parsedText struct {
	tree    *parse.Tree
	defines bool // the text defines templates, which must not outlive the call
}

func newTextTemplates(r *run, c *chart.Chart, order []string) (*textTemplates, error) {
	t := &textTemplates{run: r, set: template.New(rootName).Option(r.missingKey()), texts: map[string]*parsedText{}}
	t.funcs = funcMap(r.functions(t), ownNames+" "+boundedNames)
	t.set.Funcs(t.funcs)
	for _, name := range order {
		trees, err := parse.Parse(name, string(r.files[name].text), "", "", t.funcs, builtins())
		if err != nil {
			return nil, r.parseError(c, name, err)
		}
		for name, tree := range trees {
			if _, err := t.set.AddParseTree(name, tree); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

func (r *run) missingKey() string {
	if r.in.Strict {
		return "missingkey=error"
	}
	return "missingkey=zero"
}

func (t *textTemplates) execute(out *writer, name string, data any) error {
	return t.set.ExecuteTemplate(out, name, data)
}

// executeText runs a text. Helm clones the whole set for each call, so that templates
// the text defines are gone afterwards. Most texts define none: then running the
// parsed text inside the set gives the same, and it is parsed once.
func (t *textTemplates) executeText(out *writer, text string, data any) error {
	parsed, err := t.parseText(text)
	if err != nil {
		return fmt.Errorf("cannot parse template %q: %w", text, err)
	}
	var run *template.Template
	if !parsed.defines {
		run = t.set.New(rootName)
		run.Tree = parsed.tree
	} else {
		set, err := t.set.Clone()
		if err != nil {
			return fmt.Errorf("cannot clone template: %w", err)
		}
		clone := &textTemplates{run: t.run, set: set, funcs: t.funcs, texts: t.texts}
		set.Option(t.run.missingKey()).Funcs(template.FuncMap{"include": t.run.include(clone), "tpl": t.run.tpl(clone)})
		if run, err = set.New(rootName).Parse(text); err != nil {
			return fmt.Errorf("cannot parse template %q: %w", text, err)
		}
	}
	if err := run.Execute(out, data); err != nil {
		return fmt.Errorf("error during tpl function execution for %q: %w", text, err)
	}
	return nil
}

func (t *textTemplates) parseText(text string) (*parsedText, error) {
	if parsed, ok := t.texts[text]; ok {
		return parsed, nil
	}
	trees, err := parse.Parse(rootName, text, "", "", t.funcs, builtins())
	if err != nil {
		return nil, fmt.Errorf("template: %w", trimTemplatePrefix(err))
	}
	parsed := &parsedText{tree: trees[rootName]}
	parsed.defines = len(trees) > 1 || parsed.tree == nil
	t.texts[text] = parsed
	return parsed, nil
}

// trimTemplatePrefix undoes the prefix that package parse already puts there.
func trimTemplatePrefix(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "template: "))
}

// builtins are text/template's own functions; the parser wants to know their names
// only.
var builtins = sync.OnceValue(func() map[string]any {
	m := map[string]any{}
	for _, name := range strings.Fields("and call eq ge gt html index js le len lt ne not or print printf println slice urlquery") {
		m[name] = true
	}
	return m
})
