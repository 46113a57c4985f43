// Package infer writes a values.schema.json from a chart's values.yaml: types from
// the default values, descriptions from the comments above them.
//
// Comments may say more: helm-docs' "# -- (int) text" names the type, and a line
// "# @schema {enum: [a, b]}" is merged into the schema of the key below it.
package infer

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"
	goyaml "sigs.k8s.io/yaml/goyaml.v3"
)

// draft is the dialect of JSON Schema, which Helm 3 and 4 and all editors know.
const draft = "http://json-schema.org/draft-07/schema#"

// Options of an inference.
type Options struct {
	// Closed refuses keys that values.yaml does not have, in maps that have some.
	Closed bool
}

type schema map[string]any

// Schema returns the schema for values.yaml, as indented JSON.
func Schema(values []byte, o Options) ([]byte, error) {
	var doc goyaml.Node
	if err := goyaml.Unmarshal(values, &doc); err != nil {
		return nil, fmt.Errorf("values.yaml: %w", err)
	}
	s := schema{"type": "object"}
	if len(doc.Content) > 0 {
		if doc.Content[0].Kind != goyaml.MappingNode {
			return nil, fmt.Errorf("values.yaml: not a map")
		}
		var err error
		if s, err = o.node(doc.Content[0]); err != nil {
			return nil, err
		}
	}
	if o.Closed {
		properties, _ := s["properties"].(schema)
		if properties == nil {
			properties = schema{}
			s["properties"] = properties
		}
		if properties["global"] == nil { // parents may set it in any chart
			properties["global"] = schema{"type": "object"}
		}
	}
	s["$schema"] = draft
	out, err := json.MarshalIndent(s, "", "  ")
	return append(out, '\n'), err
}

func (o Options) node(n *goyaml.Node) (schema, error) {
	if n.Kind == goyaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case goyaml.MappingNode:
		return o.mapping(n)
	case goyaml.SequenceNode:
		return o.sequence(n)
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, fmt.Errorf("values.yaml:%d: %w", n.Line, err)
	}
	switch v := v.(type) {
	case nil:
		return schema{}, nil // anything may be meant
	case string:
		return schema{"type": "string", "default": v}, nil
	case bool:
		return schema{"type": "boolean", "default": v}, nil
	case int, int64, uint64:
		return schema{"type": "integer", "default": v}, nil
	case float64:
		return schema{"type": "number", "default": v}, nil
	}
	return schema{}, nil // dates and their like
}

func (o Options) mapping(n *goyaml.Node) (schema, error) {
	out := schema{"type": "object"}
	properties := schema{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Value == "<<" {
			continue
		}
		s, err := o.node(value)
		if err != nil {
			return nil, err
		}
		if err := annotate(s, key, value); err != nil {
			return nil, err
		}
		properties[key.Value] = s
	}
	if len(properties) > 0 {
		out["properties"] = properties
		if o.Closed {
			out["additionalProperties"] = false
		}
	}
	return out, nil
}

// sequence describes the elements if all have one type; objects in lists are only
// examples, so their keys bind nothing.
func (o Options) sequence(n *goyaml.Node) (schema, error) {
	out := schema{"type": "array"}
	var types []any
	for _, item := range n.Content {
		s, err := o.node(item)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(types, s["type"]) {
			types = append(types, s["type"])
		}
	}
	if len(types) == 1 && types[0] != nil {
		out["items"] = schema{"type": types[0]}
	}
	return out, nil
}

var typeHint = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\(([a-z/]+)\)\s*`) })

// hintedTypes are helm-docs' names of types.
var hintedTypes = map[string]string{
	"int": "integer", "integer": "integer", "float": "number", "number": "number", "bool": "boolean",
	"boolean": "boolean", "string": "string", "list": "array", "array": "array", "object": "object", "dict": "object",
}

// annotate adds what the comments around a key say.
func annotate(s schema, key, value *goyaml.Node) error {
	var text []string
	comment := key.HeadComment
	if comment == "" {
		comment = value.LineComment
	}
	// Only the block next to the key belongs to it.
	if i := strings.LastIndex(comment, "\n\n"); i >= 0 {
		comment = comment[i+2:]
	}
	for _, line := range strings.Split(comment, "\n") {
		line = strings.TrimSpace(strings.TrimLeft(line, "#"))
		if more, ok := strings.CutPrefix(line, "@schema"); ok {
			extra := schema{}
			if err := yaml.Unmarshal([]byte(more), &extra); err != nil {
				return fmt.Errorf("values.yaml:%d: @schema: %w", key.Line, err)
			}
			for k, v := range extra {
				s[k] = v
			}
			continue
		}
		line = strings.TrimSpace(strings.TrimPrefix(line, "--"))
		if m := typeHint().FindStringSubmatch(line); m != nil {
			line = line[len(m[0]):]
			if hinted, ok := hintedTypes[m[1]]; ok && s["type"] != hinted {
				s["type"] = hinted
				if s["default"] == "" {
					delete(s, "default")
				}
			}
		}
		if line != "" && !strings.HasPrefix(line, "@") {
			text = append(text, line)
		}
	}
	if len(text) > 0 && s["description"] == nil {
		s["description"] = strings.Join(text, " ")
	}
	return nil
}

// Unknown lists, sorted, the paths of values that a schema does not mention, and
// those that it mentions and values.yaml does not have. Both are hints only: a
// schema may leave values open, and defaults may be missing on purpose.
func Unknown(values map[string]any, text []byte) (undescribed, unset []string, err error) {
	var s schema
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, nil, fmt.Errorf("values.schema.json: %w", err)
	}
	compare(values, s, "", &undescribed, &unset)
	slices.Sort(undescribed)
	slices.Sort(unset)
	return undescribed, unset, nil
}

func compare(values map[string]any, s map[string]any, path string, undescribed, unset *[]string) {
	properties, _ := s["properties"].(map[string]any)
	if properties == nil {
		return // the schema says nothing about the keys
	}
	for key, v := range values {
		p, ok := properties[key].(map[string]any)
		if !ok {
			*undescribed = append(*undescribed, path+key)
		} else if table, isTable := v.(map[string]any); isTable {
			compare(table, p, path+key+".", undescribed, unset)
		}
	}
	for key := range properties {
		if _, ok := values[key]; !ok && key != "global" {
			*unset = append(*unset, path+key)
		}
	}
}
