package gotemplate

import (
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
)

// action parses the pipeline of an action and its closing delimiter. Keyword is that
// of the action.
func (t *tree) action(keyword string) *parse.PipeNode {
	pipe := t.pipeline(keyword)
	t.close()
	return pipe
}

// pipeline parses declarations and commands, up to what must close them.
func (t *tree) pipeline(keyword string) *parse.PipeNode {
	pipe := &parse.PipeNode{NodeType: parse.NodePipe}
	t.spaces()
	if t.at() == '$' {
		t.declarations(pipe, keyword)
	}
	mark := len(t.stack)
	for {
		cmd := t.command()
		if len(t.stack) > mark { // not the first
			switch cmd.Args[0].(type) {
			case *parse.BoolNode, *parse.DotNode, *parse.NilNode, *parse.NumberNode, *parse.StringNode:
				refuse("constant in a pipeline")
			}
		}
		t.stack = append(t.stack, cmd)
		if t.at() != '|' {
			break
		}
		t.pos++
	}
	pipe.Cmds = make([]*parse.CommandNode, len(t.stack)-mark)
	for i, cmd := range t.stack[mark:] {
		pipe.Cmds[i] = cmd.(*parse.CommandNode)
	}
	t.stack = t.stack[:mark]
	return pipe
}

// declarations parses the variables in front of a pipeline; if there are none the
// position stays.
func (t *tree) declarations(pipe *parse.PipeNode, keyword string) {
	begin := t.pos
	name := t.variableName()
	var second string
	t.spaces()
	if t.at() == ',' {
		if keyword != "range" {
			refuse("too many variables")
		}
		t.pos++
		t.spaces()
		if t.at() != '$' {
			refuse("variable expected")
		}
		second = t.variableName()
		t.spaces()
	}
	switch {
	case t.follows(":="):
		t.pos += len(":=")
	case t.at() == '=':
		pipe.IsAssign = true
		t.pos++
	case second != "":
		refuse("assignment expected")
	default:
		t.pos = begin
		return
	}
	t.declare(pipe, name)
	if second != "" {
		t.declare(pipe, second)
	}
}

func (t *tree) declare(pipe *parse.PipeNode, name string) {
	pipe.Decl = append(pipe.Decl, &parse.VariableNode{NodeType: parse.NodeVariable, Ident: t.names(name)})
	t.vars = append(t.vars, name)
}

// variableName reads a name with its dollar.
func (t *tree) variableName() string {
	from := t.pos
	t.pos++
	t.word()
	return t.text[from:t.pos]
}

// command parses operands, up to a bar, a parenthesis or a closing delimiter.
func (t *tree) command() *parse.CommandNode {
	mark := len(t.stack)
	for {
		t.spaces()
		if c := t.at(); c == '|' || c == ')' || t.closes() {
			break
		}
		t.stack = append(t.stack, t.operand())
		if c := t.at(); c != '|' && c != ')' && !isSpace(c) && !t.follows(closing) {
			refuse("operands without space")
		}
	}
	if len(t.stack) == mark {
		refuse("empty command")
	}
	return &parse.CommandNode{NodeType: parse.NodeCommand, Args: t.list(mark)}
}

// operand parses a term and the fields behind it.
func (t *tree) operand() parse.Node {
	switch c := t.at(); {
	case c == '.':
		if t.pos+1 < len(t.text) && isWord(t.text[t.pos+1]) {
			return &parse.FieldNode{NodeType: parse.NodeField, Ident: t.fields("")}
		}
		t.pos++
		if t.at() == '.' {
			refuse("two dots")
		}
		return &parse.DotNode{NodeType: parse.NodeDot}
	case c == '$':
		name := t.variableName()
		if !slices.Contains(t.vars, name) {
			refuse("undefined variable")
		}
		return &parse.VariableNode{NodeType: parse.NodeVariable, Ident: t.fields(name)}
	case c == '"' || c == '`':
		source, text := t.quoted()
		return &parse.StringNode{NodeType: parse.NodeString, Quoted: source, Text: text}
	case isDigit(c) || c == '-':
		return t.number()
	case c == '(':
		t.pos++
		t.enter()
		pipe := t.pipeline("(")
		t.depth--
		if t.at() != ')' {
			refuse("parenthesis without end")
		}
		t.pos++
		return t.chain(pipe)
	}
	return t.name()
}

// name parses a function or a constant.
func (t *tree) name() parse.Node {
	word := t.word()
	switch word {
	case "true", "false":
		return &parse.BoolNode{NodeType: parse.NodeBool, True: word == "true"}
	case "nil":
		return &parse.NilNode{NodeType: parse.NodeNil}
	case "block", "break", "continue", "define", "else", "end", "if", "range", "template", "with":
		refuse("keyword")
	}
	if !t.known(word) {
		refuse("no function " + word)
	}
	t.named = t.named || slices.Contains(t.look, word)
	return t.chain(parse.NewIdentifier(word))
}

// chain takes the fields that follow a node.
func (t *tree) chain(node parse.Node) parse.Node {
	if t.at() != '.' {
		return node
	}
	return &parse.ChainNode{NodeType: parse.NodeChain, Node: node, Field: t.fields("")}
}

// maxFields is how long a chain of fields may be here.
const maxFields = 16

// fields parses .a.b.c behind a variable's name, or behind nothing.
func (t *tree) fields(first string) []string {
	var buf [maxFields]string
	names := buf[:0]
	if first != "" {
		names = append(names, first)
	}
	for t.at() == '.' {
		t.pos++
		if c := t.at(); !isWord(c) || isDigit(c) || len(names) == maxFields {
			refuse("strange field")
		}
		names = append(names, t.word())
	}
	return t.names(names...)
}

// maxDigits is how many digits certainly fit into an int64.
const maxDigits = 18

// number parses a number, the usual decimal ones itself.
func (t *tree) number() parse.Node {
	from := t.pos
	negative := t.at() == '-'
	if negative {
		t.pos++
	}
	digits := t.pos
	for isDigit(t.at()) {
		t.pos++
	}
	whole := t.pos - digits
	fraction := t.pos + 1
	if t.at() == '.' {
		for t.pos++; isDigit(t.at()); {
			t.pos++
		}
	}
	switch {
	case whole == 0, whole > maxDigits, whole > 1 && t.text[digits] == '0',
		t.pos == fraction, t.pos > fraction && negative, isWord(t.at()), t.at() == '.':
		return t.rareNumber(from)
	}
	n := &parse.NumberNode{NodeType: parse.NodeNumber, IsFloat: true, Text: t.text[from:t.pos]}
	if t.pos < fraction {
		i, err := strconv.ParseInt(n.Text, 10, 64)
		if err != nil {
			refuse("unusual number")
		}
		n.Int64, n.IsInt, n.Float64 = i, true, float64(i)
		if i >= 0 {
			n.Uint64, n.IsUint = uint64(i), true
		}
		return n
	}
	f, err := strconv.ParseFloat(n.Text, 64)
	if err != nil {
		refuse("unusual number")
	}
	n.Float64 = f
	if float64(int64(f)) == f {
		n.Int64, n.IsInt = int64(f), true
		n.Uint64, n.IsUint = uint64(f), true
	}
	return n
}

// rareNumber leaves a number to text/template/parse: other bases, exponents.
func (t *tree) rareNumber(from int) parse.Node {
	for t.pos = from; t.pos < len(t.text); t.pos++ {
		c := t.text[t.pos]
		sign := (c == '-' || c == '+') && (t.pos == from || strings.IndexByte("eEpP", t.text[t.pos-1]) >= 0)
		if !isWord(c) && c != '.' && !sign {
			break
		}
	}
	const name = "number"
	trees, err := parse.Parse(name, "{{"+t.text[from:t.pos]+"}}", "", "")
	if err != nil {
		refuse("unusual number")
	}
	action, ok := trees[name].Root.Nodes[0].(*parse.ActionNode)
	if !ok || len(action.Pipe.Cmds[0].Args) != 1 {
		refuse("unusual number")
	}
	n, ok := action.Pipe.Cmds[0].Args[0].(*parse.NumberNode)
	if !ok {
		refuse("unusual number")
	}
	return n
}
