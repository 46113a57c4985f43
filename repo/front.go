//go:build front

package repo

import (
	"context"
	"errors"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/repo/localindex"
)

// A resolver of the front program uses no network and writes nothing. It finds charts in
// folders and archives, built-in ones, and those whose index and archive are in the
// cache. Everything else, also that there is no such chart, is [chart.ErrElsewhere]; the
// functions below stand for those of the files with the tag !front.

// withIndex calls f with the local index of a repository, if there is one that fits.
func (r *Resolver) withIndex(_ context.Context, e *Repository, f func(*localindex.Index) error) error {
	x, fits, err := r.openLocal(e)
	if err != nil || !fits {
		return chart.ErrElsewhere
	}
	if errors.Join(f(x), x.Close()) != nil {
		return chart.ErrElsewhere
	}
	return nil
}

func (r *Resolver) pullOCI(context.Context, Request) (*Archive, error) {
	return nil, chart.ErrElsewhere
}

func (r *Resolver) locateUnlisted(context.Context, Request) (located, error) {
	return located{}, chart.ErrElsewhere
}

func (r *Resolver) accessOf(string, Access) (Access, error) { return Access{}, chart.ErrElsewhere }

// Fetch is the full program's.
func (r *Resolver) Fetch(context.Context, string, Access) ([]byte, error) {
	return nil, chart.ErrElsewhere
}

func (r *Resolver) fetchProvenance(context.Context, located) ([]byte, error) {
	return nil, chart.ErrElsewhere
}

func (r *Resolver) fetchArchive(context.Context, located) ([]byte, error) {
	return nil, chart.ErrElsewhere
}

func (r *Resolver) checkRule(context.Context, Rule, string, *Archive, Request) error {
	return chart.ErrElsewhere
}

func (r *Resolver) notFound(Request, string, []string, error) error { return chart.ErrElsewhere }

func (r *Resolver) noRepository(string) error { return chart.ErrElsewhere }

func (r *Resolver) unknownRepository(string, string) error { return chart.ErrElsewhere }
