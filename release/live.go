package release

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/seed38700745/pkg/cluster/object"
)

func isNoMatch(err error) bool { return meta.IsNoMatchError(err) }

// live fetches what exists of the items, each in its manifest's version.
func live(ctx context.Context, c Cluster, items []*Item) (map[Ref]*unstructured.Unstructured, error) {
	var mu sync.Mutex
	out := map[Ref]*unstructured.Unstructured{}
	asked := map[Ref]bool{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, i := range items {
		if asked[i.Ref] {
			continue
		}
		asked[i.Ref] = true
		g.Go(func() error {
			u, err := getLive(ctx, c, i)
			if err != nil || u == nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			out[i.Ref] = u
			return nil
		})
	}
	return out, g.Wait()
}

// candidates leaves out of new items those that do not exist, which are mostly all of
// them: one list of a collection tells it for less than a question for each.
func candidates(ctx context.Context, c Cluster, known, new []*Item) ([]*Item, error) {
	seen := map[Ref]bool{}
	for _, i := range known {
		seen[i.Ref] = true
	}
	byCollection := map[collection][]*Item{}
	for _, i := range new {
		if !seen[i.Ref] {
			where := collection{i.Where.Resource, i.Namespace}
			byCollection[where] = append(byCollection[where], i)
		}
	}
	var mu sync.Mutex
	var out []*Item
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for where, items := range byCollection {
		g.Go(func() error {
			if len(items) >= worthListing {
				items = where.existing(ctx, c, items)
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, items...)
			return ctx.Err()
		})
	}
	return out, g.Wait()
}

// getLive fetches one object; nil if there is none.
func getLive(ctx context.Context, c Cluster, i *Item) (*unstructured.Unstructured, error) {
	o, err := c.At(i.Body.GroupVersionKind().Version).Get(ctx, i.Where.Resource, i.key())
	if apierrors.IsNotFound(err) || isNoMatch(err) { // or its kind is not defined yet
		return nil, nil
	}
	if err != nil {
		return nil, &ObjectError{Object: i.Ref, Source: i.Source, Err: err}
	}
	u, err := asUnstructured(o)
	if err != nil {
		return nil, err
	}
	slim(u)
	return u, nil
}

// slim drops which fields the managers of an object have, which may be half of it,
// unless they are taken over from one of them.
func slim(u *unstructured.Unstructured) {
	meta, _ := u.Object["metadata"].(map[string]any)
	entries, _ := meta["managedFields"].([]any)
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		if manager, _ := entry["manager"].(string); isPredecessor(manager) {
			return
		}
	}
	for _, e := range entries {
		if entry, ok := e.(map[string]any); ok {
			delete(entry, "fieldsV1")
		}
	}
}

// collection is the objects of a kind in a namespace.
type collection struct {
	resource  object.Resource
	namespace string
}

const (
	// worthListing is of how many objects of a collection on a list costs less than
	// asking for each.
	worthListing = 4
	// listAtMost bounds the list: names in a collection of more are asked for.
	listAtMost = 500
)

// existing leaves out items of a collection that do not exist. Where that is not known,
// because the collection is large or may not be listed, it leaves out none.
func (w collection) existing(ctx context.Context, c Cluster, items []*Item) []*Item {
	all, whole, err := c.Names(ctx, w.resource, object.ListOptions{Namespace: w.namespace, Limit: listAtMost})
	if isNoMatch(err) {
		return nil
	}
	if err != nil || !whole {
		return items
	}
	names := make(map[string]bool, len(all))
	for _, name := range all {
		names[name] = true
	}
	var out []*Item
	for _, i := range items {
		if names[i.Name] {
			out = append(out, i)
		}
	}
	return out
}
