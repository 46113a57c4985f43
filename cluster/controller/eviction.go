package controller

import (
	"context"
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
