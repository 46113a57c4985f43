package repo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed38700745/pkg/chart"
)

// atOnce is how many charts are fetched at the same time.
const atOnce = 8

// Complete adds, in memory, the charts that c requires and does not bring along,
// and theirs. dir is c's folder for file:// dependencies, "" when it has none. A
// Chart.lock that fits Chart.yaml decides the versions, and what it pins is checked.
func (r *Resolver) Complete(ctx context.Context, c *chart.Chart, dir string) error {
	missing := chart.MissingDependencies(c)
	if len(missing) == 0 {
		return nil
	}
	locked := lockOf(c)
	subs := make([]*chart.Chart, len(missing))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, d := range missing {
		g.Go(func() error {
			dep := *d
			if l, ok := locked[d]; ok {
				dep.Version = l.version
			}
			sub, _, subDir, err := r.dependency(ctx, &dep, dir, locked[d].digest, VendorOptions{})
			if err != nil {
				return fmt.Errorf("chart %s: dependency %s: %w", c.Name(), d.Name, err)
			}
			subs[i] = sub
			return r.Complete(ctx, sub, subDir)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	c.AddDependency(subs...)
	return nil
}

// dependency loads one required chart: the chart, its archive, and the folder that
// it came from, if it did. It must have the digest pin unless that is "".
func (r *Resolver) dependency(ctx context.Context, d *chart.Dependency, dir, pin string, o VendorOptions) (*chart.Chart, *Archive, string, error) {
	if path, ok := strings.CutPrefix(d.Repository, "file://"); ok {
		sub, from, err := fileDependency(d, path, dir)
		if err != nil {
			return nil, nil, "", err
		}
		archive, err := pack(sub)
		return sub, archive, from, err
	}
	req, err := r.dependencyRequest(d, o.Access)
	if err != nil {
		return nil, nil, "", err
	}
	req.Verify, req.Digest = o.Verify, pin
	archive, err := r.Pull(ctx, req)
	if err != nil {
		return nil, nil, "", err
	}
	sub, err := archive.Load()
	return sub, archive, "", err
}

func fileDependency(d *chart.Dependency, path, dir string) (*chart.Chart, string, error) {
	if !filepath.IsAbs(path) {
		if dir == "" {
			return nil, "", fmt.Errorf("repository %s: the chart was not loaded from a folder", d.Repository)
		}
		path = filepath.Join(dir, path)
	}
	sub, err := chart.Load(path)
	if err != nil {
		return nil, "", fmt.Errorf("repository %s: %w", d.Repository, err)
	}
	if d.Version != "" && !chart.CompatibleVersion(d.Version, sub.Metadata.Version) {
		return nil, "", fmt.Errorf("repository %s: the chart has version %s, required is %s", d.Repository, sub.Metadata.Version, d.Version)
	}
	return sub, path, nil
}

// dependencyRequest asks for a required chart in the repository that it names: a
// URL, the name of a configured one behind "@" or "alias:", or a built-in one.
func (r *Resolver) dependencyRequest(d *chart.Dependency, access Access) (Request, error) {
	name, named := strings.CutPrefix(d.Repository, "@")
	if !named {
		name, named = strings.CutPrefix(d.Repository, "alias:")
	}
	if named {
		return Request{Ref: name + "/" + d.Name, Version: d.Version}, nil
	}
	if d.Repository == "" {
		return Request{}, errors.New("no repository given, and the charts folder does not hold it")
	}
	if _, err := url.Parse(d.Repository); err != nil {
		return Request{}, err
	}
	if IsOCI(d.Repository) {
		return Request{Ref: strings.TrimSuffix(d.Repository, "/") + "/" + d.Name, Version: d.Version, Access: access}, nil
	}
	list, err := r.Repositories()
	if err != nil {
		return Request{}, err
	}
	for _, e := range list { // a configured repository brings its index and credentials
		if strings.TrimSuffix(e.URL, "/") == strings.TrimSuffix(d.Repository, "/") {
			return Request{Ref: e.Name + "/" + d.Name, Version: d.Version}, nil
		}
	}
	return Request{Ref: d.Name, Version: d.Version, RepoURL: d.Repository, Access: access}, nil
}

// VendorOptions say how dependencies are fetched into a chart's folder.
type VendorOptions struct {
	FromLock bool // take the versions of Chart.lock, which must fit Chart.yaml
	Now      time.Time
	// Access is how servers are reached that no configured repository describes.
	Access Access
	// Verify, if set, is asked about every archive that is downloaded.
	Verify func(*Archive) error
	// Pin writes the digests of what is fetched into the lock.
	Pin bool
}

// Vendor fetches everything that the chart in dir requires into its charts folder
// and writes Chart.lock. Nothing is changed unless every chart was fetched. It
// returns what is locked now.
func (r *Resolver) Vendor(ctx context.Context, dir string, o VendorOptions) ([]*chart.Dependency, error) {
	c, err := chart.Load(dir)
	if err != nil {
		return nil, err
	}
	var versions map[*chart.Dependency]lockedChart
	if o.FromLock && c.Lock != nil {
		if versions = lockOf(c); versions == nil {
			return nil, fmt.Errorf("the lock file (%s) is out of sync with the dependencies file (%s). Please update the dependencies", lockName(c), requirementsName(c))
		}
	}
	if versions == nil && len(c.Metadata.Dependencies) == 0 {
		return nil, nil // helm writes no lock then
	}
	locked := make([]*chart.Dependency, len(c.Metadata.Dependencies))
	archives := make([]*Archive, len(locked))
	pins := make([]string, len(locked))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, d := range c.Metadata.Dependencies {
		if d.Repository == "" { // the chart in charts/ is the dependency
			locked[i] = &chart.Dependency{Name: d.Name, Version: d.Version}
			continue
		}
		g.Go(func() error {
			dep := *d
			if l, ok := versions[d]; ok {
				dep.Version = l.version
			}
			sub, archive, _, err := r.dependency(ctx, &dep, dir, versions[d].digest, o)
			if err != nil {
				return fmt.Errorf("dependency %s: %w", d.Name, err)
			}
			archive.Name = chart.ArchiveName(sub)
			archives[i] = archive
			if o.Pin && !strings.HasPrefix(d.Repository, "file://") {
				pins[i] = archive.pin()
			}
			locked[i] = &chart.Dependency{Name: d.Name, Version: sub.Metadata.Version, Repository: d.Repository}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	fetched := map[string][]byte{}
	for _, a := range archives {
		if a != nil {
			fetched[a.Name] = a.Data
		}
	}
	if err := writeVendored(dir, c, fetched); err != nil {
		return nil, err
	}
	if versions != nil { // the lock was followed
		return locked, nil
	}
	return locked, writeLock(dir, c, locked, pins, o.Now)
}

// writeVendored puts archives into the charts folder and removes older ones of the
// same charts.
func writeVendored(dir string, c *chart.Chart, fetched map[string][]byte) error {
	folder := filepath.Join(dir, chart.DependencyDir)
	for name, data := range fetched {
		if err := writeFile(filepath.Join(folder, name), data, 0o644); err != nil {
			return err
		}
	}
	old, err := filepath.Glob(filepath.Join(folder, "*.tgz"))
	if err != nil {
		return err
	}
	for _, file := range old {
		if _, fresh := fetched[filepath.Base(file)]; fresh {
			continue
		}
		sub, err := chart.LoadArchiveFile(file)
		if err != nil {
			continue // not ours to judge
		}
		for _, d := range c.Metadata.Dependencies {
			if d.Name == sub.Name() && d.Repository != "" {
				if err := os.Remove(file); err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}
