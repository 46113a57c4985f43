package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

const (
	// nodePoll is how often each node's heartbeat is looked at, and nodeGrace
	// how old it may get before the node counts as lost (Kubernetes' values).
	nodePoll  = 5 * time.Second
	nodeGrace = 50 * time.Second
)

// nodes notices nodes that stop sending heartbeats, and keeps the taints that
// say what is wrong with a node.
//
// A heartbeat's age is measured from when it was seen here, not from the time
// in it: clocks differ, and after a restart of this program every node has its
// full grace again.
type nodes struct {
	*Set
	events *event.Recorder

	mu    sync.Mutex           // guards beats
	beats map[string]heartbeat // by node
}

// heartbeat is the last sign of life, and when it was seen first.
type heartbeat struct {
	sign string
	seen time.Time
}

func newNodes(s *Set) *nodes {
	return &nodes{Set: s, events: s.recorder("node-controller"), beats: map[string]heartbeat{}}
}

func (c *nodes) loop() *loop {
	return &loop{
		name:      "node",
		sources:   []source{self(builtin.Nodes.Resource)},
		reconcile: c.reconcile,
	}
}

func (c *nodes) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	n, ok, err := present(builtin.Nodes.Get(ctx, c.verbs, "", k.Name))
	if err != nil {
		return 0, err
	}
	if !ok {
		c.mu.Lock()
		delete(c.beats, k.Name)
		c.mu.Unlock()
		return 0, nil
	}
	age, first := c.age(ctx, n)
	if first {
		c.events.Event(n, builtin.Nodes.Kind, "", corev1.EventTypeNormal, "RegisteredNode", "Node %[1]s event: Registered Node %[1]s in Controller", n.Name)
	}
	lost := age > nodeGrace
	if lost {
		if n, err = c.markLost(ctx, n); err != nil {
			return 0, ignoreNotFound(err)
		}
	}
	someReady := ready(n)
	if !someReady {
		all, err := builtin.Nodes.List(ctx, c.verbs, object.ListOptions{})
		if err != nil {
			return 0, fmt.Errorf("list nodes: %w", err)
		}
		someReady = slices.ContainsFunc(all, ready)
	}
	taints := nodeTaints(n, someReady, c.now())
	if !equality.Semantic.DeepEqual(taints, n.Spec.Taints) {
		changed := n.DeepCopy()
		changed.Spec.Taints = taints
		if _, err := builtin.Nodes.Update(ctx, c.verbs, changed, write()); err != nil {
			return 0, ignoreNotFound(err)
		}
	}
	if !ready(n) {
		if err := c.markPods(ctx, n); err != nil {
			return 0, err
		}
	}
	return nodePoll, nil
}

// age is how long ago the node's last sign of life was seen, and whether it is
// the first of it.
func (c *nodes) age(ctx context.Context, n *corev1.Node) (age time.Duration, first bool) {
	sign := ""
	if cond := nodeCondition(n, corev1.NodeReady); cond != nil {
		sign = cond.LastHeartbeatTime.String()
	}
	if l, err := builtin.Leases.Get(ctx, c.verbs, corev1.NamespaceNodeLease, n.Name); err == nil && l.Spec.RenewTime != nil {
		sign += " " + l.Spec.RenewTime.String()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b, known := c.beats[n.Name]
	if b.seen.IsZero() || b.sign != sign {
		b = heartbeat{sign, c.now()}
		c.beats[n.Name] = b
	}
	return c.now().Sub(b.seen), !known
}

// markLost sets the conditions that the node's agent keeps to Unknown.
func (c *nodes) markLost(ctx context.Context, n *corev1.Node) (*corev1.Node, error) {
	changed := n.DeepCopy()
	now := metav1.NewTime(c.now())
	for _, t := range []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
		cond := nodeCondition(changed, t)
		if cond == nil {
			changed.Status.Conditions = append(changed.Status.Conditions, corev1.NodeCondition{Type: t, Status: corev1.ConditionUnknown,
				Reason: "NodeStatusNeverUpdated", Message: "Kubelet never posted node status.", LastHeartbeatTime: n.CreationTimestamp, LastTransitionTime: now})
			continue
		}
		if cond.Status != corev1.ConditionUnknown {
			cond.Status, cond.Reason, cond.Message = corev1.ConditionUnknown, "NodeStatusUnknown", "Kubelet stopped posting node status."
			cond.LastTransitionTime = now
		}
	}
	if equality.Semantic.DeepEqual(changed.Status, n.Status) {
		return n, nil
	}
	c.events.Event(n, builtin.Nodes.Kind, "", corev1.EventTypeNormal, "NodeNotReady", "Node %s status is now: NodeNotReady", n.Name)
	return builtin.Nodes.UpdateStatus(ctx, c.verbs, changed, write())
}

// markPods makes the pods of a node that is not ready not ready, so that no
// traffic goes there.
func (c *nodes) markPods(ctx context.Context, n *corev1.Node) error {
	pods, err := podsOn(ctx, c.verbs, n.Name)
	if err != nil {
		return err
	}
	for _, p := range pods {
		if !podReady(p) {
			continue
		}
		changed := p.DeepCopy()
		cond := condition(changed, corev1.PodReady)
		cond.Status, cond.Reason, cond.Message = corev1.ConditionFalse, "NodeNotReady", "Node is not ready"
		cond.LastTransitionTime = metav1.NewTime(c.now())
		if _, err := builtin.Pods.UpdateStatus(ctx, c.verbs, changed, write()); ignoreNotFound(err) != nil {
			return fmt.Errorf("mark pod %s not ready: %w", object.KeyOf(p), err)
		}
	}
	return nil
}

func podsOn(ctx context.Context, v object.Verbs, node string) ([]*corev1.Pod, error) {
	all, err := builtin.Pods.List(ctx, v, object.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	return slices.DeleteFunc(all, func(p *corev1.Pod) bool { return p.Spec.NodeName != node }), nil
}

// nodeTaints computes the taints of n: those that others set, and those for
// its conditions and for being closed to new pods. Pods are only driven out
// (NoExecute) while some node is ready: when none is, the trouble is not the
// nodes', and there is nowhere to go. Pure.
func nodeTaints(n *corev1.Node, someReady bool, now time.Time) []corev1.Taint {
	want := map[corev1.Taint]bool{}
	is := func(t corev1.NodeConditionType, s corev1.ConditionStatus) bool {
		c := nodeCondition(n, t)
		return c != nil && c.Status == s
	}
	add := func(on bool, key string, effect corev1.TaintEffect) {
		want[corev1.Taint{Key: key, Effect: effect}] = on
	}
	add(is(corev1.NodeReady, corev1.ConditionFalse), corev1.TaintNodeNotReady, corev1.TaintEffectNoSchedule)
	add(is(corev1.NodeReady, corev1.ConditionUnknown), corev1.TaintNodeUnreachable, corev1.TaintEffectNoSchedule)
	add(is(corev1.NodeReady, corev1.ConditionFalse) && someReady, corev1.TaintNodeNotReady, corev1.TaintEffectNoExecute)
	add(is(corev1.NodeReady, corev1.ConditionUnknown) && someReady, corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute)
	add(n.Spec.Unschedulable, corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule)
	add(is(corev1.NodeMemoryPressure, corev1.ConditionTrue), corev1.TaintNodeMemoryPressure, corev1.TaintEffectNoSchedule)
	add(is(corev1.NodeDiskPressure, corev1.ConditionTrue), corev1.TaintNodeDiskPressure, corev1.TaintEffectNoSchedule)
	add(is(corev1.NodePIDPressure, corev1.ConditionTrue), corev1.TaintNodePIDPressure, corev1.TaintEffectNoSchedule)
	add(is(corev1.NodeNetworkUnavailable, corev1.ConditionTrue), corev1.TaintNodeNetworkUnavailable, corev1.TaintEffectNoSchedule)

	var taints []corev1.Taint
	for _, t := range n.Spec.Taints {
		on, ours := want[corev1.Taint{Key: t.Key, Effect: t.Effect}]
		if !ours || on {
			taints = append(taints, t)
		}
		delete(want, corev1.Taint{Key: t.Key, Effect: t.Effect})
	}
	var added []corev1.Taint
	for t, on := range want {
		if on {
			t.TimeAdded = stamp(now)
			added = append(added, t)
		}
	}
	slices.SortFunc(added, func(a, b corev1.Taint) int {
		return slices.Compare([]string{a.Key, string(a.Effect)}, []string{b.Key, string(b.Effect)})
	})
	return append(taints, added...)
}

func nodeCondition(n *corev1.Node, t corev1.NodeConditionType) *corev1.NodeCondition {
	for i := range n.Status.Conditions {
		if n.Status.Conditions[i].Type == t {
			return &n.Status.Conditions[i]
		}
	}
	return nil
}

func ready(n *corev1.Node) bool {
	c := nodeCondition(n, corev1.NodeReady)
	return c != nil && c.Status == corev1.ConditionTrue
}
