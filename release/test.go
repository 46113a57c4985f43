package release

import (
	"context"
	"io"
	"slices"

	"github.com/seed38700745/pkg/engine"
)

// TestOptions qualify Test.
type TestOptions struct {
	Options
	// Only and Skip choose test hooks by name; empty chooses all and none.
	Only, Skip []string
}

// Test runs the test hooks of the last revision and records how they went.
func (r *Releases) Test(ctx context.Context, name string, o TestOptions) (*Release, error) {
	if _, err := r.store.history(ctx, name); err != nil {
		return nil, err // before a Lease is made
	}
	ctx, unlock, err := r.lock(ctx, name, o.Options)
	if err != nil {
		return nil, err
	}
	defer unlock()
	history, err := r.store.history(ctx, name)
	if err != nil {
		return nil, err
	}
	rel := history[len(history)-1]
	all := rel.Hooks
	defer func() { rel.Hooks = all }()
	chosen := &Release{Name: rel.Name, Namespace: rel.Namespace}
	for _, h := range all {
		if o.chooses(h) {
			chosen.Hooks = append(chosen.Hooks, h)
		}
	}
	hooks := r.hooks(rel, o.Options)
	hooks.record = func(ctx context.Context) error { return r.store.update(ctx, rel, "") }
	err = hooks.run(ctx, chosen, engine.HookTest)
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	if uerr := r.store.update(after, rel, ""); err == nil {
		err = uerr
	}
	return rel, err
}

func (o TestOptions) chooses(h *Hook) bool {
	return h.IsTest() && !slices.Contains(o.Skip, h.Name) && (len(o.Only) == 0 || slices.Contains(o.Only, h.Name))
}

// TestLogs writes the logs of the test hooks' pods.
func (r *Releases) TestLogs(ctx context.Context, out io.Writer, rel *Release, o TestOptions) error {
	for _, h := range rel.Hooks {
		if !o.chooses(h) {
			continue
		}
		if err := copyLogs(ctx, r.Cluster, out, rel.Namespace, h, "logs"); err != nil {
			return err
		}
	}
	return nil
}
