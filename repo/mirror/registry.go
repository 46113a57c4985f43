package mirror

import (
	"context"

	"github.com/seed38700745/pkg/repo"
)

// Registry is a path of a registry.
type Registry struct {
	Resolver *repo.Resolver
	Below    string // "oci://HOST/PATH"
	Access   repo.Access
}

// Has asks for the manifest.
func (r *Registry) Has(ctx context.Context, l repo.Listed) (string, error) {
	sum, _, err := r.Resolver.StoredDigest(ctx, r.Below, l.Chart, l.Version, r.Access)
	return sum, err
}

// Put pushes the archive with its provenance; the tag comes last.
func (r *Registry) Put(ctx context.Context, _ repo.Listed, a *repo.Archive) error {
	_, err := r.Resolver.Push(ctx, a, r.Below, r.Access)
	return err
}

// Finish has nothing to do: a registry has no index.
func (r *Registry) Finish(context.Context, bool) error { return nil }
