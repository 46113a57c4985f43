package controller

import (
	"cmp"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// daemonPlan is one step of a DaemonSet.
type daemonPlan struct {
	create []*corev1.Pod
	remove []*corev1.Pod
	ended  []*corev1.Pod // to remove too, those that failed after a backoff
	status appsv1.DaemonSetStatus
	wait   time.Duration // until a ready pod becomes available; 0: none
}

// daemon is what planDaemon looks at.
type daemon struct {
	set                *appsv1.DaemonSet
	nodes              []daemonNodeInfo // by name
	hash               string           // of the present template
	now                time.Time
	surge, unavailable int
	plan               daemonPlan
}

// daemonNodeInfo is a node, what a DaemonSet may have on it and what it has.
type daemonNodeInfo struct {
	name      string
	run, stay bool          // a pod should be created; those there may stay
	pods      []*corev1.Pod // the oldest first
}

// planDaemon computes the next step: one pod on every node that fits, none
// where the node does not or is gone; then, with RollingUpdate, pods of an
// older template are replaced within maxUnavailable or, when maxSurge allows
// it, after their successors became available. Pure.
func planDaemon(set *appsv1.DaemonSet, nodes []*corev1.Node, pods []*corev1.Pod, hash string, now time.Time) daemonPlan {
	d := &daemon{set: set, hash: hash, now: now}
	d.sort(nodes, pods)
	d.limits()
	for _, n := range d.nodes {
		d.manage(n)
	}
	if set.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType {
		if d.surge > 0 {
			d.surgeUpdate()
		} else {
			d.replaceUpdate()
		}
	}
	d.count()
	return d.plan
}

// sort assigns pods to nodes, those that are gone included.
func (d *daemon) sort(nodes []*corev1.Node, pods []*corev1.Pod) {
	byNode := map[string]*daemonNodeInfo{}
	for _, n := range nodes {
		i := &daemonNodeInfo{name: n.Name}
		i.run, i.stay = daemonFits(d.set, n)
		byNode[n.Name] = i
	}
	for _, p := range pods {
		name := daemonNode(p)
		if byNode[name] == nil {
			byNode[name] = &daemonNodeInfo{name: name}
		}
		byNode[name].pods = append(byNode[name].pods, p)
	}
	for _, name := range slices.Sorted(maps.Keys(byNode)) {
		n := byNode[name]
		slices.SortFunc(n.pods, func(a, b *corev1.Pod) int {
			return cmp.Or(boolOrder(a.Spec.NodeName == "", b.Spec.NodeName == ""),
				a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
		})
		d.nodes = append(d.nodes, *n)
	}
}

// limits computes maxSurge and maxUnavailable, which round up; both 0 make
// unavailable 1.
func (d *daemon) limits() {
	want := 0
	for _, n := range d.nodes {
		if n.run {
			want++
		}
	}
	if r := d.set.Spec.UpdateStrategy.RollingUpdate; r != nil {
		d.surge, d.unavailable = scaled(r.MaxSurge, want), scaled(r.MaxUnavailable, want)
	}
	if d.surge == 0 && d.unavailable == 0 {
		d.unavailable = 1
	}
}

// scaled is a number, or a percentage of total rounded up; invalid ones are 0.
func scaled(v *intstr.IntOrString, total int) int {
	if v == nil {
		return 0
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(v, total, true)
	if err != nil {
		return 0
	}
	return n
}

// manage plans for one node without regard to the template.
func (d *daemon) manage(n daemonNodeInfo) {
	var here []*corev1.Pod
	for _, p := range n.pods {
		switch {
		case p.DeletionTimestamp != nil:
		case !n.stay:
			d.plan.remove = append(d.plan.remove, p)
		case podFinished(p):
			d.plan.ended = append(d.plan.ended, p)
		default:
			here = append(here, p)
		}
	}
	switch {
	case n.run && len(n.pods) == 0:
		d.plan.create = append(d.plan.create, d.newPod(n.name))
	case len(here) <= 1:
	case d.surge == 0:
		d.plan.remove = append(d.plan.remove, here[1:]...)
	default:
		d.prune(here)
	}
}

// prune leaves one old pod and one new, and the old one only until the new one
// is available.
func (d *daemon) prune(here []*corev1.Pod) {
	var kept, old *corev1.Pod
	for _, p := range here {
		switch {
		case podRevision(p) == d.hash && kept == nil:
			kept = p
		case podRevision(p) != d.hash && old == nil:
			old = p
		default:
			d.plan.remove = append(d.plan.remove, p)
		}
	}
	if kept != nil && old != nil && (!podReady(old) || d.available(kept)) {
		d.plan.remove = append(d.plan.remove, old)
	}
}

// versions finds the one pod of the present template and the one of another
// among the pods that stay; ok is false when there are more.
func (d *daemon) versions(n daemonNodeInfo) (current, old *corev1.Pod, ok bool) {
	for _, p := range n.pods {
		slot := &old
		if podRevision(p) == d.hash {
			slot = &current
		}
		switch {
		case p.DeletionTimestamp != nil:
		case *slot != nil:
			return nil, nil, false
		default:
			*slot = p
		}
	}
	return current, old, true
}

// replaceUpdate removes old pods: those that are not available at once, others
// as far as maxUnavailable allows.
func (d *daemon) replaceUpdate() {
	down := 0
	var candidates []*corev1.Pod
	for _, n := range d.nodes {
		if !n.run && (!n.stay || len(n.pods) == 0) {
			continue
		}
		current, old, ok := d.versions(n)
		switch {
		case !ok, (current == nil) == (old == nil):
			down++
		case current != nil:
			if !d.available(current) {
				down++
			}
		case d.available(old):
			candidates = append(candidates, old)
		default:
			down++
			d.replace(old)
		}
	}
	for _, p := range candidates[:min(max(d.unavailable-down, 0), len(candidates))] {
		d.replace(p)
	}
}

// replace removes a pod that manage has not dealt with.
func (d *daemon) replace(p *corev1.Pod) {
	if !podFinished(p) {
		d.plan.remove = append(d.plan.remove, p)
	}
}

// surgeUpdate creates new pods beside old ones: where the old one is not
// available at once, elsewhere as far as maxSurge allows. prune removes the old.
func (d *daemon) surgeUpdate() {
	extra := 0
	var candidates []string
	for _, n := range d.nodes {
		if !n.run || len(n.pods) == 0 {
			continue
		}
		current, old, ok := d.versions(n)
		switch {
		case !ok, current != nil && old != nil && !d.available(current):
			extra++
		case old == nil || current != nil || podFinished(old):
		case !d.available(old):
			d.plan.create = append(d.plan.create, d.newPod(n.name))
		default:
			candidates = append(candidates, n.name)
		}
	}
	for _, name := range candidates[:min(max(d.surge-extra, 0), len(candidates))] {
		d.plan.create = append(d.plan.create, d.newPod(name))
	}
}

// count fills the status. Of several pods on a node, a node is ready with any.
func (d *daemon) count() {
	st := &d.plan.status
	st.ObservedGeneration = d.set.Generation
	st.CollisionCount = d.set.Status.CollisionCount
	st.Conditions = d.set.Status.Conditions
	for _, n := range d.nodes {
		if !n.run {
			if len(n.pods) > 0 {
				st.NumberMisscheduled++
			}
			continue
		}
		st.DesiredNumberScheduled++
		if len(n.pods) == 0 {
			continue
		}
		st.CurrentNumberScheduled++
		if slices.ContainsFunc(n.pods, podReady) {
			st.NumberReady++
		}
		if slices.ContainsFunc(n.pods, d.available) {
			st.NumberAvailable++
		}
		if slices.ContainsFunc(n.pods, func(p *corev1.Pod) bool { return podRevision(p) == d.hash && p.DeletionTimestamp == nil }) {
			st.UpdatedNumberScheduled++
		}
	}
	st.NumberUnavailable = st.DesiredNumberScheduled - st.NumberAvailable
}

// available tells whether p was ready for long enough; if it soon will be, the
// plan waits for it.
func (d *daemon) available(p *corev1.Pod) bool {
	ok, wait := podAvailable(p, seconds(d.set.Spec.MinReadySeconds), d.now)
	d.plan.wait = sooner(d.plan.wait, wait)
	return ok
}

func (d *daemon) newPod(node string) *corev1.Pod {
	p := fromTemplate(&d.set.Spec.Template, owner{object: d.set, kind: builtin.DaemonSets.Kind})
	setLabels(p, map[string]string{appsv1.DefaultDaemonSetUniqueLabelKey: d.hash})
	p.Spec.Tolerations = daemonTolerations(&p.Spec)
	p.Spec.Affinity = onlyOn(p.Spec.Affinity, node)
	return p
}
