package controller

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// revisionHashLabel is on ControllerRevisions; pods carry the revision's name.
const revisionHashLabel = "controller.kubernetes.io/hash"

// statefulRevisions are the templates between which a set rolls.
type statefulRevisions struct {
	current, update *appsv1.ControllerRevision
	collisions      int32
}

func (c *statefulSets) lineage(set *appsv1.StatefulSet) lineage {
	return lineage{
		verbs: c.verbs, owner: owner{object: set, kind: builtin.StatefulSets.Kind},
		template: &set.Spec.Template, limit: set.Spec.RevisionHistoryLimit, label: revisionHashLabel,
		hash: func(data []byte, collisions int32) string {
			h := fnv.New32()
			h.Write(data)
			h.Write([]byte(strconv.Itoa(int(collisions))))
			return rand.SafeEncodeString(fmt.Sprint(h.Sum32()))
		},
	}
}

// revisions finds or creates the revision of set's template, and the current one.
func (c *statefulSets) revisions(ctx context.Context, set *appsv1.StatefulSet, history []*appsv1.ControllerRevision) (statefulRevisions, error) {
	r := statefulRevisions{collisions: value(set.Status.CollisionCount, 0)}
	var err error
	if r.update, err = c.lineage(set).latest(ctx, history, &r.collisions); err != nil {
		return r, err
	}
	r.current = r.update
	for _, h := range history {
		if h.Name == set.Status.CurrentRevision {
			r.current = h
		}
	}
	return r, nil
}

// truncateHistory deletes revisions beyond the limit that no pod has.
func (c *statefulSets) truncateHistory(ctx context.Context, set *appsv1.StatefulSet, pods []*corev1.Pod, history []*appsv1.ControllerRevision, r statefulRevisions) error {
	live := map[string]bool{r.current.Name: true, r.update.Name: true}
	for _, p := range pods {
		live[podRevision(p)] = true
	}
	return c.lineage(set).truncate(ctx, history, func(h *appsv1.ControllerRevision) bool { return live[h.Name] })
}
