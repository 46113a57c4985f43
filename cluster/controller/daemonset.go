package controller

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// A daemon pod that failed is replaced after daemonBackoffFirst, doubling to
// daemonBackoffMost, by node (Kubernetes' values).
const (
	daemonBackoffFirst = time.Second
	daemonBackoffMost  = 15 * time.Minute
)

// daemonSets keeps one pod on every node that a DaemonSet fits. Its pods are
// placed by the scheduler, which an affinity to the node's name leaves no choice.
type daemonSets struct {
	*Set
	events  *event.Recorder
	backoff *flowcontrol.Backoff // of failed pods, by set, template and node
}

func newDaemonSets(s *Set) *daemonSets {
	return &daemonSets{s, s.recorder("daemonset-controller"), flowcontrol.NewBackOff(daemonBackoffFirst, daemonBackoffMost)}
}

func (c *daemonSets) loop() *loop {
	selects := func(d *appsv1.DaemonSet) labels.Selector { return selectorOf(d.Spec.Selector) }
	return &loop{
		name:    "daemonset",
		workers: 2,
		sources: []source{
			self(builtin.DaemonSets.Resource),
			ownedOrOrphan(builtin.Pods.Resource, "apps", "DaemonSet", selecting(c.verbs, builtin.DaemonSets, selects)),
			owned(builtin.ControllerRevisions.Resource, "apps", "DaemonSet"),
			{builtin.Nodes.Resource, c.onNode},
		},
		reconcile: c.reconcile,
	}
}

// onNode returns all sets when a node came, went or changed what they look at.
func (c *daemonSets) onNode(ch change) []object.Key {
	if ch.old != nil && ch.new != nil {
		a, b := ch.old.(*corev1.Node), ch.new.(*corev1.Node)
		if equality.Semantic.DeepEqual(a.Labels, b.Labels) && equality.Semantic.DeepEqual(a.Spec.Taints, b.Spec.Taints) {
			return nil
		}
	}
	all, err := builtin.DaemonSets.List(context.Background(), c.verbs, object.ListOptions{})
	if err != nil {
		return nil
	}
	keys := make([]object.Key, len(all))
	for i, d := range all {
		keys[i] = object.KeyOf(d)
	}
	return keys
}

func (c *daemonSets) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	set, err := builtin.DaemonSets.Get(ctx, c.verbs, k.Namespace, k.Name)
	if err != nil {
		return 0, ignoreNotFound(err)
	}
	me := owner{set, builtin.DaemonSets.Kind, selectorOf(set.Spec.Selector)}
	if me.selector.Empty() {
		c.event(set, corev1.EventTypeWarning, "SelectingAll", "This daemon set is selecting all pods. A non-empty selector is required.")
		return 0, nil
	}
	history, err := claim(ctx, c.verbs, builtin.ControllerRevisions, me)
	if err != nil {
		return 0, err
	}
	pods, err := claim(ctx, c.verbs, builtin.Pods, me)
	if err != nil {
		return 0, err
	}
	if set.DeletionTimestamp != nil {
		return 0, nil
	}
	collisions := value(set.Status.CollisionCount, 0)
	revision, err := c.lineage(set).latest(ctx, history, &collisions)
	if err != nil {
		return 0, err
	}
	nodes, err := builtin.Nodes.List(ctx, c.verbs, object.ListOptions{})
	if err != nil {
		return 0, fmt.Errorf("list nodes: %w", err)
	}
	plan := planDaemon(set, nodes, pods, revision.Labels[appsv1.DefaultDaemonSetUniqueLabelKey], c.now())
	if collisions > 0 {
		plan.status.CollisionCount = &collisions
	}
	wait, err := c.apply(ctx, set, plan)
	if statusErr := c.writeStatus(ctx, set, plan.status); err == nil {
		err = statusErr
	}
	if err == nil {
		err = c.truncateHistory(ctx, set, pods, history, revision)
	}
	return sooner(plan.wait, wait), err
}

// lineage names revisions by the hash of the template, as the pods' label says.
func (c *daemonSets) lineage(set *appsv1.DaemonSet) lineage {
	return lineage{
		verbs: c.verbs, owner: owner{object: set, kind: builtin.DaemonSets.Kind},
		template: &set.Spec.Template, limit: set.Spec.RevisionHistoryLimit, label: appsv1.DefaultDaemonSetUniqueLabelKey,
		hash: func(_ []byte, collisions int32) string {
			if collisions == 0 {
				return templateHash(&set.Spec.Template, nil)
			}
			return templateHash(&set.Spec.Template, &collisions)
		},
	}
}

// truncateHistory deletes revisions beyond the limit that no pod has.
func (c *daemonSets) truncateHistory(ctx context.Context, set *appsv1.DaemonSet, pods []*corev1.Pod, history []*appsv1.ControllerRevision, current *appsv1.ControllerRevision) error {
	live := map[string]bool{current.Labels[appsv1.DefaultDaemonSetUniqueLabelKey]: true}
	for _, p := range pods {
		live[podRevision(p)] = true
	}
	return c.lineage(set).truncate(ctx, history, func(h *appsv1.ControllerRevision) bool {
		return live[h.Labels[appsv1.DefaultDaemonSetUniqueLabelKey]]
	})
}

// apply writes a plan; wait is how long a failed pod is still left alone.
func (c *daemonSets) apply(ctx context.Context, set *appsv1.DaemonSet, p daemonPlan) (wait time.Duration, err error) {
	var remove []*corev1.Pod
	for _, f := range p.ended {
		left, ok := c.mayReplace(set, f)
		if !ok {
			wait = sooner(wait, left)
			continue
		}
		remove = append(remove, f)
	}
	remove = append(remove, p.remove...)
	err = deletePods(ctx, c.verbs, remove[:min(len(remove), burst)], func(pod *corev1.Pod, err error) {
		if err != nil {
			c.event(set, corev1.EventTypeWarning, "FailedDelete", "Error deleting: %v", err)
			return
		}
		c.event(set, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: %v", pod.Name)
	})
	if err != nil {
		return wait, err
	}
	err = createPods(ctx, c.verbs, p.create[:min(len(p.create), burst)], func(pod *corev1.Pod, err error) {
		switch {
		case err == nil:
			c.event(set, corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: %v", pod.Name)
		case !namespaceGoing(err):
			c.event(set, corev1.EventTypeWarning, "FailedCreate", "Error creating: %v", err)
		}
	})
	if namespaceGoing(err) {
		return wait, nil
	}
	return wait, err
}

// mayReplace tells whether an ended pod may go now, or how long it is kept
// since one failed before it on the same node.
func (c *daemonSets) mayReplace(set *appsv1.DaemonSet, p *corev1.Pod) (left time.Duration, ok bool) {
	node := daemonNode(p)
	if p.Status.Phase == corev1.PodSucceeded {
		c.event(set, corev1.EventTypeNormal, "SucceededDaemonPod", "Found succeeded daemon pod %s/%s on node %s, will try to delete it", p.Namespace, p.Name, node)
		return 0, true
	}
	id := fmt.Sprintf("%s/%d/%s", set.UID, set.Generation, node)
	now := c.now()
	c.backoff.GC()
	if c.backoff.IsInBackOffSinceUpdate(id, now) {
		return c.backoff.Get(id), false
	}
	c.backoff.Next(id, now)
	c.event(set, corev1.EventTypeWarning, "FailedDaemonPod", "Found failed daemon pod %s/%s on node %s, will try to kill it", p.Namespace, p.Name, node)
	return 0, true
}

func (c *daemonSets) writeStatus(ctx context.Context, set *appsv1.DaemonSet, status appsv1.DaemonSetStatus) error {
	if equality.Semantic.DeepEqual(status, set.Status) {
		return nil
	}
	changed := set.DeepCopy()
	changed.Status = status
	_, err := builtin.DaemonSets.UpdateStatus(ctx, c.verbs, changed, write())
	return ignoreNotFound(err)
}

func (c *daemonSets) event(set *appsv1.DaemonSet, kind, reason, format string, args ...any) {
	c.events.Event(set, builtin.DaemonSets.Kind, "", kind, reason, format, args...)
}
