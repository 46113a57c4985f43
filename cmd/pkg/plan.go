//go:build !front

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/release"
)

func newPlanCommand(a *app) *cobra.Command {
	return a.group("plan", "show what install, upgrade, rollback or uninstall would do, and save it for pkg apply",
		previewHelp(installCommand(a, &preview{}), "plan an install", "  pkg plan install stable/mysql --out mysql.plan\n  pkg apply mysql.plan"),
		previewHelp(upgradeCommand(a, &preview{}), "plan an upgrade", "  pkg plan upgrade mysql --set auth.database=shop --out mysql.plan\n  pkg apply mysql.plan"),
		previewHelp(rollbackCommand(a, &preview{}), "plan a rollback", "  pkg plan rollback mysql 1"),
		previewHelp(uninstallCommand(a, &preview{}), "plan an uninstall", "  pkg plan uninstall mysql"),
	)
}

func newApplyCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "apply FILE",
		Short: "execute a plan that pkg plan --out saved",
		Long: `Execute a saved plan, exactly as it was shown. When the release or one of its objects has
changed since the plan was made, nothing is done.

` + exitCodesText,
		Example: "  pkg plan upgrade mysql --set auth.database=shop --out mysql.plan\n  pkg apply mysql.plan",
		Args:    a.argCount(1, 1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runApply(cmd.Context(), a, args[0]) },
	}
}

func runApply(ctx context.Context, a *app, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var saved release.SavedPlan
	if err := json.Unmarshal(data, &saved); err != nil {
		return fmt.Errorf("plan %s: %w", file, err)
	}
	if saved.Name == "" || saved.Namespace == "" {
		return fmt.Errorf("%s is not a plan of pkg plan --out", file)
	}
	if a.global.Namespace != "" && a.global.Namespace != saved.Namespace {
		return usagef("the plan is for namespace %s, not %s", saved.Namespace, a.global.Namespace)
	}
	a.global.Namespace = saved.Namespace
	c, err := a.connectToChange(ctx)
	if err != nil {
		return err
	}
	if c.Server() != saved.Cluster {
		return withHint(fmt.Errorf("the plan was made for the cluster at %s, not for the one at %s", saved.Cluster, c.Server()),
			"choose the cluster with --kubeconfig or --kube-context")
	}
	r, err := c.releases(a, saved.Verb)
	if err != nil {
		return err
	}
	result, err := r.Apply(ctx, &saved)
	if err != nil {
		return a.changeFailure(err, result)
	}
	if saved.Verb == "uninstall" {
		_, err = fmt.Fprintf(a.Out, "release %q uninstalled\n", saved.Name)
		return err
	}
	return a.printResult(result, release.Options{}, showFlags{}, "table")
}
