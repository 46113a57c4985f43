package page

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/repo/server/depot"
)

// dependenciesView is what a chart needs of others.
type dependenciesView struct {
	*chartView
	Dependencies []dependency
}

// dependency is a chart that another needs.
type dependency struct {
	*chart.Dependency
	Locked   string // version in Chart.lock
	Included string // version that lies in the archive
	Here     *row   // the newest version that fits, hosted here; nil: none
	Link     string // of the repository, when it is a web address
	File     bool   // the repository is a folder of the author
}

func (p *Page) serveDependencies(w http.ResponseWriter, r *http.Request, v *chartView, a *archive) {
	view := &dependenciesView{chartView: v}
	locked, included := lockedVersions(a), includedVersions(a)
	for _, d := range v.Meta.Dependencies {
		one := dependency{Dependency: d, Locked: locked[d.Name], File: strings.HasPrefix(d.Repository, "file:")}
		one.Included = included(d)
		if web(d.Repository) {
			one.Link = d.Repository
		}
		one.Here = p.hosted(v.frame, d)
		view.Dependencies = append(view.Dependencies, one)
	}
	p.writeChart(w, r, v, "dependencies.html", view)
}

// readRequirements completes the metadata of charts of apiVersion v1, which name what
// they need in a file of its own.
func readRequirements(meta *chart.Metadata, a *archive) {
	var list struct {
		Dependencies []*chart.Dependency `json:"dependencies"`
	}
	if len(meta.Dependencies) == 0 && meta.APIVersion == "v1" && yaml.Unmarshal(a.find("requirements.yaml"), &list) == nil {
		meta.Dependencies = list.Dependencies
	}
	meta.Dependencies = slices.DeleteFunc(meta.Dependencies, func(d *chart.Dependency) bool { return d == nil })
}

// hosted finds a dependency on this server: in the repository that it names, else in
// the tenant of the chart that needs it.
func (p *Page) hosted(f frame, d *chart.Dependency) *row {
	tenants := []string{f.Tenant}
	if u, err := url.Parse(d.Repository); err == nil && strings.EqualFold(u.Host, f.Host) {
		tenant := strings.Trim(u.Path, "/")
		if tenant == "charts" {
			tenant = ""
		}
		tenants = []string{strings.TrimSuffix(tenant, "/charts"), f.Tenant}
	}
	for _, tenant := range tenants {
		if depot.CheckTenant(tenant) != nil || !f.Viewer.MayPull(tenant) {
			continue
		}
		for _, e := range p.config.Charts.Versions(tenant, d.Name) {
			if d.Version == "" || chart.CompatibleVersion(d.Version, e.Version) {
				return &row{Tenant: tenant, Entry: e}
			}
		}
	}
	return nil
}

// lockedVersions is Chart.lock, or requirements.lock, by name.
func lockedVersions(a *archive) map[string]string {
	found := map[string]string{}
	for _, name := range []string{"Chart.lock", "requirements.lock"} {
		var lock chart.Lock
		if yaml.Unmarshal(a.find(name), &lock) != nil {
			continue
		}
		for _, d := range lock.Dependencies {
			if d != nil {
				found[d.Name] = d.Version
			}
		}
	}
	return found
}

// includedVersions returns what finds the version of a dependency in the archive.
func includedVersions(a *archive) func(d *chart.Dependency) string {
	type one struct{ name, version string }
	var all []one
	for _, f := range a.below("charts") {
		if packed, ok := strings.CutSuffix(path.Base(f.Name), ".tgz"); ok {
			for at := range len(packed) { // "a-b-1.0.0": which "-" it is, the name says
				if packed[at] == '-' {
					all = append(all, one{packed[:at], packed[at+1:]})
				}
			}
			continue
		}
		var meta chart.Metadata
		if yaml.Unmarshal(f.Data, &meta) == nil {
			all = append(all, one{meta.Name, meta.Version})
		}
	}
	return func(d *chart.Dependency) string {
		at := slices.IndexFunc(all, func(o one) bool {
			return o.name == d.Name && (d.Version == "" || chart.CompatibleVersion(d.Version, o.version))
		})
		if at < 0 {
			return ""
		}
		return all[at].version
	}
}
