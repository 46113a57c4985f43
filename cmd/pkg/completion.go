//go:build !front

package main

import (
	"github.com/spf13/cobra"
)

func newCompletionCommand(a *app) *cobra.Command {
	var bare bool
	shell := func(name string, write func(root *cobra.Command) error) *cobra.Command {
		cmd := &cobra.Command{
			Use:   name,
			Short: "generate autocompletion script for " + name,
			Args:  a.argCount(0, 0),
			RunE:  func(cmd *cobra.Command, _ []string) error { return write(cmd.Root()) },
		}
		cmd.Flags().BoolVar(&bare, "no-descriptions", false, "disable completion descriptions")
		return cmd
	}
	cmd := a.group("completion", "generate autocompletion scripts for the specified shell",
		shell("bash", func(root *cobra.Command) error { return root.GenBashCompletionV2(a.Out, !bare) }),
		shell("zsh", func(root *cobra.Command) error {
			if bare {
				return root.GenZshCompletionNoDesc(a.Out)
			}
			return root.GenZshCompletion(a.Out)
		}),
		shell("fish", func(root *cobra.Command) error { return root.GenFishCompletion(a.Out, !bare) }),
		shell("powershell", func(root *cobra.Command) error {
			if bare {
				return root.GenPowerShellCompletion(a.Out)
			}
			return root.GenPowerShellCompletionWithDesc(a.Out)
		}))
	cmd.Example = "  source <(pkg completion bash)"
	return cmd
}
