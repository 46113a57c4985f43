package release

import (
	"context"
	"fmt"
	"time"

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
	who, heard, ok := r.holder(ctx, rel)
	if !ok {
		return what + ": its operation was not pkg's, and is running or was interrupted"
	}
	alive, known := r.Alive(who)
	switch {
	case known && alive:
		return fmt.Sprintf("%s: %s is at work on it", what, who)
	case known:
		return fmt.Sprintf("%s: interrupted, %s has ended without a result; %s", what, who, next)
	case heard.IsZero():
		return fmt.Sprintf("%s: %s holds no Lease on it any more, and was interrupted; %s", what, who, next)
	}
	if silent := r.Now().Sub(heard).Round(time.Second); silent > leaseLife {
		return fmt.Sprintf("%s: %s was last heard of %s ago, and was interrupted; %s", what, who, silent, next)
	}
	return fmt.Sprintf("%s: %s is at work on it", what, who)
}

// holder is who took the revision: who has the Lease, with the time of its last
// renewal, or else has written it.
func (r *Releases) holder(ctx context.Context, rel *Release) (who Identity, heard time.Time, ok bool) {
	l, err := r.Cluster.Get(ctx, leases(), object.Key{Namespace: rel.Namespace, Name: leasePrefix + rel.Name})
	if err == nil {
		if who, ok := decodeIdentity(l.GetAnnotations()[holderAnnotation]); ok {
			return who, renewed(l), true
		}
	}
	who, ok = decodeIdentity(rel.stored.holder)
	return who, time.Time{}, ok
}

// renewed is when a Lease was renewed last, by its holder's clock.
func renewed(l object.Object) time.Time {
	u, err := asUnstructured(l)
	if err != nil {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, fieldsOf(u).text("spec", "renewTime"))
	if err != nil {
		return time.Time{}
	}
	return t
}
