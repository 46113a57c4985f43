package gotemplate

import (
	"strings"
	"text/template/parse"
)

// ending is what ended a list of nodes.
type ending int

const (
	endOfText ending = iota
	endAction
	elseAction
	elseIf   // the position is behind the word if
	elseWith // or behind with
)

// file parses the whole text.
func (t *tree) file() *parse.ListNode {
	list, end := t.body(true)
	if end != endOfText {
		refuse("end of nothing")
	}
	return list
}

// body parses text and actions up to an end or else, or the end of the text. Only at
// the top templates can be defined.
func (t *tree) body(top bool) (*parse.ListNode, ending) {
	t.enter()
	mark := len(t.stack)
	end := t.items(top)
	t.depth--
	if end == endOfText && !top {
		refuse("block without end")
	}
	return &parse.ListNode{NodeType: parse.NodeList, Nodes: t.list(mark)}, end
}

// items puts the nodes of a body on the stack.
func (t *tree) items(top bool) ending {
	for {
		from := t.pos
		i := strings.Index(t.text[from:], opening)
		if i < 0 {
			t.pos = len(t.text)
			t.addText(from, t.pos)
			return endOfText
		}
		t.pos += i
		end := t.pos
		if t.open() {
			end = from + len(strings.TrimRight(t.text[from:end], trimmed))
		}
		t.addText(from, end)
		if t.comment() {
			continue
		}
		t.spaces()
		begin := t.pos
		keyword := ""
		if c := t.at(); c >= 'a' && c <= 'z' {
			keyword = t.word()
		}
		switch keyword {
		case "end":
			t.close()
			return endAction
		case "else":
			return t.elseControl()
		case "define":
			if !top {
				refuse("define inside a block")
			}
			t.define()
		default:
			node := t.control(keyword)
			if node == nil {
				t.pos = begin
				node = &parse.ActionNode{NodeType: parse.NodeAction, Pipe: t.action("")}
			}
			t.stack = append(t.stack, node)
		}
	}
}

func (t *tree) addText(from, to int) {
	if from < to {
		t.stack = append(t.stack, &parse.TextNode{NodeType: parse.NodeText, Text: t.bytes[from:to:to]})
	}
}

// elseControl is behind the word else.
func (t *tree) elseControl() ending {
	t.spaces()
	if t.closes() {
		t.close()
		return elseAction
	}
	switch t.word() {
	case "if":
		return elseIf
	case "with":
		return elseWith
	}
	refuse("else with something else")
	return 0
}

// control parses an action that begins with a keyword; nil when it is none.
func (t *tree) control(keyword string) parse.Node {
	switch keyword {
	case "if":
		return &parse.IfNode{BranchNode: t.branch(parse.NodeIf)}
	case "with":
		return &parse.WithNode{BranchNode: t.branch(parse.NodeWith)}
	case "range":
		return &parse.RangeNode{BranchNode: t.branch(parse.NodeRange)}
	case "break", "continue":
		t.close()
		if t.ranges == 0 {
			refuse(keyword + " outside of range")
		}
		if keyword == "break" {
			return &parse.BreakNode{NodeType: parse.NodeBreak}
		}
		return &parse.ContinueNode{NodeType: parse.NodeContinue}
	case "template":
		node := &parse.TemplateNode{NodeType: parse.NodeTemplate, Name: t.templateName()}
		t.spaces()
		if t.closes() {
			t.close()
		} else {
			node.Pipe = t.action(keyword)
		}
		return node
	case "block":
		name := t.templateName()
		pipe := t.action(keyword)
		t.template(name)
		return &parse.TemplateNode{NodeType: parse.NodeTemplate, Name: name, Pipe: pipe}
	}
	return nil
}

func (t *tree) templateName() string {
	t.spaces()
	if c := t.at(); c != '"' && c != '`' {
		refuse("name of a template expected")
	}
	_, name := t.quoted()
	return name
}

// define parses a definition, whose first word is read.
func (t *tree) define() {
	name := t.templateName()
	t.close()
	t.template(name)
}

// template parses the body of another template, in which nothing of what is around
// is known. Two of a name must not both have content.
func (t *tree) template(name string) {
	vars, ranges := t.vars, t.ranges
	t.vars, t.ranges = []string{"$"}, 0
	root, end := t.body(false)
	if end != endAction {
		refuse("else of nothing")
	}
	t.vars, t.ranges = vars, ranges
	switch old := t.defines[name]; {
	case old == nil || parse.IsEmptyTree(old):
		t.defines[name] = root
	case !parse.IsEmptyTree(root):
		refuse("template defined twice")
	}
}

// branch parses if, with or range, whose word is read, up to its end.
func (t *tree) branch(typ parse.NodeType) parse.BranchNode {
	t.enter()
	vars := len(t.vars)
	n := parse.BranchNode{NodeType: typ}
	if typ == parse.NodeRange {
		n.Pipe = t.action("range")
		t.ranges++
	} else {
		n.Pipe = t.action("if")
	}
	var end ending
	n.List, end = t.body(false)
	if typ == parse.NodeRange {
		t.ranges--
	}
	switch {
	case end == endAction:
	case end == elseAction:
		if n.ElseList, end = t.body(false); end != endAction {
			refuse("end expected")
		}
	case end == elseIf && typ == parse.NodeIf: // its end is ours as well
		n.ElseList = t.single(&parse.IfNode{BranchNode: t.branch(typ)})
	case end == elseWith && typ == parse.NodeWith:
		n.ElseList = t.single(&parse.WithNode{BranchNode: t.branch(typ)})
	default:
		refuse("else of another kind")
	}
	t.vars = t.vars[:vars]
	t.depth--
	return n
}

func (t *tree) single(node parse.Node) *parse.ListNode {
	mark := len(t.stack)
	t.stack = append(t.stack, node)
	return &parse.ListNode{NodeType: parse.NodeList, Nodes: t.list(mark)}
}
