// Package stack declares several releases in one file, and makes a cluster have them.
//
// A file (see [Schema]) names releases with their charts, values and what they need;
// [Parse] reads it for one environment. [Runner] compares it with a cluster: Plan says
// what would become of every release, Apply does it, each release once what it needs
// is ready, those that do not need each other side by side. Releases carry the stack's
// name as a label; what carries it and is not in the file any more is removed.
package stack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/release"
)

// label of a release's record holds the name of its stack.
const label = "pkg.internal/stack"

// Runner makes a cluster have a stack.
type Runner struct {
	Stack *Stack
	// Releases are those of a namespace; what they say is prefixed by the name of the
	// release that is worked on, "" for none.
	Releases func(namespace, name string) (*release.Releases, error)
	// Chart finds a release's chart and merges its values.
	Chart func(ctx context.Context, r Release) (release.Chart, error)
	// Options of every operation; Wait, Atomic and Labels are set by the stack.
	Options release.Options
	// AtOnce bounds the releases that are worked on side by side; 1 if 0.
	AtOnce int
	Say    func(line string)
}

// Action is what becomes of a release.
type Action string

// Actions. A release whose objects were changed by others, and whose declaration was
// not, is repaired without a new revision.
const (
	Install   Action = "install"
	Upgrade   Action = "upgrade"
	Repair    Action = "repair"
	Unchanged Action = "unchanged"
	Uninstall Action = "uninstall"
	// Later is a release that can be planned only when what it needs is there.
	Later Action = "install later"
)

// Change is what becomes of one release.
type Change struct {
	Action Action
	ID     ID
	Needs  []ID
	Result *release.Result // of the dry run; nil for Later
	Why    string          // of Later

	chart release.Chart
}

// Plan compares the stack with the cluster: first the releases of the file, each
// after what it needs, then what left the file. Nothing is changed.
func (r *Runner) Plan(ctx context.Context) ([]Change, error) {
	ordered, err := r.Stack.order()
	if err != nil {
		return nil, err
	}
	var out []Change
	for _, rel := range ordered {
		c, err := r.plan(ctx, rel)
		if err != nil {
			return nil, fmt.Errorf("release %s: %w", rel.ID(), err)
		}
		out = append(out, c)
	}
	gone, err := r.left(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range gone {
		c, err := r.planRemoval(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("release %s: %w", id, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// PlanDelete is the plan of Delete.
func (r *Runner) PlanDelete(ctx context.Context) ([]Change, error) {
	all, err := r.owned(ctx)
	if err != nil {
		return nil, err
	}
	var out []Change
	for _, id := range r.removalOrder(all) {
		c, err := r.planRemoval(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("release %s: %w", id, err)
		}
		out = append(out, c)
	}
	return out, nil
}

func (r *Runner) planRemoval(ctx context.Context, id ID) (Change, error) {
	releases, err := r.Releases(id.Namespace, id.Name)
	if err != nil {
		return Change{}, err
	}
	o := release.UninstallOptions{Options: r.Options}
	o.DryRun = release.DryRunServer
	result, err := releases.Uninstall(ctx, id.Name, o)
	return Change{Action: Uninstall, ID: id, Result: result}, err
}

// decide finds what becomes of one release of the file, as far as its history and its
// declaration tell.
func (r *Runner) decide(ctx context.Context, rel Release) (Change, *release.Releases, error) {
	out := Change{ID: rel.ID(), Needs: rel.Needs}
	releases, err := r.Releases(rel.Namespace, rel.Name)
	if err != nil {
		return out, nil, err
	}
	if out.chart, err = r.Chart(ctx, rel); err != nil {
		return out, nil, err
	}
	if out.chart.Source.Declared, err = declared(out.chart); err != nil {
		return out, nil, err
	}
	history, err := releases.Recent(ctx, rel.Name)
	var missing *release.NotFoundError
	if err != nil && !errors.As(err, &missing) {
		return out, nil, err
	}
	if owner := ownerOf(history); owner != "" && owner != r.Stack.Name && !r.Options.TakeOwnership {
		return out, nil, fmt.Errorf("it belongs to the stack %s; --take-ownership makes it part of %s", owner, r.Stack.Name)
	}
	switch {
	case installs(history):
		out.Action = Install
	case r.sameDeclaration(history[len(history)-1], out.chart.Source.Declared):
		out.Action = Repair
	default:
		out.Action = Upgrade
	}
	return out, releases, nil
}

// perform does what was decided, or with a dry run only plans it.
func (c *Change) perform(ctx context.Context, releases *release.Releases, o release.Options) (err error) {
	name := c.ID.Name
	switch {
	case c.Action == Install:
		c.Result, err = releases.Install(ctx, name, c.chart, release.InstallOptions{Options: o, CreateNamespace: true, Replace: true})
	case c.Action == Upgrade:
		c.Result, err = releases.Upgrade(ctx, name, c.chart, release.UpgradeOptions{Options: o, Reuse: release.ReuseNone})
	case o.DryRun != release.DryRunNone:
		c.Result, err = releases.Drift(ctx, name, o)
	default: // also waits until it is ready
		c.Result, err = releases.Repair(ctx, name, o)
	}
	if err == nil && c.Action == Repair && !changes(c.Result) {
		c.Action = Unchanged
	}
	return err
}

// plan is decide with a dry run of it.
func (r *Runner) plan(ctx context.Context, rel Release) (Change, error) {
	out, releases, err := r.decide(ctx, rel)
	if err != nil {
		return out, err
	}
	o := r.options(rel)
	o.DryRun = release.DryRunServer
	err = out.perform(ctx, releases, o)
	var kind *release.MissingKindError
	if errors.As(err, &kind) && len(rel.Needs) > 0 {
		out.Action, out.Result, out.Why = Later, nil, kind.Error()
		return out, nil
	}
	return out, err
}

// installs tells whether there is nothing to upgrade: no release, none any more, or
// none that ever worked.
func installs(history []*release.Release) bool {
	for _, h := range history {
		switch h.Info.Status {
		case release.StatusDeployed, release.StatusSuperseded:
			last := history[len(history)-1]
			return last.Info.Status == release.StatusUninstalled
		}
	}
	return true
}

func ownerOf(history []*release.Release) string {
	if len(history) == 0 {
		return ""
	}
	return history[len(history)-1].Labels[label]
}

// sameDeclaration tells whether the last revision is what is declared, however its
// templates come out today: they may have random values in them, or count revisions.
func (r *Runner) sameDeclaration(last *release.Release, declared string) bool {
	return last.Info.Status == release.StatusDeployed && last.Labels[label] == r.Stack.Name && last.Source().Declared == declared
}

// declared identifies a chart, those it depends on, and values.
func declared(c release.Chart) (string, error) {
	sum := sha256.New()
	enc := json.NewEncoder(sum)
	var add func(c *chart.Chart) error
	add = func(c *chart.Chart) error {
		if err := enc.Encode(c); err != nil {
			return err
		}
		for _, d := range c.Dependencies() {
			if err := add(d); err != nil {
				return err
			}
		}
		return nil
	}
	if err := errors.Join(add(c.Chart), enc.Encode(c.Values)); err != nil {
		return "", fmt.Errorf("chart %s: %w", c.Chart.Name(), err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func changes(res *release.Result) bool {
	return slices.ContainsFunc(res.Steps(false), release.Difference.Changes)
}

// options of a release's operations. What others need has to be ready, so that a
// release that is not counts as failed and is gone on with the next time.
func (r *Runner) options(rel Release) release.Options {
	o := r.Options
	o.Wait, o.Atomic = release.WaitBefore, o.Atomic || rel.Atomic
	o.Labels = map[string]string{label: r.Stack.Name}
	if rel.Timeout > 0 {
		o.Timeout = rel.Timeout
	}
	return o
}

// Apply makes the cluster have the stack. A release that fails keeps those that need
// it from being touched; the others go on, and nothing is removed then. The error
// joins all.
func (r *Runner) Apply(ctx context.Context) error {
	if err := r.inOrder(ctx); err != nil {
		return err
	}
	gone, err := r.left(ctx)
	if err != nil {
		return err
	}
	return r.remove(ctx, gone)
}

// inOrder works on every release of the file.
func (r *Runner) inOrder(ctx context.Context) error {
	done := map[ID]chan struct{}{}
	for _, rel := range r.Stack.Releases {
		done[rel.ID()] = make(chan struct{})
	}
	var mu sync.Mutex
	failed := map[ID]error{}
	slots := make(chan struct{}, max(r.AtOnce, 1))
	var all sync.WaitGroup
	for _, rel := range r.Stack.Releases {
		all.Go(func() {
			defer close(done[rel.ID()])
			for _, need := range rel.Needs {
				<-done[need]
			}
			slots <- struct{}{}
			defer func() { <-slots }()
			mu.Lock()
			err := needsFailed(rel, failed)
			mu.Unlock()
			if err == nil {
				err = r.apply(ctx, rel)
			}
			if err != nil {
				mu.Lock()
				failed[rel.ID()] = err
				mu.Unlock()
			}
		})
	}
	all.Wait()
	var errs []error
	for _, rel := range r.Stack.Releases {
		if err := failed[rel.ID()]; err != nil {
			errs = append(errs, fmt.Errorf("release %s: %w", rel.ID(), err))
		}
	}
	return errors.Join(errs...)
}

func needsFailed(rel Release, failed map[ID]error) error {
	for _, need := range rel.Needs {
		if failed[need] != nil {
			return fmt.Errorf("not touched, since it needs %s", need)
		}
	}
	return nil
}

// apply works on one release, once what it needs is there.
func (r *Runner) apply(ctx context.Context, rel Release) error {
	c, releases, err := r.decide(ctx, rel)
	if err != nil {
		return err
	}
	if err := c.perform(ctx, releases, r.options(rel)); err != nil {
		return err
	}
	r.Say(fmt.Sprintf("%s: %s", rel.ID(), past(c.Action)))
	return nil
}

func past(a Action) string {
	switch a {
	case Install:
		return "installed"
	case Upgrade:
		return "upgraded"
	case Repair:
		return "repaired"
	case Uninstall:
		return "uninstalled"
	}
	return "unchanged, ready"
}

// Delete removes all releases of the stack, in the file or not, each before what it
// needs.
func (r *Runner) Delete(ctx context.Context) error {
	all, err := r.owned(ctx)
	if err != nil {
		return err
	}
	return r.remove(ctx, r.removalOrder(all))
}

func (r *Runner) remove(ctx context.Context, ids []ID) error {
	for _, id := range ids {
		releases, err := r.Releases(id.Namespace, id.Name)
		if err != nil {
			return err
		}
		o := release.UninstallOptions{Options: r.Options}
		o.Wait = release.WaitBefore
		if _, err := releases.Uninstall(ctx, id.Name, o); err != nil {
			return fmt.Errorf("release %s: %w", id, err)
		}
		r.Say(fmt.Sprintf("%s: %s", id, past(Uninstall)))
	}
	return nil
}

// left are the stack's releases that the file does not have any more.
func (r *Runner) left(ctx context.Context) ([]ID, error) {
	all, err := r.owned(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(id ID) bool {
		return slices.ContainsFunc(r.Stack.Releases, func(rel Release) bool { return rel.ID() == id })
	}), nil
}

// owned are the releases that carry the stack's name, the last installed first. Who
// may not look into all namespaces sees those of the file.
func (r *Runner) owned(ctx context.Context) ([]ID, error) {
	o := release.ListOptions{AllNamespaces: true, All: true, Selector: label + "=" + r.Stack.Name, ByDate: true, Reverse: true}
	home, err := r.Releases("default", "")
	if err != nil {
		return nil, err
	}
	found, err := home.List(ctx, o)
	if apierrors.IsForbidden(err) {
		found, err = r.ownedHere(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	var out []ID
	for _, f := range found {
		if f.Info.Status != release.StatusUninstalled {
			out = append(out, ID{f.Namespace, f.Name})
		}
	}
	return out, nil
}

func (r *Runner) ownedHere(ctx context.Context, o release.ListOptions) (out []*release.Release, err error) {
	o.AllNamespaces = false
	var seen []string
	for _, rel := range r.Stack.Releases {
		if slices.Contains(seen, rel.Namespace) {
			continue
		}
		seen = append(seen, rel.Namespace)
		releases, err := r.Releases(rel.Namespace, "")
		if err != nil {
			return nil, err
		}
		found, err := releases.List(ctx, o)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// removalOrder puts releases before what they need; those that are not in the file
// come first.
func (r *Runner) removalOrder(ids []ID) []ID {
	ordered, err := r.Stack.order()
	if err != nil {
		return ids // Parse refuses such files
	}
	place := map[ID]int{}
	for n, rel := range ordered {
		place[rel.ID()] = n + 1
	}
	out := slices.Clone(ids)
	slices.SortStableFunc(out, func(a, b ID) int {
		if x, y := place[a], place[b]; x == 0 || y == 0 {
			return min(x, 1) - min(y, 1)
		}
		return place[b] - place[a]
	})
	return out
}
