package scheduler

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// Reasons of the topology spread filter.
const (
	reasonSpread        = "node(s) didn't match pod topology spread constraints"
	reasonSpreadMissing = "node(s) didn't match pod topology spread constraints (missing required label)"
)

// spread is one topology spread constraint and how many matching pods each
// domain has.
type spread struct {
	key     string
	maxSkew int
	self    int // 1 when the pod counts itself
	count   map[string]int
	least   int
}

// spreads counts for the constraints of one kind (DoNotSchedule, ScheduleAnyway).
func spreads(pod *corev1.Pod, w world, what corev1.UnsatisfiableConstraintAction) []spread {
	var all []spread
	for i := range pod.Spec.TopologySpreadConstraints {
		c := &pod.Spec.TopologySpreadConstraints[i]
		if c.WhenUnsatisfiable != what {
			continue
		}
		selector := matching(c.LabelSelector)
		for _, key := range c.MatchLabelKeys {
			if v, ok := pod.Labels[key]; ok {
				selector = with(selector, key, v)
			}
		}
		s := spread{key: c.TopologyKey, maxSkew: int(c.MaxSkew), count: countPods(pod, c, selector, w)}
		if selector.Matches(labels.Set(pod.Labels)) {
			s.self = 1
		}
		s.least = fewest(s.count)
		if c.MinDomains != nil && len(s.count) < int(*c.MinDomains) {
			s.least = 0
		}
		all = append(all, s)
	}
	return all
}

// countPods counts matching pods by domain, on the nodes that the constraint's
// policies let count: by default those that the pod's node affinity allows.
func countPods(pod *corev1.Pod, c *corev1.TopologySpreadConstraint, selector labels.Selector, w world) map[string]int {
	required := nodeaffinity.GetRequiredNodeAffinity(pod)
	count := map[string]int{}
	for _, n := range w.nodes {
		v, ok := n.node.Labels[c.TopologyKey]
		if !ok {
			continue
		}
		if c.NodeAffinityPolicy == nil || *c.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor {
			if fits, err := required.Match(n.node); err != nil || !fits {
				continue
			}
		}
		if c.NodeTaintsPolicy != nil && *c.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor && taints(pod, n) != nil {
			continue
		}
		count[v] += 0
		for _, p := range n.pods {
			if p.Namespace == pod.Namespace && p.DeletionTimestamp == nil && selector.Matches(labels.Set(p.Labels)) {
				count[v]++
			}
		}
	}
	return count
}

func fewest(count map[string]int) int {
	least := -1
	for _, n := range count {
		if least < 0 || n < least {
			least = n
		}
	}
	return max(least, 0)
}

// topologySpread keeps the difference between domains within maxSkew.
func topologySpread(pod *corev1.Pod, w world) filter {
	all := spreads(pod, w, corev1.DoNotSchedule)
	return func(_ *corev1.Pod, n *nodeInfo) *refusal {
		for _, s := range all {
			v, ok := n.node.Labels[s.key]
			if !ok {
				return never(reasonSpreadMissing)
			}
			if s.count[v]+s.self-s.least > s.maxSkew {
				return because(reasonSpread)
			}
		}
		return nil
	}
}

// preferredSpread prefers domains with fewer matching pods.
func preferredSpread(pod *corev1.Pod, nodes []*nodeInfo, w world) []float64 {
	all := spreads(pod, w, corev1.ScheduleAnyway)
	if len(all) == 0 {
		return nil
	}
	v := make([]float64, len(nodes))
	for i, n := range nodes {
		for _, s := range all {
			v[i] -= float64(s.count[n.node.Labels[s.key]])
		}
	}
	return v
}
