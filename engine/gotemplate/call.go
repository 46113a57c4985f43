package gotemplate

import (
	"reflect"
	"text/template/parse"

	"github.com/seed38700745/pkg/engine/internal/chartutil"
)

// function is a function with what calling it needs to know.
type function struct {
	params   []param
	variadic bool                                     // the last parameter takes any number of values
	direct   func([]any) (any, error)                 // nil: by reflection
	lazy     func(*state, any, []parse.Node, any) any // evaluates its arguments itself
	value    reflect.Value
}

// param is the type of a parameter.
type param struct {
	kind paramKind
	typ  reflect.Type
}

type paramKind int

const (
	paramAny paramKind = iota
	paramString
	paramInt
	paramBool
	paramMap  // map[string]any
	paramList // []any
	paramRaw  // of a builtin function: the value as it is
	paramOther
)

func kindOf(t reflect.Type) paramKind {
	switch t {
	case reflect.TypeFor[any]():
		return paramAny
	case reflect.TypeFor[string]():
		return paramString
	case reflect.TypeFor[int]():
		return paramInt
	case reflect.TypeFor[bool]():
		return paramBool
	case reflect.TypeFor[map[string]any]():
		return paramMap
	case reflect.TypeFor[[]any]():
		return paramList
	}
	return paramOther
}

func newFunction(fn any) *function {
	v := reflect.ValueOf(fn)
	t := v.Type()
	f := &function{value: v, variadic: t.IsVariadic(), direct: direct(fn)}
	for i := range t.NumIn() {
		in := t.In(i)
		if f.variadic && i == t.NumIn()-1 {
			in = in.Elem()
		}
		f.params = append(f.params, param{kindOf(in), in})
	}
	return f
}

// lookup finds a function by name, or refuses.
func (s *Set) lookup(name string) *function {
	if f := s.known[name]; f != nil {
		return f
	}
	var f *function
	if fn := s.funcs(name); fn != nil {
		f = newFunction(fn)
	} else if f = builtin(name); f == nil {
		refuse("function " + name)
	}
	s.known[name] = f
	return f
}

func (s *state) function(dot any, node *parse.IdentifierNode, args []parse.Node, final any) any {
	f := s.set.lookup(node.Ident)
	if f.lazy != nil {
		return f.lazy(s, dot, args, final)
	}
	return s.call(dot, f, args, final)
}

// call evaluates the arguments and calls the function.
func (s *state) call(dot any, f *function, args []parse.Node, final any) any {
	n := len(args)
	if final != none {
		n++
	}
	if n != len(f.params) && !(f.variadic && n >= len(f.params)-1) {
		refuse("wrong number of arguments")
	}
	base := len(s.args)
	for i, arg := range args {
		v := s.arg(dot, arg, f.param(i))
		s.args = append(s.args, v)
	}
	if final != none {
		s.args = append(s.args, checked(final, f.param(n-1)))
	}
	values := s.args[base:]
	var result any
	if f.direct != nil {
		var err error
		if result, err = f.direct(values); err != nil {
			failed(err)
		}
	} else {
		result = f.reflected(values)
	}
	clear(values)
	s.args = s.args[:base]
	return result
}

// param is the parameter that takes the i-th argument.
func (f *function) param(i int) param {
	return f.params[min(i, len(f.params)-1)]
}

// arg evaluates an argument for a parameter.
func (s *state) arg(dot any, node parse.Node, p param) any {
	switch node := node.(type) {
	case *parse.StringNode:
		if p.kind == paramString || p.kind == paramAny || p.kind == paramRaw {
			return node.Text
		}
	case *parse.BoolNode:
		if p.kind == paramBool || p.kind == paramAny || p.kind == paramRaw {
			return node.True
		}
	case *parse.NumberNode:
		switch {
		case p.kind == paramInt && node.IsInt:
			return int(node.Int64)
		case p.kind == paramAny || p.kind == paramRaw:
			return number(node)
		case p.typ == reflect.TypeFor[float64]() && node.IsFloat:
			return node.Float64
		case p.typ == reflect.TypeFor[int64]() && node.IsInt:
			return node.Int64
		}
	case *parse.NilNode:
		return checked(nil, p)
	default:
		return checked(s.operand(dot, node), p)
	}
	refuse("constant for another type")
	return nil
}

// checked makes sure that a value can be passed to a parameter.
func checked(v any, p param) any {
	switch p.kind {
	case paramRaw:
		return v
	case paramAny:
		return argument(v)
	case paramString:
		if _, ok := v.(string); ok {
			return v
		}
	case paramInt:
		if _, ok := v.(int); ok {
			return v
		}
	case paramBool:
		if _, ok := v.(bool); ok {
			return v
		}
	case paramMap:
		switch m := v.(type) {
		case map[string]any:
			return v
		case chartutil.Values:
			return map[string]any(m)
		case nil:
			return map[string]any(nil)
		}
	case paramList:
		switch v.(type) {
		case []any:
			return v
		case nil:
			return []any(nil)
		}
	default:
		if v == nil {
			switch p.typ.Kind() {
			case reflect.Map, reflect.Slice, reflect.Pointer, reflect.Func, reflect.Chan, reflect.Interface:
				return reflect.Zero(p.typ)
			}
			break
		}
		if _, isNull := v.(null); !isNull {
			if _, isRef := v.(ref); !isRef && reflect.TypeOf(v).AssignableTo(p.typ) {
				return v
			}
		}
	}
	refuse("argument of another type")
	return nil
}

// reflected calls a function whose type direct does not know.
func (f *function) reflected(args []any) any {
	in := make([]reflect.Value, len(args))
	for i, arg := range args {
		typ := f.param(i).typ
		switch arg := arg.(type) {
		case nil:
			in[i] = reflect.Zero(typ)
		case reflect.Value:
			in[i] = arg
		default:
			in[i] = reflect.ValueOf(arg)
		}
	}
	out := f.value.Call(in)
	if len(out) == 2 && !out[1].IsNil() {
		failed(out[1].Interface().(error))
	}
	return fromReflect(out[0])
}
