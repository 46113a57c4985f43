package release

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object"
)

// States tells of every object of a release whether it is ready, and why not. Kinds
// that the cluster does not have are left out.
func (r *Releases) States(ctx context.Context, rel *Release) ([]State, error) {
	items, err := load(ctx, r.Cluster, rel.Namespace, rel.Manifest, func(*Item, error) {})
	if err != nil {
		return nil, err
	}
	s := &scene{pods: map[object.Key]*unstructured.Unstructured{}, warnings: map[types.UID]string{}, events: map[types.UID]event{}, pulls: map[types.UID]string{}, synced: map[Ref]bool{}}
	if s.objects, err = live(ctx, r.Cluster, items); err != nil {
		return nil, err
	}
	inside := map[string]bool{}
	for _, i := range items {
		s.synced[i.Ref] = true
		if podSelector(i.Body) != nil || i.Kind == "Pod" {
			inside[i.Namespace] = true
		}
	}
	for namespace := range inside {
		all, err := r.Cluster.List(ctx, pods(), object.ListOptions{Namespace: namespace})
		if err != nil {
			return nil, err
		}
		for _, o := range all.Items {
			s.setPod(o, false)
		}
		if all, err = r.Cluster.List(ctx, events(), object.ListOptions{Namespace: namespace}); err != nil {
			return nil, err
		}
		for _, o := range all.Items {
			s.setEvent(o, false)
		}
	}
	return s.states(items, goalReady), nil
}
