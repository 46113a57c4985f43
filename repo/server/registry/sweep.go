package registry

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Swept is what a sweep removed.
type Swept struct {
	Blobs, Tags int
	Bytes       int64 // of the blobs
}

// Sweep removes what is of no use and older than a moment: blobs that no manifest of their
// repository names, and tags of charts that the depot no longer has, with their
// manifests. It runs beside pushes: a repository is locked while its manifests are read,
// and a push that found a blob there has renewed its time.
func (g *Registry) Sweep(ctx context.Context, before time.Time) (Swept, error) {
	var all Swept
	var names []string
	err := g.walk(func(name, folder string) error {
		if folder == "_blobs" {
			names = append(names, name)
		}
		return ctx.Err()
	})
	if err != nil {
		return all, err
	}
	for _, name := range names {
		if err := g.sweepRepository(name, before, &all); err != nil {
			return all, err
		}
		if err := ctx.Err(); err != nil {
			return all, err
		}
	}
	return all, nil
}

// walk calls a function for each folder "_..." of each repository.
func (g *Registry) walk(see func(name, folder string) error) error {
	err := filepath.WalkDir(g.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || !strings.HasPrefix(d.Name(), "_") {
			return err
		}
		name, err := filepath.Rel(g.dir, filepath.Dir(path))
		if err != nil {
			return err
		}
		if name != "." {
			if err := see(filepath.ToSlash(name), d.Name()); err != nil {
				return err
			}
		}
		return filepath.SkipDir
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (g *Registry) sweepRepository(name string, before time.Time, all *Swept) error {
	defer g.lock(name)()
	if err := g.sweepTags(name, before, all); err != nil {
		return err
	}
	old, err := oldFiles(g.path(name, "_blobs"), before)
	if err != nil || len(old) == 0 {
		return err
	}
	used, err := g.named(name)
	if err != nil {
		return err
	}
	for _, info := range old {
		if used["sha256:"+info.Name()] {
			continue
		}
		if err := os.Remove(g.path(name, "_blobs", info.Name())); err != nil {
			return err
		}
		all.Blobs++
		all.Bytes += info.Size()
	}
	return nil
}

// sweepTags removes tags of charts that were deleted or replaced in the depot, and their
// manifests.
func (g *Registry) sweepTags(name string, before time.Time, all *Swept) error {
	old, err := oldFiles(g.path(name, "_tags"), before)
	if err != nil {
		return err
	}
	for _, info := range old {
		q := named(strings.Split(name, "/"), "manifests", info.Name())
		m, err := g.tagged(q)
		if err != nil || m == nil {
			continue // a tag whose manifest cannot be read is left for people to see
		}
		if layer, _ := m.chartLayer(); layer == nil {
			continue
		}
		if e, err := g.charts.Find(q.Tenant, q.Chart, versionOf(q.ref)); err == nil {
			if layer, _ := m.chartLayer(); layer.Digest == "sha256:"+e.Digest {
				continue
			}
		}
		if err := g.dropManifest(name, m.digest); err != nil {
			return err
		}
		all.Tags++
	}
	return nil
}

// dropManifest removes a manifest and the tags that name it, those first. The caller
// holds the repository's lock.
func (g *Registry) dropManifest(name, digest string) error {
	tags, err := g.storedTags(name)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		if err := g.dropTag(name, tag, digest); err != nil {
			return err
		}
	}
	err = removeFile(g.path(name, "_manifests", strings.TrimPrefix(digest, "sha256:")))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was computed, or another tag's removal took it
	}
	return err
}

// dropTag removes a tag if it names that manifest.
func (g *Registry) dropTag(name, tag, digest string) error {
	path := g.path(name, "_tags", tag)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(data)) != digest {
		return nil
	}
	if err != nil {
		return err
	}
	return removeFile(path)
}

// named are the digests of all blobs that a repository's manifests name. The caller holds
// the repository's lock. A manifest that cannot be read is an error, since what it names
// is not known.
func (g *Registry) named(name string) (map[string]bool, error) {
	list, err := os.ReadDir(g.path(name, "_manifests"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	used := map[string]bool{}
	for _, item := range list {
		m, err := g.readManifest(Request{Name: name}, "sha256:"+item.Name())
		if err != nil {
			return nil, err
		}
		if m.Config != nil {
			used[m.Config.Digest] = true
		}
		for _, layer := range m.Layers {
			used[layer.Digest] = true
		}
	}
	return used, nil
}

// oldFiles lists the files of a folder that nobody wrote or renewed since a moment.
func oldFiles(dir string, before time.Time) ([]fs.FileInfo, error) {
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var old []fs.FileInfo
	for _, item := range list {
		info, err := item.Info()
		if err == nil && info.ModTime().Before(before) {
			old = append(old, info)
		}
	}
	return old, nil
}

// touch renews the time of a blob, when that is not recent anyway: whoever finds it there
// afterwards has a day to name it.
func (g *Registry) touch(name, digest string) {
	hex, err := hexOf(digest)
	if err != nil {
		return
	}
	path := g.path(name, "_blobs", hex)
	now := time.Now()
	if info, err := os.Stat(path); err == nil && now.Sub(info.ModTime()) > grace/4 {
		defer g.lock(name)()
		_ = os.Chtimes(path, now, now) // removed meanwhile, it has to be sent again
	}
}
