package repo

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/repo/localindex"
)

// bundledChart is one chart of the built-in repository, and its folder there.
type bundledChart struct {
	name, dir string
	entry     localindex.Entry
}

// resolveBundled loads a chart of the built-in repository.
func (r *Resolver) resolveBundled(repoName, name string, req Request) (*Resolved, error) {
	all, err := r.bundledEntries()
	if err != nil {
		return nil, err
	}
	where := "repository " + repoName + " (the charts that come with pkg)"
	var names []string
	for _, b := range all {
		names = append(names, b.name)
	}
	at := slices.Index(names, name)
	if at < 0 {
		return nil, r.notFound(req, where, names, fmt.Errorf("chart %s: %w", name, ErrNotFound))
	}
	if _, err := choose(1, func(int) string { return all[at].entry.Version }, req.Version, req.Devel); err != nil {
		return nil, r.notFound(req, where, names, err)
	}
	c, err := r.loadBundled(all[at])
	if err != nil {
		return nil, err
	}
	out := &Resolved{Chart: c, Source: repoName + "/" + name}
	if repoName == StableName {
		out.Note = fmt.Sprintf("%s/ means the charts that come with pkg (%s/); pkg repo add %s URL changes that", StableName, BundledName, StableName)
	}
	return out, nil
}

// bundledEntries reads what the built-in charts say of themselves; there are few.
func (r *Resolver) bundledEntries() ([]bundledChart, error) {
	if r.Bundled == nil {
		return nil, nil
	}
	dirs, err := fs.ReadDir(r.Bundled, ".")
	if err != nil {
		return nil, err
	}
	var list []bundledChart
	for _, d := range dirs {
		if !d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			continue
		}
		data, err := fs.ReadFile(r.Bundled, path.Join(d.Name(), chart.ChartfileName))
		if err != nil {
			return nil, err
		}
		md, err := chart.ParseMetadata(data)
		if err != nil {
			return nil, fmt.Errorf("chart %s/%s: %w", BundledName, d.Name(), err)
		}
		list = append(list, bundledChart{name: md.Name, dir: d.Name(), entry: localindex.Entry{
			Version: md.Version, AppVersion: md.AppVersion, Description: md.Description, Keywords: md.Keywords,
			Release: true, Positive: true, PositiveDevel: true,
		}})
	}
	return list, nil
}

func (r *Resolver) loadBundled(b bundledChart) (*chart.Chart, error) {
	sub, err := fs.Sub(r.Bundled, b.dir)
	if err != nil {
		return nil, err
	}
	c, err := chart.LoadFS(sub)
	if err == nil {
		err = completeBundled(r.Bundled, c)
	}
	if err != nil {
		return nil, fmt.Errorf("chart %s/%s: %w", BundledName, b.name, err)
	}
	return c, nil
}

// completeBundled adds the charts that c requires from the folders beside its own,
// repository: file://../NAME, and theirs: so a built-in chart is whole, wherever it
// is taken to.
func completeBundled(all fs.FS, c *chart.Chart) error {
	for _, d := range chart.MissingDependencies(c) {
		name, ok := strings.CutPrefix(d.Repository, "file://../")
		if !ok {
			continue
		}
		dir, err := fs.Sub(all, name)
		if err != nil {
			return fmt.Errorf("dependency %s: %w", d.Name, err)
		}
		sub, err := chart.LoadFS(dir)
		if err != nil {
			return fmt.Errorf("dependency %s: %w", d.Name, err)
		}
		if d.Version != "" && !chart.CompatibleVersion(d.Version, sub.Metadata.Version) {
			return fmt.Errorf("dependency %s: version %s is bundled, required is %s", d.Name, sub.Metadata.Version, d.Version)
		}
		if err := completeBundled(all, sub); err != nil {
			return err
		}
		c.AddDependency(sub)
	}
	return nil
}
