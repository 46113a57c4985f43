package controller

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/event"
)

// replicas is what a ReplicaSet and a ReplicationController have in common: a
// number of equal pods.
type replicas struct {
	*Set
	events   *event.Recorder
	owner    owner
	want     int32
	template *corev1.PodTemplateSpec
	// related counts the active pods of siblings by node; nil if there are none.
	related func() map[string]int
}

// replicaFailure says why pods could not be created or deleted.
type replicaFailure struct {
	reason string // FailedCreate or FailedDelete
	err    error
}

// scale creates or deletes pods until as many are active as wanted; pods are
// those that the owner manages.
func (r replicas) scale(ctx context.Context, pods []*corev1.Pod) *replicaFailure {
	if r.owner.object.GetDeletionTimestamp() != nil {
		return nil
	}
	create, remove := r.plan(pods, r.now())
	err := createPods(ctx, r.verbs, create, func(p *corev1.Pod, err error) {
		switch {
		case err == nil:
			r.event(corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: %v", p.Name)
		case !namespaceGoing(err):
			r.event(corev1.EventTypeWarning, "FailedCreate", "Error creating: %v", err)
		}
	})
	if err != nil && !namespaceGoing(err) {
		return &replicaFailure{"FailedCreate", err}
	}
	err = deletePods(ctx, r.verbs, remove, func(p *corev1.Pod, err error) {
		if err != nil {
			r.event(corev1.EventTypeWarning, "FailedDelete", "Error deleting: %v", err)
			return
		}
		r.event(corev1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: %v", p.Name)
	})
	if err != nil {
		return &replicaFailure{"FailedDelete", err}
	}
	return nil
}

// plan computes the pods to create and to delete.
func (r replicas) plan(pods []*corev1.Pod, now time.Time) (create, remove []*corev1.Pod) {
	active := activePods(pods)
	diff := int(r.want) - len(active)
	for range min(diff, burst) {
		create = append(create, fromTemplate(r.template, r.owner))
	}
	if diff < 0 {
		var related map[string]int
		if r.related != nil {
			related = r.related()
		}
		deletionOrder(active, related, now)
		remove = active[:min(-diff, burst)]
	}
	return create, remove
}

func (r replicas) event(kind, reason, format string, args ...any) {
	r.events.Event(r.owner.object, r.owner.kind, "", kind, reason, format, args...)
}

// replicaCount is what a status says about pods.
type replicaCount struct {
	active, labeled, ready, available, terminating int32
	wait                                           time.Duration // until a ready pod becomes available
}

func countReplicas(pods []*corev1.Pod, template labels.Set, minReady time.Duration, now time.Time) replicaCount {
	var n replicaCount
	full := template.AsSelectorPreValidated()
	for _, p := range pods {
		if !podActive(p) {
			if !podFinished(p) {
				n.terminating++
			}
			continue
		}
		n.active++
		if full.Matches(labels.Set(p.Labels)) {
			n.labeled++
		}
		if podReady(p) {
			n.ready++
		}
		available, wait := podAvailable(p, minReady, now)
		if available {
			n.available++
		}
		n.wait = sooner(n.wait, wait)
	}
	return n
}
