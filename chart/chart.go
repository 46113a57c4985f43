// Package chart is what a chart is before anything is rendered: its files and
// metadata, the values it is given, its dependencies and its values schema.
//
// The JSON of [Chart] is Helm's, so that releases stored by helm and by pkg hold the
// same. Loading follows Helm's rules with faster readers (packages plain and ignore)
// and with limits that name the offending entry. The rules for values (coalescing,
// globals, null) and for dependencies (tags, conditions, aliases, import-values) follow
// Helm 3.22 exactly; where the rule looks odd the comment says so, since its oddity is
// visible in rendered output.
//
// Nothing here changes its input unless the comment says so. Charts are not safe
// for concurrent mutation; [Clone] gives an independent one.
package chart

import (
	"bytes"
	"fmt"
	"path"
	"sort"
	"strings"
)

// Chart is a chart and its subcharts. Its JSON is Helm's, which keeps neither the files
// as they were read nor the subcharts: releases hold it.
type Chart struct {
	Raw       []*File        `json:"-"` // all files as they were read, in their order
	Metadata  *Metadata      `json:"metadata"`
	Lock      *Lock          `json:"lock"`
	Templates []*File        `json:"templates"`
	Values    map[string]any `json:"values"`
	Schema    []byte         `json:"schema"` // of values, JSON
	Files     []*File        `json:"files"`  // neither templates nor known by name

	parent       *Chart
	dependencies []*Chart
}

// File is one file of a chart, named relative to the chart's folder, with slashes.
type File struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

// CRD is a file of definitions in a chart's folder crds/.
type CRD struct {
	Name     string // the file's, relative to its chart
	Filename string // the same below [Chart.ChartFullPath]
	File     *File
}

// Name is that of the metadata, empty without any.
func (c *Chart) Name() string {
	if c.Metadata == nil {
		return ""
	}
	return c.Metadata.Name
}

// Dependencies are the subcharts.
func (c *Chart) Dependencies() []*Chart { return c.dependencies }

// AddDependency makes charts subcharts of c, which becomes their parent.
func (c *Chart) AddDependency(charts ...*Chart) {
	for _, sub := range charts {
		sub.parent = c
		c.dependencies = append(c.dependencies, sub)
	}
}

// SetDependencies replaces all subcharts.
func (c *Chart) SetDependencies(charts ...*Chart) {
	c.dependencies = nil
	c.AddDependency(charts...)
}

// IsRoot reports whether c is no subchart.
func (c *Chart) IsRoot() bool { return c.parent == nil }

// ChartFullPath is the path of a subchart from the folder that holds the root chart:
// web/charts/db. Templates are named below it.
func (c *Chart) ChartFullPath() string {
	if c.IsRoot() {
		return c.Name()
	}
	return c.parent.ChartFullPath() + "/" + DependencyDir + "/" + c.Name()
}

// Validate is [Metadata.Validate].
func (c *Chart) Validate() error { return c.Metadata.Validate() }

// CRDObjects are the manifests in crds/, those of subcharts after a chart's own.
func (c *Chart) CRDObjects() []CRD {
	var crds []CRD
	for _, f := range c.Files {
		if strings.HasPrefix(f.Name, "crds/") && isManifest(f.Name) {
			crds = append(crds, CRD{Name: f.Name, Filename: path.Join(c.ChartFullPath(), f.Name), File: f})
		}
	}
	for _, sub := range c.dependencies {
		crds = append(crds, sub.CRDObjects()...)
	}
	return crds
}

func isManifest(name string) bool {
	ext := path.Ext(name)
	return strings.EqualFold(ext, ".yaml") || strings.EqualFold(ext, ".yml") || strings.EqualFold(ext, ".json")
}

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
