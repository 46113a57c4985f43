package release

import (
	"context"
	"encoding/json"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object"
)

// compare asks the server, by dry runs of server-side apply, which other updates of a
// plan would change nothing and which fail because a field is immutable, and
// renames those steps. The server's own defaulting is part of both sides.
func (r *Releases) compare(ctx context.Context, p Plan, o Options) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for n := range p.Steps {
		s := &p.Steps[n]
		if s.Action != Update && s.Action != Adopt {
			continue
		}
		g.Go(func() error {
			body, err := json.Marshal(s.Item.Body)
			if err != nil {
				return err
			}
			// What helm owns is taken over before the real run.
			_, inherits, err := mergeManagers(s.Live.GetManagedFields())
			if err != nil {
				return &ObjectError{Object: s.Item.Ref, Source: s.Item.Source, Err: err}
			}
			after, err := r.Cluster.Patch(ctx, s.Item.Where.Resource, s.Item.key(), types.ApplyPatchType, body,
				object.WriteOptions{FieldManager: fieldManager, Force: o.ForceConflicts || inherits, DryRun: true})
			switch {
			case immutable(err) && o.Force:
				s.Action = Recreate
				return nil
			case err != nil:
				return &ObjectError{Object: s.Item.Ref, Source: s.Item.Source, Err: explainRefusal(err)}
			}
			u, err := asUnstructured(after)
			if err != nil {
				return err
			}
			u.SetManagedFields(nil) // they may be half of it
			s.Result = u
			if s.Action == Update && equality.Semantic.DeepEqual(essence(s.Live), essence(u)) {
				s.Action, s.Result = Leave, nil
			}
			return nil
		})
	}
	return g.Wait()
}

// dryRunComplete describes a revision that is only shown (Helm's words).
const dryRunComplete = "Dry run complete"

// essence is an object without what every write changes.
func essence(u *unstructured.Unstructured) map[string]any {
	return withoutMetadata(u, "managedFields", "resourceVersion", "generation")
}
