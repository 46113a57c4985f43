package stack

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// variables replace ${NAME} in texts. A variable of the shell comes before one that
// the file declares.
type variables struct {
	lookup   func(string) (string, bool)
	declared map[string]string
}

// declare adds a table of the file.
func (v variables) declare(table any) {
	m, _ := table.(map[string]any)
	for k, x := range m {
		v.declared[k] = fmt.Sprint(x)
	}
}

func (v variables) get(name string) (string, bool) {
	if v.lookup != nil {
		if text, ok := v.lookup(name); ok {
			return text, true
		}
	}
	text, ok := v.declared[name]
	return text, ok
}

// variable is $$, ${NAME}, ${NAME:-default} or ${NAME:?message}, as in shells.
var variable = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)([^}]*))?\}`)
})

// replace returns the tree with the variables of all its texts, keys left out,
// replaced. path is for errors.
func (v variables) replace(path string, tree any) (any, error) {
	switch t := tree.(type) {
	case string:
		return v.text(path, t)
	case map[string]any:
		out := make(map[string]any, len(t))
		for k, x := range t {
			y, err := v.replace(strings.TrimPrefix(path+"."+k, "."), x)
			if err != nil {
				return nil, err
			}
			out[k] = y
		}
		return out, nil
	case []any:
		out := make([]any, len(t))
		for n, x := range t {
			y, err := v.replace(fmt.Sprintf("%s[%d]", path, n), x)
			if err != nil {
				return nil, err
			}
			out[n] = y
		}
		return out, nil
	}
	return tree, nil
}

func (v variables) text(path, s string) (string, error) {
	var failed error
	out := variable().ReplaceAllStringFunc(s, func(found string) string {
		if found == "$$" {
			return "$"
		}
		m := variable().FindStringSubmatch(found)
		name, operator, rest := m[1], m[2], m[3]
		value, ok := v.get(name)
		switch {
		case ok && (value != "" || operator == ""):
			return value
		case operator == ":-":
			return rest
		case operator == ":?" && rest != "":
			failed = fmt.Errorf("%s: %s: %s", path, name, rest)
		case failed == nil:
			failed = fmt.Errorf("%s: the variable %s is not set; declare it under variables, or write ${%s:-default}", path, name, name)
		}
		return ""
	})
	return out, failed
}
