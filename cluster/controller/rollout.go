package controller

import (
	"cmp"
	"math"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// rolloutPlan is one step of a Deployment.
type rolloutPlan struct {
	create   *appsv1.ReplicaSet   // for a template that has none yet
	update   []setUpdate          // other sizes or annotations
	remove   []*appsv1.ReplicaSet // beyond the history limit
	revision string               // of the new ReplicaSet; "" leaves it
	status   appsv1.DeploymentStatus
	wait     time.Duration // until the progress deadline; 0: none
}

// setUpdate is a changed copy of a ReplicaSet, and its size before.
type setUpdate struct {
	set  *appsv1.ReplicaSet
	from int32
}

// rollout is what planRollout looks at.
type rollout struct {
	d     *appsv1.Deployment
	newer *appsv1.ReplicaSet   // has the Deployment's template; nil before it exists
	old   []*appsv1.ReplicaSet // by age, the oldest first
	all   []*appsv1.ReplicaSet // both
	pods  []*corev1.Pod
	now   time.Time
	plan  rolloutPlan
}

// planRollout computes the next step of d from the ReplicaSets that it owns and
// the pods that its selector matches.
func planRollout(d *appsv1.Deployment, sets []*appsv1.ReplicaSet, pods []*corev1.Pod, now time.Time) rolloutPlan {
	r := &rollout{d: d, pods: pods, now: now}
	r.split(sets)
	status := d.Status.DeepCopy()
	switch {
	case d.DeletionTimestamp != nil:
	case d.Spec.Paused:
		setPaused(status, d, now)
		r.markRevision(status)
		r.scaleAll()
		r.cleanup()
	case r.resized():
		setPaused(status, d, now)
		r.markRevision(status)
		r.scaleAll()
	default:
		setPaused(status, d, now)
		r.markRevision(status)
		r.step(status)
	}
	r.plan.status = r.status(status)
	if d.DeletionTimestamp == nil && !d.Spec.Paused {
		r.progress(&r.plan.status)
	}
	return r.plan
}

// split finds the ReplicaSet with the Deployment's template: the oldest, if
// there are several.
func (r *rollout) split(sets []*appsv1.ReplicaSet) {
	sets = slices.Clone(sets)
	slices.SortFunc(sets, byAge)
	for _, s := range sets {
		if r.newer == nil && sameTemplate(&s.Spec.Template, &r.d.Spec.Template) {
			r.newer = s
		} else {
			r.old = append(r.old, s)
		}
	}
	r.all = sets
}

// resized tells whether the Deployment was scaled since its ReplicaSets were
// last sized: then they share the difference, and no rollout step is taken.
func (r *rollout) resized() bool {
	for _, s := range r.all {
		desired, ok := desiredReplicas(s)
		if *s.Spec.Replicas > 0 && ok && desired != *r.d.Spec.Replicas {
			return true
		}
	}
	return false
}

// step takes one rollout step: the first of these that changes anything.
func (r *rollout) step(status *appsv1.DeploymentStatus) {
	if r.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		if r.scaleDownAll() || r.oldPodsRun() {
			return
		}
	}
	if r.newer == nil {
		r.plan.create = newSet(r.d, r.old, r.newSize(nil))
		r.plan.revision = r.plan.create.Annotations[revisionAnnotation]
		if r.d.Spec.ProgressDeadlineSeconds != nil {
			setProgress(status, corev1.ConditionTrue, reasonCreated, "Created new replica set "+quote(r.plan.create.Name), r.now)
		}
		return
	}
	if r.resize(r.newer, r.newSize(r.newer)) {
		return
	}
	if r.d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType && r.scaleDownOld() {
		return
	}
	if r.complete(r.status(r.d.Status.DeepCopy())) {
		r.cleanup()
	}
}

// newSize is how large the new ReplicaSet may be now.
func (r *rollout) newSize(s *appsv1.ReplicaSet) int32 {
	want, have := *r.d.Spec.Replicas, int32(0)
	if s != nil {
		have = *s.Spec.Replicas
	}
	if r.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType || have >= want {
		return want
	}
	surge, _ := fenceposts(r.d)
	room := want + surge - specReplicas(r.all)
	if room <= 0 {
		return have
	}
	return have + min(room, want-have)
}

// scaleDownAll empties the old ReplicaSets (Recreate).
func (r *rollout) scaleDownAll() bool {
	changed := false
	for _, s := range r.old {
		if *s.Spec.Replicas > 0 {
			changed = r.resize(s, 0) || changed
		}
	}
	return changed
}

// oldPodsRun tells whether a pod of an old template is still there (Recreate).
func (r *rollout) oldPodsRun() bool {
	old := map[string]bool{}
	for _, s := range r.old {
		old[string(s.UID)] = true
	}
	return slices.ContainsFunc(r.pods, func(p *corev1.Pod) bool {
		ref := controllerOf(p)
		return ref != nil && old[string(ref.UID)] && !podFinished(p)
	})
}

// scaleDownOld takes replicas from the old ReplicaSets, the unhealthy first,
// such that enough pods stay available.
func (r *rollout) scaleDownOld() bool {
	if specReplicas(r.old) == 0 {
		return false
	}
	_, unavailable := fenceposts(r.d)
	least := *r.d.Spec.Replicas - unavailable
	notYet := *r.newer.Spec.Replicas - r.newer.Status.AvailableReplicas
	spare := specReplicas(r.all) - least - notYet
	if spare <= 0 {
		return false
	}
	size := map[*appsv1.ReplicaSet]int32{}
	for _, s := range r.old {
		size[s] = *s.Spec.Replicas
		if sick := size[s] - s.Status.AvailableReplicas; sick > 0 && spare > 0 {
			n := min(spare, sick)
			size[s] -= n
			spare -= n
		}
	}
	var available int32
	for _, s := range r.all {
		available += s.Status.AvailableReplicas
	}
	extra := available - least
	changed := false
	for _, s := range r.old {
		if n := min(size[s], extra); n > 0 {
			size[s] -= n
			extra -= n
		}
		if size[s] != *s.Spec.Replicas {
			changed = r.resize(s, size[s]) || changed
		}
	}
	return changed
}

// scaleAll spreads the Deployment's size over its ReplicaSets in proportion to
// theirs (a scale during a rollout or pause).
func (r *rollout) scaleAll() {
	if one := r.activeOrLatest(); one != nil {
		r.resize(one, *r.d.Spec.Replicas)
		return
	}
	if r.newer != nil && saturated(r.d, r.newer) {
		r.scaleDownAll()
		return
	}
	if r.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return
	}
	active := withReplicas(r.all)
	allowed := int32(0)
	if *r.d.Spec.Replicas > 0 {
		surge, _ := fenceposts(r.d)
		allowed = *r.d.Spec.Replicas + surge
	}
	toAdd := allowed - specReplicas(active)
	slices.SortFunc(active, func(a, b *appsv1.ReplicaSet) int {
		age := byAge(a, b)
		if toAdd > 0 {
			age = -age // the newer grow first, the older shrink first
		}
		return cmp.Or(cmp.Compare(*b.Spec.Replicas, *a.Spec.Replicas), age)
	})
	r.spread(active, toAdd)
}

// spread adds toAdd (which may be negative) replicas to sets in proportion.
func (r *rollout) spread(sets []*appsv1.ReplicaSet, toAdd int32) {
	sizes, added := make([]int32, len(sets)), int32(0)
	for i, s := range sets {
		sizes[i] = *s.Spec.Replicas
		if toAdd == 0 {
			continue
		}
		share := r.fraction(s)
		if toAdd > 0 {
			share = min(share, toAdd-added)
		} else {
			share = max(share, toAdd-added)
		}
		sizes[i] += share
		added += share
	}
	for i, s := range sets {
		if i == 0 {
			sizes[i] = max(sizes[i]+toAdd-added, 0)
		}
		r.resize(s, sizes[i])
	}
}

// fraction is by how much s should change to keep its part of the whole.
func (r *rollout) fraction(s *appsv1.ReplicaSet) int32 {
	if *r.d.Spec.Replicas == 0 {
		return -*s.Spec.Replicas
	}
	before, ok := maxReplicas(s)
	if !ok || before == 0 {
		if before = r.d.Status.Replicas; before == 0 {
			return 0
		}
	}
	surge, _ := fenceposts(r.d)
	size := float64(*s.Spec.Replicas*(*r.d.Spec.Replicas+surge)) / float64(before)
	return int32(math.Round(size)) - *s.Spec.Replicas
}

// activeOrLatest returns the only ReplicaSet with replicas, the newest when
// none has any, and nil when several have.
func (r *rollout) activeOrLatest() *appsv1.ReplicaSet {
	switch active := withReplicas(r.all); {
	case len(active) == 1:
		return active[0]
	case len(active) > 1:
		return nil
	case r.newer != nil:
		return r.newer
	case len(r.old) > 0:
		return r.old[len(r.old)-1]
	}
	return nil
}

// resize plans a ReplicaSet's size and the annotations that remember what the
// Deployment wanted. It tells whether the size changed.
func (r *rollout) resize(s *appsv1.ReplicaSet, size int32) bool {
	surge, _ := fenceposts(r.d)
	u := r.updating(s)
	u.set.Spec.Replicas = new(size)
	noteReplicas(u.set, *r.d.Spec.Replicas, *r.d.Spec.Replicas+surge)
	r.dropUnchanged(s, u.set)
	return size != *s.Spec.Replicas
}

// updating returns the planned update of s, made if need be.
func (r *rollout) updating(s *appsv1.ReplicaSet) *setUpdate {
	for i := range r.plan.update {
		if r.plan.update[i].set.UID == s.UID {
			return &r.plan.update[i]
		}
	}
	r.plan.update = append(r.plan.update, setUpdate{s.DeepCopy(), *s.Spec.Replicas})
	return &r.plan.update[len(r.plan.update)-1]
}

// cleanup plans to delete empty old ReplicaSets beyond the history limit, the
// lowest revisions first.
func (r *rollout) cleanup() {
	if r.d.Spec.RevisionHistoryLimit == nil {
		return
	}
	var alive []*appsv1.ReplicaSet
	for _, s := range r.old {
		if s.DeletionTimestamp == nil {
			alive = append(alive, s)
		}
	}
	excess := len(alive) - int(*r.d.Spec.RevisionHistoryLimit)
	if excess <= 0 {
		return
	}
	slices.SortStableFunc(alive, func(a, b *appsv1.ReplicaSet) int { return cmp.Compare(revision(a), revision(b)) })
	for _, s := range alive[:excess] {
		if s.Status.Replicas == 0 && *s.Spec.Replicas == 0 && s.Generation <= s.Status.ObservedGeneration {
			r.plan.remove = append(r.plan.remove, s)
		}
	}
}

// fenceposts resolves maxSurge (rounded up) and maxUnavailable (rounded down).
// When both come out as 0 one pod may be unavailable, or nothing could move.
func fenceposts(d *appsv1.Deployment) (surge, unavailable int32) {
	r := d.Spec.Strategy.RollingUpdate
	if d.Spec.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType || r == nil {
		return 0, 0
	}
	total := int(*d.Spec.Replicas)
	resolve := func(v *intstr.IntOrString, up bool) int32 {
		n, err := intstr.GetScaledValueFromIntOrPercent(intstr.ValueOrDefault(v, intstr.FromInt32(0)), total, up)
		if err != nil {
			return 0
		}
		return int32(n)
	}
	surge, unavailable = resolve(r.MaxSurge, true), resolve(r.MaxUnavailable, false)
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, min(unavailable, *d.Spec.Replicas)
}

// saturated tells whether s alone is the whole Deployment.
func saturated(d *appsv1.Deployment, s *appsv1.ReplicaSet) bool {
	desired, ok := desiredReplicas(s)
	want := *d.Spec.Replicas
	return ok && desired == want && *s.Spec.Replicas == want && s.Status.AvailableReplicas == want
}

func withReplicas(sets []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	return slices.DeleteFunc(slices.Clone(sets), func(s *appsv1.ReplicaSet) bool { return *s.Spec.Replicas == 0 })
}

func specReplicas(sets []*appsv1.ReplicaSet) int32 {
	var n int32
	for _, s := range sets {
		n += *s.Spec.Replicas
	}
	return n
}

func byAge(a, b *appsv1.ReplicaSet) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}
