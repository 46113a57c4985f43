package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/seed38700745/pkg/cluster/object"
)

// Delete and output policies of hooks.
const (
	beforeCreation = "before-hook-creation"
	onSucceeded    = "hook-succeeded"
	onFailed       = "hook-failed"
)

// hookRunner runs the hooks of one release.
type hookRunner struct {
	cluster Cluster
	waiter  waiter
	timeout time.Duration // of each hook
	now     func() time.Time
	out     io.Writer // logs that hooks ask to be shown
	stream  bool      // say what hooks write, while they run
	record  func(context.Context) error
}

// run runs the hooks of an event: by weight, then name, then kind; one after
// another, each to its end. The first failure ends it. Last runs are noted in r
// and recorded.
func (h *hookRunner) run(ctx context.Context, r *Release, event string) error {
	hooks := hooksOn(r.Hooks, event)
	for n, k := range hooks {
		if len(k.DeletePolicies) == 0 {
			k.DeletePolicies = []string{beforeCreation}
		}
		if err := h.one(ctx, r, k, event); err != nil {
			return errors.Join(err, h.clean(ctx, r, hooks[:n], onSucceeded))
		}
	}
	for _, k := range slices.Backward(hooks) {
		h.logs(ctx, r, k, onSucceeded)
		if err := h.clean(ctx, r, []*Hook{k}, onSucceeded); err != nil {
			return err
		}
	}
	return nil
}

// hooksOn returns the hooks of an event in the order in which they run. all are in
// the order of their kinds.
func hooksOn(all []*Hook, event string) []*Hook {
	var out []*Hook
	for _, k := range all {
		if k.runsOn(event) {
			out = append(out, k)
		}
	}
	slices.SortStableFunc(out, func(a, b *Hook) int {
		return cmp.Or(cmp.Compare(a.Weight, b.Weight), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func (h *hookRunner) one(ctx context.Context, r *Release, k *Hook, event string) error {
	if err := h.clean(ctx, r, []*Hook{k}, beforeCreation); err != nil {
		return err
	}
	items, err := load(ctx, h.cluster, r.Namespace, k.Manifest, nil)
	if err != nil {
		return fmt.Errorf("hook %s: %w", k.Path, err)
	}
	h.waiter.say("%s hook %s/%s", event, k.Kind, k.Name)
	k.LastRun = HookRun{StartedAt: Time{h.now()}, Phase: phaseRunning}
	if err := h.record(ctx); err != nil {
		return err
	}
	k.LastRun.Phase = phaseUnknown
	if err = h.create(ctx, items); err == nil {
		err = h.await(ctx, r, k, items)
	}
	k.LastRun.CompletedAt = Time{h.now()}
	if err == nil {
		k.LastRun.Phase = phaseSucceeded
		return nil
	}
	k.LastRun.Phase = phaseFailed
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	h.logs(after, r, k, onFailed)
	return errors.Join(fmt.Errorf("hook %s: %w", k.Path, err), h.clean(after, r, []*Hook{k}, onFailed))
}

// await waits for a hook to end, and shows meanwhile what it writes.
func (h *hookRunner) await(ctx context.Context, r *Release, k *Hook, items []*Item) error {
	w := h.waiter
	if h.stream && len(items) > 0 {
		w.logsShown = true
		shown := &hookLogs{cluster: h.cluster, say: h.waiter.say}
		defer shown.follow(ctx, cmp.Or(items[0].Namespace, r.Namespace), k)()
	}
	return w.wait(ctx, items, h.timeout)
}

func (h *hookRunner) create(ctx context.Context, items []*Item) error {
	for _, i := range items {
		if _, err := h.cluster.Create(ctx, i.Where.Resource, i.Body.DeepCopy(), object.WriteOptions{FieldManager: fieldManager}); err != nil {
			return &ObjectError{Object: i.Ref, Source: i.Source, Err: err}
		}
	}
	return nil
}

// clean deletes the objects of those hooks that have the policy, and waits until
// they are gone. CustomResourceDefinitions are never deleted: all their objects
// would go with them.
func (h *hookRunner) clean(ctx context.Context, r *Release, hooks []*Hook, policy string) error {
	for _, k := range hooks {
		if k.Kind == "CustomResourceDefinition" || !slices.Contains(k.DeletePolicies, policy) {
			continue
		}
		items, err := load(ctx, h.cluster, r.Namespace, k.Manifest, func(*Item, error) {})
		if err != nil {
			return fmt.Errorf("hook %s: %w", k.Path, err)
		}
		there, err := live(ctx, h.cluster, items)
		if err != nil {
			return err
		}
		items = slices.DeleteFunc(items, func(i *Item) bool { return there[i.Ref] == nil })
		quiet := &applier{cluster: h.cluster, namespace: r.Namespace, say: func(string, ...any) {}}
		for _, i := range items {
			if err := quiet.delete(ctx, i); err != nil {
				return &ObjectError{Object: i.Ref, Source: k.Path, Err: err}
			}
		}
		if err := h.waiter.untilGone(ctx, items, h.timeout); err != nil {
			return fmt.Errorf("hook %s: %w", k.Path, err)
		}
	}
	return nil
}

// logs copies the logs of a hook whose output policy asks for it. What fails here
// does not fail the hook.
func (h *hookRunner) logs(ctx context.Context, r *Release, k *Hook, policy string) {
	if !slices.Contains(k.OutputLogPolicies, policy) {
		return
	}
	if err := copyLogs(ctx, h.cluster, h.out, r.Namespace, k, "hook logs"); err != nil {
		h.waiter.say("hook %s: %v", k.Path, err)
	}
}

// copyLogs writes the logs of all containers of a hook's pods, each under a title.
func copyLogs(ctx context.Context, c Cluster, out io.Writer, namespace string, k *Hook, title string) error {
	items, err := parse(k.Manifest)
	if err != nil || len(items) == 0 {
		return err
	}
	if ns := items[0].Namespace; ns != "" {
		namespace = ns
	}
	which, ok := podsOfHook(namespace, k)
	if !ok {
		return nil
	}
	l, err := c.List(ctx, pods(), object.ListOptions{Namespace: which.Namespace, Labels: which.Labels, Fields: which.Fields})
	if err != nil {
		return err
	}
	for _, p := range l.Items {
		for _, container := range containersOf(p) {
			fmt.Fprintf(out, "%s of pod %s, container %s:\n", title, p.GetName(), container)
			if err := copyLog(ctx, c, out, object.KeyOf(p), container); err != nil {
				return err
			}
		}
	}
	return nil
}

func containersOf(o object.Object) (out []string) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return nil
	}
	for _, list := range []string{"initContainers", "containers"} {
		for _, c := range fieldsOf(u).maps("spec", list) {
			out = append(out, c.text("name"))
		}
	}
	return out
}

func copyLog(ctx context.Context, c Cluster, out io.Writer, pod object.Key, container string) error {
	log, err := c.Logs(ctx, pod, LogOptions{Container: container})
	if apierrors.IsBadRequest(err) || apierrors.IsNotFound(err) {
		return nil // it never started, or is gone
	}
	if err != nil {
		return err
	}
	defer log.Close()
	_, err = io.Copy(out, log)
	return err
}
