package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/chart"
)

func newDependencyCommand(a *app) *cobra.Command {
	cmd := a.group("dependency", "manage a chart's dependencies",
		newDependencyListCommand(a),
		newDependencyFetchCommand(a, "build", "rebuild the charts/ directory based on the Chart.lock file", true),
		newDependencyFetchCommand(a, "update", "update charts/ based on the contents of Chart.yaml", false))
	cmd.Aliases = []string{"dep", "dependencies"}
	return cmd
}

func newDependencyListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list CHART",
		Aliases: []string{"ls"},
		Short:   "list the dependencies for the given chart",
		Args:    a.argCount(0, 1),
		RunE:    func(_ *cobra.Command, args []string) error { return runDependencyList(a, folderOf(args)) },
	}
}

// folderOf is the chart folder that a command means: the one named, or the current.
func folderOf(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return filepath.Clean(args[0])
}

func runDependencyList(a *app, dir string) error {
	c, err := chart.Load(dir)
	if err != nil {
		return err
	}
	if c.Metadata.Dependencies == nil {
		_, err := fmt.Fprintf(a.Out, "WARNING: no dependencies at %s\n", filepath.Join(dir, chart.DependencyDir))
		return err
	}
	t := table{MaxWidth: 80}
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

func newDependencyFetchCommand(a *app, use, short string, fromLock bool) *cobra.Command {
	var skipRefresh bool
	cmd := &cobra.Command{
		Use:   use + " CHART",
		Short: short,
		Args:  a.argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDependencyFetch(cmd.Context(), a, folderOf(args), fromLock, skipRefresh)
		},
	}
	cmd.Flags().BoolVar(&skipRefresh, "skip-refresh", false, "do not refresh the local repository cache")
	return cmd
}

func runDependencyFetch(ctx context.Context, a *app, dir string, fromLock, skipRefresh bool) error {
	r := a.repositories()
	if !skipRefresh {
		list, err := r.Repositories()
		if err != nil {
			return err
		}
		for _, e := range list {
			if err := r.Update(ctx, e); err != nil {
				fmt.Fprintf(a.Err, "...Unable to get an update from the %q chart repository (%s):\n\t%s\n", e.Name, e.URL, err)
			}
		}
	}
	locked, err := r.Vendor(ctx, dir, fromLock, a.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "Saving %d charts\n", len(locked))
	for _, d := range locked {
		fmt.Fprintf(a.Out, "%s %s\n", d.Name, d.Version)
	}
	return nil
}
