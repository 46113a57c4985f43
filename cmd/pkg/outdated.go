//go:build !front

package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/chart/semver"
	"github.com/seed38700745/pkg/release"
	"github.com/seed38700745/pkg/repo"
)

// outdatedFlags are the flags of `pkg outdated`.
type outdatedFlags struct {
	allNamespaces bool
	devel         bool
	exitCode      bool
	format        outputFormat
}

func newOutdatedCommand(a *app) *cobra.Command {
	o := &outdatedFlags{}
	cmd := &cobra.Command{
		Use:   "outdated",
		Short: "list releases for whose chart there is a newer version",
		Long: `List releases for whose chart there is a newer version where it came from. Repositories
are read from their caches: pkg repo update brings those up to date.

Exit codes: 0 done, 1 failed, 2 wrong usage or, with --exit-code, something is outdated.`,
		Example: "  pkg outdated -A\n  pkg upgrade --all",
		Args:    a.argCount(0, 0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runOutdated(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "look at the releases of all namespaces")
	f.BoolVar(&o.devel, "devel", false, "development versions count, too")
	f.BoolVar(&o.exitCode, "exit-code", false, "exit with 2 when something is outdated")
	o.format.add(f)
	return cmd
}

// outdatedRelease is a row of `pkg outdated`, and its JSON.
type outdatedRelease struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Chart     string `json:"chart"`
	Version   string `json:"version"`
	Latest    string `json:"latest"`
	Source    string `json:"source"`

	release *release.Release
	chart   *repo.Resolved
}

func runOutdated(ctx context.Context, a *app, o *outdatedFlags) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	found, err := a.outdated(ctx, c, o.allNamespaces, o.devel)
	if err != nil {
		return err
	}
	err = o.format.write(a.Out, found, func() error {
		if len(found) == 0 {
			_, err := fmt.Fprintln(a.Out, "everything is up to date")
			return err
		}
		var t table
		t.add("NAME", "NAMESPACE", "CHART", "VERSION", "LATEST", "SOURCE")
		for _, x := range found {
			t.add(x.Name, x.Namespace, x.Chart, x.Version, x.Latest, x.Source)
		}
		return t.write(a.Out)
	})
	if err == nil && o.exitCode && len(found) > 0 {
		return &exitError{code: exitChanges}
	}
	return err
}

// outdated finds the deployed releases whose charts have newer versions. Those whose
// source is unknown or does not answer are named on stderr.
func (a *app) outdated(ctx context.Context, c *connection, allNamespaces, devel bool) ([]outdatedRelease, error) {
	r, err := c.releases(a, "outdated")
	if err != nil {
		return nil, err
	}
	listed, err := r.List(ctx, release.ListOptions{AllNamespaces: allNamespaces, Statuses: []release.Status{release.StatusDeployed}})
	if err != nil {
		return nil, err
	}
	out := []outdatedRelease{}
	for _, l := range listed {
		there := *c
		there.namespace = l.Namespace
		r, err := there.releases(a, "outdated")
		if err != nil {
			return nil, err
		}
		rel, err := r.Get(ctx, l.Name, l.Revision)
		if err != nil {
			return nil, err
		}
		from := rel.Source()
		if from.Ref == "" || rel.Chart.Metadata == nil {
			a.warnf("release %s in namespace %s does not say where its chart came from", rel.Name, rel.Namespace)
			continue
		}
		res, err := a.resolveChart(ctx, from.Ref, chartFlags{Repo: from.RepoURL, Devel: devel}, nil)
		if err != nil {
			a.warnf("release %s in namespace %s: %v", rel.Name, rel.Namespace, err)
			continue
		}
		now, latest := rel.Chart.Metadata.Version, res.Chart.Metadata.Version
		if newer(latest, now) {
			out = append(out, outdatedRelease{
				Name: rel.Name, Namespace: rel.Namespace, Chart: rel.Chart.Name(), Version: now, Latest: latest,
				Source: from.Ref, release: rel, chart: res,
			})
		}
	}
	return out, nil
}

// newer compares versions; what is none is never newer.
func newer(a, b string) bool {
	va, errA := semver.NewVersion(a)
	vb, errB := semver.NewVersion(b)
	return errA == nil && errB == nil && va.GreaterThan(vb)
}

// runUpgradeAll upgrades all outdated releases of the namespace to the newest
// versions of their charts: first all are planned, so that nothing is changed when
// one can not be; then one after another is upgraded.
func runUpgradeAll(ctx context.Context, a *app, o *upgradeOptions) error {
	opts, err := o.change.options(a)
	if err != nil {
		return err
	}
	c, err := a.connectFor(ctx, opts, false)
	if err != nil {
		return err
	}
	found, err := a.outdated(ctx, c, false, o.source.Devel)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		_, err := fmt.Fprintln(a.Out, "everything is up to date")
		return err
	}
	v := o.values
	v.ReadFile = func(name string) ([]byte, error) { return a.readFile(ctx, name) }
	values, err := v.Merge()
	if err != nil {
		return err
	}
	r, err := c.releases(a, "upgrade")
	if err != nil {
		return err
	}
	crds, err := o.change.crdPolicy(a, true)
	if err != nil {
		return err
	}
	upgrade := func(x outdatedRelease, opts release.Options) (*release.Result, error) {
		rc := a.releaseChart(x.chart, values, o.render, &o.postRenderer, crds)
		result, err := r.Upgrade(ctx, x.Name, rc, release.UpgradeOptions{Options: opts, Reuse: o.reuse()})
		if err != nil {
			return result, fmt.Errorf("upgrade %s from %s to %s: %w", x.Name, x.Version, x.Latest, a.changeFailure(err, result))
		}
		return result, nil
	}
	planned := opts
	planned.DryRun = release.DryRunServer
	for _, x := range found {
		result, err := upgrade(x, planned)
		if err != nil {
			return err
		}
		plan := previewed{Operation: "upgrade", Release: x.Name, Namespace: x.Namespace, Revision: result.Release.Revision, Steps: result.Steps(false)}
		if _, err := fmt.Fprint(a.Err, plan.steps(painter{on: a.Env("NO_COLOR") == "" && isTerminal(a.Err)})); err != nil {
			return err
		}
	}
	if opts.DryRun != release.DryRunNone {
		return nil
	}
	for _, x := range found {
		result, err := upgrade(x, opts)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.Out, "Release %q has been upgraded from %s to %s, revision %d.\n", x.Name, x.Version, x.Latest, result.Release.Revision)
	}
	return nil
}
