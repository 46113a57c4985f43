package gotemplate

// rest copies the arguments of a variadic function, which may keep them. As with
// reflection the list is never nil.
func rest(args []any) []any { return append(make([]any, 0, len(args)), args...) }

func strs(args []any) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = arg.(string)
	}
	return out
}

func tables(args []any) []map[string]any {
	out := make([]map[string]any, len(args))
	for i, arg := range args {
		out[i] = arg.(map[string]any)
	}
	return out
}

// direct returns a caller for functions of the types that most of sprig's and Helm's
// have; nil for others. The arguments were checked.
func direct(fn any) func(a []any) (any, error) {
	if call := directText(fn); call != nil {
		return call
	}
	switch f := fn.(type) {
	case func(any) bool:
		return func(a []any) (any, error) { return f(a[0]), nil }
	case func(any) int:
		return func(a []any) (any, error) { return f(a[0]), nil }
	case func(any) int64:
		return func(a []any) (any, error) { return f(a[0]), nil }
	case func(any) float64:
		return func(a []any) (any, error) { return f(a[0]), nil }
	case func(any) any:
		return func(a []any) (any, error) { return boxed(f(a[0])), nil }
	case func(any) []any:
		return func(a []any) (any, error) { return f(a[0]), nil }
	case func(any) []string:
		return func(a []any) (any, error) { return f(a[0]), nil }
	case func(any) (any, error):
		return func(a []any) (any, error) { v, err := f(a[0]); return boxed(v), err }
	case func(any) ([]any, error):
		return func(a []any) (any, error) { return f(a[0]) }
	case func(any, any) bool:
		return func(a []any) (any, error) { return f(a[0], a[1]), nil }
	case func(any, any) int64:
		return func(a []any) (any, error) { return f(a[0], a[1]), nil }
	case func(any, any) any:
		return func(a []any) (any, error) { return boxed(f(a[0], a[1])), nil }
	case func(any, any) []any:
		return func(a []any) (any, error) { return f(a[0], a[1]), nil }
	case func(any, any) ([]any, error):
		return func(a []any) (any, error) { return f(a[0], a[1]) }
	case func(any, any, bool) any:
		return func(a []any) (any, error) { return boxed(f(a[0], a[1], a[2].(bool))), nil }
	case func(any, ...any) any:
		return func(a []any) (any, error) { return boxed(f(a[0], rest(a[1:])...)), nil }
	case func(any, ...any) bool:
		return func(a []any) (any, error) { return f(a[0], rest(a[1:])...), nil }
	case func(any, ...any) int64:
		return func(a []any) (any, error) { return f(a[0], rest(a[1:])...), nil }
	case func(any, ...any) float64:
		return func(a []any) (any, error) { return f(a[0], rest(a[1:])...), nil }
	case func(any, ...any) []any:
		return func(a []any) (any, error) { return f(a[0], rest(a[1:])...), nil }
	case func(...any) any:
		return func(a []any) (any, error) { return boxed(f(rest(a)...)), nil }
	case func(...any) bool:
		return func(a []any) (any, error) { return f(rest(a)...), nil }
	case func(...any) int64:
		return func(a []any) (any, error) { return f(rest(a)...), nil }
	case func(...any) []any:
		return func(a []any) (any, error) { return f(rest(a)...), nil }
	case func(...any) (any, error):
		return func(a []any) (any, error) { v, err := f(rest(a)...); return boxed(v), err }
	case func(...any) map[string]any:
		return func(a []any) (any, error) { return f(rest(a)...), nil }
	case func(map[string]any, string) bool:
		return func(a []any) (any, error) { return f(a[0].(map[string]any), a[1].(string)), nil }
	case func(map[string]any, string) any:
		return func(a []any) (any, error) { return boxed(f(a[0].(map[string]any), a[1].(string))), nil }
	case func(map[string]any, string) map[string]any:
		return func(a []any) (any, error) { return f(a[0].(map[string]any), a[1].(string)), nil }
	case func(map[string]any, string, any) map[string]any:
		return func(a []any) (any, error) { return f(a[0].(map[string]any), a[1].(string), a[2]), nil }
	case func(map[string]any, ...string) map[string]any:
		return func(a []any) (any, error) { return f(a[0].(map[string]any), strs(a[1:])...), nil }
	case func(map[string]any, ...map[string]any) any:
		return func(a []any) (any, error) { return boxed(f(a[0].(map[string]any), tables(a[1:])...)), nil }
	case func(map[string]any, ...map[string]any) (any, error):
		return func(a []any) (any, error) { v, err := f(a[0].(map[string]any), tables(a[1:])...); return boxed(v), err }
	case func(string, ...map[string]any) []any:
		return func(a []any) (any, error) { return f(a[0].(string), tables(a[1:])...), nil }
	case func(...map[string]any) []string:
		return func(a []any) (any, error) { return f(tables(a)...), nil }
	case func(map[string]any) []any:
		return func(a []any) (any, error) { return f(a[0].(map[string]any)), nil }
	case func(int) ([]int, error):
		return func(a []any) (any, error) { return f(a[0].(int)) }
	case func(int, int, int) ([]int, error):
		return func(a []any) (any, error) { return f(a[0].(int), a[1].(int), a[2].(int)) }
	case func(string, any) (any, error):
		return func(a []any) (any, error) { v, err := f(a[0].(string), a[1]); return boxed(v), err }
	}
	return nil
}

// directText knows the functions of texts.
func directText(fn any) func(a []any) (any, error) {
	switch f := fn.(type) {
	case func() string:
		return func([]any) (any, error) { return f(), nil }
	case func(string) string:
		return func(a []any) (any, error) { return f(a[0].(string)), nil }
	case func(string) (string, error):
		return func(a []any) (any, error) { return f(a[0].(string)) }
	case func(string) bool:
		return func(a []any) (any, error) { return f(a[0].(string)), nil }
	case func(string) map[string]any:
		return func(a []any) (any, error) { return f(a[0].(string)), nil }
	case func(string) []any:
		return func(a []any) (any, error) { return f(a[0].(string)), nil }
	case func(string) int:
		return func(a []any) (any, error) { return f(a[0].(string)), nil }
	case func(int) string:
		return func(a []any) (any, error) { return f(a[0].(int)), nil }
	case func(string, string) string:
		return func(a []any) (any, error) { return f(a[0].(string), a[1].(string)), nil }
	case func(string, string) bool:
		return func(a []any) (any, error) { return f(a[0].(string), a[1].(string)), nil }
	case func(string, string) (bool, error):
		return func(a []any) (any, error) { return f(a[0].(string), a[1].(string)) }
	case func(string, string) []string:
		return func(a []any) (any, error) { return f(a[0].(string), a[1].(string)), nil }
	case func(string, string) map[string]string:
		return func(a []any) (any, error) { return f(a[0].(string), a[1].(string)), nil }
	case func(string, string, string) string:
		return func(a []any) (any, error) { return f(a[0].(string), a[1].(string), a[2].(string)), nil }
	case func(string, string, string) (string, error):
		return func(a []any) (any, error) { return f(a[0].(string), a[1].(string), a[2].(string)) }
	case func(string, string, int) string:
		return func(a []any) (any, error) { return f(a[0].(string), a[1].(string), a[2].(int)), nil }
	case func(string, string, int) []string:
		return func(a []any) (any, error) { return f(a[0].(string), a[1].(string), a[2].(int)), nil }
	case func(string, any) string:
		return func(a []any) (any, error) { return f(a[0].(string), a[1]), nil }
	case func(string, any) bool:
		return func(a []any) (any, error) { return f(a[0].(string), a[1]), nil }
	case func(string, any) (string, error):
		return func(a []any) (any, error) { return f(a[0].(string), a[1]) }
	case func(string, ...any) (string, error):
		return func(a []any) (any, error) { return f(a[0].(string), rest(a[1:])...) }
	case func(string, ...any) string:
		return func(a []any) (any, error) { return f(a[0].(string), rest(a[1:])...), nil }
	case func(...any) string:
		return func(a []any) (any, error) { return f(rest(a)...), nil }
	case func(...any) (string, error):
		return func(a []any) (any, error) { return f(rest(a)...) }
	case func(any) string:
		return func(a []any) (any, error) { return f(a[0]), nil }
	case func(any) (string, error):
		return func(a []any) (any, error) { return f(a[0]) }
	case func(int, string) string:
		return func(a []any) (any, error) { return f(a[0].(int), a[1].(string)), nil }
	case func(int, string) (string, error):
		return func(a []any) (any, error) { return f(a[0].(int), a[1].(string)) }
	case func(int, int, string) string:
		return func(a []any) (any, error) { return f(a[0].(int), a[1].(int), a[2].(string)), nil }
	}
	return nil
}
