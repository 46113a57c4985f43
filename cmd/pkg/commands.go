//go:build !front

package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// commands lists every command of pkg; a new one is one line here.
func commands() []command {
	return []command{
		{"apply", newApplyCommand},
		{"bundle", newBundleCommand},
		{"completion", newCompletionCommand},
		{"create", newCreateCommand},
		{"dependency dep dependencies", newDependencyCommand},
		{"diff", newDiffCommand},
		{"drift", newDriftCommand},
		{"env", newEnvCommand},
		{"lint", newLintCommand},
		{"package", newPackageCommand},
		{"plan", newPlanCommand},
		{"repair", newRepairCommand},
		{"pull fetch", newPullCommand},
		{"push", newPushCommand},
		{"registry", newRegistryCommand},
		{"repo", newRepoCommand},
		{"schema", newSchemaCommand},
		{"search", newSearchCommand},
		{"show inspect", newShowCommand},
		{"cluster", newClusterCommand},
		{"get", newGetCommand},
		{"history hist", newHistoryCommand},
		{"image images", newImageCommand},
		{"install", newInstallCommand},
		{"kubectl", newKubectlCommand},
		{"list ls", newListCommand},
		{"logs", newLogsCommand},
		{"open", newOpenCommand},
		{"outdated", newOutdatedCommand},
		{"rollback", newRollbackCommand},
		{"stack", newStackCommand},
		{"status", newStatusCommand},
		{"test", newTestCommand},
		{"uninstall del delete un", newUninstallCommand},
		{"upgrade", newUpgradeCommand},
		{"use", newUseCommand},
		{"template", newTemplateCommand},
		{"verify", newVerifyCommand},
		{"version", newVersionCommand},
	}
}

// addAll adds every command, and what completes their arguments.
func (a *app) addAll(root *cobra.Command) {
	for _, c := range commands() {
		root.AddCommand(c.build(a))
	}
	a.addCompletions(root)
}

// rereadable says whether this program reads a file: pkg-release reads all.
func rereadable(string) error { return nil }

// interruptible is done when a signal asks the program to end.
func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}
