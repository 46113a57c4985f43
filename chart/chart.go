// Package chart is what a chart is before anything is rendered: its files and
// metadata, the values it is given, its dependencies and its values schema.
//
// The data type is Helm's own ([Chart]), so that releases stored by helm and by
// pkg hold the same JSON. Loading follows Helm's rules with a faster reader of values
// (package plain) and with limits that name the offending entry. The rules for
// values (coalescing, globals, null) and for dependencies (tags, conditions,
// aliases, import-values) follow Helm 3.22 exactly; where the rule looks odd the
// comment says so, since its oddity is visible in rendered output.
//
// Nothing here changes its input unless the comment says so. Charts are not safe
// for concurrent mutation; [Clone] gives an independent one.
package chart

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sort"

	helmchart "helm.sh/helm/v3/pkg/chart"
)

// Helm's chart types: the JSON of releases and of Chart.yaml is defined by them.
type (
	Chart      = helmchart.Chart
	Metadata   = helmchart.Metadata
	Dependency = helmchart.Dependency
	Lock       = helmchart.Lock
	File       = helmchart.File
	Maintainer = helmchart.Maintainer
	CRD        = helmchart.CRD
)

// Names of a chart's own files.
const (
	ChartfileName  = "Chart.yaml"
	LockfileName   = "Chart.lock"
	ValuesfileName = "values.yaml"
	SchemafileName = "values.schema.json"
	IgnorefileName = ".helmignore"
	TemplatesDir   = "templates"
	DependencyDir  = "charts"
)

var utf8bom = []byte{0xEF, 0xBB, 0xBF}

// Load reads a chart from a directory or from a .tgz archive.
func Load(name string) (*Chart, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return LoadArchiveFile(name)
	}
	return loadDir(name)
}

// LoadFS reads a chart whose Chart.yaml is at the root of fsys. There is no
// .helmignore handling: what is in an embedded tree is there on purpose.
func LoadFS(fsys fs.FS) (*Chart, error) {
	var files []file
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		files = append(files, file{name, bytes.TrimPrefix(data, utf8bom)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return loadFiles(files)
}

// orderDependencies sorts vendored subcharts by name. Helm's loader yields them in
// map order, which makes the order of undeclared subcharts' CRDs random.
func orderDependencies(c *Chart) {
	deps := append([]*Chart(nil), c.Dependencies()...)
	sort.SliceStable(deps, func(i, j int) bool {
		if deps[i].Name() != deps[j].Name() {
			return deps[i].Name() < deps[j].Name()
		}
		return deps[i].Metadata.Version < deps[j].Metadata.Version
	})
	for _, dep := range deps {
		orderDependencies(dep)
	}
	c.SetDependencies(deps...)
}

// Clone returns a chart whose metadata, values and dependency tree may be changed
// without touching c. File contents are shared: nothing ever writes to them.
func Clone(c *Chart) *Chart {
	out := &Chart{
		Raw:       c.Raw,
		Lock:      c.Lock,
		Templates: c.Templates,
		Values:    c.Values,
		Schema:    c.Schema,
		Files:     c.Files,
	}
	if c.Values != nil {
		out.Values = CopyValues(c.Values)
	}
	if c.Metadata != nil {
		md := *c.Metadata
		if md.Dependencies != nil {
			md.Dependencies = make([]*Dependency, len(c.Metadata.Dependencies))
			for i, d := range c.Metadata.Dependencies {
				if d != nil {
					dep := *d
					md.Dependencies[i] = &dep
				}
			}
		}
		out.Metadata = &md
	}
	for _, dep := range c.Dependencies() {
		out.AddDependency(Clone(dep))
	}
	return out
}

// CheckInstallable refuses charts that only lend templates to others.
func CheckInstallable(c *Chart) error {
	switch c.Metadata.Type {
	case "", "application":
		return nil
	}
	return fmt.Errorf("%s charts are not installable", c.Metadata.Type)
}

// Readme returns the chart's README file, or nil when it has none.
func Readme(c *Chart) *File {
	for _, f := range c.Files {
		for _, name := range []string{"readme.md", "readme.txt", "readme"} {
			if equalFoldBase(f.Name, name) {
				return f
			}
		}
	}
	return nil
}

func equalFoldBase(name, want string) bool {
	return path.Dir(name) == "." && len(name) == len(want) && bytes.EqualFold([]byte(name), []byte(want))
}

// RawFile returns the bytes of one of the chart's own files as they were read, with
// comments, or nil when there is no such file.
func RawFile(c *Chart, name string) []byte {
	for _, f := range c.Raw {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}
