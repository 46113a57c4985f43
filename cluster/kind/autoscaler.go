package kind

import (
	"encoding/json"
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
	"github.com/seed38700745/pkg/cluster/object"
)

// Annotations in which autoscaling/v1 shows what its fields cannot express.
const (
	annotationMetrics    = "autoscaling.alpha.kubernetes.io/metrics"
	annotationConditions = "autoscaling.alpha.kubernetes.io/conditions"
	annotationBehavior   = "autoscaling.alpha.kubernetes.io/behavior"
)

func horizontalPodAutoscaler() *Kind {
	k := defineNamespaced[autoscalingv2.HorizontalPodAutoscaler, autoscalingv2.HorizontalPodAutoscalerList](
		autoscalingv2.SchemeGroupVersion, "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa")
	k.Categories = []string{"all"}
	k.Acted = true
	status(k, func(to, from *autoscalingv2.HorizontalPodAutoscaler) { to.Status = from.Status })
	k.Default = on(defaults.HorizontalPodAutoscaler)
	k.Aliases = []Alias{{
		GVK:     autoscalingv1.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"),
		New:     func() object.Object { return &autoscalingv1.HorizontalPodAutoscaler{} },
		NewList: func() runtime.Object { return &autoscalingv1.HorizontalPodAutoscalerList{} },
		To: func(o object.Object) (object.Object, error) {
			return autoscalerToV1(o.(*autoscalingv2.HorizontalPodAutoscaler))
		},
		From: func(o object.Object) (object.Object, error) {
			return autoscalerFromV1(o.(*autoscalingv1.HorizontalPodAutoscaler))
		},
	}}
	k.Columns, k.Row = table.HorizontalPodAutoscalerColumns(), row(table.HorizontalPodAutoscalerRow)
	k.Validate = check(validate.HorizontalPodAutoscaler)
	return k
}

// autoscalerToV1 shows the CPU utilisation target as v1's field and all other
// metrics, behaviour and conditions as annotations. Unlike in Kubernetes, the
// current values of other metrics are seen in v2 only.
func autoscalerToV1(h *autoscalingv2.HorizontalPodAutoscaler) (object.Object, error) {
	out := &autoscalingv1.HorizontalPodAutoscaler{
		ObjectMeta: h.ObjectMeta,
		Spec: autoscalingv1.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv1.CrossVersionObjectReference(h.Spec.ScaleTargetRef),
			MinReplicas:    h.Spec.MinReplicas,
			MaxReplicas:    h.Spec.MaxReplicas,
		},
		Status: autoscalingv1.HorizontalPodAutoscalerStatus{
			ObservedGeneration: h.Status.ObservedGeneration,
			LastScaleTime:      h.Status.LastScaleTime,
			CurrentReplicas:    h.Status.CurrentReplicas,
			DesiredReplicas:    h.Status.DesiredReplicas,
		},
	}
	var others []autoscalingv1.MetricSpec
	for _, m := range h.Spec.Metrics {
		if cpu := cpuUtilization(m); cpu != nil && out.Spec.TargetCPUUtilizationPercentage == nil {
			out.Spec.TargetCPUUtilizationPercentage = cpu
		} else {
			others = append(others, metricToV1(m))
		}
	}
	for _, m := range h.Status.CurrentMetrics {
		if m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil && m.Resource.Name == corev1.ResourceCPU {
			out.Status.CurrentCPUUtilizationPercentage = m.Resource.Current.AverageUtilization
		}
	}
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	if len(others) > 0 {
		if err := annotate(out.Annotations, annotationMetrics, others); err != nil {
			return nil, err
		}
	}
	if h.Spec.Behavior != nil {
		if err := annotate(out.Annotations, annotationBehavior, h.Spec.Behavior); err != nil {
			return nil, err
		}
	}
	if len(h.Status.Conditions) > 0 {
		if err := annotate(out.Annotations, annotationConditions, h.Status.Conditions); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func annotate(annotations map[string]string, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("annotation %s: %w", name, err)
	}
	annotations[name] = string(b)
	return nil
}

// autoscalerFromV1 is the inverse of autoscalerToV1. Annotations that do not
// parse are dropped, as Kubernetes does.
func autoscalerFromV1(h *autoscalingv1.HorizontalPodAutoscaler) (object.Object, error) {
	out := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: h.ObjectMeta,
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference(h.Spec.ScaleTargetRef),
			MinReplicas:    h.Spec.MinReplicas,
			MaxReplicas:    h.Spec.MaxReplicas,
		},
		Status: autoscalingv2.HorizontalPodAutoscalerStatus{
			ObservedGeneration: h.Status.ObservedGeneration,
			LastScaleTime:      h.Status.LastScaleTime,
			CurrentReplicas:    h.Status.CurrentReplicas,
			DesiredReplicas:    h.Status.DesiredReplicas,
		},
	}
	var others []autoscalingv1.MetricSpec
	if json.Unmarshal([]byte(h.Annotations[annotationMetrics]), &others) == nil {
		for _, m := range others {
			out.Spec.Metrics = append(out.Spec.Metrics, metricFromV1(m))
		}
	}
	if cpu := h.Spec.TargetCPUUtilizationPercentage; cpu != nil {
		out.Spec.Metrics = append(out.Spec.Metrics, autoscalingv2.MetricSpec{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricSource{
				Name:   corev1.ResourceCPU,
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: cpu},
			},
		})
	}
	if cpu := h.Status.CurrentCPUUtilizationPercentage; cpu != nil {
		out.Status.CurrentMetrics = []autoscalingv2.MetricStatus{{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricStatus{
				Name:    corev1.ResourceCPU,
				Current: autoscalingv2.MetricValueStatus{AverageUtilization: cpu},
			},
		}}
	}
	var behavior autoscalingv2.HorizontalPodAutoscalerBehavior
	if json.Unmarshal([]byte(h.Annotations[annotationBehavior]), &behavior) == nil {
		out.Spec.Behavior = &behavior
	}
	var conditions []autoscalingv2.HorizontalPodAutoscalerCondition
	if json.Unmarshal([]byte(h.Annotations[annotationConditions]), &conditions) == nil {
		out.Status.Conditions = conditions
	}
	for _, name := range []string{annotationMetrics, annotationBehavior, annotationConditions} {
		delete(out.Annotations, name)
	}
	return out, nil
}

func cpuUtilization(m autoscalingv2.MetricSpec) *int32 {
	if m.Type != autoscalingv2.ResourceMetricSourceType || m.Resource == nil || m.Resource.Name != corev1.ResourceCPU {
		return nil
	}
	return m.Resource.Target.AverageUtilization
}
