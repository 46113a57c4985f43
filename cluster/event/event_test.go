package event

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// written keeps the Events that a Recorder writes. Other verbs are not called.
type written struct {
	object.Verbs
	mu     sync.Mutex
	events map[object.Key]*corev1.Event
}

func (w *written) Create(_ context.Context, r object.Resource, o object.Object, _ object.WriteOptions) (object.Object, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.events[object.KeyOf(o)] != nil {
		return nil, apierrors.NewAlreadyExists(r, o.GetName())
	}
	w.events[object.KeyOf(o)] = o.(*corev1.Event)
	return o, nil
}

func (w *written) Update(_ context.Context, r object.Resource, o object.Object, _ object.WriteOptions) (object.Object, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.events[object.KeyOf(o)] == nil {
		return nil, apierrors.NewNotFound(r, o.GetName())
	}
	w.events[object.KeyOf(o)] = o.(*corev1.Event)
	return o, nil
}

// counts returns message -> count.
func (w *written) counts() map[string]int32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int32{}
	for _, e := range w.events {
		out[e.Message] += e.Count
	}
	return out
}

// record runs f with a Recorder in a bubble of fake time.
func record(t *testing.T, f func(r *Recorder, w *written, pod *corev1.Pod)) {
	synctest.Test(t, func(t *testing.T) {
		w := &written{events: map[object.Key]*corev1.Event{}}
		r := New(w, "kubelet", "n1", nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			r.Run(ctx)
			close(done)
		}()
		f(r, w, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: "1"}})
		cancel()
		<-done
	})
}

func TestSameThingIsCounted(t *testing.T) {
	record(t, func(r *Recorder, w *written, pod *corev1.Pod) {
		for range 3 {
			r.Event(pod, builtin.Pods.Kind, "spec.containers{c}", corev1.EventTypeWarning, "BackOff", "back-off")
			time.Sleep(time.Minute) // of the bubble's clock
			synctest.Wait()
		}
		r.Event(pod, builtin.Pods.Kind, "spec.containers{c}", corev1.EventTypeWarning, "Failed", "no %s", "image")
		synctest.Wait()
		if len(w.events) != 2 || w.counts()["back-off"] != 3 || w.counts()["no image"] != 1 {
			t.Errorf("%d Events with counts %v; want back-off 3 times in one", len(w.events), w.counts())
		}
		for _, e := range w.events {
			if e.Message == "back-off" && e.LastTimestamp.Sub(e.FirstTimestamp.Time) != 2*time.Minute {
				t.Errorf("from %s to %s", e.FirstTimestamp, e.LastTimestamp)
			}
		}
	})
}

// An Event that was deleted meanwhile is written anew.
func TestDeletedEventIsWrittenAgain(t *testing.T) {
	record(t, func(r *Recorder, w *written, pod *corev1.Pod) {
		for range 2 {
			r.Event(pod, builtin.Pods.Kind, "", corev1.EventTypeNormal, "Killing", "stopping")
			time.Sleep(time.Second)
			synctest.Wait()
			w.mu.Lock()
			found := len(w.events)
			clear(w.events)
			w.mu.Unlock()
			if found != 1 {
				t.Errorf("%d Events, want 1", found)
			}
		}
	})
}

// What is queued beyond the limit is dropped; Event never waits.
func TestQueueIsBounded(t *testing.T) {
	r := New(&written{}, "kubelet", "", nil)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"}}
	for range 2 * queueSize {
		r.Event(pod, builtin.Pods.Kind, "", corev1.EventTypeNormal, "Created", "created")
	}
	if len(r.queue) != queueSize {
		t.Errorf("%d queued, want %d", len(r.queue), queueSize)
	}
}
