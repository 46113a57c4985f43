package page

import (
	"html/template"
	"net/http"
	"strings"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/repo/server/page/outline"
	"github.com/seed38700745/pkg/repo/server/page/syntax"
)

// valuesView is what the page of a chart's values shows, in one of its views.
type valuesView struct {
	*chartView
	View     string // "", "file" or "schema"
	Problem  string // why there is no outline
	Groups   []valuesGroup
	Keys     []string // of the top level
	Total    int
	Find     string
	Lines    []template.HTML
	Text     string
	Values   bool // there are any
	Schema   bool
	FilePath string
}

// valuesGroup is a key of the top level with all below it, or several that have
// nothing below them.
type valuesGroup struct {
	outline.Setting
	Of       string // the dependency whose values they are
	Settings []outline.Setting
}

type outlined struct {
	settings []outline.Setting
	problem  string
}

func (p *Page) serveValues(w http.ResponseWriter, r *http.Request, v *chartView, a *archive) {
	values, schema := a.find(chart.ValuesfileName), a.find(chart.SchemafileName)
	view := &valuesView{
		chartView: v, View: r.URL.Query().Get("view"), Values: len(values) > 0, Schema: len(schema) > 0,
		Find: strings.TrimSpace(r.URL.Query().Get("find")),
	}
	switch view.View {
	case "":
		o, err := get(r.Context(), p.keep, "values "+v.Tenant+" "+v.Entry.Digest, func() (outlined, int, error) {
			settings, err := outline.Read(values, schema)
			if err != nil {
				return outlined{problem: err.Error()}, len(err.Error()), nil
			}
			const each = 300 // bytes of a setting besides its texts
			return outlined{settings: settings}, len(values) + len(schema) + each*len(settings), nil
		})
		if err != nil {
			p.failed(w, r, v.frame, err)
			return
		}
		view.Problem = o.problem
		view.group(o.settings)
	case "file":
		view.Text, view.Lines, view.FilePath = string(values), syntax.YAML(string(values)), chart.ValuesfileName
	case "schema":
		view.Text, view.Lines, view.FilePath = string(schema), syntax.YAML(string(schema)), chart.SchemafileName
	default:
		p.missing(w, r, v.frame)
		return
	}
	p.writeChart(w, r, v, "values.html", view)
}

// group puts settings below their top level, those that have the words looked for.
func (v *valuesView) group(settings []outline.Setting) {
	words := strings.Fields(strings.ToLower(v.Find))
	for i := 0; i < len(settings); {
		g := valuesGroup{Setting: settings[i]}
		for _, d := range v.Meta.Dependencies {
			if d.Alias == g.Key || d.Alias == "" && d.Name == g.Key {
				g.Of = d.Name
			}
		}
		top := i
		v.Keys = append(v.Keys, g.Key)
		for i++; i < len(settings) && settings[i].Depth > 0; i++ {
			switch {
			case settings[i].Group: // worth a line for what is said of it
				if len(words) == 0 && settings[i].Text != "" {
					g.Settings = append(g.Settings, settings[i])
				}
			case fits(settings[i], words):
				g.Settings = append(g.Settings, settings[i])
				v.Total++
			}
		}
		if !settings[top].Group && fits(settings[top], words) {
			g.Settings = append([]outline.Setting{settings[top]}, g.Settings...)
			v.Total++
		}
		if last := len(v.Groups) - 1; !g.Group && last >= 0 && !v.Groups[last].Group && len(g.Settings) > 0 {
			v.Groups[last].Settings = append(v.Groups[last].Settings, g.Settings...)
			continue
		}
		if len(g.Settings) > 0 || len(words) == 0 {
			v.Groups = append(v.Groups, g)
		}
	}
}

func fits(s outline.Setting, words []string) bool {
	for _, w := range words {
		if !strings.Contains(strings.ToLower(s.Path), w) && !strings.Contains(strings.ToLower(s.Text), w) {
			return false
		}
	}
	return true
}
