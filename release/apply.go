package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object"
)

// fieldManager owns what pkg applies.
const fieldManager = "pkg"

// atOnce bounds the requests at a time. Servers write what comes together to disk
// together.
const atOnce = 64

// applier executes plans.
type applier struct {
	cluster     Cluster
	namespace   string                               // the release's
	force       bool                                 // recreate where a field is immutable
	override    bool                                 // take fields from other managers
	propagation *metav1.DeletionPropagation          // of deletions; nil: background
	await       func(context.Context, []*Item) error // until they are ready
	say         func(format string, args ...any)
	warn        func(string)

	mu      sync.Mutex
	created []*Item      // guarded by mu; what did not exist before
	inert   map[Ref]bool // guarded by mu; what nothing in the cluster acts on
	// services are what the server has made of applied Services; guarded by mu.
	services []*unstructured.Unstructured
}

// applier returns one for an operation of these releases.
func (r *Releases) applier(o Options) *applier {
	return &applier{
		cluster: r.Cluster, namespace: r.Namespace, force: o.Force, override: o.ForceConflicts,
		await: func(ctx context.Context, items []*Item) error {
			w := r.waiter(goalJobs)
			return w.wait(ctx, items, o.Timeout)
		},
		say: r.say, warn: r.Warn, inert: map[Ref]bool{},
	}
}

// run does the steps in order, those of one rank side by side, after what they wait
// for is ready. The first error ends it after its rank.
func (a *applier) run(ctx context.Context, p Plan) error {
	for _, rank := range ranks(p.Steps) {
		if err := a.waitBefore(ctx, rank); err != nil {
			return err
		}
		g, rankCtx := errgroup.WithContext(ctx)
		g.SetLimit(atOnce)
		for _, s := range rank {
			g.Go(func() error {
				if err := a.step(rankCtx, s); err != nil {
					return &ObjectError{Object: s.Item.Ref, Source: s.Item.Source, Err: explainRefusal(err)}
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		if slices.ContainsFunc(rank, func(s Step) bool { return s.Item.Kind == crdKind && s.Action != Leave }) {
			a.cluster.Refresh()
		}
	}
	return nil
}

// waitBefore waits for what the steps of a rank need to be ready.
func (a *applier) waitBefore(ctx context.Context, rank []Step) error {
	var needed []*Item
	for _, s := range rank {
		for _, i := range s.After {
			if !slices.Contains(needed, i) && !a.isInert(i.Ref) {
				needed = append(needed, i)
			}
		}
	}
	if len(needed) == 0 {
		return nil
	}
	if err := a.await(ctx, needed); err != nil {
		return fmt.Errorf("before %s: %w", rank[0].Item.Ref.full(a.namespace), err)
	}
	return nil
}

func (a *applier) step(ctx context.Context, s Step) error {
	switch s.Action {
	case Keep:
		a.say("keeping %s", s.Item.Ref.full(a.namespace))
		return nil
	case Leave:
		if s.Live != nil && isService(s.Item.Ref) {
			return a.noteService(s.Live)
		}
		return nil
	case Delete:
		return a.delete(ctx, s.Item)
	case Create:
		if err := a.apply(ctx, s); err != nil {
			return err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.created = append(a.created, s.Item)
		return nil
	case Recreate:
		return a.recreate(ctx, s)
	}
	err := a.apply(ctx, s)
	if immutable(err) && a.force {
		return a.recreate(ctx, s)
	}
	return err
}

// apply makes the object as the manifest says.
func (a *applier) apply(ctx context.Context, s Step) error {
	i := s.Item
	if s.Live != nil {
		if err := takeOverFields(ctx, a.cluster.At(i.Body.GroupVersionKind().Version), i, s.Live); err != nil {
			return err
		}
	}
	body, err := json.Marshal(i.Body)
	if err != nil {
		return err
	}
	service := isService(i.Ref) // of which the address is shown
	o, err := a.cluster.Patch(ctx, i.Where.Resource, i.key(), types.ApplyPatchType, body, object.WriteOptions{
		FieldManager: fieldManager, Force: a.override, FieldValidation: metav1.FieldValidationWarn,
		Warn: func(text string) { a.heard(i.Ref, text) }, Brief: !service,
	})
	if err != nil {
		return err
	}
	if service {
		if err := a.noteService(o); err != nil {
			return err
		}
	}
	changed := s.Live == nil || s.Live.GetResourceVersion() != o.GetResourceVersion()
	switch {
	case s.Live == nil:
		a.say("created %s", i.Ref.full(a.namespace))
	case changed:
		a.say("updated %s", i.Ref.full(a.namespace))
	}
	return nil
}

func isService(r Ref) bool { return r.Group == "" && r.Kind == "Service" }

func (a *applier) noteService(o object.Object) error {
	u, err := asUnstructured(o)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.services = append(a.services, u)
	return nil
}

// actsOnNothing is how a cluster of ours says that a kind is only stored. Waiting
// for such an object would be in vain.
const actsOnNothing = "nothing in this cluster acts on it"

// heard passes on a warning about an object.
func (a *applier) heard(r Ref, text string) {
	if strings.Contains(text, actsOnNothing) {
		a.mu.Lock()
		a.inert[r] = true
		a.mu.Unlock()
	}
	a.warn(text)
}

func (a *applier) isInert(r Ref) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inert[r]
}

func (a *applier) delete(ctx context.Context, i *Item) error {
	how := a.propagation
	if how == nil {
		background := metav1.DeletePropagationBackground
		how = &background
	}
	_, err := a.cluster.Delete(ctx, i.Where.Resource, i.key(), object.DeleteOptions{Propagation: how})
	if apierrors.IsNotFound(err) || isNoMatch(err) { // or went with its kind
		return nil
	}
	if err == nil {
		a.say("deleted %s", i.Ref.full(a.namespace))
	}
	return err
}

// recreate deletes the object, waits until it is gone, and creates it.
func (a *applier) recreate(ctx context.Context, s Step) error {
	if err := a.delete(ctx, s.Item); err != nil {
		return err
	}
	if err := awaitGone(ctx, a.cluster, []*Item{s.Item}); err != nil {
		return err
	}
	s.Live = nil
	return a.apply(ctx, s)
}

// immutable recognises the API's refusals to change a field.
func immutable(err error) bool {
	if !apierrors.IsInvalid(err) {
		return false
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	for _, cause := range status.Status().Details.Causes {
		if strings.Contains(cause.Message, "immutable") || strings.Contains(cause.Message, "are forbidden") || strings.Contains(cause.Message, "may not change once set") {
			return true
		}
	}
	return false
}

// explainRefusal adds to an API's refusal to apply an object what can be done.
func explainRefusal(err error) error {
	if immutable(err) {
		return fmt.Errorf("%w (this field can not be changed in place; --force deletes the object and creates it again)", err)
	}
	return conflict(err)
}

// conflict names who owns the fields of a server-side apply conflict.
func conflict(err error) error {
	var status apierrors.APIStatus
	if !apierrors.IsConflict(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return err
	}
	var lines []string
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == metav1.CauseTypeFieldManagerConflict {
			lines = append(lines, cause.Field+": "+cause.Message)
		}
	}
	if len(lines) == 0 {
		return err
	}
	return &ConflictError{Objects: lines, hint: "--force-conflicts takes these fields over"}
}
