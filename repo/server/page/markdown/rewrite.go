package markdown

import (
	"bytes"
	"html/template"
	"net/url"
	"path"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// writer turns sanitised HTML into balanced HTML whose links and pictures fit.
type writer struct {
	files Files

	out      strings.Builder
	open     []element
	ids      map[string]bool
	level    int // of the last heading
	headings []Heading
}

// element is one that is open.
type element struct {
	name string // in the text
	end  string // what closes it
}

// maxTitle is the bytes of a heading's text in the list of headings.
const maxTitle = 80

func (w *writer) rewrite(text []byte) template.HTML {
	var tokens []html.Token
	for t := html.NewTokenizer(bytes.NewReader(text)); t.Next() != html.ErrorToken; {
		tokens = append(tokens, t.Token())
	}
	for i, t := range tokens {
		switch t.Type {
		case html.TextToken:
			w.out.WriteString(html.EscapeString(t.Data))
		case html.SelfClosingTagToken, html.StartTagToken:
			w.start(t, tokens[i+1:])
		case html.EndTagToken:
			w.end(t.Data)
		}
	}
	for len(w.open) > 0 {
		w.pop()
	}
	return template.HTML(w.out.String())
}

// void are the elements without content.
func void(name string) bool { return slices.Contains([]string{"br", "hr", "img", "input"}, name) }

// parents are what an element has to lie in.
func parents(name string) []string {
	switch name {
	case "li":
		return []string{"ul", "ol"}
	case "dt", "dd":
		return []string{"dl"}
	case "tr", "td", "th", "thead", "tbody", "tfoot", "caption":
		return []string{"table"}
	case "summary":
		return []string{"details"}
	}
	return nil
}

func (w *writer) inside(names ...string) bool {
	return slices.ContainsFunc(w.open, func(e element) bool { return slices.Contains(names, e.name) })
}

func (w *writer) start(t html.Token, rest []html.Token) {
	switch t.Data {
	case "img":
		w.picture(t)
		return
	case "input":
		w.task(t)
		return
	case "br", "hr":
		w.out.WriteString("<" + t.Data + ">")
		return
	}
	if len(w.open) >= maxNested {
		return
	}
	if needs := parents(t.Data); needs != nil && !w.inside(needs...) {
		w.push(t.Data, "", "")
		return
	}
	attrs := w.attrs(t)
	switch t.Data {
	case "h1", "h2", "h3", "h4", "h5", "h6":
		w.heading(t, attrs, rest)
	case "a":
		w.link(t, attrs, rest)
	case "table":
		// Wide ones scroll by themselves, with the keyboard as well.
		w.push("table", `<div class="wide" tabindex="0" role="group" aria-label="Table"><table`+attrs+">", "</table></div>")
	case "pre":
		w.push("pre", "<pre tabindex=\"0\""+attrs+">", "</pre>")
	case "th":
		name := "th"
		if textOf(rest, "th") == "" {
			name = "td" // a heading that says nothing is none
		}
		w.push("th", "<"+name+attrs+">", "</"+name+">")
	case "center":
		w.push("center", `<div align="center"`+attrs+">", "</div>")
	default:
		w.push(t.Data, "<"+t.Data+attrs+">", "</"+t.Data+">")
	}
}

func (w *writer) push(name, begin, end string) {
	w.out.WriteString(begin)
	w.open = append(w.open, element{name, end})
}

func (w *writer) pop() {
	last := len(w.open) - 1
	w.out.WriteString(w.open[last].end)
	w.open = w.open[:last]
}

// end closes an element and those in it that were left open. What does not close
// anything, or would leave a table's cell, is dropped.
func (w *writer) end(name string) {
	for i := len(w.open) - 1; i >= 0; i-- {
		if w.open[i].name == name {
			for len(w.open) > i {
				w.pop()
			}
			return
		}
		if cell := w.open[i].name; (cell == "td" || cell == "th") && len(parents(name)) == 0 && name != "table" {
			return
		}
	}
}

// attrs are the attributes of an element that go on as they are, and its id.
func (w *writer) attrs(t html.Token) string {
	var out strings.Builder
	for _, a := range t.Attr {
		switch a.Key {
		case "id", "name":
			if id := IDPrefix + a.Val; !w.ids[id] {
				w.ids[id] = true
				out.WriteString(` id="` + html.EscapeString(id) + `"`)
			}
		case "href", "src", "alt":
		default:
			out.WriteString(" " + a.Key + `="` + html.EscapeString(a.Val) + `"`)
		}
	}
	return out.String()
}

func attr(t html.Token, key string) string {
	for _, a := range t.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// heading writes a heading one below the page's own, at most one level below the
// one before it.
func (w *writer) heading(t html.Token, attrs string, rest []html.Token) {
	level := min(int(t.Data[1]-'0')+1, w.level+1, 6)
	text := textOf(rest, t.Data)
	if text == "" {
		w.push(t.Data, "<div"+attrs+">", "</div>")
		return
	}
	w.level = level
	tag := "h" + string(rune('0'+level))
	end := "</" + tag + ">"
	if id := attr(t, "id"); id != "" && strings.Contains(attrs, ` id="`) {
		w.headings = append(w.headings, Heading{level, IDPrefix + id, clip(text, maxTitle)})
	}
	w.push(t.Data, "<"+tag+attrs+">", end)
}

// textOf is the text up to the end of an element, pictures' names included.
func textOf(rest []html.Token, name string) string {
	const near = 200 // tokens
	var out strings.Builder
	for _, t := range rest[:min(near, len(rest))] {
		if t.Type == html.EndTagToken && t.Data == name || out.Len() > 4*maxTitle {
			break
		}
		if t.Type == html.TextToken {
			out.WriteString(t.Data)
		}
		if t.DataAtom == atom.Img {
			out.WriteString(pictureName(t))
		}
	}
	return strings.Join(strings.Fields(out.String()), " ")
}

// link writes the beginning of a link; one that goes nowhere becomes a span.
func (w *writer) link(t html.Token, attrs string, rest []html.Token) {
	for w.inside("a") { // browsers would end the outer one, too
		w.end("a")
		if w.inside("a") {
			break // beyond a table's cell
		}
	}
	href := w.target(attr(t, "href"))
	if href == "" || textOf(rest, "a") == "" {
		w.push("a", "<span"+attrs+">", "</span>")
		return
	}
	if !strings.HasPrefix(href, "#") && !strings.HasPrefix(href, "/") {
		attrs += ` rel="nofollow noopener noreferrer"`
	}
	w.push("a", `<a href="`+html.EscapeString(href)+`"`+attrs+">", "</a>")
}

// target is where a link goes: elsewhere, to a heading, or to a file of the chart.
func (w *writer) target(href string) string {
	u, err := url.Parse(strings.TrimSpace(href))
	switch {
	case err != nil || href == "":
		return ""
	case u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "mailto":
		return u.String()
	case u.Scheme == "" && u.Host != "":
		u.Scheme = "https"
		return u.String()
	case u.Scheme != "" || strings.HasPrefix(u.Path, "/"):
		return ""
	case u.Path == "" && u.Fragment != "":
		return "#" + IDPrefix + u.EscapedFragment()
	}
	return w.files(path.Clean(u.Path))
}

// picture writes a picture that the chart brings along. One from elsewhere becomes
// a link to it; inside of a link it is its text.
func (w *writer) picture(t html.Token) {
	src, name := attr(t, "src"), pictureName(t)
	u, err := url.Parse(strings.TrimSpace(src))
	if err != nil || name == "" {
		return
	}
	if u.Scheme == "" && u.Host == "" && !strings.HasPrefix(u.Path, "/") {
		if file := w.files(path.Clean(u.Path)); file != "" && IsPicture(u.Path) {
			w.out.WriteString(`<img src="` + html.EscapeString(file) + `" alt="` + html.EscapeString(attr(t, "alt")) + `" loading="lazy"`)
			for _, key := range []string{"width", "height"} {
				if v := attr(t, key); v != "" {
					w.out.WriteString(" " + key + `="` + html.EscapeString(v) + `"`)
				}
			}
			w.out.WriteString(">")
			return
		}
	}
	text := `class="picture">` + html.EscapeString(name)
	target := w.target(src)
	if w.inside("a") || target == "" {
		w.out.WriteString("<span " + text + "</span>")
		return
	}
	w.out.WriteString(`<a href="` + html.EscapeString(target) + `" rel="nofollow noopener noreferrer" ` + text + "</a>")
}

// IsPicture tells whether a file's name is that of a picture that pages show.
func IsPicture(name string) bool {
	return slices.Contains([]string{".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg"}, strings.ToLower(path.Ext(name)))
}

// pictureName is what a picture is called: its text, or its file's name.
func pictureName(t html.Token) string {
	if alt := strings.TrimSpace(attr(t, "alt")); alt != "" {
		return clip(alt, maxTitle)
	}
	u, err := url.Parse(attr(t, "src"))
	if err != nil || u.Path == "" {
		return ""
	}
	base := path.Base(u.Path)
	return clip(strings.TrimSuffix(base, path.Ext(base)), maxTitle)
}

// task writes the mark of a list of tasks.
func (w *writer) task(t html.Token) {
	if attr(t, "type") != "checkbox" {
		return
	}
	mark, word := "☐", "to do"
	if slices.ContainsFunc(t.Attr, func(a html.Attribute) bool { return a.Key == "checked" }) {
		mark, word = "☑", "done"
	}
	w.out.WriteString(`<span role="img" aria-label="` + word + `">` + mark + "</span> ")
}
