package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

const rootLong = `pkg installs Helm charts, on this machine or on any Kubernetes.

  pkg install stable/mysql      a cluster on this machine, MySQL running in it
  pkg template NAME CHART       what a chart renders to
  pkg search repo WORD          which charts there are

Exit codes: 0 done, 1 failed, 2 wrong usage or a diff with changes, 3 timed out,
4 another operation is running.`

// command is one command of pkg, which is only built when it is called: all of them
// have hundreds of flags, which take as long as rendering a small chart.
type command struct {
	names string // the name, then its aliases
	build func(*app) *cobra.Command
}

// called is the command that the first argument names. Without one (there is none,
// a flag, help, completion, or a word that no command has) all commands are needed.
func called(args []string) (command, bool) {
	for _, c := range commands() {
		if len(args) > 0 && slices.Contains(strings.Fields(c.names), args[0]) {
			return c, true
		}
	}
	return command{}, false
}

// newRootCommand builds what args need, and is run with them.
func newRootCommand(a *app, args []string) *cobra.Command {
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
	root.SetArgs(args)
	if c, ok := called(args); ok {
		root.AddCommand(c.build(a))
		return root
	}
	a.addAll(root)
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
	f.BoolVar(&g.Offline, "offline", a.Env("PKG_OFFLINE") == "1" || a.Env("PKG_OFFLINE") == "true", "take charts only from what is cached; no repository or registry is asked")
	f.IntVar(&g.BurstLimit, "burst-limit", 100, "requests that --qps lets go at once")
	f.Float32Var(&g.QPS, "qps", 0, "queries per second used when communicating with the Kubernetes API, not including bursting; 0 is no limit")
}
