package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// change is one operation that makes a new revision, ready to be performed.
type change struct {
	verb     string   // "install", "upgrade", "rollback"
	previous *Release // the last deployed one; nil for a first install
	next     *Release
	history  []*Release
	plan     Plan
	options  Options
	done     string // description of success
}

// planFor compares a new manifest with what earlier revisions may have left: the
// last deployed one and all that failed after it. crds are definitions that will be
// there by then.
func (r *Releases) planFor(ctx context.Context, name, manifest string, crds Plan, history []*Release, o Options) (Plan, error) {
	wanted, err := parse(manifest)
	if err != nil {
		return Plan{}, err
	}
	if wanted, err = resolve(ctx, r.Cluster, r.Namespace, wanted, crds.items(), nil); err != nil {
		return Plan{}, err
	}
	mark(wanted, name, r.Namespace)
	old, err := r.leftovers(ctx, history)
	if err != nil {
		return Plan{}, err
	}
	may, err := candidates(ctx, r.Cluster, old, wanted)
	if err != nil {
		return Plan{}, err
	}
	there, err := live(ctx, r.Cluster, append(may, old...))
	if err != nil {
		return Plan{}, err
	}
	return plan(planInput{Name: name, Namespace: r.Namespace, Old: old, New: wanted, Live: there, TakeOwnership: o.TakeOwnership, KindsOnly: o.KindsOnly,
		Settled: len(history) > 0 && worked(history[len(history)-1].Info.Status)})
}

// leftovers are the objects of the last deployed revision and of those after it.
// Kinds that the cluster no longer has are left out: their objects are gone.
func (r *Releases) leftovers(ctx context.Context, history []*Release) ([]*Item, error) {
	var out []*Item
	seen := map[Ref]bool{}
	for _, rev := range slices.Backward(history) {
		if rev.Info.Status == StatusUninstalled {
			break
		}
		items, err := load(ctx, r.Cluster, r.Namespace, rev.Manifest, func(i *Item, _ error) {
			r.Warn(fmt.Sprintf("revision %d has %s of %s, which this cluster does not know any more", rev.Revision, i.Ref, i.Body.GetAPIVersion()))
		})
		if err != nil {
			return nil, fmt.Errorf("revision %d: %w", rev.Revision, err)
		}
		for _, i := range items {
			if !seen[i.Ref] {
				seen[i.Ref] = true
				out = append(out, i)
			}
		}
		if worked(rev.Info.Status) {
			break
		}
	}
	return out, nil
}

// worked tells whether a revision was deployed once, so that what earlier ones had
// was removed then.
func worked(s Status) bool {
	return s == StatusDeployed || s == StatusSuperseded || s == StatusUninstalling
}

// carryOut performs a change, or for a dry run asks the server what its plan would
// do. Both go by the same plan.
func (r *Releases) carryOut(ctx context.Context, c *change) (*Result, error) {
	result := &Result{Verb: c.verb, Release: c.next, Plan: c.plan, options: c.options}
	if n := len(c.history); n > 0 {
		result.last = c.history[n-1]
	}
	if c.options.DryRun != DryRunNone {
		return result, r.compare(ctx, c.plan, c.options)
	}
	a := r.applier(c.options)
	err := r.perform(ctx, c, a)
	slices.SortFunc(a.services, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	result.Services = a.services
	return result, err
}

// perform executes a change: record, pre-hooks, apply, post-hooks, record, wait.
// When it fails the revision is recorded as failed, also if ctx has ended.
func (r *Releases) perform(ctx context.Context, c *change, a *applier) error {
	if c.options.Atomic {
		c.options.Wait = WaitBefore
	}
	if err := r.store.prune(ctx, c.history, c.options.HistoryMax-1); err != nil {
		r.Warn(err.Error())
	}
	if err := r.store.create(ctx, c.next, r.Self.encode()); err != nil {
		if ctx.Err() != nil { // the server may have stored it nevertheless
			return r.fail(ctx, c, a, err)
		}
		return err
	}
	if err := r.applyBetweenHooks(ctx, c, a); err != nil {
		return r.fail(ctx, c, a, err)
	}
	if err := r.succeed(ctx, c); err != nil {
		return err
	}
	if c.options.Wait != WaitAfter {
		return nil
	}
	if err := r.await(ctx, c, a); err != nil {
		return err
	}
	if news, err := r.noteImages(ctx, c.next, c.plan.items()); err != nil || !news {
		return err
	}
	return r.store.update(ctx, c.next, "")
}

func (r *Releases) applyBetweenHooks(ctx context.Context, c *change, a *applier) error {
	pre, post := hookEventsOf(c.verb)
	hooks := r.hooks(c.next, c.options)
	if !c.options.NoHooks {
		if err := hooks.run(ctx, c.next, pre); err != nil {
			return fmt.Errorf("%s hooks failed: %w", pre, err)
		}
	}
	if err := a.run(ctx, c.plan); err != nil {
		return err
	}
	if c.options.Wait == WaitBefore {
		if err := r.await(ctx, c, a); err != nil {
			return err
		}
		if _, err := r.noteImages(ctx, c.next, c.plan.items()); err != nil {
			return err
		}
	}
	if !c.options.NoHooks {
		if err := hooks.run(ctx, c.next, post); err != nil {
			return fmt.Errorf("%s hooks failed: %w", post, err)
		}
	}
	return nil
}

// await waits for everything that the change applied and that something acts on.
func (r *Releases) await(ctx context.Context, c *change, a *applier) error {
	g := goalReady
	if c.options.WaitForJobs {
		g = goalJobs
	}
	var items []*Item
	for _, i := range c.plan.items() {
		if !a.isInert(i.Ref) {
			items = append(items, i)
		}
	}
	w := r.waiter(g)
	w.stable = c.options.StableFor
	return w.wait(ctx, items, c.options.Timeout)
}

func (r *Releases) hooks(rel *Release, o Options) *hookRunner {
	return &hookRunner{
		cluster: r.Cluster, waiter: r.waiter(goalComplete), timeout: o.Timeout, now: r.Now, out: r.Logs, stream: r.StreamHooks,
		record: func(ctx context.Context) error { return r.store.update(ctx, rel, r.Self.encode()) },
	}
}

// succeed records the revision as deployed and those before as superseded.
func (r *Releases) succeed(ctx context.Context, c *change) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	for _, old := range c.history {
		if old.Info.Status != StatusDeployed {
			continue
		}
		old.Info.Status = StatusSuperseded
		if err := r.store.update(ctx, old, ""); err != nil {
			return err
		}
	}
	c.next.Info.Status, c.next.Info.Description = StatusDeployed, c.done
	if c.options.Description != "" {
		c.next.Info.Description = c.options.Description
	}
	return r.store.update(ctx, c.next, "")
}

// fail records the revision as failed, cleans up, and goes back if asked to.
func (r *Releases) fail(ctx context.Context, c *change, a *applier, cause error) error {
	if errors.Is(context.Cause(ctx), errTakenOver) {
		return errTakenOver
	}
	interrupted := ctx.Err() != nil
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	text := cause.Error()
	if interrupted {
		text = "interrupted"
	}
	c.next.Info.Status = StatusFailed
	c.next.Info.Description = fmt.Sprintf("%s %q failed: %s", title(c.verb), c.next.Name, text)
	if err := r.store.update(after, c.next, ""); err != nil && !apierrors.IsNotFound(err) {
		return errors.Join(cause, err)
	}
	if c.options.CleanupOnFail {
		if err := r.cleanUp(after, a); err != nil {
			return errors.Join(cause, err)
		}
	}
	if c.options.Atomic && !interrupted {
		return r.goBack(ctx, c, cause)
	}
	return cause
}

// title is how Helm begins its descriptions.
func title(verb string) string {
	switch verb {
	case "install":
		return "Release"
	case "upgrade":
		return "Upgrade"
	}
	return "Rollback"
}

// cleanUp deletes what the failed operation created.
func (r *Releases) cleanUp(ctx context.Context, a *applier) error {
	for _, i := range slices.Backward(a.created) {
		if err := a.delete(ctx, i); err != nil {
			return &ObjectError{Object: i.Ref, Err: fmt.Errorf("clean up: %w", err)}
		}
	}
	return nil
}

// goBack undoes a failed change: a first install is uninstalled, anything else
// rolled back to the last revision that worked.
func (r *Releases) goBack(ctx context.Context, c *change, cause error) error {
	o := Options{Timeout: c.options.Timeout, NoHooks: c.options.NoHooks, Wait: WaitBefore, WaitForJobs: c.options.WaitForJobs, HistoryMax: c.options.HistoryMax}
	if c.previous == nil {
		r.say("%s failed, uninstalling it: %v", c.verb, cause)
		if _, err := r.uninstall(ctx, c.next.Name, UninstallOptions{Options: o}); err != nil {
			return errors.Join(cause, fmt.Errorf("uninstall: %w", err))
		}
		return fmt.Errorf("release %s failed, and has been uninstalled due to atomic being set: %w", c.next.Name, cause)
	}
	r.say("%s failed, rolling back: %v", c.verb, cause)
	if _, err := r.rollback(ctx, c.next.Name, RollbackOptions{Options: o}); err != nil {
		return errors.Join(cause, fmt.Errorf("roll back: %w", err))
	}
	r.say("rolled back to revision %d; the data on its volumes was not rolled back", c.previous.Revision)
	return fmt.Errorf("release %s failed, and has been rolled back due to atomic being set: %w", c.next.Name, cause)
}

// Result is what an operation did, or with a dry run would do.
type Result struct {
	Verb    string // "install", "upgrade", "rollback", "uninstall"
	Release *Release
	CRDs    Plan // of the chart's crds/ folders, done first
	Plan    Plan
	// Services of the release are as the server has them, by namespace and name; none
	// of dry runs.
	Services []*unstructured.Unstructured
	// Removed and Kept name objects of an uninstalled release.
	Removed, Kept []Ref

	// For Save: how the operation was asked for, and the revision it found.
	options         Options
	uninstall       UninstallOptions
	createNamespace bool
	crdPolicy       CRDPolicy
	last            *Release
}
