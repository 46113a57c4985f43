//go:build !front

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/cluster/client"
)

func newUseCommand(a *app) *cobra.Command {
	var local bool
	cmd := &cobra.Command{
		Use:   "use [CONTEXT]",
		Short: "choose the cluster that commands mean",
		Long: `Choose a context of a kubeconfig (--kubeconfig, else $KUBECONFIG, else ~/.kube/config)
for all later commands; --local goes back to this machine's cluster or $KUBECONFIG.
Without arguments, say which cluster is meant and what chose it.`,
		Example: "  pkg use production\n  pkg use --local",
		Args:    a.argCount(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case local && len(args) > 0:
				return usagef("--local takes no context")
			case local:
				return a.forgetContext()
			case len(args) == 0:
				t, err := a.target()
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(a.Out, "%s (%s)\n", t.name, t.why)
				return err
			}
			return a.useContext(args[0])
		},
	}
	cmd.Flags().BoolVar(&local, "local", false, "forget the choice")
	return cmd
}

// useContext keeps a context that exists.
func (a *app) useContext(name string) error {
	path := firstOf(a.global.Kubeconfig, a.Env("KUBECONFIG"), homeKubeconfig())
	if _, err := (client.Kubeconfig{Path: path, Context: name}).Load(); err != nil {
		return err
	}
	var files []string
	for _, p := range filepath.SplitList(path) {
		abs, err := filepath.Abs(p)
		if err != nil {
			return err
		}
		files = append(files, abs)
	}
	kept := keptContext{Context: name}
	for i, f := range files {
		if i > 0 {
			kept.Kubeconfig += string(filepath.ListSeparator)
		}
		kept.Kubeconfig += f
	}
	data, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(a.ConfigDir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(a.keptContextFile(), append(data, '\n'), 0o600); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Err, "commands now mean context %s of %s (pkg use --local ends that)\n", name, kept.Kubeconfig)
	return err
}

func (a *app) forgetContext() error {
	if err := os.Remove(a.keptContextFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
