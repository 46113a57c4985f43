package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

const (
	// resourcesPoll is how often the collector asks which resources there are.
	resourcesPoll = 2 * time.Second
	// collectors is how many objects are looked at together.
	collectors = 4
)

// collector deletes objects whose owners are gone, and sees deletions through
// that their caller asked to take the dependents along first (foreground) or
// to leave them (orphan).
//
// It follows every resource there is and keeps who owns whom, by UID, in
// memory. That only says what to look at: before it deletes anything it reads
// the object and each owner anew, so it never acts on old news.
type collector struct {
	*Set
	graph *graph
	queue workqueue.TypedRateLimitingInterface[node]

	mu       sync.Mutex                 // guards all below
	kinds    map[groupKindKey]Resource  // by what owner references name
	followed map[object.Resource]func() // ends the following
}

type groupKindKey struct{ group, kind string }

// node is one object as the graph names it.
type node struct {
	resource object.Resource
	key      object.Key
	uid      types.UID
}

func newCollector(s *Set) *collector {
	return &collector{
		Set: s, graph: newGraph(),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[node](retryFirst, retryMost)),
		kinds: map[groupKindKey]Resource{}, followed: map[object.Resource]func(){},
	}
}

// run collects until ctx ends.
func (c *collector) run(ctx context.Context) error {
	var group, workers errgroup.Group
	for range collectors {
		workers.Go(func() error {
			for c.next(ctx) {
			}
			return nil
		})
	}
	ticker := time.NewTicker(resourcesPoll)
	defer ticker.Stop()
	for ctx.Err() == nil {
		c.refresh(ctx, &group)
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	c.queue.ShutDown()
	if err := group.Wait(); err != nil {
		return err
	}
	return workers.Wait()
}

// refresh begins to follow resources that came, and stops with those that went.
func (c *collector) refresh(ctx context.Context, group *errgroup.Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	served := map[object.Resource]bool{}
	for _, r := range c.cfg.Resources() {
		served[r.Resource] = true
		c.kinds[groupKindKey{r.Group, r.Kind}] = r
		if c.followed[r.Resource] != nil || r.Resource == builtin.Events.Resource {
			continue
		}
		followCtx, stop := context.WithCancel(ctx)
		c.followed[r.Resource] = stop
		group.Go(func() error {
			return object.Follow(followCtx, c.verbs, r.Resource, object.WatchOptions{},
				object.Handler{Changed: func(o object.Object, deleted bool) { c.changed(r.Resource, o, deleted) }})
		})
	}
	for r, stop := range c.followed {
		if !served[r] {
			stop()
			delete(c.followed, r)
		}
	}
}

// changed notes an object, and queues whom that may concern.
func (c *collector) changed(r object.Resource, o object.Object, deleted bool) {
	n := node{r, object.KeyOf(o), o.GetUID()}
	if deleted {
		for _, d := range c.graph.remove(n) {
			c.queue.Add(d)
		}
		return
	}
	former := c.graph.set(n, o.GetOwnerReferences())
	switch {
	case o.GetDeletionTimestamp() != nil:
		c.queue.Add(n)
	case c.graph.lacksOwner(n):
		c.queue.Add(n)
	}
	for _, owner := range former { // no longer blocked by this dependent
		c.queue.Add(owner)
	}
}

func (c *collector) next(ctx context.Context) bool {
	n, down := c.queue.Get()
	if down {
		return false
	}
	defer c.queue.Done(n)
	if ctx.Err() != nil {
		return true
	}
	err := c.collect(ctx, n)
	switch {
	case err == nil:
		c.queue.Forget(n)
	case ctx.Err() != nil:
	default:
		if !apierrors.IsConflict(err) {
			c.log.Warn("collect", "resource", n.resource.String(), "object", n.key.String(), "error", err)
		}
		c.queue.AddRateLimited(n)
	}
	return true
}

// collect brings one object to where it belongs.
func (c *collector) collect(ctx context.Context, n node) error {
	o, ok, err := present(c.verbs.Get(ctx, n.resource, n.key))
	if err != nil {
		return err
	}
	if !ok || o.GetUID() != n.uid {
		for _, d := range c.graph.remove(n) { // an event of long ago
			c.queue.Add(d)
		}
		return nil
	}
	if o.GetDeletionTimestamp() != nil {
		switch {
		case slices.Contains(o.GetFinalizers(), metav1.FinalizerOrphanDependents):
			return c.orphan(ctx, n, o)
		case slices.Contains(o.GetFinalizers(), metav1.FinalizerDeleteDependents):
			return c.foreground(ctx, n, o)
		}
		return nil
	}
	return c.judge(ctx, n, o)
}

// owners sorts an object's owner references by what became of the owners.
type owners struct {
	solid, gone, leaving []metav1.OwnerReference // leaving: wait for their dependents to go
}

// judge deletes an object none of whose owners stays, or drops the references
// to those that do not.
func (c *collector) judge(ctx context.Context, n node, o object.Object) error {
	refs := o.GetOwnerReferences()
	if len(refs) == 0 {
		return nil
	}
	w, err := c.sortOwners(ctx, o)
	if err != nil {
		return err
	}
	switch {
	case len(w.solid) > 0 && len(w.gone)+len(w.leaving) == 0:
		return nil
	case len(w.solid) > 0:
		changed := o.DeepCopyObject().(object.Object)
		changed.SetOwnerReferences(w.solid)
		_, err := c.verbs.Update(ctx, n.resource, changed, write())
		return ignoreNotFound(err)
	}
	policy := metav1.DeletePropagationBackground
	switch {
	case slices.Contains(o.GetFinalizers(), metav1.FinalizerOrphanDependents):
		policy = metav1.DeletePropagationOrphan
	case slices.Contains(o.GetFinalizers(), metav1.FinalizerDeleteDependents),
		len(w.leaving) > 0 && len(c.graph.dependents(n.uid)) > 0:
		policy = metav1.DeletePropagationForeground
	}
	d := uidOnly(n.uid)
	d.Propagation = &policy
	_, err = c.verbs.Delete(ctx, n.resource, n.key, d)
	if apierrors.IsConflict(err) {
		return nil // another object of that name by now
	}
	return ignoreNotFound(err)
}

func (c *collector) sortOwners(ctx context.Context, o object.Object) (owners, error) {
	var w owners
	for _, ref := range o.GetOwnerReferences() {
		owner, ok, err := c.owner(ctx, o.GetNamespace(), ref)
		switch {
		case err != nil:
			return w, err
		case !ok:
			w.gone = append(w.gone, ref)
		case owner.GetDeletionTimestamp() != nil && slices.Contains(owner.GetFinalizers(), metav1.FinalizerDeleteDependents):
			w.leaving = append(w.leaving, ref)
		default:
			w.solid = append(w.solid, ref)
		}
	}
	return w, nil
}

// owner reads the owner that a reference means; ok is false when it is gone.
// An owner of a kind that is not served may come back: that is an error.
func (c *collector) owner(ctx context.Context, namespace string, ref metav1.OwnerReference) (object.Object, bool, error) {
	gk := groupKind(ref.APIVersion, ref.Kind)
	c.mu.Lock()
	r, known := c.kinds[groupKindKey{gk.Group, gk.Kind}]
	c.mu.Unlock()
	if !known {
		return nil, false, fmt.Errorf("owner %s %s: kind %s is not served", ref.Kind, ref.Name, gk)
	}
	k := object.Key{Name: ref.Name}
	if r.Namespaced {
		k.Namespace = namespace
	}
	o, ok, err := present(c.verbs.Get(ctx, r.Resource, k))
	return o, ok && o.GetUID() == ref.UID, err
}

// foreground lets an object go when no dependent blocks it any more; until
// then it sees to it that the dependents go.
func (c *collector) foreground(ctx context.Context, n node, o object.Object) error {
	blocked := false
	for _, d := range c.graph.dependents(n.uid) {
		dependent, ok, err := present(c.verbs.Get(ctx, d.resource, d.key))
		if err != nil {
			return err
		}
		if !ok || dependent.GetUID() != d.uid {
			continue
		}
		i := slices.IndexFunc(dependent.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return r.UID == n.uid })
		if i < 0 {
			continue
		}
		blocked = blocked || value(dependent.GetOwnerReferences()[i].BlockOwnerDeletion, false)
		if dependent.GetDeletionTimestamp() == nil {
			c.queue.Add(d)
		}
	}
	if blocked {
		return nil
	}
	return c.release(ctx, n, o, metav1.FinalizerDeleteDependents)
}

// orphan takes the object out of its dependents' owners, and lets it go. It
// looks for dependents among all objects, not in the graph: one that the graph
// does not know yet would be deleted later, though its owner's deleter asked
// for it to stay.
func (c *collector) orphan(ctx context.Context, n node, o object.Object) error {
	c.mu.Lock()
	kinds := slices.Collect(maps.Values(c.kinds))
	c.mu.Unlock()
	for _, r := range kinds {
		if !r.Namespaced && n.key.Namespace != "" {
			continue // nothing cluster-wide may be owned from within a namespace
		}
		l, err := c.verbs.List(ctx, r.Resource, object.ListOptions{Namespace: n.key.Namespace})
		if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("list %s: %w", r.Resource, err)
		}
		for _, dependent := range l.Items {
			kept := withoutOwner(dependent.GetOwnerReferences(), n.uid)
			if len(kept) == len(dependent.GetOwnerReferences()) {
				continue
			}
			changed := dependent.DeepCopyObject().(object.Object)
			changed.SetOwnerReferences(kept)
			if _, err := c.verbs.Update(ctx, r.Resource, changed, write()); ignoreNotFound(err) != nil {
				return fmt.Errorf("orphan %s %s: %w", r.Resource, object.KeyOf(dependent), err)
			}
		}
	}
	return c.release(ctx, n, o, metav1.FinalizerOrphanDependents)
}

func (c *collector) release(ctx context.Context, n node, o object.Object, finalizer string) error {
	changed := o.DeepCopyObject().(object.Object)
	changed.SetFinalizers(without(o.GetFinalizers(), finalizer))
	_, err := c.verbs.Update(ctx, n.resource, changed, write())
	return ignoreNotFound(err)
}
