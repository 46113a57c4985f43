//go:build !front

package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/release"
)

func newRollbackCommand(a *app) *cobra.Command { return rollbackCommand(a, nil) }

// rollbackCommand is `pkg rollback` or, with a preview, `pkg plan rollback` and `pkg
// diff rollback`.
func rollbackCommand(a *app, p *preview) *cobra.Command {
	change := changeFlags{preview: p}
	cmd := &cobra.Command{
		Use:   "rollback NAME [REVISION]",
		Short: "roll a release back to an earlier revision",
		Long: `Make an earlier revision of a release the current one again: by default the last that
worked before the current one. Objects go back; data on volumes does not.

` + exitCodesText,
		Example: "  pkg rollback mysql\n  pkg rollback mysql 1",
		Args:    a.argCount(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRollback(cmd.Context(), a, &change, args)
		},
	}
	f := cmd.Flags()
	change.addAll(f)
	if p != nil {
		p.add(f)
	}
	f.IntVar(&change.historyMax, "history-max", defaultHistory, "limit the maximum number of revisions saved per release. Use 0 for no limit")
	return cmd
}

func runRollback(ctx context.Context, a *app, change *changeFlags, args []string) error {
	opts, err := change.options(a)
	if err != nil {
		return err
	}
	o := release.RollbackOptions{Options: opts}
	if len(args) == 2 {
		if o.Revision, err = strconv.Atoi(args[1]); err != nil || o.Revision < 0 {
			return usagef("could not convert revision to a number: %q", args[1])
		}
	}
	c, err := a.connectFor(ctx, opts, false)
	if err != nil {
		return err
	}
	r, err := c.releases(a, "rollback")
	if err != nil {
		return err
	}
	result, err := r.Rollback(ctx, args[0], o)
	if err != nil {
		return a.changeFailure(err, result)
	}
	if change.preview != nil {
		return a.showPreview(c, result, change.preview)
	}
	if opts.DryRun != release.DryRunNone {
		a.showPlan(result.Plan)
	}
	if a.asHelm {
		_, err = fmt.Fprintln(a.Out, "Rollback was a success! Happy Helming!")
		return err
	}
	if opts.DryRun != release.DryRunNone {
		return nil
	}
	_, err = fmt.Fprintf(a.Out, "%s of %s: done, as revision %d. The data on its volumes was not rolled back.\n",
		result.Release.Info.Description, args[0], result.Release.Revision)
	return err
}
