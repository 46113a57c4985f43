//go:build !front

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine"
	"github.com/seed38700745/pkg/engine/lint"
)

type lintOptions struct {
	values        chart.Values
	strict        bool
	withSubcharts bool
	quiet         bool
	skipSchema    bool
	kubeVersion   string
	helmOnly      bool
	limits        engine.Limits
	format        lintFormat
}

func newLintCommand(a *app) *cobra.Command {
	o := &lintOptions{}
	cmd := &cobra.Command{
		Use:   "lint PATH",
		Short: "examine a chart for possible issues",
		Long: `Check a chart by Helm's rules, and what it renders by the cluster's own: unknown
fields, wrong types, invalid values (of custom resources, too, where the chart brings
their definition), kinds that Kubernetes removed, selectors that
match no template, Services whose port no container has, ConfigMaps and Secrets that
are not there, images without a tag. Findings have the template's file and line; the
line is exact where the template's own text tells it.`,
		Example: `  pkg lint ./mychart --strict
  pkg lint ./mychart -o sarif > lint.sarif`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"."}
			}
			return runLint(cmd.Context(), a, o, args)
		},
	}
	f := cmd.Flags()
	addValueFlags(f, &o.values)
	addLimits(f, &o.limits)
	f.BoolVar(&o.strict, "strict", false, "fail on lint warnings")
	f.BoolVar(&o.withSubcharts, "with-subcharts", false, "lint dependent charts")
	f.BoolVar(&o.quiet, "quiet", false, "print only warnings and errors")
	f.BoolVar(&o.skipSchema, "skip-schema-validation", false, "if set, disables JSON schema validation")
	f.StringVar(&o.kubeVersion, "kube-version", "", "Kubernetes version used for capabilities and deprecation checks")
	if !a.asHelm {
		f.BoolVar(&o.helmOnly, "helm-rules-only", false, "do not check the rendered objects beyond Helm's rules")
		o.format.add(f)
	}
	return cmd
}

// lintResult is one chart's findings, as -o json prints them.
type lintResult struct {
	Chart    string         `json:"chart"`
	Findings []lint.Finding `json:"findings"`
	Error    string         `json:"error,omitempty"`
	Failed   bool           `json:"failed"`
}

func runLint(ctx context.Context, a *app, o *lintOptions, paths []string) error {
	var kube *engine.KubeVersion
	if o.kubeVersion != "" {
		v, err := engine.ParseKubeVersion(o.kubeVersion)
		if err != nil {
			return err
		}
		kube = &v
	}
	if o.withSubcharts {
		var err error
		if paths, err = withSubcharts(paths); err != nil {
			return err
		}
	}
	o.values.ReadFile = func(name string) ([]byte, error) { return a.readFile(ctx, name) }
	vals, err := o.values.Merge()
	if err != nil {
		return err
	}
	objects := a.objectLinter(o.helmOnly)
	tolerated := lint.Warning
	if o.strict {
		tolerated = lint.Info
	}
	results := []lintResult{}
	failed := 0
	for _, path := range paths {
		r := lintResult{Chart: path, Findings: []lint.Finding{}}
		dir := path
		if _, statErr := os.Stat(path); statErr == nil && a.asHelm { // which names the absolute path in findings
			if dir, err = filepath.Abs(path); err != nil {
				return err
			}
		}
		findings, err := lintChart(ctx, dir, lint.Input{
			Values: vals, Namespace: a.namespace(), KubeVersion: kube,
			SkipSchemaValidation: o.skipSchema, SchemaLibrary: a.schemaLibrary, Objects: objects, Limits: o.limits, Warn: a.logf,
		})
		if err != nil {
			r.Error, r.Failed = err.Error(), true
		}
		for _, f := range findings {
			if o.quiet && f.Severity == lint.Info {
				continue
			}
			r.Findings = append(r.Findings, f)
			r.Failed = r.Failed || f.Severity > tolerated
		}
		if r.Failed {
			failed++
		}
		if o.quiet && len(r.Findings) == 0 && r.Error == "" {
			continue
		}
		results = append(results, r)
	}
	return o.report(a, results, len(paths), failed)
}

// lintChart checks a folder or, unpacked to a temporary one, an archive.
func lintChart(ctx context.Context, path string, in lint.Input) ([]lint.Finding, error) {
	if !strings.HasSuffix(path, ".tgz") && !strings.HasSuffix(path, ".tar.gz") {
		in.Dir = path
		return lint.Chart(ctx, in)
	}
	c, err := chart.LoadArchiveFile(path)
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "pkg-lint")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	in.Dir = filepath.Join(tmp, c.Name())
	if err := unpackChart(c, in.Dir); err != nil {
		return nil, err
	}
	return lint.Chart(ctx, in)
}

// withSubcharts adds the charts vendored below each path.
func withSubcharts(paths []string) ([]string, error) {
	all := append([]string(nil), paths...)
	for _, path := range paths {
		err := filepath.WalkDir(filepath.Join(path, chart.DependencyDir), func(name string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				return err
			case d.Name() == chart.ChartfileName:
				all = append(all, filepath.Dir(name))
			case strings.HasSuffix(name, ".tgz"), strings.HasSuffix(name, ".tar.gz"):
				all = append(all, name)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}
