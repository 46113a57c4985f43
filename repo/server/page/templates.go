package page

import (
	"html/template"
	"net/http"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/repo/server/page/syntax"
)

// templatesView is a chart's list of files and the content of one.
type templatesView struct {
	*chartView
	Folders []fileFolder
	File    *file // the one shown
	Lines   []template.HTML
	Note    string // why it is not shown
}

// fileFolder is the files of one folder of a chart.
type fileFolder struct {
	Name  string // "" is the chart's own
	Files []fileLink
}

type fileLink struct {
	Name, Path, Size string
	Current          bool
}

// maxShown is the size in bytes of a file that is shown on a page.
const maxShown = 400 << 10

func (p *Page) serveTemplates(w http.ResponseWriter, r *http.Request, v *chartView, a *archive, name string) {
	view := &templatesView{chartView: v}
	list := a.below(chart.TemplatesDir, "crds")
	if f := a.find(chart.ChartfileName); f != nil {
		list = append([]file{{chart.ChartfileName, f}}, list...)
	}
	at := slices.IndexFunc(list, func(f file) bool { return f.Name == name })
	if name == "" {
		at = slices.IndexFunc(list, func(f file) bool { return strings.HasPrefix(f.Name, "templates/") && path.Ext(f.Name) == ".yaml" })
		if at < 0 && len(list) > 0 {
			at = 0
		}
	} else if at < 0 {
		p.missing(w, r, v.frame)
		return
	}
	for i, f := range list {
		dir, base := path.Split(f.Name)
		if n := len(view.Folders); n == 0 || view.Folders[n-1].Name != dir {
			view.Folders = append(view.Folders, fileFolder{Name: dir})
		}
		in := &view.Folders[len(view.Folders)-1]
		in.Files = append(in.Files, fileLink{
			base, chartPath(v.Tenant, v.Entry.Name, v.Entry.Version, "templates/"+f.Name), f.Size(), i == at,
		})
	}
	if at >= 0 {
		f := list[at]
		view.File = &f
		switch {
		case !utf8.Valid(f.Data):
			view.Note = "This file is no text."
		case len(f.Data) > maxShown:
			view.Note = "This file is too large to be shown here."
		default:
			view.Lines = syntax.YAML(string(f.Data))
		}
	}
	p.writeChart(w, r, v, "templates.html", view)
}
