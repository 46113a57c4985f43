package scheduler

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// Every score is from 0 to most, and counts with its weight (Kubernetes' defaults).
const (
	most            = 100
	weightResources = 1                 // least allocated, and balanced
	weightAffinity  = 2                 // preferred node and pod affinity
	weightTaints    = 3                 // untolerated PreferNoSchedule taints
	weightSpread    = 2                 // ScheduleAnyway spread constraints
	defaultCPU      = 100               // thousandths, of pods that ask for none
	defaultMemory   = 200 * 1024 * 1024 // bytes, likewise
)

// score is one rule for which nodes are better. It returns one number a node,
// of any scale; the larger the better.
type score struct {
	weight float64
	of     []float64
}

// best returns the node with the highest sum of weighted, normalized scores.
func best(pod *corev1.Pod, nodes []*nodeInfo, w world) *nodeInfo {
	if len(nodes) == 1 {
		return nodes[0]
	}
	cpu, memory := fractions(pod, nodes)
	scores := []score{
		{weightTaints, normalized(fewTaints(pod, nodes))},
		{weightAffinity, normalized(preferredNodes(pod, nodes))},
		{weightAffinity, normalized(preferredPods(pod, nodes, w))},
		{weightSpread, normalized(preferredSpread(pod, nodes, w))},
		{weightResources, leastAllocated(cpu, memory)},
		{weightResources, balanced(cpu, memory)},
	}
	chosen, highest := nodes[0], math.Inf(-1)
	for i, n := range nodes {
		sum := 0.0
		for _, s := range scores {
			if s.of != nil {
				sum += s.weight * s.of[i]
			}
		}
		if sum > highest {
			chosen, highest = n, sum
		}
	}
	return chosen
}

// normalized scales numbers to 0..most; nil and all equal ones say nothing.
func normalized(v []float64) []float64 {
	if v == nil {
		return nil
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, x := range v {
		low, high = min(low, x), max(high, x)
	}
	if low == high {
		return nil
	}
	for i := range v {
		v[i] = most * (v[i] - low) / (high - low)
	}
	return v
}

// fractions returns which part of each node's CPU and memory would be taken.
func fractions(pod *corev1.Pod, nodes []*nodeInfo) (cpu, memory []float64) {
	want := requests(pod)
	part := func(name corev1.ResourceName, otherwise int64) []float64 {
		asked, parts := max(want[name], otherwise), make([]float64, len(nodes))
		for i, n := range nodes {
			parts[i] = 1
			if there := n.allocatable[name]; there > 0 {
				parts[i] = min(float64(n.requested[name]+asked)/float64(there), 1)
			}
		}
		return parts
	}
	return part(corev1.ResourceCPU, defaultCPU), part(corev1.ResourceMemory, defaultMemory)
}

// leastAllocated prefers nodes of which less is taken.
func leastAllocated(cpu, memory []float64) []float64 {
	v := make([]float64, len(cpu))
	for i := range v {
		v[i] = most * ((1 - cpu[i]) + (1 - memory[i])) / 2
	}
	return v
}

// balanced prefers nodes whose CPU and memory are taken to the same part.
func balanced(cpu, memory []float64) []float64 {
	v := make([]float64, len(cpu))
	for i := range v {
		v[i] = most * (1 - math.Abs(cpu[i]-memory[i])/2)
	}
	return v
}

func fewTaints(pod *corev1.Pod, nodes []*nodeInfo) []float64 {
	v := make([]float64, len(nodes))
	for i, n := range nodes {
		for j := range n.node.Spec.Taints {
			if t := &n.node.Spec.Taints[j]; t.Effect == corev1.TaintEffectPreferNoSchedule && !tolerates(pod, t) {
				v[i]--
			}
		}
	}
	return v
}

func preferredNodes(pod *corev1.Pod, nodes []*nodeInfo) []float64 {
	a := pod.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || len(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution) == 0 {
		return nil
	}
	terms, err := nodeaffinity.NewPreferredSchedulingTerms(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
	if err != nil {
		return nil
	}
	v := make([]float64, len(nodes))
	for i, n := range nodes {
		v[i] = float64(terms.Score(n.node))
	}
	return v
}
