//go:build !front

package main

import (
	"context"
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

// execute runs one command line.
func (a *app) execute(ctx context.Context, args []string) error {
	err := newRootCommand(a, args).ExecuteContext(ctx)
	if back := a.giveBack(); back != nil {
		a.warnf("files of root are left in your folders: %v", back)
	}
	return err
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
	a.addGlobalFlags(root.PersistentFlags())
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
