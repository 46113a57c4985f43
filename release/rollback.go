package release

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// RollbackOptions qualify Rollback.
type RollbackOptions struct {
	Options
	// Revision to go back to; 0 is the last that worked before the current one.
	Revision int
}

// Rollback makes a new revision with the content of an earlier one. Its images are
// those that it ran, by digest, where the names stand for others by now. Errors:
// *NotFoundError, *BusyError, *ConflictError, and those of waiting.
func (r *Releases) Rollback(ctx context.Context, name string, o RollbackOptions) (*Result, error) {
	if o.DryRun != DryRunNone {
		return r.rollback(ctx, name, o)
	}
	ctx, unlock, err := r.lock(ctx, name, o.Options)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return r.rollback(ctx, name, o)
}

// rollback is Rollback with the Lease held.
func (r *Releases) rollback(ctx context.Context, name string, o RollbackOptions) (*Result, error) {
	history, err := r.store.history(ctx, name)
	if err != nil {
		return nil, err
	}
	current := history[len(history)-1]
	target, err := r.rollbackTarget(name, history, o.Revision)
	if err != nil {
		return nil, err
	}
	if target, err = r.store.whole(ctx, target); err != nil {
		return nil, err
	}
	worked := workedBefore(history)
	if worked != nil {
		if worked, err = r.store.whole(ctx, worked); err != nil {
			return nil, err
		}
	}
	pinned := pins(target, worked)
	manifest, err := pinImages(target.Manifest, pinned)
	if err != nil {
		return nil, fmt.Errorf("revision %d: %w", target.Revision, err)
	}
	for _, name := range slices.Sorted(maps.Keys(pinned)) {
		if manifest != target.Manifest {
			r.say("image %s as revision %d ran it", pinned[name], target.Revision)
		}
	}
	next := &Release{
		Name: name, Namespace: r.Namespace, Revision: current.Revision + 1,
		Chart: target.Chart, Config: target.Config, Manifest: manifest, Hooks: copyHooks(target.Hooks),
		Labels: mergeLabels(target.Labels, nil),
		Info: &Info{
			FirstDeployed: current.Info.FirstDeployed, LastDeployed: Time{r.Now()}, Notes: target.Info.Notes,
			Status: StatusPendingRollback, Description: fmt.Sprintf("Rollback to %d", target.Revision), RollbackRevision: target.Revision,
		},
	}
	p, err := r.planFor(ctx, name, next.Manifest, Plan{}, history, o.Options)
	if err != nil {
		return nil, err
	}
	return r.carryOut(ctx, &change{
		verb: "rollback", previous: nil, next: next, history: history, plan: p, options: o.Options, done: next.Info.Description,
	})
}

func (r *Releases) rollbackTarget(name string, history []*Release, revision int) (*Release, error) {
	current := history[len(history)-1]
	if revision == 0 {
		if t := workedBefore(history[:len(history)-1]); t != nil {
			return t, nil
		}
		return nil, fmt.Errorf("release %s has no revision before %d that worked", name, current.Revision)
	}
	for _, h := range history {
		if h.Revision == revision {
			return h, nil
		}
	}
	return nil, &NotFoundError{Name: name, Namespace: r.Namespace, Revision: revision}
}
