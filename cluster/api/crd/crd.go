// Package crd makes CustomResourceDefinitions work. Loop follows the
// definitions and, for each, decides whether its names are free, adds or
// replaces a kind in the registry that the API serves, publishes an OpenAPI
// document, and writes the definition's status. When a definition is deleted
// it deletes the instances first, held by Kubernetes' own finalizer.
//
// Custom resources are *unstructured.Unstructured. Their kind prunes, defaults
// and validates by the structural schema of the version used. Conversion
// between versions is a change of apiVersion (strategy None); webhooks and CEL
// rules are stored and named in a warning, not executed. The conditions and
// messages are those of k8s.io/apiextensions-apiserver.
//
// Of that module only the parts free of CEL are linked, besides kube-openapi's
// validator: 2.5 MB of resident memory instead of 7.
package crd

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
)

const manager = "pkg-crd" // field manager of what this package writes

// retry is how soon a definition is looked at again that could not be brought
// to its end: a conflicting write, instances that are still being deleted.
const retry = 500 * time.Millisecond

// definitions is the resource of CustomResourceDefinitions.
func definitions() object.Resource {
	return object.Resource{Group: apiextensionsv1.GroupName, Resource: "customresourcedefinitions"}
}

// Documents publishes OpenAPI v3 documents by the path of their group-version
// ("apis/stable.example.com/v1").
type Documents interface {
	Set(path string, document []byte) error
	Remove(path string)
}

// Config is what a Loop works on.
type Config struct {
	Verbs     object.Verbs
	Kinds     *kind.Registry
	Documents Documents        // nil: none are published
	Changed   func()           // called after the registry changed; may be nil
	Report    func(error)      // gets errors that will be retried; may be nil
	Now       func() time.Time // nil: time.Now
}

// Loop keeps the registry as the definitions say.
type Loop struct {
	c Config

	mu    sync.Mutex
	known map[string]*apiextensionsv1.CustomResourceDefinition // by name; guarded by mu
	dirty map[string]bool                                      // to be looked at; guarded by mu
	wake  chan struct{}                                        // holds one value while dirty is not empty

	served sync.Map // schema.GroupVersionKind -> *version

	// The following belong to the one goroutine that reconciles.
	entries   map[string]*entry            // what is registered, by definition
	stale     map[string]bool              // groups whose documents are to be made anew
	published map[schema.GroupVersion]bool // documents that are there
}

// entry is one definition as it is registered.
type entry struct {
	definition *apiextensionsv1.CustomResourceDefinition
	resource   object.Resource
	versions   map[string]*version
	migrated   bool // all instances are stored in the storage version
}

// New returns a Loop. It starts nothing.
func New(c Config) *Loop {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Changed == nil {
		c.Changed = func() {}
	}
	if c.Report == nil {
		c.Report = func(error) {}
	}
	return &Loop{c: c, known: map[string]*apiextensionsv1.CustomResourceDefinition{}, dirty: map[string]bool{},
		wake: make(chan struct{}, 1), entries: map[string]*entry{}, stale: map[string]bool{}, published: map[schema.GroupVersion]bool{}}
}

// Load registers the definitions that are established already, so that their
// resources are served from the first request on; Run publishes their
// documents later. Call it before Run.
func (l *Loop) Load(ctx context.Context) error {
	list, err := l.c.Verbs.List(ctx, definitions(), object.ListOptions{})
	if err != nil {
		return fmt.Errorf("custom resource definitions: %w", err)
	}
	for _, o := range list.Items {
		d, ok := o.(*apiextensionsv1.CustomResourceDefinition)
		if !ok || !isTrue(d, apiextensionsv1.Established) {
			continue
		}
		if err := l.register(d); err != nil {
			return fmt.Errorf("custom resource definition %s: %w", d.Name, err)
		}
	}
	return nil
}

// Run works until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return object.Follow(ctx, l.c.Verbs, definitions(), object.WatchOptions{}, object.Handler{Changed: l.see})
	})
	g.Go(func() error {
		l.work(ctx)
		return nil
	})
	return g.Wait()
}

// see notes a definition's state. Names are shared within a group, so all
// definitions of the group are looked at again.
func (l *Loop) see(o object.Object, deleted bool) {
	d, ok := o.(*apiextensionsv1.CustomResourceDefinition)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if deleted {
		delete(l.known, d.Name)
	} else {
		l.known[d.Name] = d
	}
	l.dirty[d.Name] = true
	for name, other := range l.known {
		if other.Spec.Group == d.Spec.Group {
			l.dirty[name] = true
		}
	}
	l.wakeLocked()
}

func (l *Loop) wakeLocked() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// later looks at a definition once more after a while.
func (l *Loop) later(ctx context.Context, name string) {
	go func() { // ends after retry, or with ctx
		select {
		case <-ctx.Done():
		case <-time.After(retry):
			l.mu.Lock()
			defer l.mu.Unlock()
			l.dirty[name] = true
			l.wakeLocked()
		}
	}()
}

// work reconciles what see noted.
func (l *Loop) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		l.mu.Lock()
		names := make([]string, 0, len(l.dirty))
		for name := range l.dirty {
			names = append(names, name)
		}
		clear(l.dirty)
		l.mu.Unlock()
		slices.Sort(names)
		for _, name := range names {
			done, err := l.reconcile(ctx, name)
			if err != nil && !apierrors.IsConflict(err) && ctx.Err() == nil {
				l.c.Report(fmt.Errorf("custom resource definition %s: %w", name, err))
			}
			if err != nil || !done {
				l.later(ctx, name)
			}
		}
		l.publish()
	}
}

// snapshot returns one definition, or nil, and all of its group.
func (l *Loop) snapshot(name string) (d *apiextensionsv1.CustomResourceDefinition, group []*apiextensionsv1.CustomResourceDefinition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d = l.known[name]
	if d == nil {
		return nil, nil
	}
	for _, other := range l.known {
		if other.Spec.Group == d.Spec.Group {
			group = append(group, other)
		}
	}
	return d, group
}

// reconcile brings one definition where it should be. done is false when that
// needs another look although nothing changes.
func (l *Loop) reconcile(ctx context.Context, name string) (done bool, err error) {
	d, group := l.snapshot(name)
	if d == nil {
		l.unregister(name)
		return true, nil
	}
	if d.DeletionTimestamp != nil {
		return l.finalize(ctx, d)
	}
	want := new(apiextensionsv1.CustomResourceDefinition)
	*want = *d // the spec, which may be large, stays shared
	want.Status = *d.Status.DeepCopy()
	l.accept(want, group)
	if isTrue(want, apiextensionsv1.Established) {
		// Served first, said afterwards: who waits for Established may use it.
		if err := l.register(want); err != nil {
			return false, err
		}
		if err := l.migrate(ctx, want); err != nil {
			return false, err
		}
		if !slices.Contains(want.Finalizers, apiextensionsv1.CustomResourceCleanupFinalizer) {
			with := d.DeepCopy()
			with.Finalizers = append(with.Finalizers, apiextensionsv1.CustomResourceCleanupFinalizer)
			_, err := l.c.Verbs.Update(ctx, definitions(), with, object.WriteOptions{FieldManager: manager})
			return true, err // the change brings it here again
		}
	}
	return true, l.writeStatus(ctx, d, want)
}

// Prune removes from o what the schema of its version does not know, and
// returns the paths of that, such as "spec.colour". Unknown kinds are left
// alone. It is the API's Config.Prune.
func (l *Loop) Prune(gvk schema.GroupVersionKind, o *unstructured.Unstructured) []string {
	v, ok := l.served.Load(gvk)
	if !ok {
		return nil
	}
	return v.(*version).prune(o)
}
