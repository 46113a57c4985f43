//go:build !front

package main

import (
	"os"
	"syscall"

	"github.com/spf13/cobra"
)

func newRepoServeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:                "serve --data DIR",
		Short:              "host charts and images",
		Example:            "  pkg repo serve --data charts --allow-anonymous-push",
		DisableFlagParsing: true, // all flags are pkg-repo's
		RunE:               func(_ *cobra.Command, args []string) error { return a.execRepo(args) },
	}
}

// execRepo replaces this process by pkg-repo.
func (a *app) execRepo(args []string) error {
	path, err := program("pkg-repo")
	if err != nil {
		return err
	}
	return syscall.Exec(path, append([]string{"pkg repo serve"}, args...), os.Environ())
}
