package volume

import (
	"context"
	"fmt"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/seed38700745/pkg/cluster/object"
)

// api holds objects and issues numbered tokens. The other verbs are not used
// by volumes and panic.
type api struct {
	object.Verbs
	mu       sync.Mutex
	objects  map[object.Resource]map[object.Key]object.Object
	watchers []chan watch.Event
	tokens   int
	now      func() time.Time
	requests []*authenticationv1.TokenRequest
}

func (a *api) put(r object.Resource, o object.Object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.objects == nil {
		a.objects = map[object.Resource]map[object.Key]object.Object{}
	}
	if a.objects[r] == nil {
		a.objects[r] = map[object.Key]object.Object{}
	}
	a.objects[r][object.KeyOf(o)] = o
	if _, ok := o.(*corev1.PersistentVolume); ok {
		for _, w := range a.watchers {
			w <- watch.Event{Type: watch.Modified, Object: o}
		}
	}
}

func (a *api) Get(_ context.Context, r object.Resource, k object.Key) (object.Object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o, ok := a.objects[r][k]; ok {
		return o, nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: r.Resource}, k.Name)
}

func (a *api) List(_ context.Context, r object.Resource, o object.ListOptions) (*object.List, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := &object.List{}
	for _, x := range a.objects[r] {
		if o.Namespace == "" || x.GetNamespace() == o.Namespace {
			l.Items = append(l.Items, x)
		}
	}
	return l, nil
}

func (a *api) Create(_ context.Context, r object.Resource, o object.Object, w object.WriteOptions) (object.Object, error) {
	t, ok := o.(*authenticationv1.TokenRequest)
	if !ok || w.Subresource != "token" {
		a.put(r, o)
		return o, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens++
	t = t.DeepCopy()
	t.Status.Token = fmt.Sprintf("token-%d", a.tokens)
	t.Status.ExpirationTimestamp = metav1.NewTime(a.now().Add(time.Duration(*t.Spec.ExpirationSeconds) * time.Second))
	a.requests = append(a.requests, t)
	return t, nil
}

func (a *api) Update(_ context.Context, r object.Resource, o object.Object, _ object.WriteOptions) (object.Object, error) {
	if o.GetDeletionTimestamp() != nil && len(o.GetFinalizers()) == 0 {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.objects[r], object.KeyOf(o))
		return o, nil
	}
	a.put(r, o)
	return o, nil
}

func (a *api) Delete(_ context.Context, r object.Resource, k object.Key, _ object.DeleteOptions) (object.Object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	o, ok := a.objects[r][k]
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: r.Resource}, k.Name)
	}
	if len(o.GetFinalizers()) == 0 {
		delete(a.objects[r], k)
		return o, nil
	}
	o = o.DeepCopyObject().(object.Object)
	now := metav1.NewTime(a.now())
	o.SetDeletionTimestamp(&now)
	a.objects[r][k] = o
	return o, nil
}

func (a *api) Watch(_ context.Context, r object.Resource, _ object.WatchOptions) (watch.Interface, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	events := make(chan watch.Event, 100)
	for _, o := range a.objects[r] {
		events <- watch.Event{Type: watch.Added, Object: o}
	}
	a.watchers = append(a.watchers, events)
	return watch.NewProxyWatcher(events), nil
}
