//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed38700745/pkg/release"
	"github.com/seed38700745/pkg/repo"
)

// defaultTimeout bounds each wait (Helm's).
const defaultTimeout = 5 * time.Minute

// defaultStable is how long what may be rolled back has to stay ready.
const defaultStable = 10 * time.Second

// defaultHistory is how many revisions of a release are kept (Helm's).
const defaultHistory = 10

// changeFlags are those of commands that change releases.
type changeFlags struct {
	timeout     time.Duration
	wait        bool
	noWait      bool
	waitForJobs bool
	stableFor   time.Duration
	dryRun      string
	noHooks     bool
	description string

	force          bool
	forceConflicts bool
	takeOwnership  bool
	cleanupOnFail  bool
	atomic         bool
	historyMax     int
	labels         map[string]string
	crds           string
	skipCRDs       bool

	preview *preview // of pkg plan and pkg diff; nil executes
}

// addAll declares the flags that install, upgrade and rollback share.
func (c *changeFlags) addAll(f *pflag.FlagSet) {
	c.addBasic(f)
	f.BoolVar(&c.waitForJobs, "wait-for-jobs", false, "wait until all Jobs have been completed, too")
	f.DurationVar(&c.stableFor, "stable-for", -1, "how long everything has to stay ready, without a container that crashes; by default 10s with --rollback-on-failure, else 0s")
	f.BoolVar(&c.force, "force", false, "delete and create again objects whose immutable fields change")
	f.BoolVar(&c.force, "force-replace", false, "the same as --force")
	f.BoolVar(&c.forceConflicts, "force-conflicts", false, "take over fields that other field managers own")
	f.BoolVar(&c.cleanupOnFail, "cleanup-on-fail", false, "delete objects that a failed operation created")
}

// addBasic declares those of all commands that change a release.
func (c *changeFlags) addBasic(f *pflag.FlagSet) {
	f.DurationVar(&c.timeout, "timeout", defaultTimeout, "time to wait for each hook, and for everything to be ready")
	f.BoolVar(&c.wait, "wait", false, "wait as helm does: before post-hooks, and what is not ready in time makes the release failed")
	f.BoolVar(&c.noWait, "no-wait", false, "return once everything is applied; without it the command waits, after the post-hooks, and tells what it waits for")
	f.StringVar(&c.dryRun, "dry-run", "none", `only show what would be done: "client" without asking the cluster for lookups, "server" with`)
	f.Lookup("dry-run").NoOptDefVal = "default"
	f.BoolVar(&c.noHooks, "no-hooks", false, "run no hooks")
	f.StringVar(&c.description, "description", "", "add a custom description")
}

// addMaking declares those of install and upgrade.
func (c *changeFlags) addMaking(f *pflag.FlagSet) {
	c.addAll(f)
	f.BoolVar(&c.atomic, "rollback-on-failure", false, "go back when it fails: a first install is uninstalled, an upgrade rolled back; implies --wait")
	f.BoolVar(&c.atomic, "atomic", false, "the same as --rollback-on-failure")
	f.BoolVar(&c.takeOwnership, "take-ownership", false, "make existing objects part of the release, whoever they belong to")
	f.StringToStringVarP(&c.labels, "labels", "l", nil, "labels of the release's record, separated by comma; null removes one")
	f.StringVar(&c.crds, "crds", "", "what becomes of the CRDs of the chart's crds folders: create those that are missing (the default), upgrade them, or skip them")
	f.BoolVar(&c.skipCRDs, "skip-crds", false, "the same as --crds skip")
	var ignored bool
	for _, name := range []string{"disable-openapi-validation", "server-side"} {
		f.BoolVar(&ignored, name, false, "accepted for helm's sake; without effect here")
	}
}

// options translates the flags.
func (c *changeFlags) options(a *app) (release.Options, error) {
	o := release.Options{
		Timeout: c.timeout, WaitForJobs: c.waitForJobs, NoHooks: c.noHooks, Description: c.description,
		Force: c.force, ForceConflicts: c.forceConflicts, TakeOwnership: c.takeOwnership,
		CleanupOnFail: c.cleanupOnFail, Atomic: c.atomic, HistoryMax: c.historyMax, Labels: c.labels,
	}
	switch {
	case c.stableFor > 0:
		o.StableFor = c.stableFor
	case c.stableFor < 0 && c.atomic && !a.asHelm:
		o.StableFor = defaultStable
	}
	switch {
	case c.wait && c.noWait:
		return o, usagef("--wait and --no-wait exclude each other")
	case c.noWait && c.atomic:
		return o, usagef("--rollback-on-failure and --no-wait exclude each other")
	case c.wait:
		o.Wait = release.WaitBefore
	case c.noWait, a.asHelm:
		o.Wait = release.WaitNot
	}
	o.KindsOnly = a.asHelm
	if c.preview != nil {
		o.DryRun = release.DryRunServer
		return o, c.preview.check()
	}
	switch c.dryRun {
	case "", "none", "false":
	case "client":
		o.DryRun = release.DryRunClient
	case "server":
		o.DryRun = release.DryRunServer
	case "default", "true":
		o.DryRun = release.DryRunServer
		if a.asHelm {
			o.DryRun = release.DryRunClient
		}
	default:
		return o, usagef("--dry-run is none, client or server, not %q", c.dryRun)
	}
	return o, nil
}

// crdPolicy translates --crds and --skip-crds. Called as helm, an upgrade leaves
// definitions alone.
func (c *changeFlags) crdPolicy(a *app, upgrade bool) (release.CRDPolicy, error) {
	switch p := release.CRDPolicy(c.crds); p {
	case release.CRDsCreate, release.CRDsUpgrade, release.CRDsSkip:
		if c.skipCRDs && p != release.CRDsSkip {
			return "", usagef("--skip-crds and --crds %s exclude each other", c.crds)
		}
		return p, nil
	case "":
		if c.skipCRDs || a.asHelm && upgrade {
			return release.CRDsSkip, nil
		}
		return release.CRDsCreate, nil
	}
	return "", usagef("--crds is create, upgrade or skip, not %q", c.crds)
}

// connectFor connects for an operation: for a dry run as a reader, else as one
// that may install something or only changes what is there.
func (a *app) connectFor(ctx context.Context, o release.Options, installs bool) (*connection, error) {
	switch {
	case o.DryRun != release.DryRunNone:
		return a.connect()
	case installs:
		return a.connectToInstall(ctx)
	}
	return a.connectToChange(ctx)
}

// releaseChart puts together what is rendered.
func (a *app) releaseChart(res *repo.Resolved, values map[string]any, r renderFlags, p *postRenderer, crds release.CRDPolicy) release.Chart {
	out := release.Chart{
		Chart: res.Chart, Source: release.Source{Ref: res.Source, RepoURL: res.RepoURL}, Values: values,
		SubchartNotes: r.subchartNotes, EnableDNS: r.enableDNS, SkipSchema: r.skipSchema, SchemaLibrary: a.schemaLibrary, Limits: r.limits, CRDs: crds,
	}
	if p.command != "" {
		out.PostRender = func(ctx context.Context, manifests []byte) ([]byte, error) { return p.run(ctx, a, manifests) }
	}
	return out
}

// changeFailure adds the next step to the failure of a change that was recorded.
func (a *app) changeFailure(err error, result *release.Result) error {
	var late *release.TimeoutError
	var lost *release.LostError
	unknown := errors.As(err, &late) || errors.As(err, &lost) || errors.Is(err, context.Canceled)
	if result == nil || !unknown || result.Release.Info.Status != release.StatusDeployed {
		return a.templateHint(err)
	}
	r := result.Release
	return withHint(err, "revision %d is applied and recorded as %s. How it gets on:\n  pkg status %s%s", r.Revision, r.Info.Status, r.Name, namespaceFlag(r.Namespace))
}

// showPlan prints the steps of a dry run on stderr.
func (a *app) showPlan(p release.Plan) {
	if a.asHelm {
		return
	}
	if len(p.Steps) == 0 {
		fmt.Fprintln(a.Err, "plan: nothing to do")
	}
	for _, s := range p.Steps {
		fmt.Fprintf(a.Err, "plan: %s\n", s)
	}
}
