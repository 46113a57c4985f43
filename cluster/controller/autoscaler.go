package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// autoscalePeriod is how often an autoscaler looks (Kubernetes' value).
const autoscalePeriod = 15 * time.Second

// PodUse is what one pod's containers use, measured over a window that ended at
// Time.
type PodUse struct {
	Pod        string
	Time       time.Time
	Window     time.Duration
	Containers map[string]corev1.ResourceList
}

// autoscalers change how many replicas a workload has, by what its pods use.
// What they did and would have done lately is in memory, as in Kubernetes: after a
// restart nothing is scaled down before its window is over.
type autoscalers struct {
	*Set
	events *event.Recorder

	mu      sync.Mutex
	history map[object.Key]*scaleHistory // guarded by mu; the loop works on one key at a time
}

func newAutoscalers(s *Set) *autoscalers {
	return &autoscalers{Set: s, events: s.recorder("horizontal-pod-autoscaler"), history: map[object.Key]*scaleHistory{}}
}

func (c *autoscalers) loop() *loop {
	return &loop{name: "horizontalpodautoscaler", sources: []source{{builtin.HorizontalPodAutoscalers.Resource, func(ch change) []object.Key {
		if ch.old != nil && ch.new != nil && ch.old.GetGeneration() == ch.new.GetGeneration() &&
			equality.Semantic.DeepEqual(ch.old.(*autoscalingv2.HorizontalPodAutoscaler).Spec, ch.new.(*autoscalingv2.HorizontalPodAutoscaler).Spec) {
			return nil // its status, written here
		}
		return []object.Key{object.KeyOf(ch.latest())}
	}}}, reconcile: c.reconcile}
}

func (c *autoscalers) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	h, ok, err := present(builtin.HorizontalPodAutoscalers.Get(ctx, c.verbs, k.Namespace, k.Name))
	if err != nil {
		return 0, err
	}
	if !ok {
		c.mu.Lock()
		delete(c.history, k)
		c.mu.Unlock()
		return 0, nil
	}
	past := c.past(k)
	now := c.now()
	s := newScaleStatus(h, now)
	if past.next.After(now) && h.Status.ObservedGeneration != nil && *h.Status.ObservedGeneration == h.Generation {
		return past.next.Sub(now), nil
	}
	past.next = now.Add(autoscalePeriod)
	if err := c.scale(ctx, h, s, past); err != nil && ctx.Err() != nil {
		return 0, err
	}
	if !equality.Semantic.DeepEqual(s.status, h.Status) {
		changed := h.DeepCopy()
		changed.Status = s.status
		if _, err := builtin.HorizontalPodAutoscalers.UpdateStatus(ctx, c.verbs, changed, write()); ignoreNotFound(err) != nil {
			return 0, fmt.Errorf("status of autoscaler %s: %w", k, err)
		}
	}
	return autoscalePeriod, nil
}

func (c *autoscalers) past(k object.Key) *scaleHistory {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.history[k] == nil {
		c.history[k] = &scaleHistory{}
	}
	return c.history[k]
}

// scale computes how many replicas there should be and sets that. What it could
// not find out is in the status s and in events, as users look there.
func (c *autoscalers) scale(ctx context.Context, h *autoscalingv2.HorizontalPodAutoscaler, s *scaleStatus, past *scaleHistory) error {
	target, err := c.target(ctx, h)
	if err != nil {
		c.warn(h, "FailedGetScale", err.Error())
		s.set(autoscalingv2.AbleToScale, corev1.ConditionFalse, "FailedGetScale", "the HPA controller was unable to get the target's current scale: %v", err)
		return err
	}
	s.set(autoscalingv2.AbleToScale, corev1.ConditionTrue, "SucceededGetScale", "the HPA controller was able to get the target's current scale")
	s.status.CurrentReplicas = target.replicas
	least, most := value(h.Spec.MinReplicas, 1), h.Spec.MaxReplicas
	var desired int32
	reason := ""
	switch {
	case target.want == 0 && least != 0:
		s.set(autoscalingv2.ScalingActive, corev1.ConditionFalse, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
		s.status.DesiredReplicas = 0
		return nil
	case target.want > most:
		desired, reason = most, "Current number of replicas above Spec.MaxReplicas"
	case target.want < least:
		desired, reason = least, "Current number of replicas below Spec.MinReplicas"
	default:
		if desired, reason, err = c.recommend(ctx, h, s, target); err != nil {
			c.warn(h, "FailedComputeMetricsReplicas", err.Error())
			s.status.DesiredReplicas = target.want
			return err
		}
		desired = past.bound(h, s, target.want, desired, c.now())
	}
	s.status.DesiredReplicas = desired
	if desired == target.want {
		return nil
	}
	scale := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: h.Spec.ScaleTargetRef.Name}, Spec: autoscalingv1.ScaleSpec{Replicas: desired}}
	w := write()
	w.Subresource = "scale"
	if _, err := c.verbs.Update(ctx, target.resource, scale, w); err != nil {
		c.warn(h, "FailedRescale", fmt.Sprintf("New size: %d; reason: %s; error: %v", desired, reason, err))
		s.set(autoscalingv2.AbleToScale, corev1.ConditionFalse, "FailedUpdateScale", "the HPA controller was unable to update the target scale: %v", err)
		return err
	}
	s.set(autoscalingv2.AbleToScale, corev1.ConditionTrue, "SucceededRescale", "the HPA controller was able to update the target scale to %d", desired)
	c.events.Event(h, builtin.HorizontalPodAutoscalers.Kind, "", corev1.EventTypeNormal, "SuccessfulRescale", "New size: %d; reason: %s", desired, reason)
	s.status.LastScaleTime = stamp(c.now())
	past.scaled(target.want, desired, c.now())
	return nil
}

func (c *autoscalers) warn(h *autoscalingv2.HorizontalPodAutoscaler, reason, message string) {
	c.events.Event(h, builtin.HorizontalPodAutoscalers.Kind, "", corev1.EventTypeWarning, reason, "%s", message)
}

// scaleTarget is the workload that an autoscaler scales.
type scaleTarget struct {
	resource       object.Resource
	want, replicas int32 // as its specification has it, and as there are
	pods           labels.Selector
}

// target finds the workload that h names.
func (c *autoscalers) target(ctx context.Context, h *autoscalingv2.HorizontalPodAutoscaler) (scaleTarget, error) {
	ref, ns := h.Spec.ScaleTargetRef, h.Namespace
	switch groupKind(ref.APIVersion, ref.Kind) {
	case builtin.Deployments.Kind.GroupKind():
		d, err := builtin.Deployments.Get(ctx, c.verbs, ns, ref.Name)
		if err != nil {
			return scaleTarget{}, err
		}
		return scaleTarget{builtin.Deployments.Resource, value(d.Spec.Replicas, 1), d.Status.Replicas, selectorOf(d.Spec.Selector)}, nil
	case builtin.ReplicaSets.Kind.GroupKind():
		d, err := builtin.ReplicaSets.Get(ctx, c.verbs, ns, ref.Name)
		if err != nil {
			return scaleTarget{}, err
		}
		return scaleTarget{builtin.ReplicaSets.Resource, value(d.Spec.Replicas, 1), d.Status.Replicas, selectorOf(d.Spec.Selector)}, nil
	case builtin.StatefulSets.Kind.GroupKind():
		d, err := builtin.StatefulSets.Get(ctx, c.verbs, ns, ref.Name)
		if err != nil {
			return scaleTarget{}, err
		}
		return scaleTarget{builtin.StatefulSets.Resource, value(d.Spec.Replicas, 1), d.Status.Replicas, selectorOf(d.Spec.Selector)}, nil
	case builtin.ReplicationControllers.Kind.GroupKind():
		d, err := builtin.ReplicationControllers.Get(ctx, c.verbs, ns, ref.Name)
		if err != nil {
			return scaleTarget{}, err
		}
		return scaleTarget{builtin.ReplicationControllers.Resource, value(d.Spec.Replicas, 1), d.Status.Replicas, labels.SelectorFromSet(d.Spec.Selector)}, nil
	}
	return scaleTarget{}, fmt.Errorf("no matches for kind %q in group %q that can be scaled here", ref.Kind, groupKind(ref.APIVersion, ref.Kind).Group)
}

// recommend asks all metrics and returns the largest number of replicas that any
// of them wants. A metric that fails hinders scaling down.
func (c *autoscalers) recommend(ctx context.Context, h *autoscalingv2.HorizontalPodAutoscaler, s *scaleStatus, target scaleTarget) (desired int32, reason string, err error) {
	pods, err := builtin.Pods.List(ctx, c.verbs, object.ListOptions{Namespace: h.Namespace, Labels: target.pods})
	if err != nil {
		return 0, "", fmt.Errorf("list pods: %w", err)
	}
	var uses []PodUse
	if c.cfg.PodUses != nil {
		if uses, err = c.cfg.PodUses(ctx, h.Namespace, target.pods); err != nil {
			return 0, "", fmt.Errorf("metrics of pods: %w", err)
		}
	}
	byPod := map[string]PodUse{}
	for _, u := range uses {
		byPod[u.Pod] = u
	}
	var first error
	failed, above, valid := 0, "", ""
	s.status.CurrentMetrics = nil
	for _, m := range h.Spec.Metrics {
		p, err := proposeReplicas(m, h.Spec.Behavior, pods, byPod, target.want, c.now())
		if err != nil {
			failed++
			c.warn(h, "FailedGet"+string(m.Type)+"Metric", err.Error())
			if first == nil {
				first = err
				s.set(autoscalingv2.ScalingActive, corev1.ConditionFalse, "FailedGet"+string(m.Type)+"Metric", "the HPA was unable to compute the replica count: %v", err)
			}
			continue
		}
		s.status.CurrentMetrics = append(s.status.CurrentMetrics, p.status)
		if valid == "" || p.replicas > desired {
			desired, valid, above = p.replicas, p.name, p.name
		}
	}
	if failed > 0 && (valid == "" || desired < target.want) {
		return 0, "", fmt.Errorf("invalid metrics (%d invalid out of %d), first error is: failed to get metric value: %w", failed, len(h.Spec.Metrics), first)
	}
	s.set(autoscalingv2.ScalingActive, corev1.ConditionTrue, "ValidMetricFound", "the HPA was able to successfully calculate a replica count from %s", valid)
	if desired > target.want {
		return desired, above + " above target", nil
	}
	return desired, "All metrics below target", nil
}

// scaleStatus is a status under construction.
type scaleStatus struct {
	status autoscalingv2.HorizontalPodAutoscalerStatus
	now    time.Time
}

func newScaleStatus(h *autoscalingv2.HorizontalPodAutoscaler, now time.Time) *scaleStatus {
	s := &scaleStatus{*h.Status.DeepCopy(), now}
	s.status.ObservedGeneration = &h.Generation
	return s
}

// set sets a condition.
func (s *scaleStatus) set(t autoscalingv2.HorizontalPodAutoscalerConditionType, status corev1.ConditionStatus, reason, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	for i := range s.status.Conditions {
		c := &s.status.Conditions[i]
		if c.Type != t {
			continue
		}
		if c.Status != status {
			c.LastTransitionTime = *stamp(s.now)
		}
		c.Status, c.Reason, c.Message = status, reason, message
		return
	}
	s.status.Conditions = append(s.status.Conditions, autoscalingv2.HorizontalPodAutoscalerCondition{
		Type: t, Status: status, Reason: reason, Message: message, LastTransitionTime: *stamp(s.now)})
}
