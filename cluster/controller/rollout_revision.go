package controller

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/utils/dump"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Annotations of ReplicaSets (the revision also of Deployments), which kubectl
// rollout history and undo read.
const (
	revisionAnnotation        = "deployment.kubernetes.io/revision"
	revisionHistoryAnnotation = "deployment.kubernetes.io/revision-history"
	desiredAnnotation         = "deployment.kubernetes.io/desired-replicas"
	maxAnnotation             = "deployment.kubernetes.io/max-replicas"
)

// maxRevisionHistory is how long the list of former revisions may get, in characters.
const maxRevisionHistory = 2000

// notCopied are a Deployment's annotations that are not its ReplicaSets'.
func notCopied(key string) bool {
	switch key {
	case corev1.LastAppliedConfigAnnotation, revisionAnnotation, revisionHistoryAnnotation,
		desiredAnnotation, maxAnnotation, appsv1.DeprecatedRollbackTo:
		return true
	}
	return false
}

// templateHash names a template: FNV-32a of its dump in Kubernetes' form, and
// of the number of collisions so far, in letters that spell no words.
func templateHash(t *corev1.PodTemplateSpec, collisions *int32) string {
	h := fnv.New32a()
	fmt.Fprintf(h, "%v", dump.ForHash(*t))
	if collisions != nil {
		var b [8]byte
		binary.LittleEndian.PutUint32(b[:], uint32(*collisions))
		h.Write(b[:])
	}
	return rand.SafeEncodeString(fmt.Sprint(h.Sum32()))
}

// sameTemplate compares templates without the hash label.
func sameTemplate(a, b *corev1.PodTemplateSpec) bool {
	plain := func(t *corev1.PodTemplateSpec) corev1.PodTemplateSpec {
		c := *t
		c.Labels = maps.Clone(t.Labels)
		delete(c.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
		return c
	}
	return equality.Semantic.DeepEqual(plain(a), plain(b))
}

// newSet makes the ReplicaSet for d's template.
func newSet(d *appsv1.Deployment, old []*appsv1.ReplicaSet, size int32) *appsv1.ReplicaSet {
	hash := templateHash(&d.Spec.Template, d.Status.CollisionCount)
	template := d.Spec.Template.DeepCopy()
	if template.Labels == nil {
		template.Labels = map[string]string{}
	}
	template.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	selector := d.Spec.Selector.DeepCopy()
	if selector.MatchLabels == nil {
		selector.MatchLabels = map[string]string{}
	}
	selector.MatchLabels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	set := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name:            d.Name + "-" + hash,
			Namespace:       d.Namespace,
			Labels:          maps.Clone(template.Labels),
			OwnerReferences: []metav1.OwnerReference{object.ControllerRef(d, builtin.Deployments.Kind)},
		},
		Spec: appsv1.ReplicaSetSpec{
			Replicas:        &size,
			MinReadySeconds: d.Spec.MinReadySeconds,
			Selector:        selector,
			Template:        *template,
		},
	}
	copyAnnotations(set, d)
	setAnnotation(set, revisionAnnotation, strconv.FormatInt(maxRevision(old)+1, 10))
	surge, _ := fenceposts(d)
	noteReplicas(set, *d.Spec.Replicas, *d.Spec.Replicas+surge)
	return set
}

// markRevision keeps the new ReplicaSet's annotations and minReadySeconds as
// the Deployment has them, and gives it the highest revision: a template that
// comes back (undo) becomes the latest.
func (r *rollout) markRevision(status *appsv1.DeploymentStatus) {
	if r.newer == nil {
		return
	}
	u := r.updating(r.newer)
	copyAnnotations(u.set, r.d)
	if next := maxRevision(r.old) + 1; revision(u.set) < next {
		if was := u.set.Annotations[revisionAnnotation]; was != "" {
			setAnnotation(u.set, revisionHistoryAnnotation, appendRevision(u.set.Annotations[revisionHistoryAnnotation], was))
		}
		setAnnotation(u.set, revisionAnnotation, strconv.FormatInt(next, 10))
	}
	u.set.Spec.MinReadySeconds = r.d.Spec.MinReadySeconds
	r.plan.revision = u.set.Annotations[revisionAnnotation]
	r.dropUnchanged(r.newer, u.set)
	if hasDeadline(r.d) && deploymentCondition(status, appsv1.DeploymentProgressing) == nil {
		setProgress(status, corev1.ConditionTrue, reasonFound, "Found new replica set "+quote(r.newer.Name), r.now)
	}
}

// dropUnchanged takes a planned update back that changes nothing.
func (r *rollout) dropUnchanged(old, updated *appsv1.ReplicaSet) {
	if !equality.Semantic.DeepEqual(old, updated) {
		return
	}
	for i := range r.plan.update {
		if r.plan.update[i].set == updated {
			r.plan.update = append(r.plan.update[:i], r.plan.update[i+1:]...)
			return
		}
	}
}

func copyAnnotations(set *appsv1.ReplicaSet, d *appsv1.Deployment) {
	for k, v := range d.Annotations {
		if !notCopied(k) {
			setAnnotation(set, k, v)
		}
	}
}

// appendRevision adds a revision to a comma-separated list, and drops the
// oldest when it gets too long.
func appendRevision(list, rev string) string {
	if list == "" {
		return rev
	}
	list += "," + rev
	for len(list) > maxRevisionHistory {
		_, list, _ = strings.Cut(list, ",")
	}
	return list
}

func revision(o metav1.Object) int64 {
	n, err := strconv.ParseInt(o.GetAnnotations()[revisionAnnotation], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func maxRevision(sets []*appsv1.ReplicaSet) int64 {
	most := int64(0)
	for _, s := range sets {
		most = max(most, revision(s))
	}
	return most
}

// noteReplicas remembers what the Deployment wanted when it sized the set.
func noteReplicas(set *appsv1.ReplicaSet, desired, most int32) {
	setAnnotation(set, desiredAnnotation, strconv.Itoa(int(desired)))
	setAnnotation(set, maxAnnotation, strconv.Itoa(int(most)))
}

func desiredReplicas(set *appsv1.ReplicaSet) (int32, bool) { return annotated(set, desiredAnnotation) }
func maxReplicas(set *appsv1.ReplicaSet) (int32, bool)     { return annotated(set, maxAnnotation) }

func annotated(o metav1.Object, key string) (int32, bool) {
	n, err := strconv.ParseInt(o.GetAnnotations()[key], 10, 32)
	return int32(n), err == nil
}

func setAnnotation(o metav1.Object, key, v string) {
	a := maps.Clone(o.GetAnnotations())
	if a == nil {
		a = map[string]string{}
	}
	a[key] = v
	o.SetAnnotations(a)
}

func quote(s string) string { return strconv.Quote(s) }
