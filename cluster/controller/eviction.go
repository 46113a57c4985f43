package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// evictionEvery spaces the evictions from whole nodes that were lost: one node
// in ten seconds (Kubernetes' 0.1 nodes a second).
const evictionEvery = 10 * time.Second

// nodeEviction deletes pods from nodes with NoExecute taints that they do not
// tolerate, or no longer: most pods tolerate a lost node for 300 s.
type nodeEviction struct {
	*Set
	events *event.Recorder

	mu   sync.Mutex // guards all below
	last time.Time  // when pods of a node were evicted last
	node string     // which
}

func newNodeEviction(s *Set) *nodeEviction {
	return &nodeEviction{Set: s, events: s.recorder("taint-eviction-controller")}
}

func (c *nodeEviction) loop() *loop {
	return &loop{
		name: "eviction",
		sources: []source{
			self(builtin.Nodes.Resource),
			{builtin.Pods.Resource, func(ch change) []object.Key {
				if ch.new == nil || ch.new.(*corev1.Pod).Spec.NodeName == "" {
					return nil
				}
				if ch.old != nil && ch.old.(*corev1.Pod).Spec.NodeName != "" && ch.old.GetGeneration() == ch.new.GetGeneration() {
					return nil
				}
				return []object.Key{{Name: ch.new.(*corev1.Pod).Spec.NodeName}}
			}},
		},
		reconcile: c.reconcile,
	}
}

func (c *nodeEviction) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	n, ok, err := present(builtin.Nodes.Get(ctx, c.verbs, "", k.Name))
	if err != nil || !ok {
		return 0, err
	}
	var taints []corev1.Taint
	for _, t := range n.Spec.Taints {
		if t.Effect == corev1.TaintEffectNoExecute {
			taints = append(taints, t)
		}
	}
	if len(taints) == 0 {
		return 0, nil
	}
	pods, err := podsOn(ctx, c.verbs, n.Name)
	if err != nil {
		return 0, err
	}
	var next time.Duration
	for _, p := range pods {
		wait, evict := toleratedFor(p, taints, c.now())
		if !evict || p.DeletionTimestamp != nil {
			continue
		}
		if wait > 0 {
			next = sooner(next, wait)
			continue
		}
		if wait := c.turn(n.Name); wait > 0 {
			return wait, nil
		}
		if err := c.evict(ctx, p); err != nil {
			return 0, err
		}
	}
	return next, nil
}

// turn tells how long to wait before pods of node may be evicted.
func (c *nodeEviction) turn(node string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.node != node {
		if wait := c.last.Add(evictionEvery).Sub(now); wait > 0 {
			return wait
		}
	}
	c.node, c.last = node, now
	return 0
}

// toleratedFor is how long p may still stay under the taints; evict is false
// when it may for ever. Pure.
func toleratedFor(p *corev1.Pod, taints []corev1.Taint, now time.Time) (wait time.Duration, evict bool) {
	for _, t := range taints {
		left, limited, tolerated := time.Duration(0), true, false
		for i := range p.Spec.Tolerations {
			tol := &p.Spec.Tolerations[i]
			if !tol.ToleratesTaint(klog.Logger{}, &t, false) {
				continue
			}
			tolerated = true
			if tol.TolerationSeconds == nil {
				limited = false
				break
			}
			since := now
			if t.TimeAdded != nil {
				since = t.TimeAdded.Time
			}
			left = max(left, since.Add(seconds(*tol.TolerationSeconds)).Sub(now))
		}
		switch {
		case !tolerated:
			return 0, true
		case !limited:
			continue
		case !evict || left < wait:
			wait, evict = left, true
		}
	}
	return wait, evict
}

func (c *nodeEviction) evict(ctx context.Context, p *corev1.Pod) error {
	c.events.Event(p, builtin.Pods.Kind, "", corev1.EventTypeNormal, "TaintManagerEviction", "Marking for deletion Pod %s", object.KeyOf(p))
	changed := p.DeepCopy()
	setDisrupted(changed, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", c.now())
	if _, err := builtin.Pods.UpdateStatus(ctx, c.verbs, changed, write()); err != nil {
		return ignoreNotFound(err)
	}
	return ignoreNotFound(builtin.Pods.Delete(ctx, c.verbs, p.Namespace, p.Name, uidOnly(p.UID)))
}

// setDisrupted says at a pod that it is not its own fault that it goes.
func setDisrupted(p *corev1.Pod, reason, message string, now time.Time) {
	p.Status.Conditions = slices.DeleteFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.DisruptionTarget })
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
		Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(now)})
}

const (
	// podGCPoll is how often pods are looked over, orphanGrace how long a node
	// must be gone before its pods are.
	podGCPoll   = 20 * time.Second
	orphanGrace = 40 * time.Second
	// terminatedMost is how many ended pods are kept (Kubernetes' default).
	terminatedMost = 12500
)

// podGC deletes pods that nobody else will: those of nodes that are gone, those
// that were deleted before they had a node, and the oldest of too many that ended.
type podGC struct {
	*Set

	mu   sync.Mutex           // guards gone
	gone map[string]time.Time // since when a node that pods name is missing
}

func newPodGC(s *Set) *podGC { return &podGC{Set: s, gone: map[string]time.Time{}} }

// loop has one key: the whole cluster.
func (c *podGC) loop() *loop {
	comesOrGoes := func(ch change) []object.Key {
		if ch.old != nil && ch.new != nil {
			return nil
		}
		return []object.Key{{Name: "pods"}}
	}
	return &loop{
		name: "podgc",
		sources: []source{
			{builtin.Nodes.Resource, comesOrGoes},
			{builtin.Namespaces.Resource, comesOrGoes}, // there is always one, so the poll begins
		},
		reconcile: c.reconcile,
	}
}

func (c *podGC) reconcile(ctx context.Context, _ object.Key) (time.Duration, error) {
	pods, err := builtin.Pods.List(ctx, c.verbs, object.ListOptions{})
	if err != nil {
		return 0, fmt.Errorf("list pods: %w", err)
	}
	known, err := builtin.Nodes.List(ctx, c.verbs, object.ListOptions{})
	if err != nil {
		return 0, fmt.Errorf("list nodes: %w", err)
	}
	for _, p := range c.garbage(pods, known) {
		if !podFinished(p) {
			changed := p.DeepCopy()
			changed.Status.Phase = corev1.PodFailed
			setDisrupted(changed, "DeletionByPodGC", "PodGC: node no longer exists", c.now())
			if _, err := builtin.Pods.UpdateStatus(ctx, c.verbs, changed, write()); ignoreNotFound(err) != nil {
				return 0, err
			}
		}
		d := uidOnly(p.UID)
		d.GracePeriodSeconds = new(int64(0))
		if err := builtin.Pods.Delete(ctx, c.verbs, p.Namespace, p.Name, d); ignoreNotFound(err) != nil {
			return 0, fmt.Errorf("delete pod %s: %w", object.KeyOf(p), err)
		}
	}
	return podGCPoll, nil
}

// garbage computes which pods must go.
func (c *podGC) garbage(pods []*corev1.Pod, known []*corev1.Node) []*corev1.Pod {
	c.mu.Lock()
	defer c.mu.Unlock()
	exists := map[string]bool{"": true}
	for _, n := range known {
		exists[n.Name] = true
		delete(c.gone, n.Name)
	}
	var garbage, ended []*corev1.Pod
	for _, p := range pods {
		switch node := p.Spec.NodeName; {
		case !exists[node]:
			if c.gone[node].IsZero() {
				c.gone[node] = c.now()
			}
			if c.now().Sub(c.gone[node]) >= orphanGrace {
				garbage = append(garbage, p)
			}
		case node == "" && p.DeletionTimestamp != nil:
			garbage = append(garbage, p)
		case podFinished(p) && p.DeletionTimestamp == nil:
			ended = append(ended, p)
		}
	}
	slices.SortFunc(ended, func(a, b *corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return append(garbage, ended[:max(len(ended)-terminatedMost, 0)]...)
}
