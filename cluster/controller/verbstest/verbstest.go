// Package verbstest is a world for the tests of controllers and the scheduler:
// object.Verbs in memory, with the parts of the API's behaviour that they rely
// on (UIDs, resource versions and conflicts, generations, generated names,
// finalizers, graceful deletion of pods, status apart from the rest, bindings)
// and nothing else: no defaults, no validation. Clocks are the caller's
// synctest bubble's.
package verbstest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// World is an object.Verbs in memory. The zero value is not usable: see New.
type World struct {
	mu       sync.Mutex // guards all below
	revision int64
	objects  map[object.Resource]map[object.Key]object.Object
	watchers map[*watcher]bool
	// Refuse, if set, may return an error for a create.
	refuse func(r object.Resource, o object.Object) error
}

// New returns a world with nothing in it.
func New() *World {
	return &World{objects: map[object.Resource]map[object.Key]object.Object{}, watchers: map[*watcher]bool{}}
}

// Refuse makes creates fail for which f returns an error; nil ends that.
func (w *World) Refuse(f func(r object.Resource, o object.Object) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuse = f
}

// Get implements object.Verbs.
func (w *World) Get(_ context.Context, r object.Resource, k object.Key) (object.Object, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.get(r, k)
}

func (w *World) get(r object.Resource, k object.Key) (object.Object, error) {
	if o, ok := w.objects[r][k]; ok {
		return o, nil
	}
	return nil, apierrors.NewNotFound(r, k.Name)
}

// List implements object.Verbs.
func (w *World) List(_ context.Context, r object.Resource, o object.ListOptions) (*object.List, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := &object.List{ResourceVersion: strconv.FormatInt(w.revision, 10)}
	keys := slices.SortedFunc(maps.Keys(w.objects[r]), func(a, b object.Key) int {
		if a.Namespace == b.Namespace && a.Name < b.Name || a.Namespace < b.Namespace {
			return -1
		}
		return 1
	})
	for _, k := range keys {
		if fits(w.objects[r][k], o.Namespace, o.Labels) {
			l.Items = append(l.Items, w.objects[r][k])
		}
	}
	return l, nil
}

func fits(o object.Object, namespace string, selector labels.Selector) bool {
	return (namespace == "" || o.GetNamespace() == namespace) && (selector == nil || selector.Matches(labels.Set(o.GetLabels())))
}

// Create implements object.Verbs.
func (w *World) Create(_ context.Context, r object.Resource, o object.Object, opts object.WriteOptions) (object.Object, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if opts.Subresource == "binding" {
		return w.bind(o.(*corev1.Binding))
	}
	if w.refuse != nil {
		if err := w.refuse(r, o); err != nil {
			return nil, err
		}
	}
	if o.GetName() == "" {
		o.SetName(fmt.Sprintf("%s%05d", o.GetGenerateName(), w.revision))
	}
	k := object.KeyOf(o)
	if _, ok := w.objects[r][k]; ok {
		return nil, apierrors.NewAlreadyExists(r, k.Name)
	}
	o.SetUID(types.UID(fmt.Sprintf("uid-%d", w.revision)))
	o.SetCreationTimestamp(metav1.NewTime(time.Now()))
	o.SetGeneration(1)
	return w.store(r, o, watch.Added), nil
}

func (w *World) bind(b *corev1.Binding) (object.Object, error) {
	o, err := w.get(builtin.Pods.Resource, object.KeyOf(b))
	if err != nil {
		return nil, err
	}
	p := o.(*corev1.Pod).DeepCopy()
	if p.Spec.NodeName != "" {
		return nil, apierrors.NewConflict(builtin.Pods.Resource, p.Name, fmt.Errorf("pod is already assigned to node %q", p.Spec.NodeName))
	}
	p.Spec.NodeName = b.Target.Name
	return w.store(builtin.Pods.Resource, p, watch.Modified), nil
}

// Update implements object.Verbs.
func (w *World) Update(_ context.Context, r object.Resource, o object.Object, opts object.WriteOptions) (object.Object, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old, err := w.get(r, object.KeyOf(o))
	if err != nil {
		return nil, err
	}
	if v := o.GetResourceVersion(); v != "" && v != old.GetResourceVersion() {
		return nil, apierrors.NewConflict(r, o.GetName(), fmt.Errorf("the object has been modified"))
	}
	before, after := fields(old), fields(o)
	if opts.Subresource == "status" {
		status, ok := after["status"]
		after = maps.Clone(before)
		if ok {
			after["status"] = status
		}
	} else if status, ok := before["status"]; ok && opts.Subresource == "" {
		after["status"] = status
	}
	next := old.DeepCopyObject().(object.Object)
	zero(next)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(after, next); err != nil {
		return nil, err
	}
	next.SetResourceVersion(old.GetResourceVersion())
	next.SetUID(old.GetUID())
	next.SetGeneration(old.GetGeneration())
	next.SetDeletionTimestamp(old.GetDeletionTimestamp())
	next.SetCreationTimestamp(old.GetCreationTimestamp())
	if equality.Semantic.DeepEqual(old, next) {
		return old, nil
	}
	if !equality.Semantic.DeepEqual(before["spec"], after["spec"]) {
		next.SetGeneration(old.GetGeneration() + 1)
	}
	if next.GetDeletionTimestamp() != nil && len(next.GetFinalizers()) == 0 && !graceful(next) && !terminating(next) {
		return w.remove(r, next), nil
	}
	return w.store(r, next, watch.Modified), nil
}

// terminating: a namespace goes when it is finalized.
func terminating(o object.Object) bool {
	n, ok := o.(*corev1.Namespace)
	return ok && len(n.Spec.Finalizers) > 0
}

// graceful: a pod on a node goes when the agent says so.
func graceful(o object.Object) bool {
	p, ok := o.(*corev1.Pod)
	return ok && p.Spec.NodeName != "" && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed &&
		(p.DeletionGracePeriodSeconds == nil || *p.DeletionGracePeriodSeconds > 0)
}

func fields(o object.Object) map[string]any {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		panic(err)
	}
	return m
}

// Patch is not used by the parts under test.
func (w *World) Patch(context.Context, object.Resource, object.Key, types.PatchType, []byte, object.WriteOptions) (object.Object, error) {
	return nil, fmt.Errorf("verbstest: no patches")
}

// Delete implements object.Verbs.
func (w *World) Delete(_ context.Context, r object.Resource, k object.Key, opts object.DeleteOptions) (object.Object, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old, err := w.get(r, k)
	if err != nil {
		return nil, err
	}
	if p := opts.Preconditions; p != nil && p.UID != nil && *p.UID != old.GetUID() {
		return nil, apierrors.NewConflict(r, k.Name, fmt.Errorf("the UID in the precondition does not match"))
	}
	o := old.DeepCopyObject().(object.Object)
	if opts.Propagation != nil {
		propagate(o, *opts.Propagation)
	}
	now := opts.GracePeriodSeconds != nil && *opts.GracePeriodSeconds == 0
	if len(o.GetFinalizers()) == 0 && (now || !graceful(o)) && !terminating(o) {
		return w.remove(r, o), nil
	}
	if now {
		o.SetDeletionGracePeriodSeconds(opts.GracePeriodSeconds)
	}
	if o.GetDeletionTimestamp() == nil {
		stamp := metav1.NewTime(time.Now())
		o.SetDeletionTimestamp(&stamp)
	}
	if n, ok := o.(*corev1.Namespace); ok {
		n.Status.Phase = corev1.NamespaceTerminating
	}
	return w.store(r, o, watch.Modified), nil
}

func propagate(o object.Object, p metav1.DeletionPropagation) {
	kept := slices.DeleteFunc(slices.Clone(o.GetFinalizers()), func(f string) bool {
		return f == metav1.FinalizerOrphanDependents || f == metav1.FinalizerDeleteDependents
	})
	switch p {
	case metav1.DeletePropagationOrphan:
		kept = append(kept, metav1.FinalizerOrphanDependents)
	case metav1.DeletePropagationForeground:
		kept = append(kept, metav1.FinalizerDeleteDependents)
	}
	o.SetFinalizers(kept)
}

func (w *World) store(r object.Resource, o object.Object, t watch.EventType) object.Object {
	w.revision++
	o.SetResourceVersion(strconv.FormatInt(w.revision, 10))
	if w.objects[r] == nil {
		w.objects[r] = map[object.Key]object.Object{}
	}
	w.objects[r][object.KeyOf(o)] = o
	w.publish(r, watch.Event{Type: t, Object: o})
	return o
}

func (w *World) remove(r object.Resource, o object.Object) object.Object {
	w.revision++
	o.SetResourceVersion(strconv.FormatInt(w.revision, 10))
	delete(w.objects[r], object.KeyOf(o))
	w.publish(r, watch.Event{Type: watch.Deleted, Object: o})
	return o
}
