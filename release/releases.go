package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/seed38700745/pkg/cluster/object"
)

// Config is what Releases work with. Cluster and Namespace are required.
type Config struct {
	Cluster   Cluster
	Namespace string
	// Self is this process, with Command the operation.
	Self Identity
	// Alive tells whether another process runs; Self.Alive if nil.
	Alive func(Identity) (alive, known bool)

	Say func(line string) // progress; nil drops it
	// Table, if set, is shown the states of what is waited for as they change, and nil
	// at the end of each wait; then lines do not tell them.
	Table func([]State)
	Warn  func(line string) // what the user should know; nil drops it
	Logs  io.Writer         // logs that hooks ask to be shown; nil drops them
	// StreamHooks says with Say what hooks and tests write, while they run.
	StreamHooks bool
	Now         func() time.Time // nil: time.Now
}

// Releases are the releases of one namespace of a cluster.
type Releases struct {
	Config
	store storage
}

// New returns Releases. Nothing is asked of the cluster yet.
func New(c Config) *Releases {
	if c.Alive == nil {
		c.Alive = c.Self.Alive
	}
	// What is done side by side is said one after another.
	var talking sync.Mutex
	inTurn := func(tell func(string)) func(string) {
		return func(line string) {
			if tell != nil {
				talking.Lock()
				defer talking.Unlock()
				tell(line)
			}
		}
	}
	c.Say, c.Warn = inTurn(c.Say), inTurn(c.Warn)
	if c.Logs == nil {
		c.Logs = io.Discard
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Releases{Config: c, store: storage{cluster: c.Cluster, namespace: c.Namespace, now: c.Now}}
}

// WaitMode says when an operation waits for its objects.
type WaitMode int

// Wait modes.
const (
	// WaitAfter waits when everything is done and recorded as deployed: what
	// Helm would have done is unchanged, but the caller learns whether it works.
	WaitAfter WaitMode = iota
	// WaitBefore is Helm's --wait: before the post-hooks, and what is not ready in
	// time makes the revision failed.
	WaitBefore
	// WaitNot returns once applied.
	WaitNot
)

// DryRun says how an operation is only shown.
type DryRun int

// Dry runs: the cluster is asked for lookups with DryRunServer only.
const (
	DryRunNone DryRun = iota
	DryRunServer
	DryRunClient
)

// Options are common to the operations; the zero value is a plain operation that
// waits for ever.
type Options struct {
	Timeout     time.Duration // of each thing waited for; 0: none
	Wait        WaitMode
	WaitForJobs bool
	// StableFor is how long everything has to stay ready for the wait to end well; a
	// container that crashes meanwhile fails it.
	StableFor   time.Duration
	DryRun      DryRun
	NoHooks     bool
	Description string // instead of "Install complete"

	Force          bool // recreate objects whose immutable fields change
	ForceConflicts bool // take over fields that other managers own
	TakeOwnership  bool // adopt objects of anybody
	KindsOnly      bool // apply in Helm's order of kinds, whatever refers to what
	CleanupOnFail  bool // remove what a failed operation created
	Atomic         bool // go back when it fails; implies WaitBefore
	HistoryMax     int  // revisions kept; 0: all
	// Labels are added to the Secret of the revision; the value "null" removes.
	Labels map[string]string
}

func (r *Releases) say(format string, args ...any) { r.Say(fmt.Sprintf(format, args...)) }

func (r *Releases) waiter(g goal) waiter {
	return waiter{cluster: r.Cluster, namespace: r.Namespace, goal: g, say: r.say, now: r.Now, table: r.Table}
}

// lock takes the Lease of a release and puts right what an interrupted operation
// left. The returned function gives the Lease back.
func (r *Releases) lock(ctx context.Context, name string, o Options) (context.Context, func(), error) {
	l := locker{cluster: r.Cluster, namespace: r.Namespace, self: r.Self, alive: r.Alive, say: r.say, now: r.Now}
	held, lease, err := l.acquire(ctx, name, o.Timeout)
	if err != nil {
		return nil, nil, err
	}
	unlock := func() {
		if err := lease.release(ctx); err != nil {
			r.Warn(err.Error())
		}
	}
	if err := r.settleInterrupted(held, name); err != nil {
		unlock()
		return nil, nil, err
	}
	return held, unlock, nil
}

// foreignPending is how long a pending revision that pkg has not written is left
// to its author: helm's default timeout. helm leaves no sign of being alive.
const foreignPending = 5 * time.Minute

// settleInterrupted marks a pending last revision, whose operation has ended
// without a result, as failed. Errors: *BusyError if the operation may be running.
func (r *Releases) settleInterrupted(ctx context.Context, name string) error {
	history, err := r.store.outline(ctx, name)
	var missing *NotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return err
	}
	last := history[len(history)-1]
	if !last.Info.Status.Pending() {
		return nil
	}
	if last, err = r.store.whole(ctx, last); err != nil {
		return err
	}
	by := "helm"
	if who, ok := decodeIdentity(last.stored.holder); ok {
		by = who.String()
		if alive, known := r.Alive(who); known && alive && who != r.Self {
			return &BusyError{Name: name, Who: by, Since: last.stored.written}
		}
	} else if age := r.Now().Sub(last.stored.written); age < foreignPending {
		return &BusyError{Name: name, Who: fmt.Sprintf("revision %d is %s, not written by pkg; it is taken for dead in %s",
			last.Revision, last.Info.Status, (foreignPending - age).Round(time.Second)), Since: last.stored.written}
	}
	r.say("revision %d of %s (%s) was interrupted: %s ended without a result; it is marked failed", last.Revision, name, last.Info.Status, by)
	last.Info.Description = fmt.Sprintf("interrupted while %s (%s)", last.Info.Status, by)
	last.Info.Status = StatusFailed
	return r.store.update(ctx, last, "")
}

// history is storage.history with nil for a release that does not exist.
func (r *Releases) history(ctx context.Context, name string) ([]*Release, error) {
	h, err := r.store.history(ctx, name)
	var missing *NotFoundError
	if errors.As(err, &missing) {
		return nil, nil
	}
	return h, err
}

// namespaceMissing tells whether the namespace certainly does not exist. Who may
// not look is taken to have one.
func (r *Releases) namespaceMissing(ctx context.Context) (bool, error) {
	_, err := r.Cluster.Get(ctx, namespaces(), object.Key{Name: r.Namespace})
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err == nil, apierrors.IsForbidden(err):
		return false, nil
	}
	return false, err
}

func (r *Releases) createNamespace(ctx context.Context) error {
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"name": r.Namespace, "labels": map[string]any{"name": r.Namespace}}, // Helm's label
	}}
	_, err := r.Cluster.Create(ctx, namespaces(), o, object.WriteOptions{FieldManager: fieldManager})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace %s: %w", r.Namespace, err)
	}
	if err == nil {
		r.say("created namespace %s", r.Namespace)
	}
	return nil
}

// propagation turns --cascade into Kubernetes' word.
func propagation(cascade string) (*metav1.DeletionPropagation, error) {
	var p metav1.DeletionPropagation
	switch cascade {
	case "", "background":
		p = metav1.DeletePropagationBackground
	case "foreground":
		p = metav1.DeletePropagationForeground
	case "orphan":
		p = metav1.DeletePropagationOrphan
	default:
		return nil, fmt.Errorf("cascade %q is not background, foreground or orphan", cascade)
	}
	return &p, nil
}
