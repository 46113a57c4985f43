package outline

import (
	"regexp"
	"strings"

	goyaml "sigs.k8s.io/yaml/goyaml.v3"
)

// comment is what the comments around a key say.
type comment struct {
	text     string
	kind     string // a type
	fallback string // the default in words
	example  string
}

var (
	docsText    = regexp.MustCompile(`^--\s*(?:\(([A-Za-z/]+)\)\s*)?`)
	docsDefault = regexp.MustCompile(`^@default\s+--\s*`)
	param       = regexp.MustCompile(`^\s*##?\s*@(?:param|extra)\s+(\S+)\s*(?:\[[^\]]*\]\s*)*(.*)$`)
	rule        = regexp.MustCompile(`^[-=#*~_\s]+$`)
)

// readParams collects Bitnami's descriptions, which name their path.
func readParams(lines []string) map[string]string {
	found := map[string]string{}
	for _, l := range lines {
		if m := param.FindStringSubmatch(l); m != nil && m[2] != "" {
			found[m[1]] = m[2]
		}
	}
	return found
}

// comment reads the block above a key, the rest of its line, and an example below.
// Next is the line of the next key.
func (r *reader) comment(key, value *goyaml.Node, next int) comment {
	var c comment
	c.words(r.above(key))
	if c.text == "" {
		line := value.LineComment
		if line == "" {
			line = key.LineComment
		}
		c.words([]string{line})
	}
	empty := value.Kind != goyaml.AliasNode && len(value.Content) == 0 && (value.Value == "" || value.ShortTag() == "!!null")
	if empty {
		c.example = r.below(key, next)
	}
	return c
}

// above is the comment that ends on the line before a key, as deep as the key or
// less: deeper ones are examples of the setting before.
func (r *reader) above(key *goyaml.Node) []string {
	from := key.Line - 1
	for from > 0 {
		line := r.lineAt(from)
		trimmed := strings.TrimLeft(line, " ")
		if !strings.HasPrefix(trimmed, "#") || len(line)-len(trimmed) >= key.Column {
			break
		}
		from--
	}
	return r.lines[from:max(key.Line-1, from)]
}

// below is the YAML that is commented out after a key with an empty value.
func (r *reader) below(key *goyaml.Node, next int) string {
	var out []string
	for n := key.Line + 1; n < next; n++ {
		line := r.lineAt(n)
		trimmed := strings.TrimLeft(line, " ")
		if !strings.HasPrefix(trimmed, "#") || len(line)-len(trimmed) < key.Column {
			break
		}
		out = append(out, strings.TrimRight(strings.TrimPrefix(strings.TrimLeft(trimmed, "#"), " "), " "))
	}
	return clip(strings.Join(out, "\n"), maxDefault)
}

// words reads lines that begin with "#".
func (c *comment) words(lines []string) {
	var text []string
	for _, l := range lines {
		l = strings.TrimRight(strings.TrimPrefix(strings.TrimLeft(strings.TrimSpace(l), "#"), " "), " ")
		switch {
		case docsText.MatchString(l):
			m := docsText.FindStringSubmatch(l)
			c.kind = m[1]
			text = []string{l[len(m[0]):]} // what stands above is not meant for readers
		case docsDefault.MatchString(l):
			c.fallback = docsDefault.ReplaceAllString(l, "")
		case strings.HasPrefix(l, "@"), rule.MatchString(l) && l != "":
		default:
			text = append(text, l)
		}
	}
	c.text = flow(text)
}

var ownLine = regexp.MustCompile(`^(\s|[-*+•>|{}\[\]]|\d+[.)]|[A-Za-z0-9_.-]+:(\s|$)|https?:)`)

// flow joins the lines of a paragraph. Lists, links, and what looks like YAML stay on
// lines of their own.
func flow(lines []string) string {
	var out strings.Builder
	for i, l := range lines {
		switch {
		case i == 0:
		case l == "" || lines[i-1] == "" || ownLine.MatchString(l) || ownLine.MatchString(lines[i-1]) && i > 1 || strings.HasSuffix(lines[i-1], ":"):
			out.WriteByte('\n')
		default:
			out.WriteByte(' ')
		}
		out.WriteString(l)
	}
	return strings.Trim(out.String(), "\n")
}
