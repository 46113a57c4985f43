package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const rootLong = `pkg installs Helm charts, on this machine or on any Kubernetes.

  pkg install stable/mysql      a cluster on this machine, MySQL running in it
  pkg template NAME CHART       what a chart renders to
  pkg search repo WORD          which charts there are

Exit codes: 0 done, 1 failed, 2 wrong usage or a diff with changes, 3 timed out,
4 another operation is running.`

// commands lists every command of pkg; a new one is one line here.
func commands(a *app) []*cobra.Command {
	return []*cobra.Command{
		newApplyCommand(a),
		newCompletionCommand(a),
		newCreateCommand(a),
		newDependencyCommand(a),
		newDiffCommand(a),
		newDriftCommand(a),
		newEnvCommand(a),
		newLintCommand(a),
		newPackageCommand(a),
		newPlanCommand(a),
		newRepairCommand(a),
		newPullCommand(a),
		newPushCommand(a),
		newRegistryCommand(a),
		newRepoCommand(a),
		newSchemaCommand(a),
		newSearchCommand(a),
		newShowCommand(a),
		newClusterCommand(a),
		newGetCommand(a),
		newHistoryCommand(a),
		newImageCommand(a),
		newInstallCommand(a),
		newKubectlCommand(a),
		newListCommand(a),
		newLogsCommand(a),
		newOpenCommand(a),
		newOutdatedCommand(a),
		newRollbackCommand(a),
		newStackCommand(a),
		newStatusCommand(a),
		newTestCommand(a),
		newUninstallCommand(a),
		newUpgradeCommand(a),
		newUseCommand(a),
		newTemplateCommand(a),
		newVerifyCommand(a),
		newVersionCommand(a),
	}
}

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "pkg",
		Short:         "install Helm charts, on this machine or on any Kubernetes",
		Long:          rootLong,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          a.noSubcommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	if a.asHelm {
		root.Use = "helm"
	}
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if a.asHelm {
			return err
		}
		return &exitError{code: exitUsage, err: err}
	})
	a.addGlobalFlags(root)
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(commands(a)...)
	a.addCompletions(root)
	return root
}

// group makes a command that only has subcommands.
func (a *app) group(use, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  a.noSubcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(subs...)
	return cmd
}

// noSubcommand refuses words that are no subcommand of a group, naming similar ones.
func (a *app) noSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 || a.asHelm && cmd.HasParent() { // helm shows a group's help then
		return nil
	}
	text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += "\n\nDid you mean this?\n\t" + strings.Join(near, "\n\t") + "\n"
	}
	if a.asHelm {
		return errors.New(text + "\nRun 'helm --help' for usage.")
	}
	return &exitError{code: exitUsage, err: errors.New(text)}
}

func (a *app) addGlobalFlags(root *cobra.Command) {
	f, g := root.PersistentFlags(), &a.global
	f.StringVarP(&g.Namespace, "namespace", "n", "", "namespace scope for this request")
	f.BoolVar(&g.Debug, "debug", a.Env("HELM_DEBUG") == "true" || a.Env("HELM_DEBUG") == "1", "enable verbose output")
	f.StringVar(&g.Kubeconfig, "kubeconfig", "", "path to the kubeconfig file")
	f.StringVar(&g.KubeContext, "kube-context", "", "name of the kubeconfig context to use")
	f.StringVar(&g.KubeAPIServer, "kube-apiserver", "", "the address and the port for the Kubernetes API server")
	f.StringVar(&g.KubeToken, "kube-token", "", "bearer token used for authentication")
	f.StringVar(&g.KubeAsUser, "kube-as-user", "", "username to impersonate for the operation")
	f.StringArrayVar(&g.KubeAsGroups, "kube-as-group", nil, "group to impersonate for the operation, this flag can be repeated to specify multiple groups.")
	f.StringVar(&g.KubeCAFile, "kube-ca-file", "", "the certificate authority file for the Kubernetes API server connection")
	f.StringVar(&g.KubeTLSName, "kube-tls-server-name", "", "server name to use for Kubernetes API server certificate validation")
	f.BoolVar(&g.KubeInsecure, "kube-insecure-skip-tls-verify", false, "if true, the Kubernetes API server's certificate will not be checked for validity")
	f.StringVar(&g.RegistryConfig, "registry-config", "", "path to the registry config file")
	f.StringVar(&g.RepositoryConfig, "repository-config", "", "path to the file containing repository names and URLs")
	f.StringVar(&g.RepositoryCache, "repository-cache", "", "path to the directory containing cached repository indexes")
	f.IntVar(&g.BurstLimit, "burst-limit", 100, "requests that --qps lets go at once")
	f.Float32Var(&g.QPS, "qps", 0, "queries per second used when communicating with the Kubernetes API, not including bursting; 0 is no limit")
}
