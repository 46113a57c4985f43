// Package gotemplate runs Go's templates on the values of charts several times
// faster than text/template does, with the same output.
//
// It walks the parse trees of text/template/parse, but passes values on as any where
// text/template passes reflect.Value, and calls functions of common types directly.
// What it does not know exactly, and every failure, it refuses: the caller then
// renders again with text/template, which also words the errors. So there is one
// rule to keep: what is accepted gives text/template's output. The tests and the
// fuzz target compare the two.
//
// Values: nil is text/template's invalid value (a variable that holds nothing),
// [null] a nil that lies in a map or a list, which functions take differently, and
// [ref] a value whose methods need its address. All others are what they are.
package gotemplate

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"text/template/parse"

	"github.com/seed38700745/pkg/engine/internal/endless"
)

// ErrRefused says that text/template must render this; the output so far is void.
var ErrRefused = errors.New("not for the quick template engine")

// Output receives what templates print.
type Output interface {
	io.Writer
	io.StringWriter
}

// Set is a set of templates that may call each other, with their functions. It runs
// one template at a time; functions may run templates of the same set meanwhile.
type Set struct {
	templates map[string]*parse.ListNode
	funcs     func(string) any     // as given
	known     map[string]*function // those of funcs and of the builtin ones that were used
	members   map[memberKey]member // names that were looked up
	strict    bool                 // a missing key is an error
	idle      []*state             // for the next executions
}

// New returns an empty set. Funcs returns a function by its name, nil when there is
// none, and is asked once for each; functions hide builtin ones of the same name and
// must be what text/template accepts. Strict is its option missingkey=error, otherwise
// missingkey=zero holds.
func New(funcs func(name string) any, strict bool) *Set {
	return &Set{
		templates: map[string]*parse.ListNode{},
		funcs:     funcs,
		known:     make(map[string]*function, 64),
		members:   map[memberKey]member{},
		strict:    strict,
	}
}

// Clone returns a set with the same templates, to which others can be added, and with
// functions of its own.
func (s *Set) Clone(funcs func(name string) any) *Set {
	out := New(funcs, s.strict)
	maps.Copy(out.templates, s.templates)
	return out
}

// Share returns a set of the very same templates with functions of its own, for
// another goroutine. To neither may templates be added then.
func (s *Set) Share(funcs func(name string) any) *Set {
	out := New(funcs, s.strict)
	out.templates = s.templates
	return out
}

// Add takes in a file and what it defines. What was there under the same names goes,
// but an empty template does not replace another.
func (s *Set) Add(name string, file *Parsed) error {
	if own := file.Defines[name]; own != nil && !parse.IsEmptyTree(own) && !parse.IsEmptyTree(file.Root) {
		return refusal{"file defines itself", nil}
	}
	for define, root := range file.Defines {
		s.add(define, root)
	}
	s.add(name, file.Root)
	return nil
}

func (s *Set) add(name string, root *parse.ListNode) {
	if s.templates[name] != nil && parse.IsEmptyTree(root) {
		return
	}
	s.templates[name] = root
}

// Execute runs a template of the set. Any error wraps ErrRefused.
func (s *Set) Execute(out Output, name string, data any) error {
	root := s.templates[name]
	if root == nil {
		return refusal{"no template " + name, nil}
	}
	return s.ExecuteTree(out, root, data)
}

// ExecuteTree runs a template that is not part of the set but may call those that
// are.
func (s *Set) ExecuteTree(out Output, root *parse.ListNode, data any) (err error) {
	st := s.newState(out, data)
	defer func() {
		switch r := recover().(type) {
		case nil:
			s.idle = append(s.idle, st)
		case refusal:
			err = r
		case error:
			err = refusal{r.Error(), r} // a function panicked
		default:
			err = refusal{"panic in a function", nil}
		}
	}()
	st.list(data, root)
	return nil
}

// ErrEndless is wrapped by the refusal to print a value that contains itself. Nobody else
// should try to.
var ErrEndless = fmt.Errorf("cannot print a value: %w", endless.Err)

// refusal is the panic that ends an execution, and its error.
type refusal struct {
	why   string
	cause error // of a function, or nil
}

// Error says why, for those who look into it: users see text/template's error.
func (r refusal) Error() string { return ErrRefused.Error() + ": " + r.why }

// Is makes every refusal ErrRefused.
func (r refusal) Is(target error) bool { return target == ErrRefused }

// Unwrap is the error of the function that failed, if one did.
func (r refusal) Unwrap() error { return r.cause }

func refuse(why string) { panic(refusal{why, nil}) }

// failed refuses what a function returned an error for.
func failed(err error) { panic(refusal{err.Error(), err}) }

// state is one execution of one template.
type state struct {
	set   *Set
	out   Output
	vars  []variable // a stack; the last of a name counts
	args  []any      // a stack of evaluated arguments, those of nested calls behind
	depth int        // of {{template}} inside each other
}

type variable struct {
	name  string
	value any
}

func (s *Set) newState(out Output, data any) *state {
	var st *state
	if n := len(s.idle); n > 0 {
		st, s.idle = s.idle[n-1], s.idle[:n-1]
	} else {
		st = &state{set: s}
	}
	st.out = out
	st.vars = append(st.vars[:0], variable{"$", data})
	st.args = st.args[:0]
	return st
}

func (s *state) variable(name string) *variable {
	for i := len(s.vars) - 1; i >= 0; i-- {
		if s.vars[i].name == name {
			return &s.vars[i]
		}
	}
	refuse("undefined variable")
	return nil
}
