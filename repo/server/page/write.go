package page

import (
	"bufio"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/seed38700745/pkg/repo/server/page/compare"
)

// firstPart is how many bytes of a page are made before it begins to be sent.
const firstPart = 8 << 10

// sender sends a page while it is made: its beginning is with the reader before the
// end of a long one is there. Pages that are not long get their length.
type sender struct {
	w      http.ResponseWriter
	r      *http.Request
	status int
	zip    *gzip.Writer // nil: not compressed, or not begun
	begun  bool
}

var zippers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is a constant
	return z
}}

func (s *sender) begin() {
	s.begun = true
	if acceptsGzip(s.r) && s.r.Method != http.MethodHead {
		s.w.Header().Set("Content-Encoding", "gzip")
		if z, ok := zippers.Get().(*gzip.Writer); ok {
			z.Reset(s.w)
			s.zip = z
		}
	}
	s.w.WriteHeader(s.status)
}

func acceptsGzip(r *http.Request) bool {
	accepted := r.Header.Get("Accept-Encoding")
	return strings.Contains(accepted, "gzip") && !strings.Contains(strings.ReplaceAll(accepted, " ", ""), "gzip;q=0")
}

func (s *sender) Write(data []byte) (int, error) {
	if !s.begun {
		s.begin()
		if _, err := s.send(data); err != nil {
			return 0, err
		}
		return len(data), s.flush()
	}
	return s.send(data)
}

func (s *sender) send(data []byte) (int, error) {
	if s.zip != nil {
		return s.zip.Write(data)
	}
	return s.w.Write(data)
}

// flush gets the beginning on its way.
func (s *sender) flush() error {
	if s.zip != nil {
		if err := s.zip.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(s.w).Flush()
}

func (s *sender) end() {
	if s.zip != nil {
		_ = s.zip.Close() // the client may have gone
		zippers.Put(s.zip)
	}
}

// write answers with a page. What it shows is all there: only the words of the
// template can fail now.
func (p *Page) write(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Vary", "Accept-Encoding, Authorization")
	s := &sender{w: w, r: r, status: status}
	out := bufio.NewWriterSize(s, firstPart)
	err := p.html.ExecuteTemplate(out, name, data)
	switch {
	case r.Context().Err() != nil: // the client has gone
	case err != nil && !s.begun:
		p.config.Log.Error("page", "template", name, "error", err)
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	case err != nil:
		p.config.Log.Error("page", "template", name, "error", err)
	case !s.begun:
		h.Set("Content-Length", strconv.Itoa(out.Buffered()))
		s.begun = true
		w.WriteHeader(status)
	}
	_ = out.Flush() // the client may have gone
	s.end()
}

// source is numbered lines of code. Like those below it is written by hand, as html/template
// takes tens of milliseconds for thousands of lines.
func source(lines []template.HTML) template.HTML {
	var out strings.Builder
	for _, l := range lines {
		out.WriteString(`<span class="line">`)
		out.WriteString(string(l))
		out.WriteString("\n</span>")
	}
	return template.HTML(out.String())
}

// unified is a block of a comparison, one line below the other.
func unified(b compare.Block) template.HTML {
	var out strings.Builder
	for i := range b.Lines {
		l := &b.Lines[i]
		sign := map[compare.Kind]string{compare.Add: "+", compare.Remove: "−"}[l.Kind]
		out.WriteString(`<tr class="` + string(l.Kind) + `"><td class="no">` + lineNumber(l.Old) + `</td><td class="no">` + lineNumber(l.New) +
			`</td><td class="sign">` + sign + `</td><td class="text">`)
		writeLine(&out, l)
		out.WriteString("</td></tr>\n")
	}
	return template.HTML(out.String())
}

// side is a block of a comparison, both texts beside each other.
func side(b compare.Block) template.HTML {
	var out strings.Builder
	half := func(l *compare.Line, number int) {
		if l == nil {
			out.WriteString(`<td class="no none"></td><td class="none"></td>`)
			return
		}
		out.WriteString(`<td class="no ` + string(l.Kind) + `">` + lineNumber(number) + `</td><td class="text ` + string(l.Kind) + `">`)
		writeLine(&out, l)
		out.WriteString("</td>")
	}
	for _, r := range b.Rows() {
		out.WriteString("<tr>")
		half(r.Left, r.Old())
		half(r.Right, r.New())
		out.WriteString("</tr>\n")
	}
	return template.HTML(out.String())
}

func writeLine(out *strings.Builder, l *compare.Line) {
	out.WriteString(template.HTMLEscapeString(l.Before))
	if l.Changed != "" {
		out.WriteString("<b>" + template.HTMLEscapeString(l.Changed) + "</b>")
	}
	out.WriteString(template.HTMLEscapeString(l.After))
}

func lineNumber(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
