//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/release"
)

func newUninstallCommand(a *app) *cobra.Command { return uninstallCommand(a, nil) }

// uninstallCommand is `pkg uninstall` or, with a preview, `pkg plan uninstall`.
func uninstallCommand(a *app, p *preview) *cobra.Command {
	change := changeFlags{preview: p}
	var o release.UninstallOptions
	var ignoreMissing bool
	cmd := &cobra.Command{
		Use:     "uninstall NAME [...]",
		Aliases: []string{"del", "delete", "un"},
		Short:   "uninstall a release",
		Long: `Delete the objects of releases and their history. Objects with the annotation
helm.sh/resource-policy: keep stay, and so do the volumes of StatefulSets.

` + exitCodesText,
		Example: "  pkg uninstall mysql\n  pkg uninstall mysql --keep-history",
		Args:    a.argCount(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runUninstall(cmd.Context(), a, &change, o, ignoreMissing, args)
		},
	}
	f := cmd.Flags()
	change.addBasic(f)
	if p != nil {
		p.add(f)
		cmd.Use, cmd.Args = "uninstall NAME", a.argCount(1, 1)
	}
	f.BoolVar(&o.KeepHistory, "keep-history", false, "remove all associated resources and mark the release as deleted, but retain the release history")
	f.StringVar(&o.Cascade, "cascade", "background", `Must be "background", "orphan", or "foreground". Selects the deletion cascading strategy for the dependents`)
	f.BoolVar(&ignoreMissing, "ignore-not-found", false, `Treat "release not found" as a successful uninstall`)
	return cmd
}

func runUninstall(ctx context.Context, a *app, change *changeFlags, o release.UninstallOptions, ignoreMissing bool, args []string) error {
	opts, err := change.options(a)
	if err != nil {
		return err
	}
	o.Options = opts
	c, err := a.connectFor(ctx, opts, false)
	if err != nil {
		return err
	}
	r, err := c.releases(a, "uninstall")
	if err != nil {
		return err
	}
	for _, name := range args {
		result, err := r.Uninstall(ctx, name, o)
		var missing *release.NotFoundError
		if errors.As(err, &missing) && ignoreMissing {
			continue
		}
		if err != nil {
			if missing != nil && a.asHelm {
				return fmt.Errorf("uninstall: Release not loaded: %s: %w", name, err)
			}
			return fmt.Errorf("uninstall: %w", err)
		}
		if change.preview != nil {
			return a.showPreview(c, result, change.preview)
		}
		if len(result.Kept) > 0 {
			fmt.Fprintln(a.Out, "These resources were kept due to the resource policy:")
			for _, k := range result.Kept {
				fmt.Fprintf(a.Out, "[%s] %s\n", k.Kind, k.Name)
			}
			fmt.Fprintln(a.Out)
		}
		if opts.DryRun != release.DryRunNone {
			a.showPlan(result.Plan)
			continue
		}
		fmt.Fprintf(a.Out, "release %q uninstalled\n", name)
	}
	return nil
}
