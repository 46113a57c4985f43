// Package lint says what is wrong with a chart before anybody installs it: Helm's
// rules for Chart.yaml, values and templates, and, through a function in its input,
// what a cluster's own validation thinks of the rendered objects.
package lint

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine"
)

// Severity orders findings.
type Severity int

// Severities, in Helm's order.
const (
	Info Severity = iota + 1
	Warning
	Error
)

func (s Severity) String() string {
	return [...]string{"UNKNOWN", "INFO", "WARNING", "ERROR"}[s]
}

// ParseSeverity reads a severity's name.
func ParseSeverity(name string) (Severity, error) {
	for s := Info; s <= Error; s++ {
		if s.String() == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("no severity %q", name)
}

// MarshalText gives the severity's name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing to mend.
type Finding struct {
	Severity Severity `json:"severity"`
	Path     string   `json:"path"`            // file, relative to the chart
	Line     int      `json:"line,omitempty"`  // 1-based; 0 when unknown
	Rule     string   `json:"rule,omitempty"`  // one of the Rule constants; "" for Helm's rules
	Field    string   `json:"field,omitempty"` // of the object, "spec.replicas"
	Message  string   `json:"message"`
}

// String is the finding as Helm prints it; one beyond Helm's rules has line and
// field, too.
func (f Finding) String() string {
	if f.Rule != "" {
		where := f.Path
		if f.Line > 0 {
			where += fmt.Sprintf(":%d", f.Line)
		}
		if f.Field != "" {
			where += ": " + f.Field
		}
		return fmt.Sprintf("[%s] %s: %s", f.Severity, where, f.Message)
	}
	return fmt.Sprintf("[%s] %s: %s", f.Severity, f.Path, f.Message)
}

// Input is a chart's folder and how it would be rendered.
type Input struct {
	Dir                  string
	Values               map[string]any
	Namespace            string
	KubeVersion          *engine.KubeVersion // the default when nil
	SkipSchemaValidation bool
	SchemaLibrary        chart.SchemaLibrary // see engine.Input
	// Objects checks the rendered documents, hooks included, as a cluster would that has
	// the definitions (the documents of crds/ folders). With nil there are Helm's rules
	// only.
	Objects func(ctx context.Context, documents []engine.Manifest, definitions []string) ([]ObjectFinding, error)
	Limits  engine.Limits
	Warn    chart.Warn
}

// linter gathers findings.
type linter struct {
	in       Input
	findings []Finding
}

// check notes err, if there is one, and reports whether there was none.
func (l *linter) check(s Severity, path string, err error) bool {
	if err != nil {
		l.findings = append(l.findings, Finding{Severity: s, Path: path, Message: err.Error()})
	}
	return err == nil
}

// Chart checks a chart. The error says that there is no chart to check.
func Chart(ctx context.Context, in Input) ([]Finding, error) {
	if _, err := os.Stat(filepath.Join(in.Dir, chart.ChartfileName)); err != nil {
		return nil, fmt.Errorf("unable to check Chart.yaml file in chart: %w", err)
	}
	l := &linter{in: in}
	l.chartfile()
	l.values()
	c, err := chart.Load(in.Dir)
	l.templates(ctx, c, err)
	l.dependencies(c, err)
	return l.findings, nil
}

// dependencies compares Chart.yaml with the charts folder.
func (l *linter) dependencies(c *chart.Chart, err error) {
	if err != nil {
		l.check(Error, "", fmt.Errorf("unable to load chart\n\t%w", err))
		return
	}
	var undeclared, missing, shadowing []string
	declared, byAlias := map[string]bool{}, map[string]bool{}
	for _, d := range c.Metadata.Dependencies {
		name := d.Name
		declared[d.Name] = true
		if d.Alias != "" {
			name = d.Alias
		}
		if byAlias[name] {
			shadowing = append(shadowing, name)
		}
		byAlias[name] = true
	}
	vendored := map[string]bool{}
	for _, sub := range c.Dependencies() {
		vendored[sub.Name()] = true
		if !declared[sub.Name()] {
			undeclared = append(undeclared, sub.Name())
		}
	}
	for _, d := range c.Metadata.Dependencies {
		if !vendored[d.Name] {
			missing = append(missing, d.Name)
		}
	}
	l.list(Error, "chart metadata is missing these dependencies: ", undeclared)
	l.list(Error, "multiple dependencies with name or alias: ", shadowing)
	l.list(Warning, "chart directory is missing these dependencies: ", missing)
}

func (l *linter) list(s Severity, text string, names []string) {
	if len(names) > 0 {
		l.check(s, l.in.Dir, fmt.Errorf("%s%s", text, strings.Join(names, ",")))
	}
}
