//go:build !front

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/release"
)

func newGetCommand(a *app) *cobra.Command {
	cmd := a.group("get", "show parts of a release")
	cmd.Example = "  pkg get values mysql --all\n  pkg get manifest mysql --revision 1"
	cmd.AddCommand(newGetValuesCommand(a), newGetMetadataCommand(a))
	for _, p := range []struct {
		name, short string
		print       func(*release.Release) string
	}{
		{"manifest", "show the manifest of a release", func(r *release.Release) string { return r.Manifest + "\n" }},
		{"hooks", "show the hooks of a release", hooksText},
		{"notes", "show the notes of a release", func(r *release.Release) string {
			if r.Info.Notes == "" {
				return ""
			}
			return fmt.Sprintf("NOTES:\n%s\n", r.Info.Notes)
		}},
	} {
		cmd.AddCommand(newGetTextCommand(a, p.name, p.short, p.print))
	}
	cmd.AddCommand(newGetAllCommand(a))
	return cmd
}

func hooksText(r *release.Release) string {
	var b strings.Builder
	for _, h := range r.Hooks {
		fmt.Fprintf(&b, "---\n# Source: %s\n%s\n", h.Path, h.Manifest)
	}
	return b.String()
}

// getRelease fetches one revision, the last for 0.
func (a *app) getRelease(ctx context.Context, name string, revision int) (*release.Release, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	r, err := c.releases(a, "get")
	if err != nil {
		return nil, err
	}
	return r.Get(ctx, name, revision)
}

func newGetTextCommand(a *app, name, short string, text func(*release.Release) string) *cobra.Command {
	var revision int
	cmd := &cobra.Command{
		Use:   name + " NAME",
		Short: short,
		Args:  a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.getRelease(cmd.Context(), args[0], revision)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(a.Out, text(r))
			return err
		},
	}
	cmd.Flags().IntVar(&revision, "revision", 0, "get the named release with revision")
	return cmd
}

func newGetValuesCommand(a *app) *cobra.Command {
	var revision int
	var all bool
	var format outputFormat
	cmd := &cobra.Command{
		Use:   "values NAME",
		Short: "show the values of a release",
		Args:  a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.getRelease(cmd.Context(), args[0], revision)
			if err != nil {
				return err
			}
			values, title := r.Config, "USER-SUPPLIED VALUES:"
			if all {
				if values, err = computedValues(r); err != nil {
					return err
				}
				title = "COMPUTED VALUES:"
			}
			return format.write(a.Out, values, func() error {
				data, err := yaml.Marshal(values)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(a.Out, "%s\n%s", title, data)
				return err
			})
		},
	}
	f := cmd.Flags()
	f.IntVar(&revision, "revision", 0, "get the named release with revision")
	f.BoolVarP(&all, "all", "a", false, "dump all (computed) values")
	format.add(f)
	return cmd
}

// releaseMetadata is helm's JSON of `get metadata`.
type releaseMetadata struct {
	Name         string              `json:"name"`
	Chart        string              `json:"chart"`
	Version      string              `json:"version"`
	AppVersion   string              `json:"appVersion"`
	Annotations  map[string]string   `json:"annotations,omitempty"`
	Dependencies []*chart.Dependency `json:"dependencies,omitempty"`
	Namespace    string              `json:"namespace"`
	Revision     int                 `json:"revision"`
	Status       string              `json:"status"`
	DeployedAt   string              `json:"deployedAt"`
}

func newGetMetadataCommand(a *app) *cobra.Command {
	var revision int
	var format outputFormat
	cmd := &cobra.Command{
		Use:   "metadata NAME",
		Short: "show the metadata of a release",
		Args:  a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.getRelease(cmd.Context(), args[0], revision)
			if err != nil {
				return err
			}
			if r.Chart == nil || r.Chart.Metadata == nil {
				return fmt.Errorf("revision %d of release %s has no chart", r.Revision, r.Name)
			}
			m := releaseMetadata{
				Name: r.Name, Chart: r.Chart.Metadata.Name, Version: r.Chart.Metadata.Version, AppVersion: r.Chart.Metadata.AppVersion,
				Annotations: r.Chart.Metadata.Annotations, Dependencies: r.Chart.Metadata.Dependencies, Namespace: r.Namespace,
				Revision: r.Revision, Status: string(r.Info.Status), DeployedAt: r.Info.LastDeployed.Format(time.RFC3339),
			}
			return format.write(a.Out, m, func() error { return m.print(a) })
		},
	}
	cmd.Flags().IntVar(&revision, "revision", 0, "specify release revision")
	format.add(cmd.Flags())
	return cmd
}

func (m *releaseMetadata) print(a *app) error {
	var names []string
	for _, d := range m.Dependencies {
		names = append(names, d.Name)
	}
	slices.Sort(names)
	_, err := fmt.Fprintf(a.Out, "NAME: %s\nCHART: %s\nVERSION: %s\nAPP_VERSION: %s\nANNOTATIONS: %s\nDEPENDENCIES: %s\nNAMESPACE: %s\nREVISION: %d\nSTATUS: %s\nDEPLOYED_AT: %s\n",
		m.Name, m.Chart, m.Version, m.AppVersion, labels.Set(m.Annotations), strings.Join(names, ","), m.Namespace, m.Revision, m.Status, m.DeployedAt)
	return err
}

func newGetAllCommand(a *app) *cobra.Command {
	var revision int
	cmd := &cobra.Command{
		Use:   "all NAME",
		Short: "show everything about a release",
		Args:  a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.getRelease(cmd.Context(), args[0], revision)
			if err != nil {
				return err
			}
			all := *a
			all.global.Debug = true // helm prints a release with everything
			return all.printRelease(a.Out, r, printOptions{metadata: true})
		},
	}
	cmd.Flags().IntVar(&revision, "revision", 0, "get the named release with revision")
	return cmd
}
