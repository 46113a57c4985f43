package page

import (
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/repo/server/depot"
)

// chartView is what the pages of a chart show.
type chartView struct {
	frame
	Entry    *depot.Entry
	Meta     *chart.Metadata
	Versions []*depot.Entry
	Tab      string
	Signed   bool
	Host     string
	Plain    bool // the server has no TLS, which registry clients have to be told

	Readme    template.HTML
	Values    string
	Schema    string
	Templates []*chart.File
	Images    []string
	From      string
	Changes   []change
}

// change is one file's difference between two versions.
type change struct {
	File  string
	Lines []diffLine
}

type diffLine struct {
	Kind string // "add", "remove", "place", "same"
	Text string
}

func (p *Page) serveChart(w http.ResponseWriter, r *http.Request, tenant string, parts []string) {
	parts = append(parts, "", "")
	name, version, tab := parts[0], parts[1], parts[2]
	if version == "" {
		version = "latest"
	}
	e, err := p.charts.Find(tenant, name, version)
	tabs := []string{"", "values", "templates", "versions", "diff"}
	if err != nil || len(parts) > 5 || !slices.Contains(tabs, tab) {
		p.missing(w, r)
		return
	}
	c, err := p.charts.Load(tenant, e)
	if err != nil {
		p.missing(w, r)
		return
	}
	v := &chartView{
		frame: frame{Title: name, Tenant: tenant}, Entry: e, Meta: c.Metadata, Versions: p.charts.Versions(tenant, name),
		Tab: tab, Host: r.Host, Plain: r.TLS == nil,
	}
	if f, _, err := p.charts.OpenFile(tenant, e.File+".prov"); err == nil {
		v.Signed = f.Close() == nil
	}
	switch tab {
	case "":
		if f := chart.Readme(c); f != nil {
			v.Readme = p.readme.render(e.Digest, f.Data)
		}
		v.Images = images(c)
	case "values":
		v.Values, v.Schema = string(chart.RawFile(c, chart.ValuesfileName)), string(c.Schema)
	case "templates":
		v.Templates = c.Templates
	case "diff":
		if !p.diff(v, tenant, c, r.URL.Query().Get("from")) {
			p.missing(w, r)
			return
		}
	}
	p.write(w, http.StatusOK, "chart.html", v)
}

// diff fills in what changed since another version, the one before by default.
func (p *Page) diff(v *chartView, tenant string, c *chart.Chart, from string) bool {
	if from == "" {
		at := slices.Index(v.Versions, v.Entry)
		if at < 0 || at+1 >= len(v.Versions) {
			return true // the only one: nothing to compare with
		}
		from = v.Versions[at+1].Version
	}
	e, err := p.charts.Find(tenant, v.Entry.Name, from)
	if err != nil {
		return false
	}
	old, err := p.charts.Load(tenant, e)
	if err != nil {
		return false
	}
	v.From = e.Version
	before, after := texts(old), texts(c)
	names := make([]string, 0, len(after))
	for name := range after {
		names = append(names, name)
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if before[name] != after[name] {
			v.Changes = append(v.Changes, change{name, lines(before[name], after[name])})
		}
	}
	return true
}

// texts are the files of a chart that decide what it installs.
func texts(c *chart.Chart) map[string]string {
	all := map[string]string{}
	for _, f := range c.Raw {
		if f.Name == chart.ChartfileName || f.Name == chart.ValuesfileName || f.Name == chart.SchemafileName ||
			strings.HasPrefix(f.Name, chart.TemplatesDir+"/") || strings.HasPrefix(f.Name, "crds/") {
			all[f.Name] = string(f.Data)
		}
	}
	return all
}

func lines(before, after string) []diffLine {
	var out []diffLine
	for i, text := range strings.Split(string(diff.Diff("a", []byte(before), "b", []byte(after))), "\n") {
		const header = 3 // "diff", "---", "+++"
		if i < header || text == "" {
			continue
		}
		kind := "same"
		switch text[0] {
		case '+':
			kind = "add"
		case '-':
			kind = "remove"
		case '@':
			kind = "place"
		}
		out = append(out, diffLine{kind, text})
	}
	return out
}

// images lists what the chart's default values call an image: an "image" that is a
// text, or a table with a repository and perhaps a registry and a tag.
func images(c *chart.Chart) []string {
	var found []string
	var walk func(v any, depth int)
	walk = func(v any, depth int) {
		const deepest = 20
		table, ok := v.(map[string]any)
		if !ok || depth > deepest {
			return
		}
		if name, ok := table["repository"].(string); ok && name != "" && !strings.Contains(name, "://") {
			if registry, ok := table["registry"].(string); ok && registry != "" {
				name = registry + "/" + name
			}
			tag := c.Metadata.AppVersion
			if t := table["tag"]; t != nil && fmt.Sprint(t) != "" {
				tag = fmt.Sprint(t)
			}
			found = append(found, strings.TrimSuffix(name+":"+tag, ":"))
		}
		if name, ok := table["image"].(string); ok && name != "" {
			found = append(found, name)
		}
		for _, sub := range table {
			walk(sub, depth+1)
		}
	}
	walk(c.Values, 0)
	slices.Sort(found)
	return slices.Compact(found)
}
