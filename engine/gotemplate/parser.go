package gotemplate

import (
	"maps"
	"strings"
	"text/template/parse"
)

// Parsed is a parsed text. Nothing in it depends on the name of its file, so that
// files of the same content can share one; nothing may change it.
type Parsed struct {
	Root    *parse.ListNode
	Defines map[string]*parse.ListNode // the templates that the text defines
	Named   bool                       // the text may name one of the functions that the parser was told to look for
}

// Parser parses templates several times faster than text/template/parse does. The
// trees are the same but for positions, which only messages need. As with execution,
// what it is not certain of it leaves: to text/template/parse, and what that does not
// accept is refused. It may be used by several goroutines.
type Parser struct {
	funcs map[string]any // only names matter
	look  []string
}

// builtins are text/template's own functions.
const builtins = "and call eq ge gt html index js le len lt ne not or print printf println slice urlquery"

// NewParser returns a parser that knows the functions given and the builtin ones, and
// looks for some of them.
func NewParser(funcs map[string]any, look ...string) *Parser {
	all := maps.Clone(funcs)
	for name := range strings.FieldsSeq(builtins) {
		if _, ok := all[name]; !ok {
			all[name] = true
		}
	}
	return &Parser{funcs: all, look: look}
}

// Parse parses a text, which must not change afterwards. Any error wraps ErrRefused.
func (p *Parser) Parse(data []byte) (*Parsed, error) {
	text := string(data)
	if parsed, ok := p.quick(text, data); ok {
		return parsed, nil
	}
	const name = "\x00" // that no define has
	trees, err := parse.Parse(name, text, "", "", p.funcs)
	if err != nil {
		return nil, refusal{err.Error()}
	}
	parsed := &Parsed{Root: trees[name].Root, Defines: map[string]*parse.ListNode{}, Named: true}
	for define, tree := range trees {
		if define != name {
			parsed.Defines[define] = tree.Root
		}
	}
	return parsed, nil
}

// quick parses a text, given in both forms; false when it is not certain.
func (p *Parser) quick(text string, data []byte) (parsed *Parsed, ok bool) {
	t := &tree{
		funcs:   p.funcs,
		look:    p.look,
		text:    text,
		bytes:   data,
		vars:    []string{"$"},
		defines: map[string]*parse.ListNode{},
	}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case refusal:
			parsed, ok = nil, false
		default:
			panic(r)
		}
	}()
	return &Parsed{Root: t.file(), Defines: t.defines, Named: t.named}, true
}

// tree is the state of parsing one text. Its methods panic with a refusal.
type tree struct {
	funcs   map[string]any
	look    []string // for these functions
	named   bool     // one of them was there
	text    string
	bytes   []byte // the same, for text nodes
	pos     int
	vars    []string // declared so far, the innermost last
	ranges  int      // around the current position, where break is allowed
	depth   int      // of parentheses and blocks
	defines map[string]*parse.ListNode

	words []string     // operands' names are cut from this
	nodes []parse.Node // and lists of nodes from this
	stack []parse.Node // those of unfinished lists
}

// maxNesting is how deep blocks and parentheses may nest here; text/template/parse
// takes more.
const maxNesting = 500

func (t *tree) enter() {
	if t.depth++; t.depth > maxNesting {
		refuse("nested too deep")
	}
}

// list takes what was put on the stack from mark on as a list of nodes.
func (t *tree) list(mark int) []parse.Node {
	n := len(t.stack) - mark
	if cap(t.nodes)-len(t.nodes) < n {
		t.nodes = make([]parse.Node, 0, max(n, min(16+2*cap(t.nodes), 512)))
	}
	begin := len(t.nodes)
	t.nodes = append(t.nodes, t.stack[mark:]...)
	t.stack = t.stack[:mark]
	return t.nodes[begin:len(t.nodes):len(t.nodes)]
}

// names takes a copy of a short list of names.
func (t *tree) names(names ...string) []string {
	if cap(t.words)-len(t.words) < len(names) {
		t.words = make([]string, 0, max(len(names), min(16+2*cap(t.words), 512)))
	}
	begin := len(t.words)
	t.words = append(t.words, names...)
	return t.words[begin:len(t.words):len(t.words)]
}
