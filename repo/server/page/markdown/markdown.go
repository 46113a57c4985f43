// Package markdown turns Markdown of strangers, in GitHub's flavour, into HTML that
// does nothing.
//
// HTML in the text is kept as far as GitHub keeps it, and the result has the
// following guarantees, whatever the text:
//   - elements and attributes are those of a list: no scripts, styles, frames,
//     forms, vector graphics, comments or event handlers;
//   - links go to http, https or mailto, to a heading of the same text, or to a file
//     that the caller knows; pictures are such files only, and those from elsewhere
//     become links, so that showing the text asks nobody for anything;
//   - elements are balanced and not nested deeply, so that the text cannot leave its
//     place on the page;
//   - ids begin with IDPrefix, so that they are not those of the page;
//   - headings begin at h2 and leave no level out.
package markdown

import (
	"bytes"
	"html/template"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/util"

	"github.com/seed38700745/pkg/repo/server/page/syntax"
)

// IDPrefix is what the ids of headings begin with.
const IDPrefix = "readme-"

// Limits of what is rendered. Parsing takes time that grows with the square of what
// is nested; readable texts are far below.
const (
	maxText     = 512 << 10 // bytes
	maxMarks    = 60        // of quotes or lists that one line begins with
	maxBrackets = 2000      // in a row of lines without a blank one
	maxNested   = 60        // elements
)

// Document is a rendered text.
type Document struct {
	HTML     template.HTML
	Headings []Heading
	Cut      bool // the text was longer than what is rendered
}

// Heading is a part of a text. Level is 2 for the top ones.
type Heading struct {
	Level    int
	ID, Text string
}

// Files finds the URL of a file that a text refers to relative to itself, "" when
// there is none.
type Files func(name string) (url string)

// Renderer is safe for concurrent use.
type Renderer struct {
	markdown goldmark.Markdown
	policy   *bluemonday.Policy
}

// New makes a Renderer.
func New() *Renderer {
	return &Renderer{
		markdown: goldmark.New(
			goldmark.WithExtensions(extension.Linkify, extension.Strikethrough, extension.TaskList,
				extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute))),
			goldmark.WithParserOptions(parser.WithAutoHeadingID()),
			// Raw HTML passes here; the policy is what makes it harmless.
			goldmark.WithRendererOptions(html.WithUnsafe(), renderer.WithNodeRenderers(util.Prioritized(fences{}, 100))),
		),
		policy: newPolicy(),
	}
}

// Render renders a text.
func (r *Renderer) Render(text []byte, files Files) Document {
	var d Document
	if len(text) > maxText {
		d.Cut = true
		text = text[:maxText]
		if end := bytes.LastIndexByte(text, '\n'); end > 0 {
			text = text[:end]
		}
	}
	text = flatten(bytes.ToValidUTF8(text, []byte("\uFFFD")))
	var out bytes.Buffer
	context := parser.NewContext(parser.WithIDs(&ids{seen: map[string]int{}}))
	if err := r.markdown.Convert(text, &out, parser.WithContext(context)); err != nil {
		return d // writing to a buffer does not fail
	}
	w := writer{files: files, ids: map[string]bool{}, level: 1}
	d.HTML = w.rewrite(r.policy.SanitizeReader(&out).Bytes())
	d.Headings = w.headings
	return d
}

// flatten takes the marks off lines that begin with very many of them, and makes
// brackets plain characters where there are very many without a blank line.
func flatten(text []byte) []byte {
	lines := bytes.Split(text, []byte("\n"))
	brackets, from := 0, 0
	for i, line := range lines {
		if marks(line) > maxMarks {
			lines[i] = bytes.TrimLeft(line, " \t>-+*")
		}
		brackets += bytes.Count(line, []byte("["))
		blank := len(bytes.TrimSpace(line)) == 0
		if !blank && i+1 < len(lines) {
			continue
		}
		if brackets > maxBrackets {
			for n := from; n <= i; n++ {
				lines[n] = bytes.ReplaceAll(lines[n], []byte("["), []byte(`\[`))
			}
		}
		brackets, from = 0, i+1
	}
	return bytes.Join(lines, []byte("\n"))
}

// marks counts the characters that could open a quote or a list at a line's
// beginning, and its indentation in steps of two, as lists nest by it.
func marks(line []byte) int {
	n, blanks := 0, 0
	for _, c := range line {
		switch c {
		case ' ':
			blanks++
		case '\t':
			blanks += 4
		case '>', '-', '+', '*':
			n++
		default:
			return n + blanks/2
		}
	}
	// A line of marks alone is a rule, unless it quotes.
	if !bytes.ContainsRune(line, '>') && blanks == 0 {
		return 0
	}
	return n + blanks/2
}

func newPolicy() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "div", "span", "blockquote", "pre", "code", "kbd",
		"samp", "var", "em", "strong", "b", "i", "u", "s", "del", "ins", "sub", "sup", "mark", "small", "ul", "ol", "li", "dl", "dt",
		"dd", "table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption", "details", "summary", "center")
	p.AllowAttrs("id").Matching(regexp.MustCompile(`^[^\s"'<>&]{1,200}$`)).Globally()
	p.AllowAttrs("title").Globally()
	p.AllowAttrs("align").Matching(regexp.MustCompile(`(?i)^(left|center|right)$`)).OnElements(
		"h1", "h2", "h3", "h4", "h5", "h6", "p", "div", "td", "th", "table")
	p.AllowAttrs("colspan", "rowspan").Matching(regexp.MustCompile(`^[0-9]{1,2}$`)).OnElements("td", "th")
	p.AllowAttrs("start").Matching(regexp.MustCompile(`^[0-9]{1,6}$`)).OnElements("ol")
	p.AllowAttrs("open").OnElements("details")
	p.AllowAttrs("class").Matching(regexp.MustCompile(`^[ckstn]$`)).OnElements("span")
	p.AllowAttrs("type", "checked", "disabled").OnElements("input")
	p.AllowAttrs("href", "name").OnElements("a")
	p.AllowAttrs("src", "alt").OnElements("img")
	p.AllowAttrs("width", "height").Matching(regexp.MustCompile(`^[0-9]{1,4}(px|%)?$`)).OnElements("img")
	p.AllowNoAttrs().OnElements("a", "span", "img")
	p.AllowURLSchemes("http", "https", "mailto")
	p.AllowRelativeURLs(true)
	p.RequireParseableURLs(true)
	return p
}

// fences renders blocks of code, YAML with colours.
type fences struct{}

func (fences) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(ast.KindFencedCodeBlock, func(w util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		fence, ok := node.(*ast.FencedCodeBlock)
		if !ok {
			return ast.WalkContinue, nil
		}
		text := string(fence.Lines().Value(source))
		_, _ = w.WriteString("<pre><code>")
		language := strings.ToLower(string(fence.Language(source)))
		lines := syntax.Plain(text)
		if language == "yaml" || language == "yml" {
			lines = syntax.YAML(text)
		}
		for _, line := range lines {
			_, _ = w.WriteString(string(line) + "\n")
		}
		_, _ = w.WriteString("</code></pre>\n")
		return ast.WalkSkipChildren, nil
	})
}

// ids makes the ids of headings by GitHub's rule, so that links in texts fit: lower
// case, blanks to hyphens, without what is no letter, digit, "-" or "_".
type ids struct{ seen map[string]int }

func (s *ids) Generate(value []byte, _ ast.NodeKind) []byte {
	var out strings.Builder
	for _, r := range strings.ToLower(string(value)) {
		switch {
		case r == ' ':
			out.WriteByte('-')
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			out.WriteRune(r)
		}
	}
	id := out.String()
	if id == "" {
		id = "part"
	}
	n := s.seen[id]
	s.seen[id] = n + 1
	if n > 0 {
		id += "-" + strconv.Itoa(n)
	}
	return []byte(id)
}

func (s *ids) Put(value []byte) { s.seen[string(value)]++ }

// clip shortens a text to so many bytes, whole characters only.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}
