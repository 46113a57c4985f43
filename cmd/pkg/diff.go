//go:build !front

package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/release"
)

func newDiffCommand(a *app) *cobra.Command {
	full := func() *preview { return &preview{full: true} }
	return a.group("diff", "show what an operation would change, or what changed",
		previewHelp(upgradeCommand(a, full()), "show what an upgrade would change",
			"  pkg diff upgrade mysql --set primary.resources.limits.memory=1Gi\n  pkg diff upgrade mysql --version 2.0.0 --exit-code"),
		previewHelp(rollbackCommand(a, full()), "show what a rollback would change", "  pkg diff rollback mysql 1"),
		newDiffRevisionCommand(a, full()),
		newDiffLiveCommand(a, full()),
	)
}

func newDiffRevisionCommand(a *app, p *preview) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "revision NAME FROM [TO]",
		Short:   "compare the manifests of two revisions, TO being the last one by default",
		Example: "  pkg diff revision mysql 1 2",
		Args:    a.argCount(2, 3),
		RunE:    func(cmd *cobra.Command, args []string) error { return runDiffRevision(cmd.Context(), a, p, args) },
	}
	p.add(cmd.Flags())
	return cmd
}

func runDiffRevision(ctx context.Context, a *app, p *preview, args []string) error {
	if err := p.check(); err != nil {
		return err
	}
	var revisions [2]int
	for n, text := range args[1:] {
		number, err := strconv.Atoi(text)
		if err != nil || number < 1 {
			return usagef("%q is not a revision", text)
		}
		revisions[n] = number
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	r, err := c.releases(a, "diff")
	if err != nil {
		return err
	}
	plan, err := r.CompareRevisions(ctx, args[0], revisions[0], revisions[1])
	if err != nil {
		return err
	}
	v := previewed{Operation: "diff of revisions", Release: args[0], Namespace: c.namespace, Steps: plan.Differences(p.showSecrets)}
	for n := range v.Steps {
		if v.Steps[n].Namespace == "" {
			v.Steps[n].Namespace = c.namespace
		}
	}
	if err := a.printPreview(&v, p); err != nil {
		return err
	}
	return p.verdict(v.Changes)
}

func newDiffLiveCommand(a *app, p *preview) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "live NAME",
		Short: "compare the live objects of a release with what it declares",
		Long: `Compare the live objects of a release with its last deployed revision. What is shown is
what pkg repair would do: "-" is live, "+" is declared. Fields that the release does not
declare are left out.`,
		Example: "  pkg diff live mysql --exit-code",
		Args:    a.argCount(1, 1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runDiffLive(cmd.Context(), a, p, args[0]) },
	}
	p.add(cmd.Flags())
	return cmd
}

func runDiffLive(ctx context.Context, a *app, p *preview, name string) error {
	if err := p.check(); err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	r, err := c.releases(a, "diff")
	if err != nil {
		return err
	}
	result, err := r.Drift(ctx, name, release.Options{Force: true})
	if err != nil {
		return fmt.Errorf("diff: %w", err)
	}
	return a.showPreview(c, result, p)
}
