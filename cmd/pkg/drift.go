//go:build !front

package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/release"
)

func newDriftCommand(a *app) *cobra.Command {
	p := &preview{}
	cmd := &cobra.Command{
		Use:   "drift [NAME...]",
		Short: "tell where live objects are not what their releases declare",
		Long: `Compare the live objects of releases, by default of all in the namespace, with what the
releases declare. What is shown is what pkg repair would do; pkg diff live shows the same
in full.

Exit codes: 0 done, 1 failed, 2 wrong usage or, with --exit-code, drift.`,
		Example: "  pkg drift\n  pkg drift mysql --exit-code",
		Args:    a.argCount(0, -1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runDrift(cmd.Context(), a, p, args) },
	}
	p.add(cmd.Flags())
	cmd.Flags().Lookup("out").Hidden = true // repair is the way to execute it
	return cmd
}

func runDrift(ctx context.Context, a *app, p *preview, names []string) error {
	if err := p.check(); err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	r, err := c.releases(a, "drift")
	if err != nil {
		return err
	}
	if len(names) == 0 {
		all, err := r.List(ctx, release.ListOptions{Statuses: []release.Status{release.StatusDeployed}})
		if err != nil {
			return err
		}
		for _, rel := range all {
			names = append(names, rel.Name)
		}
	}
	changes := 0
	shown := make([]*previewed, 0, len(names))
	for _, name := range names {
		result, err := r.Drift(ctx, name, release.Options{Force: true})
		if err != nil {
			return fmt.Errorf("drift: %w", err)
		}
		v := &previewed{Operation: "repair", Release: name, Namespace: c.namespace, Steps: result.Plan.Differences(p.showSecrets)}
		v.count()
		changes += v.Changes
		shown = append(shown, v)
	}
	if p.format == "json" || p.format == "yaml" {
		if err := outputFormat(p.format).write(a.Out, shown, nil); err != nil {
			return err
		}
		return p.verdict(changes)
	}
	for _, v := range shown {
		if v.Changes == 0 {
			fmt.Fprintf(a.Out, "%s: as declared\n", v.Release)
			continue
		}
		if err := a.printPreview(v, p); err != nil {
			return err
		}
	}
	return p.verdict(changes)
}

func newRepairCommand(a *app) *cobra.Command {
	var change changeFlags
	cmd := &cobra.Command{
		Use:   "repair NAME",
		Short: "make the live objects of a release again what it declares",
		Long: `Apply the last deployed revision of a release again: objects that were deleted are
created, fields that were changed get their declared values. There is no new revision, and
no hooks run. pkg drift shows what would be done.

` + exitCodesText,
		Example: "  pkg repair mysql",
		Args:    a.argCount(1, 1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runRepair(cmd.Context(), a, &change, args[0]) },
	}
	f := cmd.Flags()
	f.DurationVar(&change.timeout, "timeout", defaultTimeout, "time to wait for everything to be ready")
	f.BoolVar(&change.noWait, "no-wait", false, "return once everything is applied")
	f.BoolVar(&change.force, "force", false, "delete and create again objects whose immutable fields were changed")
	return cmd
}

func runRepair(ctx context.Context, a *app, change *changeFlags, name string) error {
	opts, err := change.options(a)
	if err != nil {
		return err
	}
	c, err := a.connectToChange(ctx)
	if err != nil {
		return err
	}
	r, err := c.releases(a, "repair")
	if err != nil {
		return err
	}
	result, err := r.Repair(ctx, name, opts)
	if err != nil {
		return a.changeFailure(err, result)
	}
	v := previewed{Steps: result.Plan.Differences(false)}
	_, err = fmt.Fprintf(a.Out, "release %q is as declared in revision %d (%s)\n", name, result.Release.Revision, v.repaired())
	return err
}

// repaired counts what was done: "1 created, 2 updated".
func (v *previewed) repaired() string {
	v.count()
	if v.Changes == 0 {
		return "nothing had changed"
	}
	if v.Changes == 1 {
		return "1 object repaired"
	}
	return fmt.Sprintf("%d objects repaired", v.Changes)
}
