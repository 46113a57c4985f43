//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/release"
	"github.com/seed38700745/pkg/repo"
)

// upgradeOptions are the flags of `pkg upgrade`.
type upgradeOptions struct {
	values       chart.Values
	source       chartFlags
	render       renderFlags
	postRenderer postRenderer
	change       changeFlags
	show         showFlags

	all             bool
	latest          bool
	install         bool
	createNamespace bool
	resetValues     bool
	reuseValues     bool
	resetThenReuse  bool
	format          outputFormat
}

func newUpgradeCommand(a *app) *cobra.Command { return upgradeCommand(a, nil) }

// upgradeCommand is `pkg upgrade` or, with a preview, `pkg plan upgrade` and `pkg
// diff upgrade`.
func upgradeCommand(a *app, p *preview) *cobra.Command {
	o := &upgradeOptions{change: changeFlags{preview: p}}
	cmd := &cobra.Command{
		Use:   "upgrade NAME [CHART] | --all",
		Short: "upgrade a release",
		Long: `Upgrade a release to a chart, to new values, or both. Without a CHART the release's own
is used, from where it was installed, in the same version unless --version or --latest
is given.
Without new values the release keeps its own.

` + exitCodesText,
		Example: `  pkg upgrade mysql --set primary.resources.limits.memory=768Mi
  pkg upgrade shop-db stable/mysql --reuse-values --set auth.database=shop
  pkg upgrade --install web bundled/nginx`,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.all {
				return a.argCount(0, 0)(cmd, args)
			}
			return a.argCount(1, 2)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.all {
				return runUpgradeAll(cmd.Context(), a, o)
			}
			return runUpgrade(cmd.Context(), a, o, args)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.latest, "latest", false, "without a CHART: use the newest version of the release's own")
	if p == nil {
		f.BoolVar(&o.all, "all", false, "upgrade all outdated releases of the namespace (see pkg outdated), once all of them are planned")
	}
	addValueFlags(f, &o.values)
	o.source.add(f)
	o.source.addDependencyUpdate(f)
	o.render.add(f)
	o.postRenderer.add(f)
	o.change.addMaking(f)
	o.show.add(f)
	if p != nil {
		p.add(f)
	} else {
		o.format.add(f)
	}
	f.BoolVarP(&o.install, "install", "i", false, "if a release by this name doesn't already exist, run an install")
	f.BoolVar(&o.createNamespace, "create-namespace", false, "if --install is set, create the release namespace if not present")
	f.BoolVar(&o.resetValues, "reset-values", false, "when upgrading, reset the values to the ones built into the chart")
	f.BoolVar(&o.reuseValues, "reuse-values", false, "when upgrading, reuse the last release's values and merge in any overrides from the command line via --set and -f. If '--reset-values' is specified, this is ignored")
	f.BoolVar(&o.resetThenReuse, "reset-then-reuse-values", false, "when upgrading, reset the values to the ones built into the chart, apply the last release's values and merge in any overrides from the command line via --set and -f. If '--reset-values' or '--reuse-values' is specified, this is ignored")
	f.IntVar(&o.change.historyMax, "history-max", defaultHistory, "limit the maximum number of revisions saved per release. Use 0 for no limit")
	return cmd
}

func (o *upgradeOptions) reuse() release.Reuse {
	switch {
	case o.resetValues:
		return release.ReuseNone
	case o.reuseValues:
		return release.ReuseOld
	case o.resetThenReuse:
		return release.ReuseUser
	}
	return release.ReuseAuto
}

func runUpgrade(ctx context.Context, a *app, o *upgradeOptions, args []string) error {
	if len(args) == 1 && a.asHelm {
		return fmt.Errorf("%q requires 2 arguments\n\nUsage:  helm upgrade [RELEASE] [CHART] [flags]", "helm upgrade")
	}
	opts, err := o.change.options(a)
	if err != nil {
		return err
	}
	c, err := a.connectFor(ctx, opts, o.install)
	if err != nil {
		return err
	}
	r, err := c.releases(a, "upgrade")
	if err != nil {
		return err
	}
	name := args[0]
	history, err := r.Recent(ctx, name)
	var missing *release.NotFoundError
	if errors.As(err, &missing) {
		err = nil
		if !o.install {
			err = fmt.Errorf("UPGRADE FAILED: %q has no deployed releases", name)
			if len(args) == 2 {
				return withHint(err, "pkg install %s %s%s, or --install", name, quote(args[1]), namespaceFlag(c.namespace))
			}
		}
	}
	if err != nil {
		return err
	}
	res, values, err := a.upgradeChart(ctx, o, args, history)
	if err != nil {
		return err
	}
	if o.installs(history) && o.format == "table" {
		fmt.Fprintf(a.Out, "Release %q does not exist. Installing it now.\n", name)
	}
	crds, err := o.change.crdPolicy(a, !o.installs(history))
	if err != nil {
		return err
	}
	rc := a.releaseChart(res, values, o.render, &o.postRenderer, crds)
	result, err := o.run(ctx, r, name, rc, history, opts)
	if err != nil {
		if a.asHelm {
			return fmt.Errorf("UPGRADE FAILED: %w", err)
		}
		return a.changeFailure(err, result)
	}
	if p := o.change.preview; p != nil {
		return a.showPreview(c, result, p)
	}
	if opts.DryRun == release.DryRunNone && o.format == "table" {
		switch {
		case o.installs(history):
		case a.asHelm:
			fmt.Fprintf(a.Out, "Release %q has been upgraded. Happy Helming!\n", name)
		default:
			fmt.Fprintf(a.Out, "Release %q has been upgraded.\n", name)
		}
	}
	return a.printResult(result, opts, o.show, o.format)
}

// installs tells whether --install applies: there is no release, or no more.
func (o *upgradeOptions) installs(history []*release.Release) bool {
	return o.install && (len(history) == 0 || history[len(history)-1].Info.Status == release.StatusUninstalled)
}

// run upgrades or, with --install and nothing there, installs.
func (o *upgradeOptions) run(ctx context.Context, r *release.Releases, name string, c release.Chart, history []*release.Release, opts release.Options) (*release.Result, error) {
	if o.installs(history) {
		return r.Install(ctx, name, c, release.InstallOptions{Options: opts, CreateNamespace: o.createNamespace, Replace: true})
	}
	return r.Upgrade(ctx, name, c, release.UpgradeOptions{Options: opts, Reuse: o.reuse()})
}

// upgradeChart loads the chart named, or the release's own.
func (a *app) upgradeChart(ctx context.Context, o *upgradeOptions, args []string, history []*release.Release) (*repo.Resolved, map[string]any, error) {
	if len(args) == 2 {
		return a.loadForRelease(ctx, args[1], o.source, o.values)
	}
	if len(history) == 0 {
		return nil, nil, usagef("release %s does not exist: to install it, name a chart", args[0])
	}
	last := history[len(history)-1]
	from := last.Source()
	if from.Ref == "" {
		return nil, nil, withHint(fmt.Errorf("release %s does not say where its chart came from (helm installed it?)", args[0]),
			"pkg upgrade %s CHART", args[0])
	}
	src := o.source
	if src.Repo == "" {
		src.Repo = from.RepoURL
	}
	same := src.Version == "" && !src.Devel && !o.latest
	if same {
		src.Version = last.Chart.Metadata.Version
	}
	fmt.Fprintf(a.Err, "chart: %s, from where release %s was installed\n", from.Ref, args[0])
	res, values, err := a.loadForRelease(ctx, from.Ref, src, o.values)
	if same && errors.Is(err, repo.ErrNotFound) {
		fmt.Fprintf(a.Err, "version %s of %s is not to be had any more: using the newest\n", src.Version, from.Ref)
		src.Version = ""
		return a.loadForRelease(ctx, from.Ref, src, o.values)
	}
	return res, values, err
}
