package gotemplate

import (
	"reflect"
	"strings"
	"text/template/parse"

	"github.com/seed38700745/pkg/engine/internal/chartutil"
)

// none is the argument that a command gets which is the first of its pipeline.
var none any = new(struct{ byte })

// pipeline evaluates a pipeline and declares or sets its variables.
func (s *state) pipeline(dot any, pipe *parse.PipeNode) any {
	value := none
	for _, cmd := range pipe.Cmds {
		value = unboxed(s.command(dot, cmd, value))
	}
	for _, v := range pipe.Decl {
		if pipe.IsAssign {
			s.variable(v.Ident[0]).value = value
		} else {
			s.vars = append(s.vars, variable{v.Ident[0], value})
		}
	}
	return value
}

// command evaluates one command of a pipeline; final is the value that the command
// before it gave, or none.
func (s *state) command(dot any, cmd *parse.CommandNode, final any) any {
	switch first := cmd.Args[0].(type) {
	case *parse.IdentifierNode:
		return s.function(dot, first, cmd.Args[1:], final)
	case *parse.FieldNode:
		return s.chain(dot, dot, first.Ident, cmd.Args[1:], final)
	case *parse.VariableNode:
		v := s.variable(first.Ident[0]).value
		if len(first.Ident) > 1 {
			return s.chain(dot, v, first.Ident[1:], cmd.Args[1:], final)
		}
		noArgs(cmd.Args[1:], final)
		return v
	case *parse.PipeNode:
		noArgs(cmd.Args[1:], final)
		return s.pipeline(dot, first)
	case *parse.ChainNode:
		return s.chain(dot, s.operand(dot, first.Node), first.Field, cmd.Args[1:], final)
	default:
		noArgs(cmd.Args[1:], final)
		if _, isNil := first.(*parse.NilNode); isNil {
			refuse("nil is not a command")
		}
		return s.operand(dot, first)
	}
}

// noArgs refuses arguments to what is not a function.
func noArgs(args []parse.Node, final any) {
	if len(args) > 0 || final != none {
		refuse("argument to what is no function")
	}
}

// operand evaluates a node that is an argument of unknown type, or stands before the
// fields of a chain. Nil is not one.
func (s *state) operand(dot any, node parse.Node) any {
	switch node := node.(type) {
	case *parse.DotNode:
		return dot
	case *parse.FieldNode:
		return s.chain(dot, dot, node.Ident, nil, none)
	case *parse.VariableNode:
		v := s.variable(node.Ident[0]).value
		if len(node.Ident) > 1 {
			return s.chain(dot, v, node.Ident[1:], nil, none)
		}
		return v
	case *parse.PipeNode:
		return s.pipeline(dot, node)
	case *parse.IdentifierNode:
		return s.function(dot, node, nil, none)
	case *parse.ChainNode:
		return s.chain(dot, s.operand(dot, node.Node), node.Field, nil, none)
	case *parse.StringNode:
		return node.Text
	case *parse.NumberNode:
		return number(node)
	case *parse.BoolNode:
		return node.True
	}
	refuse("unknown operand")
	return nil
}

// number is a constant whose type nothing but its text tells.
func number(n *parse.NumberNode) any {
	text := n.Text
	hex := strings.HasPrefix(text, "0x") || strings.HasPrefix(text, "0X")
	switch {
	case n.IsComplex || text == "":
		refuse("complex number")
	case n.IsFloat && text[0] != '\'' && !hex && strings.ContainsAny(text, ".eEpP"):
		return n.Float64
	case hex && strings.ContainsAny(text, "pP"):
		return n.Float64
	case n.IsInt:
		return int(n.Int64)
	}
	refuse("number too large")
	return nil
}

// chain follows fields; the last one gets the arguments.
func (s *state) chain(dot, receiver any, fields []string, args []parse.Node, final any) any {
	last := len(fields) - 1
	for _, name := range fields[:last] {
		receiver = s.field(dot, receiver, name, nil, none)
	}
	return s.field(dot, receiver, fields[last], args, final)
}

func (s *state) field(dot, receiver any, name string, args []parse.Node, final any) any {
	var table map[string]any
	switch r := receiver.(type) {
	case nil:
		if s.set.strict {
			refuse("no data")
		}
		return nil
	case map[string]any:
		table = r
	case chartutil.Values:
		if isExported(name) {
			return s.member(dot, reflect.ValueOf(r), name, args, final)
		}
		table = r
	case null, string, bool, int, int64, float64, []any:
		refuse("field " + name + " of what has none")
	default:
		return s.member(dot, toReflect(r), name, args, final)
	}
	noArgs(args, final)
	v, ok := table[name]
	if !ok && s.set.strict {
		refuse("missing key")
	}
	return boxed(v)
}

// isExported reports whether a method could have this name.
func isExported(name string) bool { return name[0] >= 'A' && name[0] <= 'Z' || name[0] >= 0x80 }

// member finds a method, a field of a struct or a key of a map by reflection.
func (s *state) member(dot any, v reflect.Value, name string, args []parse.Node, final any) any {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			refuse("nil pointer")
		}
		v = v.Elem()
	}
	receiver := v
	if v.CanAddr() {
		receiver = v.Addr()
	}
	m := s.set.memberOf(receiver.Type(), v.Type(), name)
	if m.method >= 0 {
		return s.call(dot, newFunction(receiver.Method(m.method).Interface()), args, final)
	}
	noArgs(args, final)
	if m.field != nil {
		field, err := v.FieldByIndexErr(m.field)
		if err != nil {
			refuse(err.Error())
		}
		return fromReflect(field)
	}
	if v.Kind() != reflect.Map || v.Type().Key() != reflect.TypeFor[string]() {
		refuse("field " + name + " of " + v.Type().String())
	}
	value := v.MapIndex(reflect.ValueOf(name))
	if !value.IsValid() {
		if s.set.strict {
			refuse("missing key")
		}
		value = reflect.Zero(v.Type().Elem())
	}
	return fromReflect(value)
}

// memberKey is a type, that of a pointer to it if there is one, and a name.
type memberKey struct {
	receiver reflect.Type
	name     string
}

// member is what a name means for a type.
type member struct {
	method int   // index, or -1
	field  []int // path of indexes; nil: no exported field
}

// memberOf looks a name up, which takes reflection long, once for each type.
func (s *Set) memberOf(receiver, typ reflect.Type, name string) member {
	key := memberKey{receiver, name}
	if m, ok := s.members[key]; ok {
		return m
	}
	m := member{method: -1}
	if method, ok := receiver.MethodByName(name); ok {
		m.method = method.Index
	} else if typ.Kind() == reflect.Struct {
		if field, ok := typ.FieldByName(name); ok && field.IsExported() {
			m.field = field.Index
		}
	}
	s.members[key] = m
	return m
}
