package release

import (
	"context"
	"fmt"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine"
)

// Reuse says what an upgrade does with the values of the release.
type Reuse int

// What happens to the old values. Without new ones ReuseAuto keeps the old.
const (
	ReuseAuto Reuse = iota
	ReuseNone       // --reset-values: the chart's defaults and the new ones
	ReuseOld        // --reuse-values: the old computed values, new ones on top
	ReuseUser       // --reset-then-reuse-values: new defaults, the user's old values, new ones
)

// UpgradeOptions qualify Upgrade.
type UpgradeOptions struct {
	Options
	Reuse Reuse
}

// Upgrade makes a new revision of a release. Errors: *NotFoundError, *BusyError,
// *ConflictError, *engine.TemplateError, and those of waiting.
func (r *Releases) Upgrade(ctx context.Context, name string, c Chart, o UpgradeOptions) (*Result, error) {
	if err := engine.CheckReleaseName(name); err != nil {
		return nil, fmt.Errorf("release name %q: %w", name, err)
	}
	if err := checkLabels(o.Labels); err != nil {
		return nil, err
	}
	if o.DryRun == DryRunNone {
		held, unlock, err := r.lock(ctx, name, o.Options)
		if err != nil {
			return nil, err
		}
		defer unlock()
		ctx = held
	}
	history, err := r.store.history(ctx, name)
	if err != nil {
		return nil, err
	}
	current, err := upgradeBase(name, history)
	if err != nil {
		return nil, err
	}
	if c.Values, err = r.reuse(&c, current, o.Reuse); err != nil {
		return nil, err
	}
	crds, err := r.prepareCRDs(ctx, c, o.Options)
	if err != nil {
		return nil, err
	}
	last := history[len(history)-1]
	out, err := r.render(ctx, c, engine.Release{Name: name, Namespace: r.Namespace, Revision: last.Revision + 1, IsUpgrade: true}, o.DryRun == DryRunClient)
	if err != nil {
		return nil, err
	}
	next := &Release{
		Name: name, Namespace: r.Namespace, Revision: last.Revision + 1,
		Chart: out.chart, Config: configOf(c.Values), Manifest: out.manifest, Hooks: out.hooks,
		Labels: mergeLabels(last.Labels, o.Labels),
		Info: &Info{
			FirstDeployed: current.Info.FirstDeployed, LastDeployed: Time{r.Now()}, Notes: out.notes,
			Status: StatusPendingUpgrade, Description: "Preparing upgrade",
		},
	}
	p, err := r.planFor(ctx, name, next.Manifest, crds, history, o.Options)
	if err != nil {
		return nil, fmt.Errorf("unable to continue with update: %w", err)
	}
	if o.DryRun != DryRunNone {
		next.Info.Description = dryRunComplete
	}
	result, err := r.carryOut(ctx, &change{
		verb: "upgrade", previous: workedBefore(history), next: next, history: history, plan: p, options: o.Options, done: "Upgrade complete",
	})
	result.CRDs, result.crdPolicy = crds, c.CRDs
	return result, err
}

// upgradeBase is the revision that an upgrade starts from: the last deployed one,
// else the last, if that failed.
func upgradeBase(name string, history []*Release) (*Release, error) {
	if d := lastDeployed(history); d != nil {
		return d, nil
	}
	last := history[len(history)-1]
	switch last.Info.Status {
	case StatusFailed, StatusSuperseded:
		return last, nil
	}
	return nil, fmt.Errorf("%q has no deployed releases: revision %d is %s", name, last.Revision, last.Info.Status)
}

// workedBefore is the newest revision that was deployed once, or nil.
func workedBefore(history []*Release) *Release {
	for n := len(history) - 1; n >= 0; n-- {
		if s := history[n].Info.Status; s == StatusDeployed || s == StatusSuperseded {
			return history[n]
		}
	}
	return nil
}

// reuse combines the values given with the release's, as Helm does. With ReuseOld
// the chart gets the old computed values as its defaults.
func (r *Releases) reuse(c *Chart, current *Release, how Reuse) (map[string]any, error) {
	warn := func(format string, args ...any) { r.Warn(fmt.Sprintf(format, args...)) }
	given := configOf(c.Values)
	switch how {
	case ReuseNone:
		return given, nil
	case ReuseOld:
		if current.Chart == nil {
			return nil, fmt.Errorf("revision %d has no chart whose values could be reused", current.Revision)
		}
		old, err := chart.Coalesce(current.Chart, current.Config, warn)
		if err != nil {
			return nil, fmt.Errorf("failed to rebuild old values: %w", err)
		}
		c.Chart = chart.Clone(c.Chart)
		c.Chart.Values = old
		return chart.CoalesceTables(given, configOf(current.Config), warn), nil
	case ReuseUser:
		return chart.CoalesceTables(given, configOf(current.Config), warn), nil
	}
	if len(given) == 0 && len(current.Config) > 0 {
		return configOf(current.Config), nil
	}
	return given, nil
}
