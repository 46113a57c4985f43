//go:build !front

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/repo"
)

func newDependencyCommand(a *app) *cobra.Command {
	cmd := a.group("dependency", "manage a chart's dependencies",
		newDependencyListCommand(a),
		newDependencyFetchCommand(a, "build", "rebuild the charts/ directory based on the Chart.lock file", true),
		newDependencyFetchCommand(a, "update", "update charts/ based on the contents of Chart.yaml", false))
	cmd.Aliases = []string{"dep", "dependencies"}
	return cmd
}

// maxDependencyColumn is the width of the table's columns (Helm's).
const maxDependencyColumn = 80

func newDependencyListCommand(a *app) *cobra.Command {
	var maxWidth uint
	cmd := &cobra.Command{
		Use:     "list CHART",
		Aliases: []string{"ls"},
		Short:   "list the dependencies for the given chart",
		Args:    a.argCount(0, 1),
		RunE:    func(_ *cobra.Command, args []string) error { return runDependencyList(a, folderOf(args), maxWidth) },
	}
	cmd.Flags().UintVar(&maxWidth, "max-col-width", maxDependencyColumn, "maximum column width for output table")
	return cmd
}

// folderOf is the chart folder that a command means: the one named, or the current.
func folderOf(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return filepath.Clean(args[0])
}

func runDependencyList(a *app, dir string, maxWidth uint) error {
	c, err := chart.Load(dir)
	if err != nil {
		return err
	}
	if c.Metadata.Dependencies == nil {
		_, err := fmt.Fprintf(a.Out, "WARNING: no dependencies at %s\n", filepath.Join(dir, chart.DependencyDir))
		return err
	}
	t := table{MaxWidth: int(maxWidth)}
	t.add("NAME", "VERSION", "REPOSITORY", "STATUS")
	for _, d := range c.Metadata.Dependencies {
		t.add(d.Name, d.Version, d.Repository, dependencyStatus(dir, c, d))
	}
	if err := t.write(a.Out); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.Out)
	return err
}

// dependencyStatus is Helm's word for what charts/ holds of a dependency.
func dependencyStatus(dir string, c *chart.Chart, d *chart.Dependency) string {
	folder := filepath.Join(dir, chart.DependencyDir)
	archives, err := filepath.Glob(filepath.Join(folder, d.Name+"-*.tgz"))
	if err != nil {
		return "bad pattern"
	}
	for _, file := range archives {
		sub, err := chart.LoadArchiveFile(file)
		if err != nil {
			return "corrupt"
		}
		if sub.Name() != d.Name {
			continue
		}
		return versionStatus(d, sub, "ok")
	}
	if info, err := os.Stat(filepath.Join(folder, d.Name)); err != nil || !info.IsDir() {
		return "missing"
	}
	for _, sub := range c.Dependencies() {
		if sub.Name() == d.Name {
			return versionStatus(d, sub, "unpacked")
		}
	}
	return "mispackaged"
}

func versionStatus(d *chart.Dependency, sub *chart.Chart, good string) string {
	if d.Version == "" || d.Version == sub.Metadata.Version || chart.CompatibleVersion(d.Version, sub.Metadata.Version) {
		return good
	}
	return "wrong version"
}

type dependencyOptions struct {
	fromLock    bool
	skipRefresh bool
	verify      bool
	keyring     string
	source      chartFlags
}

func newDependencyFetchCommand(a *app, use, short string, fromLock bool) *cobra.Command {
	o := &dependencyOptions{fromLock: fromLock}
	cmd := &cobra.Command{
		Use:   use + " CHART",
		Short: short,
		Args:  a.argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDependencyFetch(cmd.Context(), a, o, folderOf(args))
		},
	}
	if !fromLock {
		cmd.Aliases = []string{"up"}
	}
	f := cmd.Flags()
	f.BoolVar(&o.skipRefresh, "skip-refresh", false, "do not refresh the local repository cache")
	o.source.addAccess(f)
	f.BoolVar(&o.verify, "verify", false, "verify the packages against signatures")
	f.StringVar(&o.keyring, "keyring", "", "keyring containing public keys; default $GNUPGHOME/pubring.gpg, else ~/.gnupg/pubring.gpg")
	return cmd
}

func runDependencyFetch(ctx context.Context, a *app, o *dependencyOptions, dir string) error {
	r := a.repositories()
	if !o.skipRefresh {
		if err := refreshRepositories(ctx, a, r); err != nil {
			return err
		}
	}
	options := repo.VendorOptions{FromLock: o.fromLock, Now: a.Now(), Access: o.source.access(), Pin: !a.asHelm}
	if o.verify {
		options.Verify = a.verifier(o.keyring)
	}
	locked, err := r.Vendor(ctx, dir, options)
	if err != nil {
		return err
	}
	if len(locked) == 0 { // helm says nothing then
		return nil
	}
	fmt.Fprintf(a.Out, "Saving %d charts\n", len(locked))
	for _, d := range locked {
		switch {
		case d.Repository == "":
			fmt.Fprintf(a.Out, "Dependency %s did not declare a repository. Assuming it exists in the charts directory\n", d.Name)
		case strings.HasPrefix(d.Repository, "file://"):
			if a.asHelm {
				continue // helm says so under --debug only
			}
			fmt.Fprintf(a.Out, "Archiving %s from repo %s\n", d.Name, d.Repository)
		default:
			fmt.Fprintf(a.Out, "Downloading %s from repo %s\n", d.Name, d.Repository)
		}
	}
	fmt.Fprintln(a.Out, "Deleting outdated charts")
	return nil
}

// refreshRepositories fetches the indexes of all configured repositories; one that
// cannot be reached is told, and does not matter unless it is needed.
func refreshRepositories(ctx context.Context, a *app, r *repo.Resolver) error {
	list, err := r.Repositories()
	if err != nil || len(list) == 0 {
		return err
	}
	if r.Offline {
		return nil
	}
	a.updateAll(ctx, r, list)
	_, err = fmt.Fprintln(a.Out, "Update Complete. ⎈Happy Helming!⎈")
	return err
}
