//go:build !front

package main

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/seed38700745/pkg/cluster/object"
)

// logFollower prints the logs of pods as they come and go.
type logFollower struct {
	c     *connection
	print *logPrinter
	has   func(object.Object) bool
	flags logsFlags
	tasks *errgroup.Group

	mu     sync.Mutex
	synced bool                 // the pods that were there at first are known; guarded by mu
	read   map[string]bool      // by the instance's id; guarded by mu
	last   map[string]logSource // by the instance's id, as last seen; guarded by mu
	ended  map[string]chan bool // by the instance's id, closed when its end is known; guarded by mu
	pods   map[object.Key]bool  // guarded by mu
}

// followLogs prints logs until ctx ends, which is no error, or the output is closed.
func followLogs(ctx context.Context, c *connection, l *logPrinter, namespaces []string, has func(object.Object) bool, f logsFlags) error {
	tasks, ctx := errgroup.WithContext(ctx)
	w := &logFollower{c: c, print: l, has: has, flags: f, tasks: tasks, read: map[string]bool{}, last: map[string]logSource{},
		ended: map[string]chan bool{}, pods: map[object.Key]bool{}}
	var waiting sync.WaitGroup
	waiting.Add(len(namespaces))
	tasks.Go(func() error { // ends when every namespace is known
		waiting.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.synced = true
		if len(w.pods) == 0 {
			l.say("there are no pods now; waiting for some")
		}
		return nil
	})
	for _, namespace := range namespaces {
		var once sync.Once
		synced := func() { once.Do(waiting.Done) }
		tasks.Go(func() error {
			defer synced() // also when ctx ends before
			return object.Follow(ctx, c, podResource(), object.WatchOptions{Namespace: namespace}, object.Handler{
				Changed: func(o object.Object, deleted bool) { w.changed(ctx, o, deleted) },
				Synced:  synced,
			})
		})
	}
	err := tasks.Wait()
	if errors.Is(err, context.Canceled) || l.failed() && errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// changed starts to read what has started.
func (w *logFollower) changed(ctx context.Context, o object.Object, deleted bool) {
	pod, ok := o.(*unstructured.Unstructured)
	if !ok || !w.has(o) {
		return
	}
	key := object.KeyOf(o)
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.pods[key]
	if deleted {
		if known {
			w.print.say("pod %s is gone", key.Name)
		}
		delete(w.pods, key)
	} else {
		w.pods[key] = true
	}
	for _, s := range logSources(pod, w.flags.container) {
		w.last[s.id] = s
		if done := w.ended[s.id]; done != nil && !s.running {
			close(done)
			delete(w.ended, s.id)
		}
		if w.read[s.id] || deleted {
			continue
		}
		w.read[s.id] = true
		options := w.flags.options(s)
		if w.synced { // it is new: from its beginning
			options.Tail = nil
			w.print.say("%s has started", s)
		}
		w.tasks.Go(func() error {
			if err := w.print.copy(ctx, w.c.Client, s, options); err != nil && ctx.Err() == nil {
				if w.print.failed() {
					return err
				}
				w.print.say("log of %s: %v", s, err)
				return nil
			}
			w.tellEnd(ctx, s)
			return nil
		})
	}
}

// endTimeout is how long the cluster may take to tell how a container ended whose
// log has.
const endTimeout = 3 * time.Second

// tellEnd says how a container ended that ran when its log began.
func (w *logFollower) tellEnd(ctx context.Context, s logSource) {
	if !s.running {
		return
	}
	w.mu.Lock()
	done := w.ended[s.id]
	if done == nil {
		done = make(chan bool)
		if w.last[s.id].running {
			w.ended[s.id] = done
		} else {
			close(done)
		}
	}
	w.mu.Unlock()
	select {
	case <-done:
	case <-time.After(endTimeout):
	case <-ctx.Done():
		return
	}
	w.mu.Lock()
	how := w.last[s.id].ended
	w.mu.Unlock()
	if how == "" {
		how = "the cluster does not say how"
	}
	w.print.say("%s has ended (%s)", s, how)
}
