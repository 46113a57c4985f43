package release

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"sort"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// ListOptions choose and order releases. The zero value lists the deployed and
// the failed ones by name.
type ListOptions struct {
	AllNamespaces bool
	// Statuses to list; nil: deployed and failed.
	Statuses []Status
	All      bool   // whatever the status
	Filter   string // regular expression on names
	Selector string // on the user's labels
	ByDate   bool   // oldest first; else by name
	Reverse  bool
	Offset   int
	Max      int // 0: all
}

// List returns the last revision of each release that fits, without manifest,
// values, and all of the chart but its name and versions. When only superseded ones
// are asked for, all those revisions are listed (Helm's rule).
func (r *Releases) List(ctx context.Context, o ListOptions) ([]*Release, error) {
	filter, err := regexp.Compile(o.Filter)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	which, err := labels.Parse(o.Selector)
	if err != nil {
		return nil, fmt.Errorf("selector: %w", err)
	}
	store := r.store
	if o.AllNamespaces {
		store.namespace = ""
	}
	statuses := o.Statuses
	if len(statuses) == 0 {
		statuses = []Status{StatusDeployed, StatusFailed}
	}
	secrets := labels.Set{"owner": secretOwner}.AsSelector()
	if !o.All && !slices.Contains(statuses, StatusSuperseded) {
		// Superseded revisions are most of them all, and never a release's last.
		current, err := labels.NewRequirement("status", selection.NotEquals, []string{string(StatusSuperseded)})
		if err != nil {
			return nil, err
		}
		secrets = secrets.Add(*current)
	}
	all, err := store.summaries(ctx, secrets)
	if err != nil {
		return nil, err
	}
	if o.All || !slices.Equal(statuses, []Status{StatusSuperseded}) {
		all = latest(all)
	}
	all = slices.DeleteFunc(all, func(rel *Release) bool {
		return !filter.MatchString(rel.Name) || !which.Matches(labels.Set(rel.Labels)) ||
			!o.All && !slices.Contains(statuses, rel.Info.Status)
	})
	o.sort(all)
	all = all[min(max(o.Offset, 0), len(all)):]
	if o.Max > 0 && len(all) > o.Max {
		all = all[:o.Max]
	}
	return all, nil
}

func (o ListOptions) sort(all []*Release) {
	less := func(a, b *Release) bool {
		if o.ByDate && !a.Info.LastDeployed.Equal(b.Info.LastDeployed.Time) {
			return a.Info.LastDeployed.Before(b.Info.LastDeployed.Time)
		}
		if a.Name != b.Name {
			return a.Name < b.Name
		}
		if a.Namespace != b.Namespace {
			return a.Namespace < b.Namespace
		}
		return a.Revision < b.Revision
	}
	sort.SliceStable(all, func(i, j int) bool {
		if o.Reverse {
			i, j = j, i
		}
		return less(all[i], all[j])
	})
}

// latest keeps the highest revision of each release.
func latest(all []*Release) []*Release {
	best := map[[2]string]*Release{}
	for _, rel := range all {
		id := [2]string{rel.Namespace, rel.Name}
		if b := best[id]; b == nil || b.Revision < rel.Revision {
			best[id] = rel
		}
	}
	out := make([]*Release, 0, len(best))
	for _, rel := range best {
		out = append(out, rel)
	}
	return out
}

// Get returns a revision, the last one for 0. Errors: *NotFoundError.
func (r *Releases) Get(ctx context.Context, name string, revision int) (*Release, error) {
	if revision > 0 {
		return r.store.get(ctx, name, revision)
	}
	history, err := r.store.history(ctx, name)
	if err != nil {
		return nil, err
	}
	return history[len(history)-1], nil
}

// Recent is History without the content of revisions before the last that worked: of
// those only number, status and labels are read. Errors: *NotFoundError.
func (r *Releases) Recent(ctx context.Context, name string) ([]*Release, error) {
	return r.store.history(ctx, name)
}

// History returns the revisions of a release, oldest first. Errors: *NotFoundError.
func (r *Releases) History(ctx context.Context, name string) ([]*Release, error) {
	return r.store.revisions(ctx, name)
}
