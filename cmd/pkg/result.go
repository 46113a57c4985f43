//go:build !front

package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/release"
)

// showFlags say what of a release is printed at the end of a command.
type showFlags struct {
	hideNotes  bool
	hideSecret bool
}

func (s *showFlags) add(f *pflag.FlagSet) {
	f.BoolVar(&s.hideNotes, "hide-notes", false, "do not show notes in the output")
	f.BoolVar(&s.hideSecret, "hide-secret", false, "hide Kubernetes Secrets when also using the --dry-run flag")
}

// printResult ends install and upgrade: helm's text or JSON; after a dry run with
// the plan on stderr, after a real one with addresses and how to go on.
func (a *app) printResult(result *release.Result, o release.Options, s showFlags, format outputFormat) error {
	rel := *result.Release
	if o.DryRun != release.DryRunNone {
		a.showPlan(result.Plan)
		if s.hideSecret {
			rel.Manifest = hideSecrets(rel.Manifest)
		}
	} else if s.hideSecret {
		return usagef("--hide-secret needs --dry-run")
	}
	err := format.write(a.Out, &rel, func() error {
		return a.printRelease(a.Out, &rel, printOptions{hideNotes: s.hideNotes})
	})
	if err != nil || a.asHelm || o.DryRun != release.DryRunNone || format != "table" {
		return err
	}
	return a.printNext(result)
}

// hideSecrets replaces Secrets by helm's comment.
func hideSecrets(manifest string) string {
	docs := strings.SplitAfter(manifest, "\n---\n")
	for i, d := range docs {
		var head struct {
			Kind string `json:"kind"`
		}
		if yaml.Unmarshal([]byte(strings.TrimSuffix(d, "---\n")), &head) == nil && head.Kind == "Secret" {
			source, _, _ := strings.Cut(strings.TrimPrefix(d, "---\n"), "\n")
			docs[i] = source + "\n# HIDDEN: The Secret output has been suppressed\n---\n"
			if i == 0 {
				docs[i] = "---\n" + docs[i]
			}
			if i == len(docs)-1 {
				docs[i] = strings.TrimSuffix(docs[i], "---\n")
			}
		}
	}
	return strings.Join(docs, "")
}

// printOptions choose the parts of a printed release.
type printOptions struct {
	hideNotes   bool
	description bool
	metadata    bool // chart, version, app version
	resources   string
}

// printRelease is helm's text of a release.
func (a *app) printRelease(w io.Writer, r *release.Release, o printOptions) error {
	var b strings.Builder
	fmt.Fprintf(&b, "NAME: %s\n", r.Name)
	if !r.Info.LastDeployed.IsZero() {
		fmt.Fprintf(&b, "LAST DEPLOYED: %s\n", r.Info.LastDeployed.Format(time.ANSIC))
	}
	fmt.Fprintf(&b, "NAMESPACE: %s\nSTATUS: %s\nREVISION: %d\n", r.Namespace, r.Info.Status, r.Revision)
	if o.metadata && r.Chart != nil && r.Chart.Metadata != nil {
		m := r.Chart.Metadata
		fmt.Fprintf(&b, "CHART: %s\nVERSION: %s\nAPP_VERSION: %s\n", m.Name, m.Version, m.AppVersion)
	}
	if o.description {
		fmt.Fprintf(&b, "DESCRIPTION: %s\n", r.Info.Description)
	}
	if o.resources != "" {
		b.WriteString(o.resources + "\n")
	}
	printTests(&b, r)
	if a.global.Debug {
		if err := printValues(&b, r); err != nil {
			return err
		}
	}
	if strings.EqualFold(r.Info.Description, "Dry run complete") || a.global.Debug {
		b.WriteString("HOOKS:\n")
		for _, h := range r.Hooks {
			fmt.Fprintf(&b, "---\n# Source: %s\n%s\n", h.Path, h.Manifest)
		}
		fmt.Fprintf(&b, "MANIFEST:\n%s\n", r.Manifest)
	}
	if !o.hideNotes && r.Info.Notes != "" {
		fmt.Fprintf(&b, "NOTES:\n%s\n", strings.TrimSpace(r.Info.Notes))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printTests(b *strings.Builder, r *release.Release) {
	any := false
	for _, h := range r.Hooks {
		if !h.IsTest() {
			continue
		}
		any = true
		if h.LastRun.StartedAt.IsZero() {
			continue
		}
		fmt.Fprintf(b, "TEST SUITE:     %s\nLast Started:   %s\nLast Completed: %s\nPhase:          %s\n", h.Name,
			h.LastRun.StartedAt.Format(time.ANSIC), h.LastRun.CompletedAt.Format(time.ANSIC), h.LastRun.Phase)
	}
	if !any {
		b.WriteString("TEST SUITE: None\n")
	}
}

func printValues(b *strings.Builder, r *release.Release) error {
	given, err := yaml.Marshal(r.Config)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "USER-SUPPLIED VALUES:\n%s\n", given)
	all, err := computedValues(r)
	if err != nil {
		return err
	}
	computed, err := yaml.Marshal(all)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "COMPUTED VALUES:\n%s\n", computed)
	return nil
}

// computedValues are the chart's defaults with the user's on top.
func computedValues(r *release.Release) (map[string]any, error) {
	if r.Chart == nil {
		return r.Config, nil
	}
	return chart.Coalesce(r.Chart, r.Config, nil)
}

// printNext tells where the release answers and what can be done with it.
func (a *app) printNext(result *release.Result) error {
	var b strings.Builder
	var lines []string
	for _, s := range result.Services {
		lines = append(lines, serviceAddresses(s)...)
	}
	if len(lines) > 0 {
		b.WriteString("ADDRESSES:\n  " + strings.Join(lines, "\n  ") + "\n")
	}
	r := result.Release
	ns := namespaceFlag(r.Namespace)
	fmt.Fprintf(&b, "NEXT:\n  pkg status %s%s     what runs\n  pkg upgrade %[1]s%[2]s    change it (--set, -f)\n  pkg uninstall %[1]s%[2]s  remove it\n", r.Name, ns)
	_, err := io.WriteString(a.Out, b.String())
	return err
}

// serviceAddresses lists where a Service answers.
func serviceAddresses(u *unstructured.Unstructured) (out []string) {
	ip, _, _ := unstructured.NestedString(u.Object, "spec", "clusterIP")
	if ip == "" || ip == "None" {
		return nil
	}
	ports, _, _ := unstructured.NestedSlice(u.Object, "spec", "ports")
	for _, p := range ports {
		port, ok := p.(map[string]any)
		if !ok {
			continue
		}
		line := fmt.Sprintf("%s.%s.svc:%v at %s:%[3]v", u.GetName(), u.GetNamespace(), port["port"], ip)
		if node, ok := port["nodePort"]; ok {
			line += fmt.Sprintf(", port %v of every node", node)
		}
		out = append(out, line)
	}
	return out
}
