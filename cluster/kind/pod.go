package kind

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func pod() *Kind {
	k := defineNamespaced[corev1.Pod, corev1.PodList](corev1.SchemeGroupVersion, "Pod", "pods", "po")
	k.Categories = []string{"all"}
	k.Acted = true
	k.Generation = true
	status(k, func(to, from *corev1.Pod) {
		class := to.Status.QOSClass
		to.Status = from.Status
		if to.Status.QOSClass == "" {
			to.Status.QOSClass = class // it never changes
		}
	})
	k.More = []Subresource{
		{"attach", corev1.SchemeGroupVersion.WithKind("PodAttachOptions"), streamVerbs()},
		{"binding", corev1.SchemeGroupVersion.WithKind("Binding"), []string{"create"}},
		{"ephemeralcontainers", k.GVK, []string{"get", "patch", "update"}},
		{"eviction", evictionGVK(), []string{"create"}},
		{"exec", corev1.SchemeGroupVersion.WithKind("PodExecOptions"), streamVerbs()},
		{"log", k.GVK, []string{"get"}},
		{"portforward", corev1.SchemeGroupVersion.WithKind("PodPortForwardOptions"), streamVerbs()},
		{"proxy", corev1.SchemeGroupVersion.WithKind("PodProxyOptions"), proxyVerbs()},
		{"resize", k.GVK, []string{"get", "patch", "update"}},
	}
	selectable(k, []string{
		"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
		"spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName",
	}, podFields)
	k.Default = on(defaults.Pod)
	k.PrepareCreate = on(preparePod)
	k.Columns, k.Row = table.PodColumns(), row(table.PodRow)
	k.Validate = check(validate.Pod)
	k.ValidateUpdate = checkBoth(validate.PodUpdate)
	k.ValidateStatusUpdate = checkBoth(validate.PodStatusUpdate)
	k.Warnings = warn(validate.PodWarnings)
	return k
}

// preparePod gives a new pod the status with which every pod starts.
func preparePod(p *corev1.Pod) {
	p.Status = corev1.PodStatus{Phase: corev1.PodPending, QOSClass: QOSClass(p)}
	if len(p.Spec.SchedulingGates) > 0 {
		p.Status.Conditions = []corev1.PodCondition{{
			Type:    corev1.PodScheduled,
			Status:  corev1.ConditionFalse,
			Reason:  corev1.PodReasonSchedulingGated,
			Message: "Scheduling is blocked due to non-empty scheduling gates",
		}}
	}
}

func podFields(p *corev1.Pod) []string {
	ip := p.Status.PodIP
	if ip == "" && len(p.Status.PodIPs) > 0 {
		ip = p.Status.PodIPs[0].IP
	}
	return []string{
		p.Spec.NodeName, string(p.Spec.RestartPolicy), p.Spec.SchedulerName, p.Spec.ServiceAccountName,
		strconv.FormatBool(p.Spec.HostNetwork), string(p.Status.Phase), ip, ip, p.Status.NominatedNodeName,
	}
}

func podTemplate() *Kind {
	k := defineNamespaced[corev1.PodTemplate, corev1.PodTemplateList](corev1.SchemeGroupVersion, "PodTemplate", "podtemplates")
	k.Generation = true
	k.Default = on(defaults.PodTemplate)
	k.Columns, k.Row = table.PodTemplateColumns(), row(table.PodTemplateRow)
	k.Validate = check(validate.PodTemplate)
	return k
}
