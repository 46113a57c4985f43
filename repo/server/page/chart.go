package page

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/repo/server/depot"
	"github.com/seed38700745/pkg/repo/server/page/markdown"
)

// chartView is what all pages of a chart show.
type chartView struct {
	frame
	Entry    *depot.Entry
	Meta     *chart.Metadata
	Versions []*depot.Entry // newest first
	Newest   *depot.Entry   // the newest that is no prerelease
	Tab      string
	Tabs     []tab
	Signed   signature
	Ways     []way
}

// tab is a part of a chart's pages.
type tab struct {
	Name, Path string
	Count      int // -1: none is shown
	Current    bool
}

// way is one of installing a chart.
type way struct{ Name, Command string }

// tabNames are the parts of a chart's pages, as paths and as words.
var tabNames = []struct{ path, name string }{
	{"", "Overview"}, {"values", "Values"}, {"templates", "Templates"}, {"dependencies", "Dependencies"},
	{"images", "Images"}, {"versions", "Versions"}, {"diff", "Changes"},
}

// serveChart answers for what follows "/-/": NAME/VERSION/TAB/FILE.
func (p *Page) serveChart(w http.ResponseWriter, r *http.Request, f frame, rest string) {
	const most = 4
	parts := append(strings.SplitN(rest, "/", most), "", "", "")
	name, version, at, file := parts[0], parts[1], parts[2], parts[3]
	if version == "" {
		version = "latest"
	}
	e, err := p.config.Charts.Find(f.Tenant, name, version)
	if err != nil {
		p.missing(w, r, f)
		return
	}
	meta, err := e.Metadata()
	if err != nil {
		p.failed(w, r, f, err)
		return
	}
	a := &archive{}
	if needsArchive(at, meta) {
		if a, err = p.archive(r.Context(), f.Tenant, e); errors.Is(err, depot.ErrNotFound) { // deleted a moment ago
			p.missing(w, r, f)
			return
		} else if err != nil {
			p.failed(w, r, f, err)
			return
		}
	}
	if at == "files" {
		p.serveFile(w, r, f, a, file)
		return
	}
	if file != "" && at != "templates" {
		p.missing(w, r, f)
		return
	}
	readRequirements(meta, a)
	f.Title = name + " " + e.Version
	v := &chartView{frame: f, Entry: e, Meta: meta, Versions: p.config.Charts.Versions(f.Tenant, name), Tab: at}
	if v.Newest, err = p.config.Charts.Find(f.Tenant, name, "latest"); err != nil {
		v.Newest = e
	}
	v.Signed = p.signature(r.Context(), f.Tenant, e)
	v.Ways = ways(v)
	switch at {
	case "":
		p.serveOverview(w, r, v, a)
	case "values":
		p.serveValues(w, r, v, a)
	case "templates":
		p.serveTemplates(w, r, v, a, file)
	case "dependencies":
		p.serveDependencies(w, r, v, a)
	case "images":
		p.serveImages(w, r, v)
	case "versions":
		p.writeChart(w, r, v, "versions.html", v)
	case "diff":
		p.serveDiff(w, r, v, a)
	default:
		p.missing(w, r, f)
	}
}

// needsArchive tells whether a page shows more than the index knows.
func needsArchive(tab string, meta *chart.Metadata) bool {
	return meta.APIVersion == "v1" || tab != "versions" && tab != "images"
}

// writeChart answers with one of a chart's pages; data embeds v.
func (p *Page) writeChart(w http.ResponseWriter, r *http.Request, v *chartView, name string, data any) {
	for _, t := range tabNames {
		count := -1
		switch t.path {
		case "dependencies":
			count = len(v.Meta.Dependencies)
		case "versions":
			count = len(v.Versions)
		}
		v.Tabs = append(v.Tabs, tab{t.name, chartPath(v.Tenant, v.Entry.Name, v.Entry.Version, t.path), count, t.path == v.Tab})
	}
	p.write(w, r, http.StatusOK, name, data)
}

// Prerelease tells whether the version is one.
func (v *chartView) Prerelease() bool { return prerelease(v.Entry.Version) }

func prerelease(version string) bool {
	version, _, _ = strings.Cut(version, "+")
	return strings.Contains(version, "-")
}

// Outdated tells whether there is a newer version than the one shown.
func (v *chartView) Outdated() bool {
	return slices.IndexFunc(v.Versions, func(e *depot.Entry) bool { return e.Version == v.Newest.Version }) <
		slices.IndexFunc(v.Versions, func(e *depot.Entry) bool { return e.Version == v.Entry.Version })
}

// ociName is what a repository of a registry may be called.
var ociName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)

// ways are the commands that install a version. Names and versions are plain words
// by the depot's rules, so that nothing needs quoting in a shell.
func ways(v *chartView) []way {
	name, version := v.Entry.Name, v.Entry.Version
	release := strings.Trim(strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(name)), "-")
	if v.Meta.Type == "library" {
		return []way{{"Chart.yaml", dependencyLines(v)}}
	}
	const next = " \\\n  " // goes on in the next line
	from := next + "--repo " + v.URL() + next + "--version " + version
	out := []way{{"pkg", "pkg install " + release + " " + name + from}, {"Helm", "helm install " + release + " " + name + from}}
	if ociName.MatchString(name) {
		from := next + v.OCI() + "/" + name + next + "--version " + version
		if plain := v.PlainHTTP(); plain != "" {
			from += next + plain
		}
		out = append(out, way{"OCI", "helm install " + release + from})
	}
	return append(out, way{"Chart.yaml", dependencyLines(v)})
}

func dependencyLines(v *chartView) string {
	return "dependencies:\n- name: " + v.Entry.Name + "\n  version: " + v.Entry.Version + "\n  repository: " + v.URL()
}

// overview is the first page of a chart.
type overview struct {
	*chartView
	Readme markdown.Document
	Images *imageList // nil while they are being found
}

func (p *Page) serveOverview(w http.ResponseWriter, r *http.Request, v *chartView, a *archive) {
	o := overview{chartView: v}
	if text := a.readme(); text != nil {
		var err error
		o.Readme, err = get(r.Context(), p.keep, "readme "+v.Tenant+" "+v.Entry.Digest, func() (markdown.Document, int, error) {
			d := p.markdown.Render(text, func(name string) string {
				if a.find(name) == nil {
					return ""
				}
				return chartPath(v.Tenant, v.Entry.Name, v.Entry.Version, "files/"+name)
			})
			return d, len(d.HTML), nil
		})
		if err != nil {
			p.failed(w, r, v.frame, err)
			return
		}
	}
	o.Images = p.images(r.Context(), v.Tenant, v.Entry, 0)
	p.writeChart(w, r, v, "chart.html", o)
}

// Contents are the headings worth a list: those of the upper two levels, when there
// are enough of them.
func (o overview) Contents() []markdown.Heading {
	const few, many = 4, 60
	var out []markdown.Heading
	for _, limit := range []int{3, 2} {
		out = out[:0]
		for _, h := range o.Readme.Headings {
			if h.Level <= limit {
				out = append(out, h)
			}
		}
		if len(out) <= many {
			break
		}
	}
	if len(out) < few || len(out) > many {
		return nil
	}
	return out
}

// serveFile answers with a file of a chart, as text or as a picture.
func (p *Page) serveFile(w http.ResponseWriter, r *http.Request, f frame, a *archive, name string) {
	data := a.find(name)
	if data == nil {
		p.missing(w, r, f)
		return
	}
	h := w.Header()
	secure(h, filePolicy)
	h.Set("Cache-Control", "private, no-cache")
	kind := "application/octet-stream"
	switch {
	case markdown.IsPicture(name) && strings.HasSuffix(strings.ToLower(name), ".svg"):
		kind = "image/svg+xml"
	case markdown.IsPicture(name):
		kind = http.DetectContentType(data)
		if !strings.HasPrefix(kind, "image/") {
			kind = "application/octet-stream"
		}
	case utf8.Valid(data):
		kind = "text/plain; charset=utf-8"
	}
	h.Set("Content-Type", kind)
	if kind == "application/octet-stream" {
		h.Set("Content-Disposition", "attachment")
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(data) // the client may have gone
	}
}
