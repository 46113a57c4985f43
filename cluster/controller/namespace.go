package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

const (
	// namespacePoll is how often a namespace's remaining content is looked at
	// while it terminates; the deletion of a pod is seen at once.
	namespacePoll = time.Second
	// deletesAtOnce is how many deletes run at a time.
	deletesAtOnce = 32
)

// namespaces empties namespaces that are being deleted, and then lets them go.
type namespaces struct{ *Set }

func newNamespaces(s *Set) *namespaces { return &namespaces{s} }

func (c *namespaces) loop() *loop {
	return &loop{
		name:    "namespace",
		workers: 2,
		sources: []source{
			self(builtin.Namespaces.Resource),
			{builtin.Pods.Resource, func(ch change) []object.Key {
				if ch.new != nil {
					return nil
				}
				return []object.Key{{Name: ch.old.GetNamespace()}}
			}},
		},
		reconcile: c.reconcile,
	}
}

func (c *namespaces) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	ns, err := builtin.Namespaces.Get(ctx, c.verbs, "", k.Name)
	if err != nil {
		return 0, ignoreNotFound(err)
	}
	if ns.DeletionTimestamp == nil || !slices.Contains(ns.Spec.Finalizers, corev1.FinalizerKubernetes) {
		return 0, nil
	}
	left, err := c.empty(ctx, ns.Name)
	if err != nil {
		return 0, err
	}
	changed := ns.DeepCopy()
	changed.Status.Phase = corev1.NamespaceTerminating
	setNamespaceConditions(&changed.Status, left, c.now())
	if !equality.Semantic.DeepEqual(changed.Status, ns.Status) {
		if ns, err = builtin.Namespaces.UpdateStatus(ctx, c.verbs, changed, write()); err != nil {
			return 0, ignoreNotFound(err)
		}
	}
	if len(left.count) > 0 || len(left.failed) > 0 {
		return namespacePoll, nil
	}
	changed = ns.DeepCopy()
	changed.Spec.Finalizers = slices.DeleteFunc(changed.Spec.Finalizers, func(f corev1.FinalizerName) bool { return f == corev1.FinalizerKubernetes })
	w := write()
	w.Subresource = "finalize"
	_, err = builtin.Namespaces.Update(ctx, c.verbs, changed, w)
	return 0, ignoreNotFound(err)
}

// remains is what a terminating namespace still has.
type remains struct {
	count      map[string]int // by resource
	finalizers map[string]int // objects by finalizer
	failed     []string       // what could not be deleted
}

// empty deletes all that the namespace has, and returns what is still there.
func (c *namespaces) empty(ctx context.Context, ns string) (remains, error) {
	left := remains{count: map[string]int{}, finalizers: map[string]int{}}
	if c.cfg.Resources == nil {
		left.failed = []string{"the cluster's resources are not known"}
		return left, nil
	}
	var mu sync.Mutex // guards left
	for _, r := range c.cfg.Resources() {
		if !r.Namespaced {
			continue
		}
		l, err := c.verbs.List(ctx, r.Resource, object.ListOptions{Namespace: ns})
		if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
			continue
		}
		if err != nil {
			return left, fmt.Errorf("list %s: %w", r.Resource, err)
		}
		var group errgroup.Group
		group.SetLimit(deletesAtOnce)
		for _, o := range l.Items {
			group.Go(func() error {
				after, err := c.delete(ctx, r.Resource, o)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					left.failed = append(left.failed, fmt.Sprintf("%s %s: %v", r.Resource, o.GetName(), err))
				}
				if after == nil {
					return nil
				}
				left.count[r.Resource.String()]++
				for _, f := range after.GetFinalizers() {
					left.finalizers[f]++
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return left, err
		}
	}
	return left, nil
}

// delete deletes one object, and returns it if it is still there.
func (c *namespaces) delete(ctx context.Context, r object.Resource, o object.Object) (object.Object, error) {
	if o.GetDeletionTimestamp() == nil {
		d := uidOnly(o.GetUID())
		d.Propagation = new(metav1.DeletePropagationBackground)
		if _, err := c.verbs.Delete(ctx, r, object.KeyOf(o), d); apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
			return nil, nil
		} else if err != nil {
			return o, err
		}
	}
	after, ok, err := present(c.verbs.Get(ctx, r, object.KeyOf(o)))
	if !ok || err != nil {
		return nil, err
	}
	return after, nil
}

// setNamespaceConditions says why a namespace is still there, in Kubernetes' words.
func setNamespaceConditions(s *corev1.NamespaceStatus, left remains, now time.Time) {
	set := func(t corev1.NamespaceConditionType, is bool, reason, message string) {
		c := corev1.NamespaceCondition{Type: t, Status: corev1.ConditionFalse, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(now)}
		if is {
			c.Status = corev1.ConditionTrue
		}
		for i, old := range s.Conditions {
			if old.Type == t {
				if old.Status == c.Status {
					c.LastTransitionTime = old.LastTransitionTime
				}
				s.Conditions[i] = c
				return
			}
		}
		s.Conditions = append(s.Conditions, c)
	}
	set(corev1.NamespaceDeletionDiscoveryFailure, false, "ResourcesDiscovered", "All resources successfully discovered")
	set(corev1.NamespaceDeletionGVParsingFailure, false, "ParsedGroupVersions", "All legacy kube types successfully parsed")
	if len(left.failed) > 0 {
		set(corev1.NamespaceDeletionContentFailure, true, "ContentDeletionFailed", "Failed to delete all resource types, remaining: "+strings.Join(left.failed, ", "))
	} else {
		set(corev1.NamespaceDeletionContentFailure, false, "ContentDeleted", "All content successfully deleted, may be waiting on finalization")
	}
	if text := counts(left.count, "%s has %d resource instances"); text != "" {
		set(corev1.NamespaceContentRemaining, true, "SomeResourcesRemain", "Some resources are remaining: "+text)
	} else {
		set(corev1.NamespaceContentRemaining, false, "ContentRemoved", "All content successfully removed")
	}
	if text := counts(left.finalizers, "%s in %d resource instances"); text != "" {
		set(corev1.NamespaceFinalizersRemaining, true, "SomeFinalizersRemain", "Some content in the namespace has finalizers remaining: "+text)
	} else {
		set(corev1.NamespaceFinalizersRemaining, false, "ContentHasNoFinalizers", "All content-preserving finalizers finished")
	}
}

func counts(n map[string]int, format string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(n)) {
		all = append(all, fmt.Sprintf(format, name, n[name]))
	}
	return strings.Join(all, ", ")
}
