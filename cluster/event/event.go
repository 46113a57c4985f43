// Package event records what happened to objects as Kubernetes Events, so that
// describe and get events show it. The same thing happening again raises the
// count of its Event instead of adding one.
package event

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Limits of a Recorder.
const (
	queueSize  = 1024             // events that wait to be written; more are dropped
	remembered = 4096             // recent Events that can still be counted up
	sameWithin = 10 * time.Minute // Kubernetes' window for one series
)

// Recorder writes Events. Make one with New; Run writes what Event queues.
type Recorder struct {
	verbs     object.Verbs
	component string
	host      string
	now       func() time.Time
	queue     chan *corev1.Event

	mu     sync.Mutex
	recent map[recentKey]*corev1.Event // guarded by mu
}

// recentKey tells events apart that must not be counted together.
type recentKey struct {
	uid, kind, namespace, name, fieldPath, eventType, reason, message string
}

// New returns a Recorder for a component ("kubelet", "default-scheduler") on a
// host (may be empty). now may be nil.
func New(v object.Verbs, component, host string, now func() time.Time) *Recorder {
	if now == nil {
		now = time.Now
	}
	return &Recorder{verbs: v, component: component, host: host, now: now,
		queue: make(chan *corev1.Event, queueSize), recent: map[recentKey]*corev1.Event{}}
}

// Event records that something happened to o, whose kind is gvk. fieldPath
// narrows it to a part ("spec.containers{mysql}") or is empty. eventType is
// corev1.EventTypeNormal or EventTypeWarning. It never blocks.
func (r *Recorder) Event(o metav1.Object, gvk schema.GroupVersionKind, fieldPath, eventType, reason, format string, args ...any) {
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	now := metav1.NewTime(r.now())
	namespace := o.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	e := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      fmt.Sprintf("%s.%x", o.GetName(), now.UnixNano()),
		},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind,
			Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(),
			ResourceVersion: o.GetResourceVersion(), FieldPath: fieldPath,
		},
		Type: eventType, Reason: reason, Message: message,
		Source:              corev1.EventSource{Component: r.component, Host: r.host},
		ReportingController: r.component, ReportingInstance: r.host,
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}
	select {
	case r.queue <- e:
	default:
	}
}

// Run writes queued events until ctx ends.
func (r *Recorder) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-r.queue:
			r.write(ctx, e)
		}
	}
}

// write stores e, or counts up the Event that already says the same. A failed
// write loses the event: events are a courtesy, not a record.
func (r *Recorder) write(ctx context.Context, e *corev1.Event) {
	k := recentKey{string(e.InvolvedObject.UID), e.InvolvedObject.Kind, e.Namespace, e.InvolvedObject.Name,
		e.InvolvedObject.FieldPath, e.Type, e.Reason, e.Message}
	r.mu.Lock()
	old := r.recent[k]
	r.mu.Unlock()
	w := object.WriteOptions{FieldManager: r.component}
	if old != nil && e.LastTimestamp.Sub(old.LastTimestamp.Time) < sameWithin {
		again := old.DeepCopy()
		again.Count++
		again.LastTimestamp = e.LastTimestamp
		again.ResourceVersion = ""
		stored, err := builtin.Events.Update(ctx, r.verbs, again, w)
		if err == nil {
			r.remember(k, stored)
			return
		}
		if !apierrors.IsNotFound(err) {
			return
		}
	}
	if stored, err := builtin.Events.Create(ctx, r.verbs, e, w); err == nil {
		r.remember(k, stored)
	}
}

func (r *Recorder) remember(k recentKey, e *corev1.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.recent) >= remembered {
		clear(r.recent)
	}
	r.recent[k] = e
}
