package page

import (
	"bytes"
	"html/template"
	"sync"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
)

// readmes renders Markdown of strangers to HTML that does nothing.
type readmes struct {
	markdown goldmark.Markdown
	policy   *bluemonday.Policy

	mu   sync.Mutex
	done map[string]template.HTML // by the archive's digest; guarded by mu
}

const (
	maxReadmes = 200       // kept
	maxReadme  = 512 << 10 // bytes rendered
)

func newReadmes() *readmes {
	policy := bluemonday.UGCPolicy()
	policy.RequireNoFollowOnLinks(true)
	policy.AllowURLSchemes("https", "http", "mailto")
	return &readmes{
		// Raw HTML is left out by goldmark already; the policy is the guarantee.
		markdown: goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithParserOptions(parser.WithAutoHeadingID())),
		policy:   policy,
		done:     map[string]template.HTML{},
	}
}

func (m *readmes) render(digest string, data []byte) template.HTML {
	m.mu.Lock()
	html, ok := m.done[digest]
	m.mu.Unlock()
	if ok {
		return html
	}
	var out bytes.Buffer
	if err := m.markdown.Convert(data[:min(len(data), maxReadme)], &out); err != nil {
		return "" // writing to a buffer does not fail
	}
	html = template.HTML(m.policy.SanitizeBytes(out.Bytes()))
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.done) >= maxReadmes {
		clear(m.done)
	}
	m.done[digest] = html
	return html
}
