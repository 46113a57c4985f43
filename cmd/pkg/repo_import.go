//go:build !front

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/repo"
)

func newRepoImportCommand(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "import-helm [FILE]",
		Short: "take over the repositories and registry logins of helm",
		Long: `Add the repositories of helm's repositories.yaml, with their credentials and settings,
and the registry logins in registry/config.json beside it, if that is there. Without FILE
they are helm's own: in $HELM_CONFIG_HOME, $XDG_CONFIG_HOME/helm or ~/.config/helm. Helm's
files are not changed. What pkg has under the same name stays, unless --force-update.`,
		Example: "  pkg repo import-helm\n  pkg repo update",
		Args:    a.argCount(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			file := a.helmRepositories()
			if len(args) == 1 {
				file = args[0]
			}
			return runRepoImport(a, file, force)
		},
	}
	cmd.Flags().BoolVar(&force, "force-update", false, "replace what pkg has under the same name")
	return cmd
}

// helmRepositories is where helm keeps its repositories.
func (a *app) helmRepositories() string {
	dir := a.Env("HELM_CONFIG_HOME")
	if dir == "" {
		dir = filepath.Join(firstOf(a.Env("XDG_CONFIG_HOME"), filepath.Join(a.Env("HOME"), ".config")), "helm")
	}
	return filepath.Join(dir, "repositories.yaml")
}

func runRepoImport(a *app, file string, force bool) error {
	r := a.repositories()
	found, err := r.ImportHelm(file, a.Now(), force)
	if errors.Is(err, fs.ErrNotExist) {
		return withHint(err, "helm has no repositories there; name its file: pkg repo import-helm FILE")
	}
	if err != nil {
		return err
	}
	for _, i := range found {
		fmt.Fprintf(a.Out, "%s %s: %s\n", i.Kind, i.Name, i.State)
	}
	if len(found) == 0 {
		_, err := fmt.Fprintf(a.Out, "%s has no repositories\n", file)
		return err
	}
	bad := 0
	for _, i := range found {
		if i.State == repo.ImportRefused {
			bad++
			fmt.Fprintf(a.Err, "%s %s: %v\n", i.Kind, i.Name, i.Err)
		}
	}
	if bad > 0 {
		return fmt.Errorf("%s: %d of %d entries could not be imported", file, bad, len(found))
	}
	fmt.Fprintln(a.Err, "pkg repo update fetches their indexes")
	return nil
}
