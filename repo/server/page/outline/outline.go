// Package outline makes a chart's values.yaml readable: every setting with its
// default, its type, and what the comments around it and the schema say.
//
// Comments are read as their writers mean them: the block next to a key belongs to
// it, helm-docs' "# -- text" and "# @default -- text", Bitnami's "## @param path
// text" anywhere in the file, and an example that is commented out below an empty
// default.
package outline

import (
	"fmt"
	"slices"
	"strings"

	goyaml "sigs.k8s.io/yaml/goyaml.v3"
)

// Limits of what is read.
const (
	maxSettings = 5000
	maxDepth    = 16
	maxText     = 2000 // bytes of one comment
	maxDefault  = 4000 // bytes of one default
)

// Setting is a key of values.yaml.
type Setting struct {
	Path     string // "auth.password"
	Parent   string // "auth.", Path without its last part
	Key      string
	Depth    int  // 0 for the top level
	Group    bool // has settings below it
	Type     string
	Default  string // as YAML; "" of groups and of what is not set
	Text     string // what comments say, else the schema
	Example  string // YAML that is commented out
	Rules    []string
	Required bool
	Unset    bool // only the schema knows it
	Line     int  // in values.yaml; 0 when Unset
}

// Long tells whether the default takes more than one line.
func (s Setting) Long() bool { return strings.Contains(s.Default, "\n") }

// Read makes the outline of values.yaml and, when there is one, its schema. A
// schema that is none is ignored, as the chart's users see it beside the outline.
func Read(values, schema []byte) (settings []Setting, err error) {
	var doc goyaml.Node
	if err := goyaml.Unmarshal(values, &doc); err != nil {
		return nil, fmt.Errorf("values.yaml: %w", err)
	}
	r := reader{lines: strings.Split(yamlBreaks.Replace(string(values)), "\n"), schema: readSchema(schema)}
	r.params = readParams(r.lines)
	root := r.schema.root()
	if len(doc.Content) == 0 { // comments only
		r.unset(root, "", 0, map[string]bool{})
		return r.out, nil
	}
	if doc.Content[0].Kind != goyaml.MappingNode {
		return nil, fmt.Errorf("values.yaml: not a map")
	}
	r.mapping(doc.Content[0], root, "", 0, len(r.lines)+1)
	return r.out, nil
}

// yamlBreaks makes newlines of everything that ends a line in YAML 1.1.
var yamlBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

type reader struct {
	lines  []string
	params map[string]string // Bitnami's descriptions, by path
	schema *schemas
	out    []Setting
}

// mapping adds the settings of a map, which ends before line end.
func (r *reader) mapping(n *goyaml.Node, s schema, parent string, depth, end int) {
	known := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Value == "<<" || len(r.out) >= maxSettings {
			continue
		}
		known[key.Value] = true
		next := end
		if i+2 < len(n.Content) {
			next = n.Content[i+2].Line
		}
		r.setting(key, value, r.schema.property(s, key.Value), parent, depth, next)
		if r.schema.required(s, key.Value) {
			r.markRequired(parent + part(key.Value))
		}
	}
	r.unset(s, parent, depth, known)
}

func (r *reader) markRequired(path string) {
	for i := len(r.out) - 1; i >= 0; i-- {
		if r.out[i].Path == path {
			r.out[i].Required = true
			return
		}
	}
}

// part is a key as a part of a path for --set.
func part(key string) string { return strings.ReplaceAll(key, ".", `\.`) }

func (r *reader) setting(key, value *goyaml.Node, s schema, parent string, depth, next int) {
	set := Setting{
		Path: parent + part(key.Value), Parent: parent, Key: part(key.Value), Depth: depth, Line: key.Line,
		Type: r.schema.typeOf(s), Rules: r.schema.rules(s),
	}
	c := r.comment(key, value, next)
	set.Text, set.Example = c.text, c.example
	if text, ok := r.params[set.Path]; ok {
		set.Text = text
	}
	if set.Text == "" {
		set.Text = s.text("description", "title")
	}
	if set.Type == "" {
		set.Type = c.kind
	}
	if set.Type == "" {
		set.Type = kindOf(value)
	}
	set.Text = clip(set.Text, maxText)
	if value.Kind == goyaml.MappingNode && len(value.Content) > 0 && depth < maxDepth {
		set.Group = true
		r.out = append(r.out, set)
		r.mapping(value, s, set.Path+".", depth+1, next)
		return
	}
	set.Default = c.fallback
	if set.Default == "" {
		set.Default = clip(r.source(key, value, next), maxDefault)
	}
	r.out = append(r.out, set)
	if props := r.schema.properties(s); len(props) > 0 && value.Kind == goyaml.MappingNode {
		r.unset(s, set.Path+".", depth+1, map[string]bool{})
	}
}

// unset adds what only the schema knows.
func (r *reader) unset(s schema, parent string, depth int, known map[string]bool) {
	if depth > maxDepth {
		return
	}
	for _, name := range r.schema.properties(s) {
		if known[name] || len(r.out) >= maxSettings || name == "global" && depth == 0 {
			continue
		}
		p := r.schema.property(s, name)
		r.out = append(r.out, Setting{
			Path: parent + part(name), Parent: parent, Key: part(name), Depth: depth, Type: r.schema.typeOf(p), Unset: true,
			Text: clip(p.text("description", "title"), maxText), Rules: r.schema.rules(p), Required: r.schema.required(s, name),
		})
	}
}

func kindOf(n *goyaml.Node) string {
	switch n.Kind {
	case goyaml.MappingNode:
		return "object"
	case goyaml.SequenceNode:
		return "array"
	case goyaml.AliasNode:
		return ""
	}
	switch n.ShortTag() {
	case "!!str":
		return "string"
	case "!!int":
		return "integer"
	case "!!float":
		return "number"
	case "!!bool":
		return "boolean"
	}
	return ""
}

// source is a default as it stands in the file.
func (r *reader) source(key, value *goyaml.Node, next int) string {
	switch {
	case value.Kind == goyaml.AliasNode:
		return "*" + value.Value
	case value.Kind == goyaml.ScalarNode && value.Style&(goyaml.LiteralStyle|goyaml.FoldedStyle) == 0:
		switch {
		case value.Style&goyaml.DoubleQuotedStyle != 0 || value.Style&goyaml.SingleQuotedStyle != 0 || value.Value == "" && value.ShortTag() == "!!str":
			return `"` + value.Value + `"`
		case value.ShortTag() == "!!null":
			return "null"
		}
		return value.Value
	case value.Style&goyaml.FlowStyle != 0 && len(value.Content) == 0:
		if value.Kind == goyaml.SequenceNode {
			return "[]"
		}
		return "{}"
	}
	from, flow := key.Line, false // the line after the key's
	if value.Line == key.Line && value.Kind != goyaml.ScalarNode {
		// Written on the key's own line: {a: b}.
		line := r.lineAt(key.Line)
		if at := strings.Index(line, ":"); at >= 0 && value.Style&goyaml.FlowStyle != 0 && next <= key.Line+1 {
			return strings.TrimSpace(line[at+1:])
		}
		from, flow = key.Line-1, true
	}
	lines := slices.Clone(r.lines[min(from, len(r.lines)):max(min(next-1, len(r.lines)), min(from, len(r.lines)))])
	if flow && len(lines) > 0 {
		_, lines[0], _ = strings.Cut(lines[0], ":")
		lines[0] = strings.TrimSpace(lines[0])
	}
	return dedent(lines)
}

func (r *reader) lineAt(n int) string {
	if n < 1 || n > len(r.lines) {
		return ""
	}
	return r.lines[n-1]
}

// dedent takes the common indentation off lines, and comments and blank lines off
// their end, as those belong to what follows.
func dedent(lines []string) string {
	for len(lines) > 0 {
		last := strings.TrimSpace(lines[len(lines)-1])
		if last != "" && last[0] != '#' {
			break
		}
		lines = lines[:len(lines)-1]
	}
	indent := -1
	for _, l := range lines {
		if strings.TrimSpace(l) == "" {
			continue
		}
		if n := len(l) - len(strings.TrimLeft(l, " ")); indent < 0 || n < indent {
			indent = n
		}
	}
	out := make([]string, 0, len(lines))
	for _, l := range lines {
		out = append(out, l[min(max(indent, 0), len(l)):])
	}
	return strings.Join(out, "\n")
}

func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + " …"
}
