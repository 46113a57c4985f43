package scheduler

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// world is what a placement looks at, read before it.
type world struct {
	nodes      []*nodeInfo // by name
	claims     []podClaim  // of the pod
	volumes    []*corev1.PersistentVolume
	namespaces map[string]*corev1.Namespace // only for pods with affinity to namespaces
	unfit      string                       // why no node can do, whatever the nodes are
	start      int                          // the node to look at first; see enough
}

// unfit says why no node does. The zero value says nothing.
type unfit struct {
	nodes    int
	whole    string         // a reason that has nothing to do with single nodes
	reasons  map[string]int // nodes by reason; a node may have several
	hopeless int            // nodes that would not do either with all their pods gone
	// preemption is why none was tried; preempting: room is being made.
	preemption string
	preempting bool
}

// refusal is why one node does not do. hopeless: not even if it were empty.
type refusal struct {
	reasons  []string
	hopeless bool
}

func because(reason string) *refusal { return &refusal{reasons: []string{reason}} }
func never(reason string) *refusal   { return &refusal{reasons: []string{reason}, hopeless: true} }

// filter is one rule for which nodes do; nil means this one does.
type filter func(pod *corev1.Pod, n *nodeInfo) *refusal

// Of many nodes only a part is scored, as in Kubernetes: half of a hundred,
// less of more, down to a twentieth, but never fewer than enoughAtLeast.
const (
	enoughAtLeast = 100
	enoughPercent = 50
	percentLess   = 125 // nodes for which the percentage sinks by one
	percentLeast  = 5
)

// enough is how many fitting nodes are worth scoring. The next placement
// starts where this one stopped (world.start), so that all get their turn.
func enough(nodes int) int {
	if nodes <= enoughAtLeast {
		return nodes
	}
	return max(nodes*max(enoughPercent-nodes/percentLess, percentLeast)/100, enoughAtLeast)
}

// place chooses the node for pod: of those that every filter lets through the
// one with the best score, and of equal ones the first that was looked at.
// Without any it returns nil and why. Pure.
func place(pod *corev1.Pod, w world) (*nodeInfo, unfit) {
	why := unfit{nodes: len(w.nodes), whole: w.unfit, reasons: map[string]int{}}
	if w.unfit != "" {
		why.hopeless = len(w.nodes)
		return nil, why
	}
	filters := filtersFor(pod, w)
	if n := nominated(pod, w); n != nil && firstRefusal(filters, pod, n) == nil {
		return n, why
	}
	var fits []*nodeInfo
	for i := range w.nodes {
		n := w.nodes[(w.start+i)%len(w.nodes)]
		if r := firstRefusal(filters, pod, n); r != nil {
			why.count(r)
		} else if fits = append(fits, n); len(fits) == enough(len(w.nodes)) {
			break
		}
	}
	if len(fits) == 0 {
		return nil, why
	}
	return best(pod, fits, w), why
}

// filtersFor are all rules, in the order in which their reasons are given.
func filtersFor(pod *corev1.Pod, w world) []filter {
	return []filter{unschedulable, nodeName, taints, nodeAffinity(pod), ports(pod), resources(pod),
		volumes(w), topologySpread(pod, w), podAffinity(pod, w)}
}

// nominated is the node where room was made for pod, or nil.
func nominated(pod *corev1.Pod, w world) *nodeInfo {
	i := slices.IndexFunc(w.nodes, func(n *nodeInfo) bool { return n.node.Name == pod.Status.NominatedNodeName })
	if i < 0 {
		return nil
	}
	return w.nodes[i]
}

func firstRefusal(filters []filter, pod *corev1.Pod, n *nodeInfo) *refusal {
	for _, f := range filters {
		if r := f(pod, n); r != nil {
			return r
		}
	}
	return nil
}

func (u *unfit) count(r *refusal) {
	for _, reason := range r.reasons {
		u.reasons[reason]++
	}
	if r.hopeless {
		u.hopeless++
	}
}

// String lists why no node fits, in Kubernetes' words.
func (u unfit) String() string {
	if u.nodes == 0 {
		return "no nodes available to schedule pods"
	}
	why, claims := u.whole, ""
	if why == "" {
		// Kubernetes' plugin for device claims has its say about every pod.
		why, claims = counted(u.reasons), "no new claims to deallocate, "
	}
	switch {
	case u.preempting:
		return fmt.Sprintf("0/%d nodes are available: %s.", u.nodes, why)
	case u.preemption != "":
		return fmt.Sprintf("0/%d nodes are available: %s. %spreemption: %s", u.nodes, why, claims, u.preemption)
	}
	preemption := map[string]int{
		"Preemption is not helpful for scheduling":     u.hopeless,
		"No preemption victims found for incoming pod": u.nodes - u.hopeless,
	}
	return fmt.Sprintf("0/%d nodes are available: %s. %spreemption: 0/%d nodes are available: %s.",
		u.nodes, why, claims, u.nodes, counted(preemption))
}

// counted words reasons as "1 Insufficient cpu, 2 Too many pods".
func counted(reasons map[string]int) string {
	var all []string
	for reason, n := range reasons {
		if n > 0 {
			all = append(all, fmt.Sprintf("%d %s", n, reason))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
