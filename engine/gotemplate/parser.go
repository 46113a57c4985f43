package gotemplate

import (
	"strings"
	"text/template/parse"
	"unicode"
	"unsafe"
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
	known func(string) bool
	look  []string
}

// isBuiltin reports whether a name is that of one of text/template's own functions.
func isBuiltin(name string) bool {
	switch name {
	case "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf", "println", "slice", "urlquery":
		return true
	}
	return false
}

// NewParser returns a parser that knows the names of the functions given and of the
// builtin ones, and looks for some of them.
func NewParser(known func(name string) bool, look ...string) *Parser {
	return &Parser{known: func(name string) bool { return isBuiltin(name) || known(name) }, look: look}
}

// named returns the functions of which the names are among the words of a text, for
// text/template/parse.
func (p *Parser) named(text string) map[string]any {
	funcs := map[string]any{}
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if p.known(word) {
			funcs[word] = true
		}
	}
	return funcs
}

// Parse parses a text, which must not change afterwards. Any error wraps ErrRefused.
func (p *Parser) Parse(data []byte) (*Parsed, error) {
	text := unsafe.String(unsafe.SliceData(data), len(data))
	if parsed, ok := p.quick(text, data); ok {
		return parsed, nil
	}
	const name = "\x00" // that no define has
	trees, err := parse.Parse(name, text, "", "", p.named(text))
	if err != nil {
		return nil, refusal{err.Error(), nil}
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
		known:   p.known,
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
	known   func(string) bool
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
