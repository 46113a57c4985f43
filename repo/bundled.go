package repo

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/seed38700745/pkg/chart"
)

// resolveBundled loads a chart of the built-in repository.
func (r *Resolver) resolveBundled(repoName, name string, req Request) (*Resolved, error) {
	index, charts, err := r.bundledIndex()
	if err != nil {
		return nil, err
	}
	if _, err := index.Find(name, req.Version, req.Devel); err != nil {
		return nil, r.notFound(req, "repository "+repoName+" (the charts that come with pkg)", index.Names(), err)
	}
	out := &Resolved{Chart: charts[name], Source: repoName + "/" + name}
	if repoName == StableName {
		out.Note = fmt.Sprintf("%s/ means the charts that come with pkg (%s/); pkg repo add %s URL changes that", StableName, BundledName, StableName)
	}
	return out, nil
}

// bundledIndex loads the built-in charts; there are few and they are small.
func (r *Resolver) bundledIndex() (*Index, map[string]*chart.Chart, error) {
	index := &Index{APIVersion: "v1", Entries: map[string][]*Entry{}}
	charts := map[string]*chart.Chart{}
	if r.Bundled == nil {
		return index, charts, nil
	}
	dirs, err := fs.ReadDir(r.Bundled, ".")
	if err != nil {
		return nil, nil, err
	}
	for _, d := range dirs {
		if !d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			continue
		}
		sub, err := fs.Sub(r.Bundled, d.Name())
		if err != nil {
			return nil, nil, err
		}
		c, err := chart.LoadFS(sub)
		if err != nil {
			return nil, nil, fmt.Errorf("chart %s/%s: %w", BundledName, d.Name(), err)
		}
		if err := completeBundled(r.Bundled, c); err != nil {
			return nil, nil, fmt.Errorf("chart %s/%s: %w", BundledName, d.Name(), err)
		}
		charts[c.Name()] = c
		index.Entries[c.Name()] = []*Entry{{Metadata: c.Metadata}}
	}
	return index, charts, nil
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
