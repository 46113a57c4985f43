package controller

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

const (
	// eventsKept is how long an Event is kept after it last happened, and
	// eventsPoll how often the old ones are deleted.
	eventsKept = time.Hour
	eventsPoll = 5 * time.Minute
)

// expireEvents deletes Events that are too old, now and then.
func (s *Set) expireEvents(ctx context.Context) error {
	ticker := time.NewTicker(eventsPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := s.deleteOldEvents(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("delete old events", "error", err)
		}
	}
}

func (s *Set) deleteOldEvents(ctx context.Context) error {
	all, err := builtin.Events.List(ctx, s.verbs, object.ListOptions{})
	if err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	var group errgroup.Group
	group.SetLimit(deletesAtOnce)
	for _, e := range all {
		last := e.CreationTimestamp.Time
		for _, t := range []time.Time{e.LastTimestamp.Time, e.EventTime.Time} {
			if t.After(last) {
				last = t
			}
		}
		if e.Series != nil && e.Series.LastObservedTime.After(last) {
			last = e.Series.LastObservedTime.Time
		}
		if s.now().Sub(last) < eventsKept {
			continue
		}
		group.Go(func() error {
			d := object.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &e.UID, ResourceVersion: &e.ResourceVersion}}
			err := builtin.Events.Delete(ctx, s.verbs, e.Namespace, e.Name, d)
			if apierrors.IsConflict(err) {
				return nil
			}
			return ignoreNotFound(err)
		})
	}
	return group.Wait()
}
