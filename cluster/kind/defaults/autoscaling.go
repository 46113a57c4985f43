package defaults

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
)

// targetUtilization is the share of the CPU request, in per cent, at which an
// autoscaler without metrics aims.
const targetUtilization = 80

// HorizontalPodAutoscaler defaults metrics and, where given, behaviour.
func HorizontalPodAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler) {
	s := &h.Spec
	setPtr(&s.MinReplicas, 1)
	if len(s.Metrics) == 0 {
		percent := int32(targetUtilization)
		s.Metrics = []autoscalingv2.MetricSpec{{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricSource{
				Name: corev1.ResourceCPU,
				Target: autoscalingv2.MetricTarget{
					Type:               autoscalingv2.UtilizationMetricType,
					AverageUtilization: &percent,
				},
			},
		}}
	}
	if b := s.Behavior; b != nil {
		setPtr(&b.ScaleUp, autoscalingv2.HPAScalingRules{})
		setPtr(&b.ScaleUp.StabilizationWindowSeconds, 0)
		scalingRules(b.ScaleUp, []autoscalingv2.HPAScalingPolicy{
			{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15},
			{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15},
		})
		setPtr(&b.ScaleDown, autoscalingv2.HPAScalingRules{})
		scalingRules(b.ScaleDown, []autoscalingv2.HPAScalingPolicy{
			{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15},
		})
	}
}

func scalingRules(r *autoscalingv2.HPAScalingRules, policies []autoscalingv2.HPAScalingPolicy) {
	setPtr(&r.SelectPolicy, autoscalingv2.MaxChangePolicySelect)
	if r.Policies == nil {
		r.Policies = policies
	}
}
