package controller

import (
	"math"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
)

// Kubernetes' values for autoscalers without a behavior.
const (
	downscaleWindow = 5 * time.Minute
	upscaleFactor   = 2
	upscaleAtLeast  = 4
)

// scaleHistory is what one autoscaler remembers.
type scaleHistory struct {
	next            time.Time // nothing is done before it
	recommendations []scaleMoment
	changes         []scaleMoment // by how many replicas; negative: down
}

type scaleMoment struct {
	at time.Time
	n  int32
}

// scaled remembers that the number of replicas was changed.
func (s *scaleHistory) scaled(from, to int32, now time.Time) {
	s.changes = append(recentMoments(s.changes, now, longestPeriod), scaleMoment{now, to - from})
}

// longestPeriod of a scaling policy, and of a stabilization window, that
// Kubernetes admits.
const (
	longestPeriod = 30 * time.Minute
	longestWindow = time.Hour
)

func recentMoments(all []scaleMoment, now time.Time, span time.Duration) []scaleMoment {
	return slices.DeleteFunc(all, func(m scaleMoment) bool { return now.Sub(m.at) > span })
}

// bound turns what the metrics recommend into what is to be done now: not more
// than the behavior allows, and within minimum and maximum. It sets the conditions
// that say which of them counted.
func (s *scaleHistory) bound(h *autoscalingv2.HorizontalPodAutoscaler, st *scaleStatus, current, recommended int32, now time.Time) int32 {
	s.recommendations = append(recentMoments(s.recommendations, now, longestWindow), scaleMoment{now, recommended})
	up, down := rulesOf(h)
	desired := s.stabilize(current, recommended, up, down, now)
	switch {
	case desired > recommended:
		st.set(autoscalingv2.AbleToScale, corev1.ConditionTrue, "ScaleDownStabilized", "recent recommendations were higher than current one, applying the highest recent recommendation")
	case desired < recommended:
		st.set(autoscalingv2.AbleToScale, corev1.ConditionTrue, "ScaleUpStabilized", "recent recommendations were lower than current one, applying the lowest recent recommendation")
	default:
		st.set(autoscalingv2.AbleToScale, corev1.ConditionTrue, "ReadyForNewScale", "recommended size matches current size")
	}
	least, most := value(h.Spec.MinReplicas, 1), h.Spec.MaxReplicas
	limit := func(reason, message string) {
		st.set(autoscalingv2.ScalingLimited, corev1.ConditionTrue, reason, "%s", message)
	}
	lowest, highest := s.lowest(current, down, now), s.highest(current, up, now)
	switch {
	case desired > current && desired > highest && highest < most:
		limit("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
		return max(highest, current)
	case desired < current && desired < lowest && lowest > least:
		limit("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
		return min(lowest, current)
	case desired > most:
		limit("TooManyReplicas", "the desired replica count is more than the maximum replica count")
		return most
	case desired < least:
		limit("TooFewReplicas", "the desired replica count is less than the minimum replica count")
		return least
	}
	st.set(autoscalingv2.ScalingLimited, corev1.ConditionFalse, "DesiredWithinRange", "the desired count is within the acceptable range")
	return desired
}

// rulesOf are the behavior's, or nil for those of autoscalers without one.
func rulesOf(h *autoscalingv2.HorizontalPodAutoscaler) (up, down *autoscalingv2.HPAScalingRules) {
	if h.Spec.Behavior == nil {
		return nil, nil
	}
	return h.Spec.Behavior.ScaleUp, h.Spec.Behavior.ScaleDown
}

// stabilize goes up only to the least, and down only to the most, that was
// recommended within the windows.
func (s *scaleHistory) stabilize(current, recommended int32, up, down *autoscalingv2.HPAScalingRules, now time.Time) int32 {
	window := func(r *autoscalingv2.HPAScalingRules, otherwise time.Duration) time.Duration {
		if r != nil && r.StabilizationWindowSeconds != nil {
			return time.Duration(*r.StabilizationWindowSeconds) * time.Second
		}
		return otherwise
	}
	lowest, highest := recommended, recommended
	for _, m := range s.recommendations {
		if now.Sub(m.at) < window(up, 0) {
			lowest = min(lowest, m.n)
		}
		if now.Sub(m.at) < window(down, downscaleWindow) {
			highest = max(highest, m.n)
		}
	}
	return min(max(current, lowest), highest)
}

// highest is how many replicas the policies for scaling up allow now.
func (s *scaleHistory) highest(current int32, r *autoscalingv2.HPAScalingRules, now time.Time) int32 {
	if r == nil {
		return max(upscaleFactor*current, upscaleAtLeast)
	}
	return s.policies(r, current, now, func(p autoscalingv2.HPAScalingPolicy, start int32) int32 {
		if p.Type == autoscalingv2.PodsScalingPolicy {
			return start + p.Value
		}
		return int32(math.Ceil(float64(start) * (1 + float64(p.Value)/100)))
	}, 1)
}

// lowest is how few replicas the policies for scaling down allow now.
func (s *scaleHistory) lowest(current int32, r *autoscalingv2.HPAScalingRules, now time.Time) int32 {
	if r == nil {
		return 0
	}
	return s.policies(r, current, now, func(p autoscalingv2.HPAScalingPolicy, start int32) int32 {
		if p.Type == autoscalingv2.PodsScalingPolicy {
			return max(start-p.Value, 0)
		}
		return int32(float64(start) * (1 - float64(p.Value)/100))
	}, -1)
}

// policies applies each policy to how many replicas there were when its period
// began, and selects among the results. direction is 1 for up, -1 for down.
func (s *scaleHistory) policies(r *autoscalingv2.HPAScalingRules, current int32, now time.Time, allow func(autoscalingv2.HPAScalingPolicy, int32) int32, direction int32) int32 {
	choice := autoscalingv2.MaxChangePolicySelect
	if r.SelectPolicy != nil {
		choice = *r.SelectPolicy
	}
	if choice == autoscalingv2.DisabledPolicySelect {
		return current
	}
	result, have := current, false
	for _, p := range r.Policies {
		start := current
		for _, m := range s.changes {
			if m.n*direction > 0 && now.Sub(m.at) < time.Duration(p.PeriodSeconds)*time.Second {
				start -= m.n
			}
		}
		n := allow(p, start)
		further := (n-result)*direction > 0
		if !have || further == (choice == autoscalingv2.MaxChangePolicySelect) {
			result, have = n, true
		}
	}
	return result
}
