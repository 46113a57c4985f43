package repo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/chart/semver"
)

// Index is a repository's index.yaml.
type Index struct {
	APIVersion string              `json:"apiVersion"`
	Entries    map[string][]*Entry `json:"entries"`
	Generated  time.Time           `json:"generated"`
}

// Entry is one version of one chart in an index.
type Entry struct {
	*chart.Metadata
	URLs    []string  `json:"urls"`
	Created time.Time `json:"created,omitzero"`
	Removed bool      `json:"removed,omitempty"`
	Digest  string    `json:"digest,omitempty"`
}

// ParseIndex reads an index in YAML or JSON. Entries that cannot be a chart are
// dropped, as one bad upload must not make a repository useless; versions come out
// newest first.
func ParseIndex(data []byte) (*Index, error) {
	if len(data) == 0 {
		return nil, errors.New("empty index.yaml file")
	}
	var index Index
	err := json.Unmarshal(data, &index)
	if err != nil {
		index = Index{}
		err = yaml.Unmarshal(data, &index)
	}
	if err != nil {
		return nil, fmt.Errorf("bad index: %w", err)
	}
	if index.APIVersion == "" {
		return nil, errors.New("bad index: no API version specified")
	}
	for name, list := range index.Entries {
		kept := list[:0]
		for _, e := range list {
			if e == nil || e.Metadata == nil || e.Name == "" {
				continue
			}
			if e.APIVersion == "" {
				e.APIVersion = "v1"
			}
			if e.Validate() != nil {
				continue
			}
			kept = append(kept, e)
		}
		index.Entries[name] = kept
	}
	index.sort()
	return &index, nil
}

func (x *Index) sort() {
	for _, list := range x.Entries {
		versions := make(map[*Entry]*semver.Version, len(list))
		for _, e := range list {
			if v, err := semver.NewVersion(e.Version); err == nil {
				versions[e] = v
			}
		}
		sort.SliceStable(list, func(i, j int) bool {
			vi, vj := versions[list[i]], versions[list[j]]
			if vi == nil || vj == nil {
				return vj == nil && vi != nil
			}
			return vi.GreaterThan(vj)
		})
	}
}

// Names lists the charts of the index, sorted.
func (x *Index) Names() []string {
	names := make([]string, 0, len(x.Entries))
	for name, list := range x.Entries {
		if len(list) > 0 {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// versionError says that a chart exists but not in such a version.
type versionError struct{ version string }

func (e *versionError) Error() string {
	if e.version == "" {
		return "no release version found (--devel takes prereleases)"
	}
	return fmt.Sprintf("version %s not found", e.version)
}

func (e *versionError) Unwrap() error { return ErrNotFound }

// Find returns the newest version of a chart that fits. An exact version is found
// even when it is a prerelease; otherwise those count only with devel or when the
// constraint names one.
func (x *Index) Find(name, version string, devel bool) (*Entry, error) {
	list := x.Entries[name]
	if len(list) == 0 {
		return nil, fmt.Errorf("chart %s: %w", name, ErrNotFound)
	}
	at, err := choose(len(list), func(i int) string { return list[i].Version }, version, devel)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", name, err)
	}
	return list[at], nil
}

// choose returns the position of the first of n versions, which are sorted, that fits.
func choose(n int, at func(int) string, version string, devel bool) (int, error) {
	for i := range n {
		if at(i) == version {
			return i, nil
		}
	}
	want := version
	switch {
	case want == "" && devel:
		want = ">0.0.0-0"
	case want == "":
		want = "*"
	}
	constraint, err := semver.NewConstraint(want)
	if err != nil {
		return 0, fmt.Errorf("bad version constraint %q: %w", version, err)
	}
	for i := range n {
		if v, err := semver.NewVersion(at(i)); err == nil && constraint.Check(v) {
			return i, nil
		}
	}
	return 0, &versionError{version: version}
}

// Merge adds the entries of other that x does not have.
func (x *Index) Merge(other *Index) {
	for name, list := range other.Entries {
		for _, e := range list {
			if !x.has(name, e.Version) {
				x.Entries[name] = append(x.Entries[name], e)
			}
		}
	}
	x.sort()
}

func (x *Index) has(name, version string) bool {
	for _, e := range x.Entries[name] {
		if e.Version == version {
			return true
		}
	}
	return false
}

// IndexFolder makes an index of the archives in a folder and its direct subfolders.
// URLs are relative to base, or to the index when base is "".
func IndexFolder(dir, base string, now time.Time) (*Index, error) {
	x := &Index{APIVersion: "v1", Entries: map[string][]*Entry{}, Generated: now}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if strings.Count(rel, string(filepath.Separator)) > 0 {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".tgz" {
			return nil
		}
		e, err := indexArchive(name, rel, base, now)
		if err != nil {
			return err
		}
		if !x.has(e.Name, e.Version) {
			x.Entries[e.Name] = append(x.Entries[e.Name], e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	x.sort()
	return x, nil
}

func indexArchive(name, rel, base string, now time.Time) (*Entry, error) {
	c, err := chart.LoadArchiveFile(name)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	target := filepath.ToSlash(rel)
	if base != "" {
		target = strings.TrimSuffix(base, "/") + "/" + target
	}
	return &Entry{Metadata: c.Metadata, URLs: []string{target}, Created: now, Digest: hex.EncodeToString(sum[:])}, nil
}

// Write stores the index as YAML, or as JSON.
func (x *Index) Write(name string, asJSON bool) error {
	marshal := yaml.Marshal
	if asJSON {
		marshal = func(v any) ([]byte, error) { return json.MarshalIndent(v, "", "  ") }
	}
	data, err := marshal(x)
	if err != nil {
		return err
	}
	return writeFile(name, data, 0o644)
}
