package validate

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// HorizontalPodAutoscaler checks an autoscaler.
func HorizontalPodAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	s, p := &h.Spec, spec()
	var errs errors
	if s.MinReplicas != nil && *s.MinReplicas < 1 {
		errs = append(errs, field.Invalid(p.Child("minReplicas"), *s.MinReplicas, "must be greater than or equal to 1"))
	}
	if s.MaxReplicas < 1 {
		errs = append(errs, field.Invalid(p.Child("maxReplicas"), s.MaxReplicas, "must be greater than 0"))
	}
	if s.MinReplicas != nil && s.MaxReplicas < *s.MinReplicas {
		errs = append(errs, field.Invalid(p.Child("maxReplicas"), s.MaxReplicas, "must be greater than or equal to `minReplicas`"))
	}
	errs = append(errs, scaleTarget(p.Child("scaleTargetRef"), s.ScaleTargetRef)...)
	for i, m := range s.Metrics {
		errs = append(errs, metric(p.Child("metrics").Index(i), m)...)
	}
	if b := s.Behavior; b != nil {
		errs = append(errs, scalingRules(p.Child("behavior", "scaleUp"), b.ScaleUp)...)
		errs = append(errs, scalingRules(p.Child("behavior", "scaleDown"), b.ScaleDown)...)
	}
	return errs
}

func scaleTarget(p *field.Path, r autoscalingv2.CrossVersionObjectReference) errors {
	errs := required(p.Child("kind"), r.Kind)
	if r.Kind != "" {
		errs = append(errs, each(p.Child("kind"), r.Kind, path.IsValidPathSegmentName(r.Kind))...)
	}
	if r.Name == "" {
		return append(errs, field.Required(p.Child("name"), ""))
	}
	return append(errs, each(p.Child("name"), r.Name, path.IsValidPathSegmentName(r.Name))...)
}

func metric(p *field.Path, m autoscalingv2.MetricSpec) errors {
	errs := oneOf(p.Child("type"), m.Type, autoscalingv2.ContainerResourceMetricSourceType, autoscalingv2.ExternalMetricSourceType,
		autoscalingv2.ObjectMetricSourceType, autoscalingv2.PodsMetricSourceType, autoscalingv2.ResourceMetricSourceType)
	missing := func(name string) errors {
		return append(errs, field.Required(p.Child(name), "must populate information for the given metric source"))
	}
	switch m.Type {
	case autoscalingv2.ResourceMetricSourceType:
		if m.Resource == nil {
			return missing("resource")
		}
		errs = append(errs, required(p.Child("resource", "name"), string(m.Resource.Name))...)
		errs = append(errs, utilizationTarget(p.Child("resource", "target"), m.Resource.Target)...)
	case autoscalingv2.ContainerResourceMetricSourceType:
		if m.ContainerResource == nil {
			return missing("containerResource")
		}
		errs = append(errs, required(p.Child("containerResource", "name"), string(m.ContainerResource.Name))...)
		errs = append(errs, required(p.Child("containerResource", "container"), m.ContainerResource.Container)...)
		errs = append(errs, utilizationTarget(p.Child("containerResource", "target"), m.ContainerResource.Target)...)
	case autoscalingv2.PodsMetricSourceType:
		if m.Pods == nil {
			return missing("pods")
		}
		errs = append(errs, required(p.Child("pods", "metric", "name"), m.Pods.Metric.Name)...)
		if m.Pods.Target.AverageValue == nil || m.Pods.Target.AverageValue.Sign() <= 0 {
			errs = append(errs, field.Required(p.Child("pods", "target", "averageValue"), "must specify a positive target averageValue"))
		}
	case autoscalingv2.ObjectMetricSourceType:
		if m.Object == nil {
			return missing("object")
		}
		errs = append(errs, scaleTarget(p.Child("object", "describedObject"), m.Object.DescribedObject)...)
		errs = append(errs, required(p.Child("object", "metric", "name"), m.Object.Metric.Name)...)
		if m.Object.Target.Value == nil && m.Object.Target.AverageValue == nil {
			errs = append(errs, field.Required(p.Child("object", "target", "averageValue"), "must set either a target value or averageValue"))
		}
	case autoscalingv2.ExternalMetricSourceType:
		if m.External == nil {
			return missing("external")
		}
		errs = append(errs, required(p.Child("external", "metric", "name"), m.External.Metric.Name)...)
		t := m.External.Target
		if t.Value == nil && t.AverageValue == nil {
			errs = append(errs, field.Required(p.Child("external", "target", "averageValue"), "must set either a target value for metric or a per-pod target"))
		} else if t.Value != nil && t.AverageValue != nil {
			errs = append(errs, field.Forbidden(p.Child("external", "target", "value"), "may not set both a target value for metric and a per-pod target"))
		}
	}
	return errs
}

func utilizationTarget(p *field.Path, t autoscalingv2.MetricTarget) errors {
	errs := oneOf(p.Child("type"), t.Type, autoscalingv2.AverageValueMetricType,
		autoscalingv2.UtilizationMetricType, autoscalingv2.ValueMetricType)
	if t.AverageUtilization != nil && *t.AverageUtilization < 1 {
		errs = append(errs, field.Invalid(p.Child("averageUtilization"), *t.AverageUtilization, "must be greater than 0"))
	}
	switch {
	case t.AverageUtilization == nil && t.AverageValue == nil:
		errs = append(errs, field.Required(p.Child("averageUtilization"), "must set either a target raw value or a target utilization"))
	case t.AverageUtilization != nil && t.AverageValue != nil:
		errs = append(errs, field.Forbidden(p.Child("averageValue"), "may not set both a target raw value and a target utilization"))
	}
	return errs
}

// Bounds of scaling behaviour, in seconds.
const (
	maxStabilizationSeconds = 3600
	maxPolicyPeriodSeconds  = 1800
)

func scalingRules(p *field.Path, r *autoscalingv2.HPAScalingRules) errors {
	if r == nil {
		return nil
	}
	var errs errors
	if w := r.StabilizationWindowSeconds; w != nil && *w < 0 {
		errs = append(errs, field.Invalid(p.Child("stabilizationWindowSeconds"), *w, "must be greater than or equal to zero"))
	} else if w != nil && *w > maxStabilizationSeconds {
		errs = append(errs, field.Invalid(p.Child("stabilizationWindowSeconds"), *w, "must be less than or equal to 3600"))
	}
	errs = append(errs, oneOfPtr(p.Child("selectPolicy"), r.SelectPolicy, autoscalingv2.DisabledPolicySelect,
		autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect)...)
	if len(r.Policies) == 0 {
		errs = append(errs, field.Required(p.Child("policies"), "must specify at least one Policy"))
	}
	for i, policy := range r.Policies {
		at := p.Child("policies").Index(i)
		errs = append(errs, oneOf(at.Child("type"), policy.Type, autoscalingv2.PercentScalingPolicy, autoscalingv2.PodsScalingPolicy)...)
		if policy.Value <= 0 {
			errs = append(errs, field.Invalid(at.Child("value"), policy.Value, notPositive))
		}
		if policy.PeriodSeconds <= 0 {
			errs = append(errs, field.Invalid(at.Child("periodSeconds"), policy.PeriodSeconds, notPositive))
		} else if policy.PeriodSeconds > maxPolicyPeriodSeconds {
			errs = append(errs, field.Invalid(at.Child("periodSeconds"), policy.PeriodSeconds, "must be less than or equal to 1800"))
		}
	}
	return errs
}

// PodDisruptionBudget checks a disruption budget.
func PodDisruptionBudget(b *policyv1.PodDisruptionBudget) field.ErrorList {
	s, p := &b.Spec, spec()
	var errs errors
	if s.MinAvailable != nil && s.MaxUnavailable != nil {
		errs = append(errs, field.Invalid(p, s, "minAvailable and maxUnavailable cannot be both set"))
	}
	if s.MinAvailable != nil {
		errs = append(errs, intOrPercent(p.Child("minAvailable"), *s.MinAvailable)...)
		errs = append(errs, atMostAll(p.Child("minAvailable"), *s.MinAvailable)...)
	}
	if s.MaxUnavailable != nil {
		errs = append(errs, intOrPercent(p.Child("maxUnavailable"), *s.MaxUnavailable)...)
		errs = append(errs, atMostAll(p.Child("maxUnavailable"), *s.MaxUnavailable)...)
	}
	errs = append(errs, labelSelector(p.Child("selector"), s.Selector)...)
	return append(errs, oneOfPtr(p.Child("unhealthyPodEvictionPolicy"), s.UnhealthyPodEvictionPolicy,
		policyv1.AlwaysAllow, policyv1.IfHealthyBudget)...)
}
