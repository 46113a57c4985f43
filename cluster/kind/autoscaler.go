package kind

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

func horizontalPodAutoscaler() *Kind {
	k := defineNamespaced[autoscalingv2.HorizontalPodAutoscaler, autoscalingv2.HorizontalPodAutoscalerList](
		autoscalingv2.SchemeGroupVersion, "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa")
	k.Categories = []string{"all"}
	status(k, func(to, from *autoscalingv2.HorizontalPodAutoscaler) { to.Status = from.Status })
	return k
}
