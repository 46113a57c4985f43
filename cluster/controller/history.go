package controller

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// revisionNameRoom is how much of the owner's name a revision's name keeps.
const revisionNameRoom = 223

// lineage is how an object keeps its pod template's history in
// ControllerRevisions: StatefulSets and DaemonSets do, and differ in names.
type lineage struct {
	verbs    object.Verbs
	owner    owner
	template *corev1.PodTemplateSpec
	limit    *int32 // old revisions that are kept
	label    string // on revisions: their hash
	// hash is the end of a revision's name.
	hash func(data []byte, collisions int32) string
}

// latest finds or creates the revision of the present template. collisions
// counts names that were taken by others.
func (l lineage) latest(ctx context.Context, history []*appsv1.ControllerRevision, collisions *int32) (*appsv1.ControllerRevision, error) {
	history = slices.Clone(history)
	slices.SortFunc(history, byRevision)
	next := int64(1)
	if n := len(history); n > 0 {
		next = history[n-1].Revision + 1
	}
	data, err := revisionData(l.template)
	if err != nil {
		return nil, err
	}
	equal := slices.DeleteFunc(slices.Clone(history), func(h *appsv1.ControllerRevision) bool { return !sameData(h.Data.Raw, data) })
	switch n := len(equal); {
	case n > 0 && equal[n-1].Revision == next-1:
		return equal[n-1], nil
	case n > 0: // an earlier template came back: it becomes the latest
		changed := equal[n-1].DeepCopy()
		changed.Revision = next
		return builtin.ControllerRevisions.Update(ctx, l.verbs, changed, write())
	}
	return l.create(ctx, data, next, collisions)
}

// create stores a revision under a name made of the hash of its data and, when
// that is taken by another, of a number that counts collisions.
func (l lineage) create(ctx context.Context, data []byte, number int64, collisions *int32) (*appsv1.ControllerRevision, error) {
	for {
		rev := l.revision(data, number, *collisions)
		stored, err := builtin.ControllerRevisions.Create(ctx, l.verbs, rev.DeepCopy(), write())
		if !apierrors.IsAlreadyExists(err) {
			return stored, err
		}
		existing, err := builtin.ControllerRevisions.Get(ctx, l.verbs, rev.Namespace, rev.Name)
		if err != nil {
			return nil, err
		}
		if object.ControlledBy(existing, l.owner.object) && sameData(existing.Data.Raw, data) {
			return existing, nil
		}
		*collisions++
	}
}

func (l lineage) revision(data []byte, number int64, collisions int32) *appsv1.ControllerRevision {
	o := l.owner.object
	hash := l.hash(data, collisions)
	labels := maps.Clone(l.template.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[l.label] = hash
	return &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Name:            o.GetName()[:min(len(o.GetName()), revisionNameRoom)] + "-" + hash,
			Namespace:       o.GetNamespace(),
			Labels:          labels,
			Annotations:     maps.Clone(o.GetAnnotations()),
			OwnerReferences: []metav1.OwnerReference{object.ControllerRef(o, l.owner.kind)},
		},
		Data:     runtime.RawExtension{Raw: data},
		Revision: number,
	}
}

// truncate deletes the oldest revisions beyond the limit of those that are not live.
func (l lineage) truncate(ctx context.Context, history []*appsv1.ControllerRevision, live func(*appsv1.ControllerRevision) bool) error {
	dead := slices.DeleteFunc(slices.Clone(history), live)
	slices.SortFunc(dead, byRevision)
	excess := len(dead) - int(value(l.limit, 10))
	for _, h := range dead[:max(excess, 0)] {
		if err := builtin.ControllerRevisions.Delete(ctx, l.verbs, h.Namespace, h.Name, uidOnly(h.UID)); ignoreNotFound(err) != nil {
			return fmt.Errorf("delete old revision %s: %w", h.Name, err)
		}
	}
	return nil
}

// revisionData is the strategic merge patch that puts a template back: what
// kubectl rollout undo applies.
func revisionData(t *corev1.PodTemplateSpec) ([]byte, error) {
	encoded, err := json.Marshal(t)
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

func byRevision(a, b *appsv1.ControllerRevision) int {
	return cmp.Or(cmp.Compare(a.Revision, b.Revision), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}
