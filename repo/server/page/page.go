// Package page shows a depot to people: lists, search, and each chart with its
// README, values, templates, versions and what changed between two of them.
//
// Pages are made on the server and work without script; the one script adds copy
// buttons. The Content-Security-Policy allows nothing from elsewhere but pictures
// over https, which READMEs have, and READMEs are sanitised besides.
//
//	/?q=words                  all charts, or those that fit
//	/TENANT/                   one tenant's
//	/TENANT/-/NAME             a chart's newest version
//	/TENANT/-/NAME/VERSION/TAB one of values, templates, versions, diff
package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/seed38700745/pkg/repo/server/depot"
)

//go:embed html static
var files embed.FS

const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' https:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// pageSize is how many charts a list shows at a time.
const pageSize = 50

// Page serves pages; it is safe for concurrent use.
type Page struct {
	charts *depot.Depot
	html   *template.Template
	readme *readmes
	log    *slog.Logger
}

// New makes the pages of a depot.
func New(charts *depot.Depot, log *slog.Logger) *Page {
	funcs := template.FuncMap{"path": chartPath, "file": filePath, "size": humanSize}
	return &Page{
		charts: charts,
		html:   template.Must(template.New("").Funcs(funcs).ParseFS(files, "html/*.html")),
		readme: newReadmes(),
		log:    log,
	}
}

// chartPath is a chart's URL; version and tab may be "".
func chartPath(tenant, name, version, tab string) string {
	p := "/-/" + name
	if tenant != "" {
		p = "/" + tenant + p
	}
	for _, s := range []string{version, tab} {
		if s != "" {
			p += "/" + url.PathEscape(s)
		}
	}
	return p
}

// filePath is an archive's URL.
func filePath(tenant, file string) string {
	p := "/charts/" + url.PathEscape(file)
	if tenant != "" {
		p = "/" + tenant + p
	}
	return p
}

func humanSize(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// Tenant is the one that a path without its leading "/" is about.
func (p *Page) Tenant(path string) string {
	if tenant, _, ok := strings.Cut("/"+path, "/-/"); ok {
		return strings.Trim(tenant, "/")
	}
	if strings.HasPrefix(path, "static/") {
		return ""
	}
	return strings.Trim(path, "/")
}

// Serve answers a GET or HEAD that was allowed. MayPull tells which tenants the user
// may see in lists.
func (p *Page) Serve(w http.ResponseWriter, r *http.Request, path string, mayPull func(tenant string) bool) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	if strings.HasPrefix(path, "static/") {
		h.Set("Cache-Control", "max-age=3600")
		http.ServeFileFS(w, r, files, path)
		return
	}
	tenant := p.Tenant(path)
	if _, rest, ok := strings.Cut("/"+path, "/-/"); ok {
		p.serveChart(w, r, tenant, strings.Split(strings.TrimSuffix(rest, "/"), "/"))
		return
	}
	tenants := p.charts.Tenants()
	if tenant != "" {
		if !slices.Contains(tenants, tenant) {
			p.missing(w, r)
			return
		}
		tenants = slices.DeleteFunc(tenants, func(t string) bool { return t != tenant && !strings.HasPrefix(t, tenant+"/") })
	}
	tenants = slices.DeleteFunc(tenants, func(t string) bool { return t != tenant && !mayPull(t) })
	p.serveList(w, r, tenant, tenants)
}

// missing is the 404 page; programs get JSON.
func (p *Page) missing(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error":"not found"}`)) // the client may have gone
		return
	}
	p.write(w, http.StatusNotFound, "missing.html", frame{Title: "Not found"})
}

// frame is what every page has.
type frame struct {
	Title, Tenant, Query string
}

func (p *Page) write(w http.ResponseWriter, status int, name string, data any) {
	var out bytes.Buffer
	if err := p.html.ExecuteTemplate(&out, name, data); err != nil {
		p.log.Error("page", "template", name, "error", err)
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes()) // the client may have gone
}

// row is a chart in a list.
type row struct {
	Tenant string
	*depot.Entry
}

func (p *Page) serveList(w http.ResponseWriter, r *http.Request, tenant string, tenants []string) {
	query := strings.TrimSpace(r.URL.Query().Get("q"))
	at, err := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil || at < 1 {
		at = 1
	}
	rows := p.search(tenants, strings.Fields(strings.ToLower(query)))
	total := len(rows)
	rows = rows[min((at-1)*pageSize, total):min(at*pageSize, total)]
	title := "Charts"
	if tenant != "" {
		title = tenant
	}
	link := func(n int) string {
		if n < 1 || (n-1)*pageSize >= total {
			return ""
		}
		return "?" + url.Values{"q": {query}, "page": {strconv.Itoa(n)}}.Encode()
	}
	p.write(w, http.StatusOK, "list.html", struct {
		frame
		Rows           []row
		Total          int
		Previous, Next string
		Host           string
	}{frame{title, tenant, query}, rows, total, link(at - 1), link(at + 1), r.Host})
}

// search finds the charts that have all words in name, description or keywords;
// those with a word in the name come first.
func (p *Page) search(tenants, words []string) []row {
	var named, others []row
	for _, tenant := range tenants {
		for _, name := range p.charts.Names(tenant) {
			e, err := p.charts.Find(tenant, name, "latest")
			if err != nil {
				continue // deleted meanwhile
			}
			lower := strings.ToLower(name)
			text := lower + " " + strings.ToLower(e.Description+" "+strings.Join(e.Keywords, " "))
			if slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
				continue
			}
			if slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(lower, w) }) {
				others = append(others, row{tenant, e})
			} else {
				named = append(named, row{tenant, e})
			}
		}
	}
	return append(named, others...)
}
