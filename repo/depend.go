package repo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
)

// atOnce is how many charts are fetched at the same time.
const atOnce = 8

// Complete adds, in memory, the charts that c requires and does not bring along,
// and theirs. dir is c's folder for file:// dependencies, "" when it has none. A
// Chart.lock that fits Chart.yaml decides the versions.
func (r *Resolver) Complete(ctx context.Context, c *chart.Chart, dir string) error {
	missing := chart.MissingDependencies(c)
	if len(missing) == 0 {
		return nil
	}
	locked := lockedVersions(c)
	subs := make([]*chart.Chart, len(missing))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, d := range missing {
		g.Go(func() error {
			dep := *d
			if version, ok := locked[d]; ok {
				dep.Version = version
			}
			sub, _, subDir, err := r.dependency(ctx, &dep, dir, VendorOptions{})
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

// lockedVersions returns the versions of Chart.lock by requirement, or nil when it
// belongs to other requirements than Chart.yaml's.
func lockedVersions(c *chart.Chart) map[*chart.Dependency]string {
	if c.Lock == nil || len(c.Lock.Dependencies) != len(c.Metadata.Dependencies) {
		return nil
	}
	digest, err := LockDigest(c.Metadata.Dependencies, c.Lock.Dependencies)
	if err != nil || digest != c.Lock.Digest {
		return nil
	}
	out := map[*chart.Dependency]string{}
	for i, d := range c.Lock.Dependencies {
		out[c.Metadata.Dependencies[i]] = d.Version
	}
	return out
}

// LockDigest is Helm's digest of a lock: over what was asked for and what was found.
func LockDigest(requested, locked []*chart.Dependency) (string, error) {
	data, err := json.Marshal([2][]*chart.Dependency{requested, locked})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// dependency loads one required chart: the chart, its archive, and the folder that
// it came from, if it did.
func (r *Resolver) dependency(ctx context.Context, d *chart.Dependency, dir string, o VendorOptions) (*chart.Chart, *Archive, string, error) {
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
	req.Verify = o.Verify
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
	for _, e := range list { // a configured repository brings its credentials
		if strings.TrimSuffix(e.URL, "/") == strings.TrimSuffix(d.Repository, "/") {
			return Request{Ref: d.Name, Version: d.Version, RepoURL: e.URL, Access: e.Access()}, nil
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
}

// Vendor fetches everything that the chart in dir requires into its charts folder
// and writes Chart.lock. Nothing is changed unless every chart was fetched. It
// returns what is locked now.
func (r *Resolver) Vendor(ctx context.Context, dir string, o VendorOptions) ([]*chart.Dependency, error) {
	c, err := chart.Load(dir)
	if err != nil {
		return nil, err
	}
	var versions map[*chart.Dependency]string
	if o.FromLock && c.Lock != nil {
		if versions = lockedVersions(c); versions == nil {
			return nil, fmt.Errorf("the lock file (%s) is out of sync with the dependencies file (%s). Please update the dependencies", lockName(c), requirementsName(c))
		}
	}
	locked := make([]*chart.Dependency, len(c.Metadata.Dependencies))
	archives := make([]*Archive, len(locked))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, d := range c.Metadata.Dependencies {
		if d.Repository == "" { // the chart in charts/ is the dependency
			locked[i] = &chart.Dependency{Name: d.Name, Version: d.Version}
			continue
		}
		g.Go(func() error {
			dep := *d
			if version, ok := versions[d]; ok {
				dep.Version = version
			}
			sub, archive, _, err := r.dependency(ctx, &dep, dir, o)
			if err != nil {
				return fmt.Errorf("dependency %s: %w", d.Name, err)
			}
			archive.Name = chart.ArchiveName(sub)
			archives[i] = archive
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
	return locked, writeLock(dir, c, locked, o.Now)
}

// lockName and requirementsName are the files of a chart's dependencies, which
// depend on its API version.
func lockName(c *chart.Chart) string {
	if c.Metadata.APIVersion == "v1" {
		return "requirements.lock"
	}
	return chart.LockfileName
}

func requirementsName(c *chart.Chart) string {
	if c.Metadata.APIVersion == "v1" {
		return "requirements.yaml"
	}
	return chart.ChartfileName
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

func writeLock(dir string, c *chart.Chart, locked []*chart.Dependency, now time.Time) error {
	digest, err := LockDigest(c.Metadata.Dependencies, locked)
	if err != nil {
		return err
	}
	if c.Lock != nil && c.Lock.Digest == digest {
		return nil
	}
	data, err := yaml.Marshal(chart.Lock{Generated: now, Digest: digest, Dependencies: locked})
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, lockName(c)), bytes.TrimLeft(data, "\n"), 0o644)
}
