package scheduler

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Reasons of the inter-pod affinity filter.
const (
	reasonAffinity     = "node(s) didn't match pod affinity rules"
	reasonAntiAffinity = "node(s) didn't match pod anti-affinity rules"
	reasonExisting     = "node(s) didn't satisfy existing pods anti-affinity rules"
)

// term is an affinity term ready to match pods.
type term struct {
	selector   labels.Selector
	namespaces []string
	nsSelector labels.Selector
	topology   string
}

func newTerm(owner *corev1.Pod, t *corev1.PodAffinityTerm) term {
	c := term{selector: matching(t.LabelSelector), namespaces: t.Namespaces, nsSelector: labels.Nothing(), topology: t.TopologyKey}
	for _, key := range t.MatchLabelKeys {
		if v, ok := owner.Labels[key]; ok {
			c.selector = with(c.selector, key, v)
		}
	}
	if t.NamespaceSelector != nil {
		c.nsSelector = matching(t.NamespaceSelector)
	} else if len(c.namespaces) == 0 {
		c.namespaces = []string{owner.Namespace}
	}
	return c
}

func matching(s *metav1.LabelSelector) labels.Selector {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return selector
}

func with(s labels.Selector, key, v string) labels.Selector {
	r, err := labels.NewRequirement(key, "=", []string{v})
	if err != nil {
		return labels.Nothing()
	}
	return s.Add(*r)
}

func (t term) matches(p *corev1.Pod, w world) bool {
	if p.DeletionTimestamp != nil {
		return false
	}
	return t.covers(p, w)
}

// covers is matches for a pod that is not there yet.
func (t term) covers(p *corev1.Pod, w world) bool {
	in := slices.Contains(t.namespaces, p.Namespace)
	if !in {
		var of labels.Set
		if ns := w.namespaces[p.Namespace]; ns != nil {
			of = ns.Labels
		}
		in = t.nsSelector.Matches(of)
	}
	return in && t.selector.Matches(labels.Set(p.Labels))
}

func terms(owner *corev1.Pod, all []corev1.PodAffinityTerm) []term {
	var ts []term
	for i := range all {
		ts = append(ts, newTerm(owner, &all[i]))
	}
	return ts
}

func requiredTerms(p *corev1.Pod) (near, apart []term) {
	a := p.Spec.Affinity
	if a == nil {
		return nil, nil
	}
	if a.PodAffinity != nil {
		near = terms(p, a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
	}
	if a.PodAntiAffinity != nil {
		apart = terms(p, a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
	}
	return near, apart
}

// domain is one value of a topology key: a zone, a host.
type domain struct{ key, value string }

// podAffinity keeps to the required affinity and anti-affinity of the pod, and
// to the anti-affinity of those that are there. The first pod of a group that
// wants to be near itself may go anywhere the topology is known.
func podAffinity(pod *corev1.Pod, w world) filter {
	near, apart := requiredTerms(pod)
	repelled := repelledFrom(pod, w)
	nearIn, apartIn := make([]map[domain]bool, len(near)), domains(apart, w)
	anyNear := false
	for i := range near {
		nearIn[i] = domains(near[i:i+1], w)
		anyNear = anyNear || len(nearIn[i]) > 0
	}
	first := !anyNear && !slices.ContainsFunc(near, func(t term) bool { return !t.covers(pod, w) })
	return func(_ *corev1.Pod, n *nodeInfo) *refusal {
		for i, t := range near {
			v, ok := n.node.Labels[t.topology]
			if !ok || (!nearIn[i][domain{t.topology, v}] && !first) {
				return never(reasonAffinity)
			}
		}
		for _, t := range apart {
			if v, ok := n.node.Labels[t.topology]; ok && apartIn[domain{t.topology, v}] {
				return because(reasonAntiAffinity)
			}
		}
		for d := range repelled {
			if v, ok := n.node.Labels[d.key]; ok && v == d.value {
				return because(reasonExisting)
			}
		}
		return nil
	}
}

// domains are where pods are that any of the terms matches.
func domains(ts []term, w world) map[domain]bool {
	in := map[domain]bool{}
	for _, t := range ts {
		for _, n := range w.nodes {
			v, ok := n.node.Labels[t.topology]
			if ok && slices.ContainsFunc(n.pods, func(p *corev1.Pod) bool { return t.matches(p, w) }) {
				in[domain{t.topology, v}] = true
			}
		}
	}
	return in
}

// repelledFrom are the domains that pods keep free of the likes of pod.
func repelledFrom(pod *corev1.Pod, w world) map[domain]bool {
	in := map[domain]bool{}
	for _, n := range w.nodes {
		for _, p := range n.repelling {
			_, apart := requiredTerms(p)
			for _, t := range apart {
				if v, ok := n.node.Labels[t.topology]; ok && t.covers(pod, w) {
					in[domain{t.topology, v}] = true
				}
			}
		}
	}
	return in
}

// preferredPods scores nodes by the preferred affinity terms of the pod.
func preferredPods(pod *corev1.Pod, nodes []*nodeInfo, w world) []float64 {
	a := pod.Spec.Affinity
	if a == nil {
		return nil
	}
	weights := map[domain]float64{}
	add := func(all []corev1.WeightedPodAffinityTerm, sign float64) {
		for i := range all {
			t := newTerm(pod, &all[i].PodAffinityTerm)
			for _, n := range w.nodes {
				v, ok := n.node.Labels[t.topology]
				if !ok {
					continue
				}
				for _, p := range n.pods {
					if t.matches(p, w) {
						weights[domain{t.topology, v}] += sign * float64(all[i].Weight)
					}
				}
			}
		}
	}
	if a.PodAffinity != nil {
		add(a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution, 1)
	}
	if a.PodAntiAffinity != nil {
		add(a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution, -1)
	}
	if len(weights) == 0 {
		return nil
	}
	v := make([]float64, len(nodes))
	for i, n := range nodes {
		for d, weight := range weights {
			if value, ok := n.node.Labels[d.key]; ok && value == d.value {
				v[i] += weight
			}
		}
	}
	return v
}
