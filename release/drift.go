package release

import (
	"context"
	"fmt"
)

// Drift compares the live objects of a release with its last deployed revision: its
// plan is what Repair would do. Fields that the manifest does not name are nobody's
// business. Errors: *NotFoundError.
func (r *Releases) Drift(ctx context.Context, name string, o Options) (*Result, error) {
	history, err := r.store.history(ctx, name)
	if err != nil {
		return nil, err
	}
	return r.drift(ctx, name, history, o)
}

func (r *Releases) drift(ctx context.Context, name string, history []*Release, o Options) (*Result, error) {
	current := lastDeployed(history)
	if current == nil {
		last := history[len(history)-1]
		return nil, fmt.Errorf("release %s has no deployed revision: revision %d is %s", name, last.Revision, last.Info.Status)
	}
	items, err := load(ctx, r.Cluster, r.Namespace, current.Manifest, nil)
	if err != nil {
		return nil, fmt.Errorf("revision %d: %w", current.Revision, err)
	}
	mark(items, name, r.Namespace)
	there, err := live(ctx, r.Cluster, items)
	if err != nil {
		return nil, err
	}
	p, err := plan(planInput{Name: name, Namespace: r.Namespace, Old: items, New: items, Live: there})
	if err != nil {
		return nil, err
	}
	o.ForceConflicts = true // whoever changed it
	result := &Result{Verb: "repair", Release: current, Plan: p, options: o, last: current}
	return result, r.compare(ctx, p, o)
}

// Repair makes the objects of a release again what its last deployed revision says,
// without a new revision and without hooks, and waits unless told not to. Errors:
// *NotFoundError, *BusyError, and those of waiting.
func (r *Releases) Repair(ctx context.Context, name string, o Options) (*Result, error) {
	if _, err := r.store.history(ctx, name); err != nil {
		return nil, err // before a Lease is made
	}
	ctx, unlock, err := r.lock(ctx, name, o)
	if err != nil {
		return nil, err
	}
	defer unlock()
	history, err := r.store.history(ctx, name)
	if err != nil {
		return nil, err
	}
	result, err := r.drift(ctx, name, history, o)
	if err != nil {
		return result, err
	}
	a := r.applier(o)
	a.override = true
	if err := a.run(ctx, result.Plan); err != nil || o.Wait == WaitNot {
		return result, err
	}
	return result, r.await(ctx, &change{next: result.Release, plan: result.Plan, options: o}, a)
}

// CompareRevisions is the plan from the manifest of one revision to that of another,
// 0 being the last. Errors: *NotFoundError.
func (r *Releases) CompareRevisions(ctx context.Context, name string, from, to int) (Plan, error) {
	before, err := r.Get(ctx, name, from)
	if err != nil {
		return Plan{}, err
	}
	after, err := r.Get(ctx, name, to)
	if err != nil {
		return Plan{}, err
	}
	return compareManifests(before.Manifest, after.Manifest, r.Namespace)
}
