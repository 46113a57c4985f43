package outline

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// schema is one of a JSON schema document; nil knows nothing.
type schema map[string]any

// schemas is a document, which $ref refers into.
type schemas struct{ document schema }

func readSchema(text []byte) *schemas {
	s := &schemas{}
	if err := json.Unmarshal(text, &s.document); err != nil {
		s.document = nil
	}
	return s
}

func (d *schemas) root() schema { return d.resolve(d.document) }

// resolve follows references within the document.
func (d *schemas) resolve(s schema) schema {
	const most = 8
	for range most {
		ref, ok := s["$ref"].(string)
		if !ok || !strings.HasPrefix(ref, "#/") {
			return s
		}
		at := d.document
		for _, key := range strings.Split(ref[2:], "/") {
			key = strings.NewReplacer("~1", "/", "~0", "~").Replace(key)
			at, _ = sub(at, key)
		}
		// What stands beside the reference counts first.
		merged := schema{}
		for k, v := range at {
			merged[k] = v
		}
		for k, v := range s {
			if k != "$ref" {
				merged[k] = v
			}
		}
		s = merged
	}
	return s
}

func sub(s schema, key string) (schema, bool) {
	m, ok := s[key].(map[string]any)
	return m, ok
}

func (d *schemas) property(s schema, name string) schema {
	if props, ok := sub(s, "properties"); ok {
		if p, ok := sub(props, name); ok {
			return d.resolve(p)
		}
	}
	return nil
}

// properties are the names that a schema knows, sorted.
func (d *schemas) properties(s schema) []string {
	props, _ := sub(s, "properties")
	names := make([]string, 0, len(props))
	for name := range props {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (d *schemas) required(s schema, name string) bool {
	list, _ := s["required"].([]any)
	return slices.Contains(list, any(name))
}

// typeOf is the type of a schema in words.
func (d *schemas) typeOf(s schema) string {
	switch t := s["type"].(type) {
	case string:
		if t == "array" {
			if items, ok := sub(s, "items"); ok {
				if of := d.typeOf(d.resolve(items)); of != "" && !strings.Contains(of, " ") {
					return of + " list"
				}
			}
		}
		return t
	case []any:
		var names []string
		for _, one := range t {
			if name, ok := one.(string); ok {
				names = append(names, name)
			}
		}
		return strings.Join(names, " or ")
	}
	return ""
}

// rules are what a schema demands, in words.
func (d *schemas) rules(s schema) []string {
	const longest = 200 // bytes of one rule
	var out []string
	say := func(format string, args ...any) { out = append(out, clip(fmt.Sprintf(format, args...), longest)) }
	if list, ok := s["enum"].([]any); ok {
		words := make([]string, 0, len(list))
		for _, v := range list {
			words = append(words, inJSON(v))
		}
		say("one of %s", strings.Join(words, ", "))
	}
	if v, ok := s["const"]; ok {
		say("always %s", inJSON(v))
	}
	for _, r := range []struct{ key, words string }{
		{"minimum", "at least %s"}, {"exclusiveMinimum", "more than %s"}, {"maximum", "at most %s"}, {"exclusiveMaximum", "less than %s"},
		{"minLength", "at least %s characters"}, {"maxLength", "at most %s characters"}, {"minItems", "at least %s items"},
		{"maxItems", "at most %s items"}, {"pattern", "matches %s"}, {"format", "format %s"},
	} {
		switch v := s[r.key].(type) {
		case float64:
			say(r.words, inJSON(v))
		case string:
			say(r.words, v)
		}
	}
	if s["deprecated"] == true {
		say("deprecated")
	}
	return out
}

func inJSON(v any) string {
	data, _ := json.Marshal(v) // it came from JSON
	return string(data)
}

// text is the first of some keys that has words.
func (s schema) text(keys ...string) string {
	for _, key := range keys {
		if text, ok := s[key].(string); ok && text != "" {
			return text
		}
	}
	return ""
}
