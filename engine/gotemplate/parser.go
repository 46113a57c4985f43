package gotemplate

import (
	"maps"
	"text/template/parse"
)

// Trees are the templates that a text defines, itself included.
type Trees map[string]*parse.ListNode

// Parser parses templates. It may be used by several goroutines.
type Parser struct {
	funcs map[string]any // only names matter
}

// builtins are text/template's own functions.
var builtins = [...]string{
	"and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not",
	"or", "print", "printf", "println", "slice", "urlquery",
}

// NewParser returns a parser that knows the functions given and the builtin ones.
func NewParser(funcs map[string]any) *Parser {
	all := maps.Clone(funcs)
	for _, name := range builtins {
		if _, ok := all[name]; !ok {
			all[name] = true
		}
	}
	return &Parser{funcs: all}
}

// Parse parses a text. Any error wraps ErrRefused.
func (p *Parser) Parse(name, text string) (Trees, error) {
	parsed, err := parse.Parse(name, text, "", "", p.funcs)
	if err != nil {
		return nil, refusal{err.Error()}
	}
	trees := make(Trees, len(parsed))
	for name, tree := range parsed {
		trees[name] = tree.Root
	}
	return trees, nil
}
