package release

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed38700745/pkg/engine"
)

// UninstallOptions qualify Uninstall.
type UninstallOptions struct {
	Options
	KeepHistory bool
	Cascade     string // "background" (""), "foreground", "orphan"

	saved *SavedPlan // that the plan has to fit
}

// Uninstall deletes the objects of a release, but those whose policy is to stay,
// and its history. An interrupted uninstall is continued. Errors: *NotFoundError,
// *BusyError, *TimeoutError.
func (r *Releases) Uninstall(ctx context.Context, name string, o UninstallOptions) (*Result, error) {
	if o.DryRun != DryRunNone {
		return r.uninstall(ctx, name, o)
	}
	if _, err := r.store.history(ctx, name); err != nil {
		return nil, err // before a Lease is made
	}
	ctx, unlock, err := r.lock(ctx, name, o.Options)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return r.uninstall(ctx, name, o)
}

// uninstall is Uninstall with the Lease held.
func (r *Releases) uninstall(ctx context.Context, name string, o UninstallOptions) (*Result, error) {
	how, err := propagation(o.Cascade)
	if err != nil {
		return nil, err
	}
	history, err := r.store.history(ctx, name)
	if err != nil {
		return nil, err
	}
	last := history[len(history)-1]
	result := &Result{Verb: "uninstall", Release: last, options: o.Options, uninstall: o, last: last}
	if last.Info.Status == StatusUninstalled {
		if o.KeepHistory {
			return nil, fmt.Errorf("the release named %q is already deleted", name)
		}
		if o.DryRun != DryRunNone {
			return result, nil
		}
		return result, r.purge(ctx, history)
	}
	if result.Plan, err = r.planFor(ctx, name, "", Plan{}, history, o.Options); err != nil {
		return nil, err
	}
	if o.saved != nil {
		if err := o.saved.settle(result.Plan); err != nil {
			return nil, err
		}
	}
	for _, i := range result.Plan.kept() {
		result.Kept = append(result.Kept, i.Ref)
	}
	for _, i := range result.Plan.removed() {
		result.Removed = append(result.Removed, i.Ref)
	}
	if o.DryRun != DryRunNone {
		return result, nil
	}
	last.Info.Status, last.Info.Deleted = StatusUninstalling, Time{r.Now()}
	last.Info.Description = "Deletion in progress (or silently failed)"
	hooks := r.hooks(last, o.Options)
	if !o.NoHooks {
		if err := hooks.run(ctx, last, engine.HookPreDelete); err != nil {
			return result, fmt.Errorf("%s hooks failed: %w", engine.HookPreDelete, err)
		}
	}
	if err := r.store.update(ctx, last, r.Self.encode()); err != nil {
		return result, err
	}
	a := r.applier(o.Options)
	a.propagation = how
	if err := a.run(ctx, result.Plan); err != nil {
		return result, err
	}
	return result, r.finishUninstall(ctx, history, hooks, result.Plan, o)
}

// finishUninstall does what follows the deletions; it goes on after errors and
// reports them together, so that the record does not stay.
func (r *Releases) finishUninstall(ctx context.Context, history []*Release, hooks *hookRunner, p Plan, o UninstallOptions) error {
	last := history[len(history)-1]
	w := r.waiter(goalReady)
	wait := func() error { return w.untilGone(ctx, p.removed(), o.Timeout) }
	var errs []error
	if o.Wait == WaitBefore {
		errs = append(errs, wait())
	}
	if !o.NoHooks {
		errs = append(errs, hooks.run(ctx, last, engine.HookPostDelete))
	}
	last.Info.Status, last.Info.Description = StatusUninstalled, "Uninstallation complete"
	if o.Description != "" {
		last.Info.Description = o.Description
	}
	if o.KeepHistory {
		errs = append(errs, r.store.update(ctx, last, ""))
		for _, h := range history {
			if h.Info.Status == StatusDeployed {
				h.Info.Status = StatusSuperseded
				errs = append(errs, r.store.update(ctx, h, ""))
			}
		}
	} else {
		errs = append(errs, r.purge(ctx, history))
	}
	if o.Wait == WaitAfter && o.Cascade != "orphan" {
		errs = append(errs, wait())
	}
	return errors.Join(errs...)
}

// purge removes all revisions, the last one at the end.
func (r *Releases) purge(ctx context.Context, history []*Release) error {
	for _, h := range history {
		if err := r.store.remove(ctx, h); err != nil {
			return err
		}
	}
	return nil
}
