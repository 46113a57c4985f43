package controller

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// revisionHashLabel is on ControllerRevisions; pods carry the revision's name.
const revisionHashLabel = "controller.kubernetes.io/hash"

// revisionNameRoom is how much of the owner's name a revision's name keeps.
const revisionNameRoom = 223

// statefulRevisions are the templates between which a set rolls.
type statefulRevisions struct {
	current, update *appsv1.ControllerRevision
	collisions      int32
}

// revisions finds or creates the revision of set's template, and the current one.
func (c *statefulSets) revisions(ctx context.Context, set *appsv1.StatefulSet, history []*appsv1.ControllerRevision) (statefulRevisions, error) {
	r := statefulRevisions{collisions: value(set.Status.CollisionCount, 0)}
	history = slices.Clone(history)
	slices.SortFunc(history, byRevision)
	next := int64(1)
	if n := len(history); n > 0 {
		next = history[n-1].Revision + 1
	}
	data, err := revisionData(set)
	if err != nil {
		return r, err
	}
	equal := slices.DeleteFunc(slices.Clone(history), func(h *appsv1.ControllerRevision) bool { return !sameData(h.Data.Raw, data) })
	switch n := len(equal); {
	case n > 0 && equal[n-1].Revision == next-1:
		r.update = equal[n-1]
	case n > 0: // an earlier template came back: it becomes the latest
		changed := equal[n-1].DeepCopy()
		changed.Revision = next
		if r.update, err = builtin.ControllerRevisions.Update(ctx, c.verbs, changed, write()); err != nil {
			return r, err
		}
	default:
		if r.update, err = c.createRevision(ctx, set, data, next, &r.collisions); err != nil {
			return r, err
		}
	}
	r.current = r.update
	for _, h := range history {
		if h.Name == set.Status.CurrentRevision {
			r.current = h
		}
	}
	return r, nil
}

// createRevision stores a revision under a name made of the hash of its data
// and, when that is taken by another, of a number that counts collisions.
func (c *statefulSets) createRevision(ctx context.Context, set *appsv1.StatefulSet, data []byte, number int64, collisions *int32) (*appsv1.ControllerRevision, error) {
	for {
		rev := newRevision(set, data, number, *collisions)
		stored, err := builtin.ControllerRevisions.Create(ctx, c.verbs, rev.DeepCopy(), write())
		if !apierrors.IsAlreadyExists(err) {
			return stored, err
		}
		existing, err := builtin.ControllerRevisions.Get(ctx, c.verbs, rev.Namespace, rev.Name)
		if err != nil {
			return nil, err
		}
		if object.ControlledBy(existing, set) && sameData(existing.Data.Raw, data) {
			return existing, nil
		}
		*collisions++
	}
}

func newRevision(set *appsv1.StatefulSet, data []byte, number int64, collisions int32) *appsv1.ControllerRevision {
	h := fnv.New32()
	h.Write(data)
	h.Write([]byte(strconv.Itoa(int(collisions))))
	hash := rand.SafeEncodeString(fmt.Sprint(h.Sum32()))
	labels := maps.Clone(set.Spec.Template.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[revisionHashLabel] = hash
	return &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Name:            set.Name[:min(len(set.Name), revisionNameRoom)] + "-" + hash,
			Namespace:       set.Namespace,
			Labels:          labels,
			Annotations:     maps.Clone(set.Annotations),
			OwnerReferences: []metav1.OwnerReference{object.ControllerRef(set, builtin.StatefulSets.Kind)},
		},
		Data:     runtime.RawExtension{Raw: data},
		Revision: number,
	}
}

// revisionData is the strategic merge patch that puts set's template back:
// what kubectl rollout undo applies.
func revisionData(set *appsv1.StatefulSet) ([]byte, error) {
	encoded, err := json.Marshal(set.Spec.Template)
	if err != nil {
		return nil, fmt.Errorf("encode template: %w", err)
	}
	template := map[string]any{}
	if err := json.Unmarshal(encoded, &template); err != nil {
		return nil, fmt.Errorf("encode template: %w", err)
	}
	template["$patch"] = "replace"
	return json.Marshal(map[string]any{"spec": map[string]any{"template": template}})
}

// revisionTemplate is the inverse of revisionData.
func revisionTemplate(r *appsv1.ControllerRevision) (*corev1.PodTemplateSpec, error) {
	var data struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(r.Data.Raw, &data); err != nil {
		return nil, fmt.Errorf("controller revision %s: %w", r.Name, err)
	}
	return &data.Spec.Template, nil
}

// sameData compares revision data by meaning: the API may have stored it with
// other spacing or order.
func sameData(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	ca, errA := json.Marshal(x)
	cb, errB := json.Marshal(y)
	return errA == nil && errB == nil && bytes.Equal(ca, cb)
}

// truncateHistory deletes revisions beyond the limit that no pod has.
func (c *statefulSets) truncateHistory(ctx context.Context, set *appsv1.StatefulSet, pods []*corev1.Pod, history []*appsv1.ControllerRevision, r statefulRevisions) error {
	live := map[string]bool{r.current.Name: true, r.update.Name: true}
	for _, p := range pods {
		live[podRevision(p)] = true
	}
	dead := slices.DeleteFunc(slices.Clone(history), func(h *appsv1.ControllerRevision) bool { return live[h.Name] })
	slices.SortFunc(dead, byRevision)
	excess := len(dead) - int(value(set.Spec.RevisionHistoryLimit, 10))
	for _, h := range dead[:max(excess, 0)] {
		if err := builtin.ControllerRevisions.Delete(ctx, c.verbs, h.Namespace, h.Name, uidOnly(h.UID)); ignoreNotFound(err) != nil {
			return fmt.Errorf("delete old revision %s: %w", h.Name, err)
		}
	}
	return nil
}

func byRevision(a, b *appsv1.ControllerRevision) int {
	return cmp.Or(cmp.Compare(a.Revision, b.Revision), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}
