package controller

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// statefulPlan is one step of a StatefulSet.
type statefulPlan struct {
	create []*corev1.Pod
	remove []removal
	repair []*corev1.Pod // changed copies: identity or claims were missing
	claims []*corev1.Pod // pending pods, whose claims may have been deleted
	status appsv1.StatefulSetStatus
	wait   time.Duration // until a ready pod becomes available; 0: none
}

// removal is a pod to delete. reason is set when it is recreated because it ended.
type removal struct {
	pod    *corev1.Pod
	reason string
}

// stateful is what planStateful looks at.
type stateful struct {
	set       *appsv1.StatefulSet
	revisions statefulRevisions
	now       time.Time
	monotonic bool          // OrderedReady: one pod at a time, in order
	slots     []*corev1.Pod // by ordinal from start; nil: there is none
	condemned []*corev1.Pod // beyond the wanted ones, the largest ordinal first
	plan      statefulPlan
}

// planStateful computes the next step. In order:
//   - missing or ended pods from the smallest ordinal, the next one only when
//     all before it are available (unless Parallel);
//   - then pods beyond the wanted ones are deleted from the largest;
//   - then, with RollingUpdate, pods of an older revision are deleted from the
//     largest ordinal down to the partition, each when all above are healthy.
//
// As in Kubernetes, a rollout that is stuck on a broken pod stays stuck under
// OrderedReady, also when the template is put right: the pod must be deleted.
func planStateful(set *appsv1.StatefulSet, pods []*corev1.Pod, r statefulRevisions, now time.Time) (statefulPlan, error) {
	s := &stateful{set: set, revisions: r, now: now,
		monotonic: set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement}
	s.sort(pods)
	s.count(pods)
	if err := s.step(); err != nil {
		return statefulPlan{}, err
	}
	s.completeUpdate()
	return s.plan, nil
}

// sort puts pods into slots by ordinal.
func (s *stateful) sort(pods []*corev1.Pod) {
	start := startOrdinal(s.set)
	s.slots = make([]*corev1.Pod, value(s.set.Spec.Replicas, 1))
	for _, p := range pods {
		n, ok := ordinal(s.set, p)
		if !ok {
			continue
		}
		if n >= start && n < start+len(s.slots) {
			s.slots[n-start] = p
		} else {
			s.condemned = append(s.condemned, p)
		}
	}
	slices.SortFunc(s.condemned, func(a, b *corev1.Pod) int {
		x, _ := ordinal(s.set, a)
		y, _ := ordinal(s.set, b)
		return y - x
	})
}

// count fills the status from the pods that exist.
func (s *stateful) count(pods []*corev1.Pod) {
	st := &s.plan.status
	st.ObservedGeneration = s.set.Generation
	st.CurrentRevision, st.UpdateRevision = s.revisions.current.Name, s.revisions.update.Name
	st.CollisionCount = new(s.revisions.collisions)
	st.Conditions = s.set.Status.Conditions
	for _, p := range pods {
		if _, ok := ordinal(s.set, p); !ok {
			continue
		}
		st.Replicas++
		if running(p) && podReady(p) {
			st.ReadyReplicas++
			if s.available(p) {
				st.AvailableReplicas++
			}
		}
		if p.DeletionTimestamp != nil {
			continue
		}
		s.countRevision(podRevision(p), 1)
	}
}

func (s *stateful) countRevision(name string, by int32) {
	if name == s.revisions.current.Name {
		s.plan.status.CurrentReplicas += by
	}
	if name == s.revisions.update.Name {
		s.plan.status.UpdatedReplicas += by
	}
}

func (s *stateful) step() error {
	for i, p := range s.slots {
		stop, err := s.stepSlot(startOrdinal(s.set)+i, p)
		if stop || err != nil {
			return err
		}
	}
	if s.scaleDown() {
		return nil
	}
	s.update()
	return nil
}

// stepSlot plans for one wanted ordinal, and tells whether to wait for it.
func (s *stateful) stepSlot(n int, p *corev1.Pod) (stop bool, err error) {
	switch {
	case p == nil:
		pod, err := s.newPod(n)
		if err != nil {
			return true, err
		}
		s.plan.create = append(s.plan.create, pod)
		s.plan.status.Replicas++
		s.countRevision(podRevision(pod), 1)
		return s.monotonic, nil
	case podFinished(p):
		if p.DeletionTimestamp == nil {
			reason := "RecreatingFailedPod"
			if p.Status.Phase == corev1.PodSucceeded {
				reason = "RecreatingTerminatedPod"
			}
			s.plan.remove = append(s.plan.remove, removal{p, reason})
		}
		return s.monotonic, nil
	case p.DeletionTimestamp != nil:
		return s.monotonic, nil
	}
	if p.Status.Phase == corev1.PodPending {
		s.plan.claims = append(s.plan.claims, p)
	}
	if s.monotonic && !s.available(p) {
		return true, nil
	}
	if repaired, changed := withIdentity(s.set, p); changed {
		s.plan.repair = append(s.plan.repair, repaired)
	}
	return false, nil
}

// scaleDown plans to delete condemned pods, and tells whether to wait for them.
func (s *stateful) scaleDown() (stop bool) {
	sick := s.firstUnhealthy()
	for _, p := range s.condemned {
		switch {
		case p.DeletionTimestamp != nil:
			if s.monotonic {
				return true
			}
			continue
		case s.monotonic && p != sick && !s.available(p):
			return true
		}
		s.plan.remove = append(s.plan.remove, removal{pod: p})
		s.countRevision(podRevision(p), -1)
		if s.monotonic {
			return true
		}
	}
	return false
}

// firstUnhealthy is the unhealthy pod with the smallest ordinal, or nil. Only
// that one may be deleted though it is not available.
func (s *stateful) firstUnhealthy() *corev1.Pod {
	for _, p := range s.slots {
		if p != nil && !s.healthy(p) {
			return p
		}
	}
	for _, p := range slices.Backward(s.condemned) {
		if !s.healthy(p) {
			return p
		}
	}
	return nil
}

// update plans to delete the pod of an older revision with the largest ordinal.
func (s *stateful) update() {
	if s.set.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		return
	}
	least := max(partition(s.set)-startOrdinal(s.set), 0)
	for i := len(s.slots) - 1; i >= least; i-- {
		p := s.slots[i]
		if p == nil {
			return
		}
		if podRevision(p) != s.revisions.update.Name && p.DeletionTimestamp == nil {
			s.plan.remove = append(s.plan.remove, removal{pod: p})
			s.countRevision(podRevision(p), -1)
			return
		}
		if !s.healthy(p) {
			return
		}
	}
}

// completeUpdate makes the update revision the current one when every pod has
// it and is ready.
func (s *stateful) completeUpdate() {
	st := &s.plan.status
	if s.set.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		return
	}
	if st.UpdatedReplicas == st.Replicas && st.ReadyReplicas == st.Replicas {
		st.CurrentReplicas = st.UpdatedReplicas
		st.CurrentRevision = st.UpdateRevision
	}
}

// newPod makes the pod for ordinal n: of the current revision below the
// partition, of the update revision else.
func (s *stateful) newPod(n int) (*corev1.Pod, error) {
	use := s.revisions.update
	if u := s.set.Spec.UpdateStrategy; u.Type == appsv1.RollingUpdateStatefulSetStrategyType {
		if u.RollingUpdate == nil && n < startOrdinal(s.set)+int(s.set.Status.CurrentReplicas) ||
			u.RollingUpdate != nil && n < partition(s.set) {
			use = s.revisions.current
		}
	}
	template, err := revisionTemplate(use)
	if err != nil {
		return nil, err
	}
	return statefulPod(s.set, template, n, use.Name), nil
}

// available tells whether p was ready for long enough; if it soon will be, the
// plan waits for it.
func (s *stateful) available(p *corev1.Pod) bool {
	if !running(p) {
		return false
	}
	ok, wait := podAvailable(p, time.Duration(s.set.Spec.MinReadySeconds)*time.Second, s.now)
	s.plan.wait = sooner(s.plan.wait, wait)
	return ok
}

func (s *stateful) healthy(p *corev1.Pod) bool { return s.available(p) && p.DeletionTimestamp == nil }

func running(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning }

func startOrdinal(set *appsv1.StatefulSet) int {
	if set.Spec.Ordinals == nil {
		return 0
	}
	return int(set.Spec.Ordinals.Start)
}

// partition is the smallest ordinal that is updated.
func partition(set *appsv1.StatefulSet) int {
	if r := set.Spec.UpdateStrategy.RollingUpdate; r != nil && r.Partition != nil {
		return startOrdinal(set) + int(*r.Partition)
	}
	return startOrdinal(set)
}
