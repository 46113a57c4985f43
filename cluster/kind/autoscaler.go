package kind

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
)

func horizontalPodAutoscaler() *Kind {
	k := defineNamespaced[autoscalingv2.HorizontalPodAutoscaler, autoscalingv2.HorizontalPodAutoscalerList](
		autoscalingv2.SchemeGroupVersion, "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa")
	k.Categories = []string{"all"}
	status(k, func(to, from *autoscalingv2.HorizontalPodAutoscaler) { to.Status = from.Status })
	k.Default = on(defaults.HorizontalPodAutoscaler)
	return k
}
