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

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
)

// Complete adds, in memory, the charts that c requires and does not bring along,
// and theirs. dir is c's folder for file:// dependencies, "" when it has none. A
// Chart.lock that fits Chart.yaml decides the versions.
func (r *Resolver) Complete(ctx context.Context, c *chart.Chart, dir string) error {
	locked := lockedVersions(c)
	for _, d := range chart.MissingDependencies(c) {
		dep := *d
		if version, ok := locked[d.Name]; ok {
			dep.Version = version
		}
		sub, subDir, err := r.dependency(ctx, &dep, dir)
		if err != nil {
			return fmt.Errorf("chart %s: dependency %s: %w", c.Name(), d.Name, err)
		}
		if err := r.Complete(ctx, sub, subDir); err != nil {
			return err
		}
		c.AddDependency(sub)
	}
	return nil
}

// lockedVersions returns the versions of Chart.lock, or none when it belongs to
// other requirements than Chart.yaml's.
func lockedVersions(c *chart.Chart) map[string]string {
	if c.Lock == nil {
		return nil
	}
	digest, err := LockDigest(c.Metadata.Dependencies, c.Lock.Dependencies)
	if err != nil || digest != c.Lock.Digest {
		return nil
	}
	out := map[string]string{}
	for _, d := range c.Lock.Dependencies {
		out[d.Name] = d.Version
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

// dependency loads one required chart.
func (r *Resolver) dependency(ctx context.Context, d *chart.Dependency, dir string) (*chart.Chart, string, error) {
	if path, ok := strings.CutPrefix(d.Repository, "file://"); ok {
		return fileDependency(d, path, dir)
	}
	archive, err := r.pullDependency(ctx, d)
	if err != nil {
		return nil, "", err
	}
	sub, err := archive.Load()
	return sub, "", err
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

// pullDependency fetches a required chart from the repository that it names: a URL,
// the name of a configured one behind "@" or "alias:", or a built-in one.
func (r *Resolver) pullDependency(ctx context.Context, d *chart.Dependency) (*Archive, error) {
	name, named := strings.CutPrefix(d.Repository, "@")
	if !named {
		name, named = strings.CutPrefix(d.Repository, "alias:")
	}
	if named {
		return r.Pull(ctx, Request{Ref: name + "/" + d.Name, Version: d.Version})
	}
	if d.Repository == "" {
		return nil, errors.New("no repository given, and the charts folder does not hold it")
	}
	if _, err := url.Parse(d.Repository); err != nil {
		return nil, err
	}
	if strings.HasPrefix(d.Repository, "oci://") {
		return r.Pull(ctx, Request{Ref: strings.TrimSuffix(d.Repository, "/") + "/" + d.Name, Version: d.Version})
	}
	list, err := r.Repositories()
	if err != nil {
		return nil, err
	}
	for _, e := range list { // a configured repository brings its credentials
		if strings.TrimSuffix(e.URL, "/") == strings.TrimSuffix(d.Repository, "/") {
			return r.Pull(ctx, Request{Ref: d.Name, Version: d.Version, RepoURL: e.URL, Access: e.Access()})
		}
	}
	return r.Pull(ctx, Request{Ref: d.Name, Version: d.Version, RepoURL: d.Repository})
}

// Vendor fetches everything that the chart in dir requires into its charts folder
// and writes Chart.lock. With fromLock the versions of an existing lock are taken,
// which then must fit Chart.yaml. Nothing is changed unless every chart was fetched.
func (r *Resolver) Vendor(ctx context.Context, dir string, fromLock bool, now time.Time) ([]*chart.Dependency, error) {
	c, err := chart.Load(dir)
	if err != nil {
		return nil, err
	}
	versions := map[string]string{}
	if fromLock && c.Lock != nil {
		if versions = lockedVersions(c); versions == nil {
			return nil, errors.New("the lock file (Chart.lock) is out of sync with the dependencies file (Chart.yaml). Please update the dependencies")
		}
	}
	var locked []*chart.Dependency
	fetched := map[string][]byte{}
	for _, d := range c.Metadata.Dependencies {
		dep := *d
		if version, ok := versions[d.Name]; ok {
			dep.Version = version
		}
		if d.Repository == "" { // the chart in charts/ is the dependency
			locked = append(locked, &chart.Dependency{Name: d.Name, Version: d.Version})
			continue
		}
		sub, _, err := r.dependency(ctx, &dep, dir)
		if err != nil {
			return nil, fmt.Errorf("dependency %s: %w", d.Name, err)
		}
		packed, err := pack(sub)
		if err != nil {
			return nil, fmt.Errorf("dependency %s: %w", d.Name, err)
		}
		fetched[packed.Name] = packed.Data
		locked = append(locked, &chart.Dependency{Name: d.Name, Version: sub.Metadata.Version, Repository: d.Repository})
	}
	if err := writeVendored(dir, c, fetched); err != nil {
		return nil, err
	}
	return locked, writeLock(dir, c, locked, now)
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
	name := chart.LockfileName
	if c.Metadata.APIVersion == "v1" {
		name = "requirements.lock"
	}
	data, err := yaml.Marshal(chart.Lock{Generated: now, Digest: digest, Dependencies: locked})
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, name), bytes.TrimLeft(data, "\n"), 0o644)
}
