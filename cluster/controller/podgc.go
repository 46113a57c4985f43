package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

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
