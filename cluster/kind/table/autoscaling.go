package table

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// HorizontalPodAutoscalerColumns are the columns of autoscalers.
func HorizontalPodAutoscalerColumns() Columns {
	spec := autoscalingv2.HorizontalPodAutoscalerSpec{}.SwaggerDoc()
	return Columns{
		nameColumn(),
		text("Reference", spec["scaleTargetRef"]),
		text("Targets", spec["metrics"]),
		text("MinPods", spec["minReplicas"]),
		text("MaxPods", spec["maxReplicas"]),
		text("Replicas", autoscalingv2.HorizontalPodAutoscalerStatus{}.SwaggerDoc()["currentReplicas"]),
		ageColumn(),
	}
}

// HorizontalPodAutoscalerRow shows an autoscaler.
func HorizontalPodAutoscalerRow(h *autoscalingv2.HorizontalPodAutoscaler, now time.Time) []any {
	ref := h.Spec.ScaleTargetRef
	least := unset
	if h.Spec.MinReplicas != nil {
		least = strconv.Itoa(int(*h.Spec.MinReplicas))
	}
	return []any{
		h.Name, ref.Kind + "/" + ref.Name, targets(h.Spec.Metrics, h.Status.CurrentMetrics), least,
		int64(h.Spec.MaxReplicas), int64(h.Status.CurrentReplicas), age(h.CreationTimestamp, now),
	}
}

// shownMetrics is how many metrics a cell has room for.
const shownMetrics = 2

// targets lists "current/target" of each metric.
func targets(specs []autoscalingv2.MetricSpec, current []autoscalingv2.MetricStatus) string {
	if len(specs) == 0 {
		return none
	}
	var list []string
	for i, spec := range specs {
		var status autoscalingv2.MetricStatus
		if i < len(current) {
			status = current[i]
		}
		list = append(list, target(spec, status))
	}
	if len(list) > shownMetrics {
		return fmt.Sprintf("%s + %d more...", strings.Join(list[:shownMetrics], ", "), len(list)-shownMetrics)
	}
	return strings.Join(list, ", ")
}

func target(m autoscalingv2.MetricSpec, status autoscalingv2.MetricStatus) string {
	var now autoscalingv2.MetricValueStatus
	switch {
	case m.Type == autoscalingv2.ExternalMetricSourceType && m.External != nil:
		if status.External != nil {
			now = status.External.Current
		}
		return valueOf(m.External.Target, now)
	case m.Type == autoscalingv2.ObjectMetricSourceType && m.Object != nil:
		if status.Object != nil {
			now = status.Object.Current
		}
		return valueOf(m.Object.Target, now)
	case m.Type == autoscalingv2.PodsMetricSourceType && m.Pods != nil:
		if status.Pods != nil {
			now = status.Pods.Current
		}
		return quantity(now.AverageValue) + "/" + quantity(m.Pods.Target.AverageValue)
	case m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil:
		if status.Resource != nil {
			now = status.Resource.Current
		}
		return string(m.Resource.Name) + ": " + utilization(m.Resource.Target, now)
	case m.Type == autoscalingv2.ContainerResourceMetricSourceType && m.ContainerResource != nil:
		if status.ContainerResource != nil {
			now = status.ContainerResource.Current
		}
		return string(m.ContainerResource.Name) + ": " + utilization(m.ContainerResource.Target, now)
	}
	return "<unknown type>"
}

func valueOf(t autoscalingv2.MetricTarget, now autoscalingv2.MetricValueStatus) string {
	if t.AverageValue != nil {
		return quantity(now.AverageValue) + "/" + quantity(t.AverageValue) + " (avg)"
	}
	return quantity(now.Value) + "/" + quantity(t.Value)
}

func utilization(t autoscalingv2.MetricTarget, now autoscalingv2.MetricValueStatus) string {
	if t.AverageValue != nil {
		return quantity(now.AverageValue) + "/" + quantity(t.AverageValue)
	}
	is, wanted := unknown, "<auto>"
	if now.AverageUtilization != nil {
		is = fmt.Sprintf("%d%%", *now.AverageUtilization)
	}
	if t.AverageUtilization != nil {
		wanted = fmt.Sprintf("%d%%", *t.AverageUtilization)
	}
	return is + "/" + wanted
}

func quantity(q *resource.Quantity) string {
	if q == nil {
		return unknown
	}
	return q.String()
}

// PodDisruptionBudgetColumns are the columns of disruption budgets.
func PodDisruptionBudgetColumns() Columns {
	return Columns{
		nameColumn(),
		text("Min Available", "The minimum number of pods that must be available."),
		text("Max Unavailable", "The maximum number of pods that may be unavailable."),
		integer("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time."),
		ageColumn(),
	}
}

// PodDisruptionBudgetRow shows a disruption budget.
func PodDisruptionBudgetRow(b *policyv1.PodDisruptionBudget, now time.Time) []any {
	return []any{
		b.Name, orNA(b.Spec.MinAvailable), orNA(b.Spec.MaxUnavailable), int64(b.Status.DisruptionsAllowed),
		age(b.CreationTimestamp, now),
	}
}

func orNA(v *intstr.IntOrString) string {
	if v == nil {
		return "N/A"
	}
	return v.String()
}
