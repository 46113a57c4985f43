package gotemplate

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"text/template"
	"text/template/parse"

	"github.com/seed38700745/pkg/engine/internal/endless"
)

// jump is how a list of nodes ended: at its end, or at break or continue.
type jump int

const (
	noJump jump = iota
	jumpBreak
	jumpContinue
)

// maxDepth is how deep {{template}} may nest here; text/template allows more.
const maxDepth = 1000

func (s *state) list(dot any, list *parse.ListNode) jump {
	for _, node := range list.Nodes {
		if j := s.node(dot, node); j != noJump {
			return j
		}
	}
	return noJump
}

func (s *state) node(dot any, node parse.Node) jump {
	switch node := node.(type) {
	case *parse.TextNode:
		if _, err := s.out.Write(node.Text); err != nil {
			refuse(err.Error())
		}
	case *parse.ActionNode:
		v := s.pipeline(dot, node.Pipe)
		if len(node.Pipe.Decl) == 0 {
			s.print(v)
		}
	case *parse.IfNode:
		return s.branch(dot, &node.BranchNode, false)
	case *parse.WithNode:
		return s.branch(dot, &node.BranchNode, true)
	case *parse.RangeNode:
		return s.rangeOver(dot, node)
	case *parse.TemplateNode:
		s.template(dot, node)
	case *parse.ListNode:
		return s.list(dot, node)
	case *parse.CommentNode:
	case *parse.BreakNode:
		return jumpBreak
	case *parse.ContinueNode:
		return jumpContinue
	default:
		refuse("unknown node")
	}
	return noJump
}

// template runs another template, which sees none of the variables here.
func (s *state) template(dot any, node *parse.TemplateNode) {
	root := s.set.templates[node.Name]
	if root == nil || s.depth == maxDepth {
		refuse("template " + node.Name)
	}
	if node.Pipe != nil {
		dot = s.pipeline(dot, node.Pipe)
	} else {
		dot = nil
	}
	inner := s.set.newState(s.out, dot)
	inner.depth = s.depth + 1
	inner.list(dot, root)
	inner.depth = 0
	s.set.idle = append(s.set.idle, inner)
}

func (s *state) rangeOver(dot any, node *parse.RangeNode) jump {
	mark := len(s.vars)
	over := plainValue(s.pipeline(dot, node.Pipe))
	loop := loop{state: s, node: node, mark: len(s.vars)}
	switch over := over.(type) {
	case nil:
	case []any:
		for i, elem := range over {
			if loop.once(i, boxed(elem)) {
				break
			}
		}
	case map[string]any:
		loop.table(over)
	case int:
		loop.numbers(int64(over), func(i int64) any { return int(i) })
	case int64:
		loop.numbers(over, func(i int64) any { return i })
	default:
		loop.reflected(reflect.ValueOf(over))
	}
	j := noJump
	if !loop.ran && node.ElseList != nil {
		j = s.list(dot, node.ElseList)
	}
	s.vars = s.vars[:mark]
	return j
}

// loop is one execution of a range.
type loop struct {
	state *state
	node  *parse.RangeNode
	mark  int // of variables, without those of the body
	ran   bool
}

// once runs the body; true ends the loop. Elem is dot.
func (l *loop) once(index, elem any) bool {
	s, decl := l.state, l.node.Pipe.Decl
	l.ran = true
	switch {
	case len(decl) == 0:
	case l.node.Pipe.IsAssign && len(decl) == 1:
		s.variable(decl[0].Ident[0]).value = elem
	case l.node.Pipe.IsAssign:
		s.variable(decl[0].Ident[0]).value = index
		s.variable(decl[1].Ident[0]).value = elem
	default: // the first declared lies deepest
		s.vars[len(s.vars)-1].value = elem
		if len(decl) > 1 {
			s.vars[len(s.vars)-2].value = index
		}
	}
	j := s.list(elem, l.node.List)
	s.vars = s.vars[:l.mark]
	return j == jumpBreak
}

// numbers runs the body for the numbers below one; none below 0.
func (l *loop) numbers(below int64, typed func(int64) any) {
	if len(l.node.Pipe.Decl) > 1 {
		refuse("range over a number with two variables")
	}
	for i := range below {
		if l.once(nil, typed(i)) {
			return
		}
	}
}

// table runs the body for each entry, by key. What the body changes in the table is
// not seen by the loop.
func (l *loop) table(m map[string]any) {
	keys := slices.Sorted(maps.Keys(m))
	values := make([]any, len(keys))
	for i, key := range keys {
		values[i] = boxed(m[key])
	}
	for i, key := range keys {
		if l.once(key, values[i]) {
			return
		}
	}
}

// reflected ranges over slices, arrays and maps with text keys of any other type.
func (l *loop) reflected(v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if l.once(i, fromReflect(v.Index(i))) {
				return
			}
		}
	case reflect.Map:
		if v.Type().Key().Kind() != reflect.String {
			refuse("range over " + v.Type().String())
		}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int {
			if a.String() < b.String() {
				return -1
			}
			return 1
		})
		values := make([]any, len(keys))
		for i, key := range keys {
			values[i] = fromReflect(v.MapIndex(key))
		}
		for i, key := range keys {
			if l.once(fromReflect(key), values[i]) {
				return
			}
		}
	default:
		refuse("range over " + v.Type().String())
	}
}

// branch runs an if, or a with, whose list has the condition as its dot.
func (s *state) branch(dot any, node *parse.BranchNode, with bool) jump {
	mark := len(s.vars)
	v := s.pipeline(dot, node.Pipe)
	j := noJump
	switch {
	case truth(v) && with:
		j = s.list(v, node.List)
	case truth(v):
		j = s.list(dot, node.List)
	case node.ElseList != nil:
		j = s.list(dot, node.ElseList)
	}
	s.vars = s.vars[:mark]
	return j
}

// truth is what if and with decide by.
func truth(v any) bool {
	switch v := v.(type) {
	case nil, null:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case map[string]any:
		return len(v) > 0
	case []any:
		return len(v) > 0
	case int:
		return v != 0
	case int64:
		return v != 0
	case float64:
		return v != 0
	case ref:
		return truth(v.Interface())
	}
	is, ok := template.IsTrue(v)
	if !ok {
		refuse("no truth")
	}
	return is
}

func (s *state) print(v any) {
	var err error
	switch v := v.(type) {
	case nil:
		_, err = s.out.WriteString("<no value>")
	case string:
		_, err = s.out.WriteString(v)
	case int:
		_, err = s.out.WriteString(strconv.Itoa(v))
	case int64:
		_, err = s.out.WriteString(strconv.FormatInt(v, 10))
	case bool:
		_, err = s.out.WriteString(strconv.FormatBool(v))
	case float64:
		_, err = fmt.Fprint(s.out, v)
	case ref:
		if text, ok := v.Addr().Interface().(fmt.Stringer); ok {
			_, err = fmt.Fprint(s.out, text)
		} else {
			_, err = fmt.Fprint(s.out, v.Interface())
		}
	default:
		switch reflect.TypeOf(v).Kind() {
		case reflect.Pointer, reflect.Func, reflect.Chan:
			refuse("printing a pointer")
		}
		if endless.Check(v) != nil {
			failed(ErrEndless)
		}
		_, err = fmt.Fprint(s.out, v)
	}
	if err != nil {
		refuse(err.Error())
	}
}
