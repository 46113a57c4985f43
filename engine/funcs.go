package engine

import (
	"strings"
	"text/template"

	"github.com/seed38700745/pkg/engine/funcs"
)

// ownNames are the functions of templates that package funcs does not have.
const ownNames = "include lookup required tpl"

// known reports whether there is a function of a name, builtin ones aside.
func known(name string) bool {
	switch name {
	case "include", "lookup", "required", "tpl":
		return true
	}
	return funcs.Lookup(name) != nil
}

// functions returns those of a template set by name: what closes over the set or over
// this run, and else what depends on nothing.
func (r *run) functions(set templates) func(name string) any {
	return func(name string) any {
		switch name {
		case "include":
			return r.include(set)
		case "tpl":
			return r.tpl(set)
		case "required":
			return r.required
		case "fail":
			return r.fail
		case "lookup":
			return r.lookup
		case "getHostByName":
			if !r.in.EnableDNS {
				return func(string) string { return "" }
			}
		}
		if f := r.boundedFunc(name); f != nil {
			return f
		}
		if f := r.regexFunc(name); f != nil {
			return f
		}
		return funcs.Lookup(name)
	}
}

// funcMap makes a map of functions by name, as text/template wants it: of all in
// package funcs and of others.
func funcMap(lookup func(name string) any, others string) template.FuncMap {
	m := template.FuncMap{}
	for _, name := range append(funcs.Names(), strings.Fields(others)...) {
		m[name] = lookup(name)
	}
	return m
}
