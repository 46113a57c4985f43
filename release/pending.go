package release

import (
	"context"
	"fmt"

	"github.com/seed38700745/pkg/cluster/object"
)

// Unfinished says of a revision that is pending, or of one that is being
// uninstalled, who works on it, or that nobody does any more; "" of all others.
func (r *Releases) Unfinished(ctx context.Context, rel *Release) string {
	status := rel.Info.Status
	if !status.Pending() && status != StatusUninstalling {
		return ""
	}
	what := fmt.Sprintf("revision %d of %s is %s", rel.Revision, rel.Name, status)
	next := "the next install or upgrade goes on from here"
	if status == StatusUninstalling {
		next = "pkg uninstall goes on from here"
	}
	who, ok := r.holder(ctx, rel)
	if !ok {
		return what + ": its operation was not pkg's, and is running or was interrupted"
	}
	alive, known := r.Alive(who)
	switch {
	case known && alive:
		return fmt.Sprintf("%s: %s is at work on it", what, who)
	case known:
		return fmt.Sprintf("%s: interrupted, %s has ended without a result; %s", what, who, next)
	}
	return fmt.Sprintf("%s: %s is at work on it, or was interrupted; then %s", what, who, next)
}

// holder is who took the revision: who has the Lease, or else has written it.
func (r *Releases) holder(ctx context.Context, rel *Release) (Identity, bool) {
	l, err := r.Cluster.Get(ctx, leases(), object.Key{Namespace: rel.Namespace, Name: leasePrefix + rel.Name})
	if err == nil {
		if who, ok := decodeIdentity(l.GetAnnotations()[holderAnnotation]); ok {
			return who, true
		}
	}
	return decodeIdentity(rel.stored.holder)
}
