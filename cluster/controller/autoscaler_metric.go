package controller

import (
	"fmt"
	"math"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const (
	// scaleTolerance is how far from the target use may be before the number of
	// replicas changes (Kubernetes' value).
	scaleTolerance = 0.1
	// cpuWarmup is how long after a pod's start its use of processor time only
	// counts from when it is ready; readyDelay is how long after the start a pod
	// may still become ready for the first time (both Kubernetes').
	cpuWarmup  = 5 * time.Minute
	readyDelay = 30 * time.Second
)

// proposal is how many replicas one metric asks for.
type proposal struct {
	replicas int32
	name     string
	status   autoscalingv2.MetricStatus
}

// proposeReplicas computes how many replicas bring a metric to its target. Pure.
func proposeReplicas(m autoscalingv2.MetricSpec, b *autoscalingv2.HorizontalPodAutoscalerBehavior, pods []*corev1.Pod, uses map[string]PodUse, current int32, now time.Time) (proposal, error) {
	q := question{behavior: b, pods: pods, uses: uses, current: current, now: now}
	switch {
	case m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil:
		q.resource, q.target = m.Resource.Name, m.Resource.Target
	case m.Type == autoscalingv2.ContainerResourceMetricSourceType && m.ContainerResource != nil:
		q.resource, q.container, q.target = m.ContainerResource.Name, m.ContainerResource.Container, m.ContainerResource.Target
	case m.Type == autoscalingv2.ExternalMetricSourceType:
		return proposal{}, fmt.Errorf("unable to get external metric: no metrics API external.metrics.k8s.io is registered")
	default:
		return proposal{}, fmt.Errorf("unable to get %s metric: no metrics API custom.metrics.k8s.io is registered", m.Type)
	}
	p := proposal{}
	var value autoscalingv2.MetricValueStatus
	var err error
	p.replicas, value, err = q.answer()
	if err != nil {
		return p, fmt.Errorf("failed to get %s %s: %w", q.resource, map[bool]string{true: "utilization", false: "usage"}[q.target.AverageUtilization != nil], err)
	}
	p.status.Type = m.Type
	if q.container == "" {
		p.name = string(q.resource) + " resource"
		p.status.Resource = &autoscalingv2.ResourceMetricStatus{Name: q.resource, Current: value}
	} else {
		p.name = string(q.resource) + " container resource"
		p.status.ContainerResource = &autoscalingv2.ContainerResourceMetricStatus{Name: q.resource, Container: q.container, Current: value}
	}
	if q.target.AverageUtilization != nil {
		p.name += " utilization (percentage of request)"
	}
	return p, nil
}

// question is what is asked about one resource of a workload's pods.
type question struct {
	resource  corev1.ResourceName
	container string // "": all of a pod's
	target    autoscalingv2.MetricTarget
	behavior  *autoscalingv2.HorizontalPodAutoscalerBehavior
	pods      []*corev1.Pod
	uses      map[string]PodUse
	current   int32
	now       time.Time
}

// answer follows Kubernetes' replica calculator: pods without a reading count as
// using nothing when that would scale up and all of their target when it would
// scale down; pods that are not ready count as using nothing.
func (q question) answer() (replicas int32, value autoscalingv2.MetricValueStatus, err error) {
	used := map[string]int64{} // of ready pods, in thousandths
	var unready, missing []string
	want := map[string]int64{} // what a pod aims at, in thousandths
	for _, p := range q.pods {
		if p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodFailed {
			continue
		}
		if want[p.Name], err = q.aim(p); err != nil {
			return 0, value, err
		}
		use, ok := q.uses[p.Name]
		switch {
		case p.Status.Phase == corev1.PodPending:
			unready = append(unready, p.Name)
		case !ok:
			missing = append(missing, p.Name)
		case q.resource == corev1.ResourceCPU && !warm(p, use, q.now):
			unready = append(unready, p.Name)
		default:
			used[p.Name] = q.sum(use)
		}
	}
	if len(used) == 0 {
		return 0, value, fmt.Errorf("unable to get metrics for resource %s: no metrics returned from resource metrics API", q.resource)
	}
	value = q.current1(used, want)
	ready := len(used)
	share := shareOf(used, want)
	if (len(unready) == 0 || share <= 1) && len(missing) == 0 {
		if q.tolerated(share) {
			return q.current, value, nil
		}
		return int32(math.Ceil(share * float64(ready))), value, nil
	}
	for _, name := range missing {
		used[name] = 0
		if share < 1 {
			used[name] = want[name]
			if q.target.AverageUtilization != nil { // at least all it asked for
				used[name] = max(want[name], want[name]*100/int64(*q.target.AverageUtilization))
			}
		}
	}
	if share > 1 {
		for _, name := range unready {
			used[name] = 0
		}
	}
	fresh := shareOf(used, want)
	if q.tolerated(fresh) || share < 1 && fresh > 1 || share > 1 && fresh < 1 {
		return q.current, value, nil
	}
	replicas = int32(math.Ceil(fresh * float64(len(used))))
	if fresh < 1 && replicas > q.current || fresh > 1 && replicas < q.current {
		return q.current, value, nil
	}
	return replicas, value, nil
}

// aim is what one pod should use, in thousandths of the unit.
func (q question) aim(p *corev1.Pod) (int64, error) {
	if q.target.AverageUtilization == nil {
		if q.target.AverageValue == nil {
			return 0, fmt.Errorf("the metric's target is neither a utilization nor an average value")
		}
		return q.target.AverageValue.MilliValue(), nil
	}
	var requests int64
	for _, c := range counting(p) {
		if q.container != "" && c.Name != q.container {
			continue
		}
		r, ok := c.Resources.Requests[q.resource]
		if !ok {
			return 0, fmt.Errorf("missing request for %s in container %s of Pod %s", q.resource, c.Name, p.Name)
		}
		requests += r.MilliValue()
	}
	if requests == 0 {
		return 0, fmt.Errorf("missing request for %s in container %s of Pod %s", q.resource, q.container, p.Name)
	}
	return requests * int64(*q.target.AverageUtilization) / 100, nil
}

// counting are the containers that run while a pod does: its own and its sidecars.
func counting(p *corev1.Pod) []corev1.Container {
	all := slices.Clone(p.Spec.Containers)
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			all = append(all, c)
		}
	}
	return all
}

func (q question) sum(u PodUse) (milli int64) {
	for name, list := range u.Containers {
		if use, ok := list[q.resource]; ok && (q.container == "" || q.container == name) {
			milli += use.MilliValue()
		}
	}
	return milli
}

// warm tells whether a pod's use of processor time means anything yet.
func warm(p *corev1.Pod, use PodUse, now time.Time) bool {
	ready := condition(p, corev1.PodReady)
	if ready == nil || p.Status.StartTime == nil {
		return false
	}
	if p.Status.StartTime.Add(cpuWarmup).After(now) {
		return ready.Status != corev1.ConditionFalse && !use.Time.Before(ready.LastTransitionTime.Add(use.Window))
	}
	return ready.Status != corev1.ConditionFalse || !p.Status.StartTime.Add(readyDelay).After(ready.LastTransitionTime.Time)
}

// shareOf is what the pods in used use of what they aim at.
func shareOf(used, want map[string]int64) float64 {
	var is, should int64
	for name, n := range used {
		is += n
		should += want[name]
	}
	return float64(is) / float64(max(should, 1))
}

// tolerated: so near to the target nothing is done.
func (q question) tolerated(share float64) bool {
	up, down := scaleTolerance, scaleTolerance
	if b := q.behavior; b != nil {
		if b.ScaleUp != nil && b.ScaleUp.Tolerance != nil {
			up = b.ScaleUp.Tolerance.AsApproximateFloat64()
		}
		if b.ScaleDown != nil && b.ScaleDown.Tolerance != nil {
			down = b.ScaleDown.Tolerance.AsApproximateFloat64()
		}
	}
	return share >= 1-down && share <= 1+up
}

// current1 is what a status shows: the use of one pod on average, and as a share
// of requests where the target is one.
func (q question) current1(used, want map[string]int64) autoscalingv2.MetricValueStatus {
	var is int64
	for _, n := range used {
		is += n
	}
	each := is / int64(len(used))
	v := autoscalingv2.MetricValueStatus{AverageValue: resource.NewMilliQuantity(each, resource.DecimalSI)}
	if q.resource == corev1.ResourceMemory {
		v.AverageValue = resource.NewQuantity(each/1000, resource.DecimalSI)
	}
	if u := q.target.AverageUtilization; u != nil {
		v.AverageUtilization = new(int32(shareOf(used, want) * float64(*u)))
	}
	return v
}
