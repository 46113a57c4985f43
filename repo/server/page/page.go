// Package page shows a depot to people: lists, search, and each chart with its
// README, values, templates, dependencies, images, versions and what changed between
// any two of them.
//
// Pages are made on the server and work without script; the one script adds copy
// buttons. The Content-Security-Policy allows nothing from elsewhere, and READMEs
// are made harmless besides (package markdown). What is dear to make is kept within
// a limit of memory; images, which take a rendering, are found in the background.
//
//	/?q=words&sort=new          all charts, or those that fit
//	/TENANT/                    one tenant's
//	/TENANT/-/NAME              a chart's newest version
//	/TENANT/-/NAME/VERSION/TAB  one of values, templates, dependencies, images, versions, diff
//	/TENANT/-/NAME/VERSION/files/PATH  a file of the chart as it is
package page

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed38700745/pkg/chart/provenance"
	"github.com/seed38700745/pkg/repo/server/depot"
	"github.com/seed38700745/pkg/repo/server/page/markdown"
)

//go:embed html static
var files embed.FS

// policy of pages: styles, the script and pictures of this server, nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// filePolicy is that of a chart's own files, which a browser may show: they do nothing.
const filePolicy = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"

// keepLimit bounds the memory of what is kept between requests, in bytes.
const keepLimit = 24 << 20

// patience is how long the page of images waits for them; longest is how long any
// page waits for what it shows.
const (
	patience = 6 * time.Millisecond
	longest  = 10 * time.Second
)

// Config is what a Page shows. Charts is required.
type Config struct {
	Charts *depot.Depot
	// Keyring are the keys whose signatures count; nil: signatures are shown, not checked.
	Keyring *provenance.Keyring
	// Cosigned tells whether the registry has a cosign signature of a version; may be nil.
	Cosigned func(tenant string, e *depot.Entry) bool
	Log      *slog.Logger
}

// Page serves pages; it is safe for concurrent use.
type Page struct {
	config   Config
	html     *template.Template
	assets   map[string]asset
	markdown *markdown.Renderer
	keep     *keep
	unpack   chan struct{} // bounds how many archives are unpacked at a time

	render  chan struct{} // bounds how many charts are rendered at a time
	waiting atomic.Int64  // charts that wait for it
	mu      sync.Mutex
	never   map[string]bool // digests of charts that rendered without end; guarded by mu
}

// asset is a file that pages refer to.
type asset struct {
	data []byte
	url  string // with a hash, so that browsers may keep it for ever
}

// New makes the pages of a depot.
func New(c Config) *Page {
	p := &Page{
		config: c, assets: readAssets(), markdown: markdown.New(), keep: newKeep(keepLimit),
		unpack: make(chan struct{}, 2*runtime.GOMAXPROCS(0)), render: make(chan struct{}, 1), never: map[string]bool{},
	}
	funcs := template.FuncMap{
		"chart": chartPath, "archive": archivePath, "size": humanSize, "number": humanNumber, "date": humanDate, "stamp": stamp,
		"tenant": tenantPath, "asset": func(name string) string { return p.assets["static/"+name].url }, "tile": tile, "initial": initial,
		"plural": plural, "linked": linked, "web": web, "source": source, "unified": unified, "side": side,
	}
	p.html = template.Must(template.New("").Funcs(funcs).ParseFS(files, "html/*.html"))
	return p
}

func readAssets() map[string]asset {
	all := map[string]asset{}
	names, _ := fs.Glob(files, "static/*") // the pattern is good
	for _, name := range names {
		data, _ := files.ReadFile(name) // it is embedded
		sum := sha256.Sum256(data)
		all[name] = asset{data, "/" + name + "?" + hex.EncodeToString(sum[:6])}
	}
	return all
}

// Viewer is who asks.
type Viewer struct {
	User      string                   // "" is nobody in particular
	MayPull   func(tenant string) bool // what may be shown
	CanSignIn bool                     // there are users
}

// Static tells whether a path without its leading "/" is of an asset, which
// everybody may see.
func (p *Page) Static(path string) bool {
	_, ok := p.assets[path]
	return ok
}

// Tenant is the one that a path without its leading "/" is about.
func (p *Page) Tenant(path string) string {
	if tenant, _, ok := strings.Cut("/"+path, "/-/"); ok {
		return strings.Trim(tenant, "/")
	}
	return strings.Trim(path, "/")
}

// secure sets the headers that every page has.
func secure(h http.Header, policy string) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for what does not know frame-ancestors
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
}

// Serve answers a GET or HEAD. The path lacks its leading "/"; what it is about was
// checked with MayPull, but for the list of all tenants.
func (p *Page) Serve(w http.ResponseWriter, r *http.Request, path string, v Viewer) {
	secure(w.Header(), policy)
	if a, ok := p.assets[path]; ok {
		p.serveAsset(w, r, path, a)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), longest)
	defer cancel()
	r = r.WithContext(ctx)
	tenant := p.Tenant(path)
	f := p.frame(r, v, tenant)
	if _, rest, ok := strings.Cut("/"+path, "/-/"); ok {
		p.serveChart(w, r, f, strings.TrimSuffix(rest, "/"))
		return
	}
	tenants := p.config.Charts.Tenants()
	if tenant != "" {
		if !slices.Contains(tenants, tenant) {
			p.missing(w, r, f)
			return
		}
		tenants = slices.DeleteFunc(tenants, func(t string) bool { return t != tenant && !strings.HasPrefix(t, tenant+"/") })
	}
	p.serveList(w, r, f, slices.DeleteFunc(tenants, func(t string) bool { return !v.MayPull(t) }))
}

func (p *Page) serveAsset(w http.ResponseWriter, r *http.Request, name string, a asset) {
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=3600")
	if strings.HasSuffix(a.url, "?"+r.URL.RawQuery) {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(a.data))
}

// frame is what every page has.
type frame struct {
	Title, Tenant, Query string
	Home                 bool // the start page, which has a search of its own
	Viewer               Viewer
	Host                 string
	Scheme               string // "http" or "https"
	Refresh              bool   // something is being made: ask again soon
}

func (p *Page) frame(r *http.Request, v Viewer, tenant string) frame {
	scheme := "http"
	// A proxy that ends TLS says so; who forges it sees other commands, no more.
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return frame{Tenant: tenant, Viewer: v, Host: r.Host, Scheme: scheme}
}

// URL is that of the tenant as a Helm repository.
func (f frame) URL() string { return strings.TrimSuffix(f.Scheme+"://"+f.Host+"/"+f.Tenant, "/") }

// OCI is the tenant in the registry.
func (f frame) OCI() string { return strings.TrimSuffix("oci://"+f.Host+"/"+f.Tenant, "/") }

// PlainHTTP is what clients of the registry must be told without TLS.
func (f frame) PlainHTTP() string {
	if f.Scheme == "https" {
		return ""
	}
	return "--plain-http"
}

// Crumbs are the folders of the tenant.
func (f frame) Crumbs() []crumb {
	var out []crumb
	for i, name := range strings.Split(f.Tenant, "/") {
		if name != "" {
			out = append(out, crumb{name, "/" + strings.Join(strings.Split(f.Tenant, "/")[:i+1], "/") + "/"})
		}
	}
	return out
}

type crumb struct{ Name, Path string }

// WantsHTML tells people from programs, which get JSON.
func WantsHTML(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

func (p *Page) missing(w http.ResponseWriter, r *http.Request, f frame) {
	p.refuse(w, r, f, http.StatusNotFound, "not found")
}

// Refuse answers a request that failed: people get a page, programs JSON.
func (p *Page) Refuse(w http.ResponseWriter, r *http.Request, v Viewer, status int, reason string) {
	secure(w.Header(), policy)
	p.refuse(w, r, p.frame(r, v, ""), status, reason)
}

func (p *Page) refuse(w http.ResponseWriter, r *http.Request, f frame, status int, reason string) {
	if !WantsHTML(r) {
		data, err := json.Marshal(map[string]string{"error": reason})
		if err != nil {
			data = []byte(`{"error":"cannot encode the answer"}`)
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write(data) // the client may have gone
		return
	}
	titles := map[int]string{
		http.StatusNotFound: "There is nothing here", http.StatusUnauthorized: "Sign in to see this",
		http.StatusForbidden: "You may not see this", http.StatusTooManyRequests: "Too many requests",
		http.StatusInternalServerError: "Something went wrong",
	}
	f.Title = cmp.Or(titles[status], http.StatusText(status))
	f.Tenant = ""
	p.write(w, r, status, "error.html", struct {
		frame
		Status int
		Reason string
	}{f, status, reason})
}

// failed answers a request that the server could not do.
func (p *Page) failed(w http.ResponseWriter, r *http.Request, f frame, err error) {
	if r.Context().Err() == nil || ctxTimedOut(r) {
		p.config.Log.Error("page", "path", r.URL.Path, "error", err)
	}
	p.refuse(w, r, f, http.StatusInternalServerError, "the server could not do it; its log says why")
}

func ctxTimedOut(r *http.Request) bool { return context.Cause(r.Context()) == context.DeadlineExceeded }
