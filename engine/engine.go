// Package engine renders a chart with values into Kubernetes manifests, byte for
// byte as Helm 3.22 does, without a cluster and without side effects: what a chart
// may ask of a cluster comes in through [Input].
//
// [Render] does the whole way: dependencies are enabled and values coalesced (by
// package chart), values checked against their schema, every template parsed and
// executed, the result split into documents, hooks told apart, and both sorted as
// Helm installs them. The input's chart and values are not changed, so one loaded
// chart may be rendered concurrently.
//
// Templates of one chart share one values map, as in Helm: what a template changes
// with `set` later templates see. They therefore run one after another.
package engine

import (
	"context"
	"errors"
	"fmt"
	"path"
	"sort"
	"strings"
	"sync"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine/gotemplate"
	"github.com/seed38700745/pkg/engine/internal/chartutil"
)

// Lookup fetches an object (or, with an empty name, a list) from a cluster. A
// missing object is an empty map and no error.
type Lookup func(apiVersion, kind, namespace, name string) (map[string]any, error)

// Release is what templates see as .Release.
type Release struct {
	Name      string
	Namespace string
	Revision  int
	IsInstall bool
	IsUpgrade bool
	Service   string // "Helm" when empty
}

// Input is everything a rendering depends on, the random functions aside.
type Input struct {
	Chart  *chart.Chart
	Values map[string]any // the user's, not yet coalesced

	Release      Release
	Capabilities *Capabilities // DefaultCapabilities when nil

	Lookup               Lookup // nil: lookups find nothing
	EnableDNS            bool   // let getHostByName resolve
	SubchartNotes        bool   // Notes include those of subcharts
	SkipSchemaValidation bool
	SchemaLibrary        chart.SchemaLibrary // for schemas with rare features; nil: those are an error
	Lint                 bool                // required and fail are reported to Warn and do not stop
	Strict               bool                // a missing key is an error

	Limits Limits // the defaults when zero

	Warn chart.Warn // receives what Helm logs; may be nil
}

// Output is a rendered release.
type Output struct {
	Hooks     []Hook     // by kind, in the order of their files
	Manifests []Manifest // in the order of installation
	Notes     string
	CRDs      []chart.CRD       // of crds/ folders, untemplated
	Chart     *chart.Chart      // with dependencies processed: what a release records
	Values    map[string]any    // coalesced
	Files     map[string]string // rendered files by path, also when sorting them failed
}

// Manifest is one document of a rendered file.
type Manifest struct {
	Name       string // path of the template, "mysql/templates/service.yaml"
	Content    string // trimmed, without separator
	Kind       string
	APIVersion string
}

// String is the manifest as releases and `pkg template` hold it.
func (m Manifest) String() string {
	return "---\n# Source: " + m.Name + "\n" + m.Content + "\n"
}

// Manifest joins the manifests as a release stores them, hooks left out.
func (o *Output) Manifest() string {
	var b strings.Builder
	for _, m := range o.Manifests {
		b.WriteString(m.String())
	}
	return b.String()
}

// CRDManifest joins the documents of the crds/ folders, as --include-crds prints
// them before everything else.
func (o *Output) CRDManifest() string {
	var b strings.Builder
	for _, crd := range o.CRDs {
		b.WriteString("---\n# Source: " + crd.Filename + "\n" + string(crd.File.Data) + "\n")
	}
	return b.String()
}

// prepare makes a copy of the chart with its dependencies processed, and the values
// that its templates see.
func prepare(in Input, warn chart.Warn) (*chart.Chart, map[string]any, error) {
	c := chart.Clone(in.Chart)
	vals, err := chart.ProcessDependencies(c, in.Values, warn)
	return c, vals, err
}

// warnings keeps what is to be said if the rendering counts.
type warnings []func(chart.Warn)

func (w *warnings) add(format string, args ...any) {
	*w = append(*w, func(warn chart.Warn) { warn(format, args...) })
}

func (w *warnings) pass(warn chart.Warn) {
	if warn == nil {
		return
	}
	for _, say := range *w {
		say(warn)
	}
}

// render is Render without its watch.
func render(ctx context.Context, in Input) (*Output, error) {
	if in.Capabilities == nil {
		in.Capabilities = DefaultCapabilities()
	}
	c, vals, err := prepare(in, in.Warn)
	if err != nil {
		return nil, err
	}
	valid := sync.OnceValue(func() error {
		if in.SkipSchemaValidation {
			return nil
		}
		return chart.ValidateValues(c, vals, in.SchemaLibrary, in.Warn)
	})
	go valid() // while renderFiles parses, which then waits for it
	kube := in.Capabilities.KubeVersion.Version
	if want := c.Metadata.KubeVersion; want != "" && !chart.CompatibleVersion(want, kube) {
		if err := valid(); err != nil {
			return nil, err
		}
		return nil, &TemplateError{Message: fmt.Sprintf("chart requires kubeVersion: %s which is incompatible with Kubernetes %s", want, kube)}
	}
	said := &warnings{}
	quick := in
	quick.Warn = said.add
	docs := readDocuments()
	files, err := renderFiles(ctx, quick, c, vals, docs, valid)
	if errors.Is(err, gotemplate.ErrRefused) && !errors.Is(err, chart.ErrElsewhere) && ctx.Err() == nil {
		// Templates may have changed the values: again from the beginning.
		docs.wait()
		if c, vals, err = prepare(in, nil); err != nil {
			return nil, err
		}
		docs = readDocuments()
		files, err = renderFiles(ctx, in, c, vals, docs, nil)
	} else {
		said.pass(in.Warn)
	}
	read := docs.wait()
	if err != nil {
		return nil, err
	}
	out := &Output{Chart: c, Values: vals, Files: files, CRDs: c.CRDObjects()}
	out.Notes = takeNotes(files, c.Name(), in.SubchartNotes)
	out.Hooks, out.Manifests, err = sortFiles(read, in.Warn)
	if err != nil {
		return &Output{Chart: c, Values: vals, Files: files}, err
	}
	return out, nil
}

// notesName ends the names of files with notes for the user.
const notesName = "NOTES.txt"

// takeNotes removes the notes from the rendered files and joins those wanted.
func takeNotes(files map[string]string, chartName string, subcharts bool) string {
	var names []string
	for name := range files {
		if strings.HasSuffix(name, notesName) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	own := path.Join(chartName, chart.TemplatesDir, notesName)
	var notes []string
	for _, name := range names {
		if text := files[name]; name == own || subcharts {
			if text != "" || len(notes) > 0 {
				notes = append(notes, text)
			}
		}
		delete(files, name)
	}
	return strings.Join(notes, "\n")
}

// renderable is one template file with the dot it runs on.
type renderable struct {
	text     []byte
	dot      chartutil.Values
	basePath string // the templates folder of its chart
}

// templateChart is what templates see as .Chart: the metadata and one thing more. It
// has no name of its own, since messages would show it.
type templateChart = struct {
	chart.Metadata
	IsRoot bool
}

// collect gathers the templates of c and its subcharts into out and returns the
// dot of c's templates. Parent is the dot of the parent chart, or the top's.
func collect(c *chart.Chart, parent chartutil.Values, out map[string]renderable) map[string]any {
	subcharts := map[string]any{}
	dot := map[string]any{
		"Chart":        templateChart{*c.Metadata, c.IsRoot()},
		"Files":        newFiles(c.Files),
		"Release":      parent["Release"],
		"Capabilities": parent["Capabilities"],
		"Values":       chartutil.Values{},
		"Subcharts":    subcharts,
	}
	if c.IsRoot() {
		dot["Values"] = parent["Values"]
	} else if vals, ok := chart.Table(parent["Values"].(chartutil.Values), c.Name()); ok {
		dot["Values"] = chartutil.Values(vals)
	}
	for _, sub := range c.Dependencies() {
		subcharts[sub.Name()] = collect(sub, dot, out)
	}
	base := c.ChartFullPath()
	library := strings.EqualFold(c.Metadata.Type, "library")
	for _, t := range c.Templates {
		if t == nil || library && !isPartial(t.Name) {
			continue
		}
		out[path.Join(base, t.Name)] = renderable{
			text:     t.Data,
			dot:      dot,
			basePath: path.Join(base, chart.TemplatesDir),
		}
	}
	return dot
}

// isPartial reports whether a file only defines templates for others.
func isPartial(name string) bool { return strings.HasPrefix(path.Base(name), "_") }

// parseOrder is deepest path first, then reverse alphabetical, so that of templates
// defined twice the one nearest to the top wins.
func parseOrder(templates map[string]renderable) []string {
	names := make([]string, 0, len(templates))
	for name := range templates {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		di, dj := strings.Count(names[i], "/"), strings.Count(names[j], "/")
		if di != dj {
			return di > dj
		}
		return names[i] > names[j]
	})
	return names
}
