package release

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object"
)

// Times of Leases. One that was not renewed for leaseLife is dead.
const (
	leaseLife   = 15 * time.Second
	leaseRenew  = 5 * time.Second
	leasePoll   = time.Second
	leasePrefix = "pkg.internal."
	// afterwards bounds what is still done when an operation was interrupted.
	afterwards = 15 * time.Second
)

// errTakenOver ends an operation whose Lease another one has taken.
var errTakenOver = errors.New("another operation has taken over this release")

// locker takes Leases on releases. Exactly one operation works on a release; the
// rules are those of a crash: a holder whose process is gone from this machine is
// dead at once, any other when it has not renewed for leaseLife, by our clock.
type locker struct {
	cluster   Cluster
	namespace string
	self      Identity
	alive     func(Identity) (alive, known bool)
	say       func(format string, args ...any)
	now       func() time.Time
}

// lease is a held one.
type lease struct {
	locker
	key  object.Key
	uid  types.UID
	stop context.CancelFunc
	done chan struct{}
}

// acquire takes the Lease of a release, waiting up to timeout (0: as long as it
// takes) for a holder that may be dead. The returned context ends when the Lease
// is lost. Errors: *BusyError.
func (l locker) acquire(ctx context.Context, name string, timeout time.Duration) (context.Context, *lease, error) {
	h := &lease{locker: l, key: object.Key{Namespace: l.namespace, Name: leasePrefix + name}, done: make(chan struct{})}
	start := l.now()
	var seen struct { // of the holder we wait for
		text, renewed string
		since         time.Time
	}
	for {
		current, err := l.cluster.Get(ctx, leases(), h.key)
		switch {
		case apierrors.IsNotFound(err):
			err = h.create(ctx)
		case apierrors.IsForbidden(err):
			l.say("no permission for Leases in namespace %s: another operation on %s would not be noticed", l.namespace, name)
			close(h.done)
			return ctx, h, nil
		case err == nil:
			u, uerr := asUnstructured(current)
			if uerr != nil {
				return nil, nil, uerr
			}
			text, renewed := u.GetAnnotations()[holderAnnotation], fieldsOf(u).text("spec", "renewTime")
			if text != seen.text {
				seen.text, seen.renewed, seen.since = text, renewed, l.now()
			}
			var wait bool
			if wait, err = l.judge(name, text, seen.renewed != renewed, l.now().Sub(seen.since)); err == nil && !wait {
				err = h.take(ctx, u)
			} else if err == nil {
				if err = l.pause(ctx, name, text, start, timeout); err == nil {
					continue
				}
			}
		}
		if err == nil {
			return h.hold(ctx), h, nil
		}
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			return nil, nil, err
		}
	}
}

// judge decides about a Lease that somebody holds: wait for it to expire, take it
// (neither), or *BusyError.
func (l locker) judge(name, holder string, renewedMeanwhile bool, seenFor time.Duration) (wait bool, err error) {
	who, ok := decodeIdentity(holder)
	if !ok {
		return seenFor < leaseLife && holder != "", nil
	}
	alive, known := l.alive(who)
	switch {
	case known && alive, renewedMeanwhile:
		return false, &BusyError{Name: name, Who: who.String()}
	case known:
		l.say("taking over from %s, which has ended", who)
		return false, nil
	case seenFor < leaseLife:
		if seenFor == 0 {
			l.say("waiting up to %s for %s, which may be running", leaseLife, who)
		}
		return true, nil
	}
	l.say("taking over from %s, which has not been heard of for %s", who, leaseLife)
	return false, nil
}

// pause waits until it is time to look again.
func (l locker) pause(ctx context.Context, name, holder string, start time.Time, timeout time.Duration) error {
	if timeout > 0 && l.now().Sub(start) >= timeout {
		who, _ := decodeIdentity(holder)
		return &BusyError{Name: name, Who: who.String()}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(leasePoll):
		return nil
	}
}

func (h *lease) body() *unstructured.Unstructured {
	now := h.now().UTC().Format(metav1.RFC3339Micro)
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
		"metadata": map[string]any{
			"name": h.key.Name, "namespace": h.key.Namespace,
			"annotations": map[string]any{holderAnnotation: h.self.encode()},
		},
		"spec": map[string]any{
			"holderIdentity":       h.self.String(),
			"leaseDurationSeconds": int64(leaseLife / time.Second),
			"acquireTime":          now, "renewTime": now,
		},
	}}
}

func (h *lease) create(ctx context.Context) error {
	o, err := h.cluster.Create(ctx, leases(), h.body(), object.WriteOptions{FieldManager: fieldManager})
	if err != nil {
		return err
	}
	h.uid = o.GetUID()
	return nil
}

// take replaces a dead holder's Lease; Conflict if somebody was faster.
func (h *lease) take(ctx context.Context, dead *unstructured.Unstructured) error {
	o := h.body()
	o.SetResourceVersion(dead.GetResourceVersion())
	o.SetUID(dead.GetUID())
	done, err := h.cluster.Update(ctx, leases(), o, object.WriteOptions{FieldManager: fieldManager})
	if err != nil {
		return err
	}
	h.uid = done.GetUID()
	return nil
}

// hold renews the Lease until it is released.
func (h *lease) hold(ctx context.Context) context.Context {
	ctx, lost := context.WithCancelCause(ctx)
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop = stop
	go func() { // ends with release
		defer close(h.done)
		tick := time.NewTicker(leaseRenew)
		defer tick.Stop()
		for {
			select {
			case <-renewing.Done():
				return
			case <-tick.C:
			}
			// What fails for other reasons is tried again at the next tick.
			if err := h.renew(renewing); errors.Is(err, errTakenOver) {
				lost(err)
				return
			}
		}
	}()
	return ctx
}

func (h *lease) renew(ctx context.Context) error {
	current, err := h.cluster.Get(ctx, leases(), h.key)
	if apierrors.IsNotFound(err) { // the server lost it: Leases may be kept in memory only
		return h.create(ctx)
	}
	if err != nil {
		return err
	}
	if current.GetAnnotations()[holderAnnotation] != h.self.encode() {
		return errTakenOver
	}
	u, err := asUnstructured(current)
	if err != nil {
		return err
	}
	u = u.DeepCopy()
	if err := unstructured.SetNestedField(u.Object, h.now().UTC().Format(metav1.RFC3339Micro), "spec", "renewTime"); err != nil {
		return err
	}
	_, err = h.cluster.Update(ctx, leases(), u, object.WriteOptions{FieldManager: fieldManager})
	return err
}

// release gives the Lease back, also when ctx has ended.
func (h *lease) release(ctx context.Context) error {
	if h.stop == nil {
		return nil
	}
	h.stop()
	<-h.done
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	current, err := h.cluster.Get(ctx, leases(), h.key)
	if err == nil && current.GetAnnotations()[holderAnnotation] == h.self.encode() {
		uid, version := current.GetUID(), current.GetResourceVersion()
		_, err = h.cluster.Delete(ctx, leases(), h.key, object.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}})
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("give back the lease on %s: %w", h.key, err)
	}
	return nil
}
