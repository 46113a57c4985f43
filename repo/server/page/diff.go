package page

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/repo/server/depot"
	"github.com/seed38700745/pkg/repo/server/page/compare"
)

// diffView is what changed from one version to another.
type diffView struct {
	*chartView
	From  *depot.Entry // nil: there is nothing to compare with
	Side  bool         // side by side
	Only  string       // the one file shown; "" shows all
	Parts []diffPart
	Added, Removed,
	Files int
}

// diffPart is the changed files of one sort.
type diffPart struct {
	Name  string
	Files []diffFile
}

// diffFile is one file's change.
type diffFile struct {
	Name  string
	State string // "added", "removed", "changed"
	compare.Difference
	Shown bool // false: too long beside the others
}

// Limits of what is shown of changes, in lines.
const (
	maxChange = 2500  // of one file, among others
	maxAll    = 4000  // of all files
	maxAlone  = 40000 // of a file shown alone
	maxFolded = 2000  // unchanged lines that can be opened
)

func (p *Page) serveDiff(w http.ResponseWriter, r *http.Request, v *chartView, a *archive) {
	q := r.URL.Query()
	// The form names both versions.
	if to := q.Get("to"); to != "" && to != v.Entry.Version {
		if e, err := p.config.Charts.Find(v.Tenant, v.Entry.Name, to); err == nil {
			q.Del("to")
			http.Redirect(w, r, chartPath(v.Tenant, e.Name, e.Version, "diff")+"?"+q.Encode(), http.StatusSeeOther)
			return
		}
		p.missing(w, r, v.frame)
		return
	}
	view := &diffView{chartView: v, Side: q.Get("view") == "side", Only: q.Get("file")}
	from := q.Get("from")
	if from == "" {
		at := slices.IndexFunc(v.Versions, func(e *depot.Entry) bool { return e.Version == v.Entry.Version })
		if at < 0 || at+1 >= len(v.Versions) {
			p.writeChart(w, r, v, "diff.html", view)
			return
		}
		from = v.Versions[at+1].Version
	}
	e, err := p.config.Charts.Find(v.Tenant, v.Entry.Name, from)
	if err != nil {
		p.missing(w, r, v.frame)
		return
	}
	parts, err := p.changes(r.Context(), v, e, a)
	switch {
	case errors.Is(err, depot.ErrNotFound):
		p.missing(w, r, v.frame)
		return
	case err != nil:
		p.failed(w, r, v.frame, err)
		return
	}
	view.From = e
	view.choose(parts)
	if view.Only != "" && view.Files == 0 {
		p.missing(w, r, v.frame)
		return
	}
	p.writeChart(w, r, v, "diff.html", view)
}

// changes compares two versions, or takes the comparison from memory.
func (p *Page) changes(ctx context.Context, v *chartView, from *depot.Entry, after *archive) ([]diffPart, error) {
	before, err := p.archive(ctx, v.Tenant, from)
	if err != nil {
		return nil, err
	}
	return get(ctx, p.keep, "diff "+v.Tenant+" "+from.Digest+" "+v.Entry.Digest, func() ([]diffPart, int, error) {
		parts := changed(before, after)
		size := 0
		for _, part := range parts {
			for _, f := range part.Files {
				for _, b := range f.Blocks {
					const each = 120 // bytes of a line besides its text
					for _, l := range b.Lines {
						size += each + len(l.Before) + len(l.Changed) + len(l.After)
					}
				}
			}
		}
		return parts, size, nil
	})
}

// sortOf is the part of a comparison that a file belongs to, "" for those left out.
func sortOf(name string) string {
	switch {
	case name == chart.ValuesfileName || name == chart.SchemafileName:
		return "Values"
	case strings.HasPrefix(name, chart.TemplatesDir+"/"):
		return "Templates"
	case strings.HasPrefix(name, "crds/"):
		return "Custom resources"
	case slices.Contains([]string{chart.ChartfileName, "Chart.lock", "requirements.yaml", "requirements.lock"}, name):
		return "Chart"
	}
	return ""
}

// changed compares the files that decide what a chart installs.
func changed(before, after *archive) []diffPart {
	parts := []diffPart{{Name: "Values"}, {Name: "Templates"}, {Name: "Custom resources"}, {Name: "Chart"}}
	var names []string
	for _, a := range []*archive{before, after} {
		for _, f := range a.files {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	names = slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == chart.ValuesfileName })
	// values.yaml before its schema, as people look for it first.
	for _, name := range slices.Insert(names, 0, chart.ValuesfileName) {
		at := slices.IndexFunc(parts, func(p diffPart) bool { return p.Name == sortOf(name) })
		if at < 0 {
			continue
		}
		old, now := before.find(name), after.find(name)
		f := diffFile{Name: name, State: "changed", Difference: compare.Texts(text(old), text(now))}
		switch {
		case len(f.Blocks) == 0:
			continue
		case old == nil:
			f.State = "added"
		case now == nil:
			f.State = "removed"
		}
		parts[at].Files = append(parts[at].Files, f)
	}
	return slices.DeleteFunc(parts, func(p diffPart) bool { return len(p.Files) == 0 })
}

// text is a file's content as text, with a word instead of what is none.
func text(data []byte) string {
	if strings.ContainsRune(string(data), 0) {
		return "(no text)\n"
	}
	return strings.ToValidUTF8(string(data), "\uFFFD")
}

// choose takes what is shown: all files as long as there is room, or the only one.
// The parts are shared, and not changed.
func (v *diffView) choose(parts []diffPart) {
	room, folded := maxAll, maxFolded
	for _, part := range parts {
		own := diffPart{Name: part.Name}
		for _, f := range part.Files {
			if v.Only != "" && f.Name != v.Only {
				continue
			}
			v.Files++
			v.Added += f.Added
			v.Removed += f.Removed
			lines := 0
			for _, b := range f.Blocks {
				if !b.Folded {
					lines += len(b.Lines)
				}
			}
			f.Shown = lines <= maxChange && lines <= room || v.Only != "" && lines <= maxAlone
			if f.Shown {
				room -= lines
				f.Blocks = slices.Clone(f.Blocks)
				for i, b := range f.Blocks {
					if !b.Folded {
						continue
					}
					if len(b.Lines) > folded {
						f.Blocks[i].Lines = nil
						f.Blocks[i].Hidden = len(b.Lines)
						continue
					}
					folded -= len(b.Lines)
				}
			}
			own.Files = append(own.Files, f)
		}
		if len(own.Files) > 0 {
			v.Parts = append(v.Parts, own)
		}
	}
}

// Address is the page of the same comparison, seen in another way or of one file.
func (v *diffView) Address(side bool, file string) string {
	q := url.Values{"from": {v.From.Version}}
	if side {
		q.Set("view", "side")
	}
	if file != "" {
		q.Set("file", file)
	}
	return "?" + q.Encode()
}
