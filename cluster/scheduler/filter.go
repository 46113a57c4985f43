package scheduler

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
)

// The filters, with the reasons that Kubernetes' scheduler gives.

func unschedulable(pod *corev1.Pod, n *nodeInfo) *refusal {
	if !n.node.Spec.Unschedulable {
		return nil
	}
	taint := corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}
	if tolerates(pod, &taint) {
		return nil
	}
	return never("node(s) were unschedulable")
}

func nodeName(pod *corev1.Pod, n *nodeInfo) *refusal {
	if pod.Spec.NodeName == "" || pod.Spec.NodeName == n.node.Name {
		return nil
	}
	return never("node(s) didn't match the requested node name")
}

func taints(pod *corev1.Pod, n *nodeInfo) *refusal {
	for i := range n.node.Spec.Taints {
		t := &n.node.Spec.Taints[i]
		if t.Effect != corev1.TaintEffectPreferNoSchedule && !tolerates(pod, t) {
			return never("node(s) had untolerated taint(s)")
		}
	}
	return nil
}

func tolerates(pod *corev1.Pod, t *corev1.Taint) bool {
	return scheduling.TolerationsTolerateTaint(klog.Logger{}, pod.Spec.Tolerations, t, false)
}

func nodeAffinity(pod *corev1.Pod) filter {
	required := nodeaffinity.GetRequiredNodeAffinity(pod)
	return func(_ *corev1.Pod, n *nodeInfo) *refusal {
		if ok, err := required.Match(n.node); ok && err == nil {
			return nil
		}
		return never("node(s) didn't match Pod's node affinity/selector")
	}
}

func ports(pod *corev1.Pod) filter {
	want := hostPorts(pod)
	return func(_ *corev1.Pod, n *nodeInfo) *refusal {
		for _, w := range want {
			for have := range n.ports {
				if w.clash(have) {
					return because("node(s) didn't have free ports for the requested pod ports")
				}
			}
		}
		return nil
	}
}

// resources lets nodes through that have what pod asks for. Their number of
// pods is a resource like the others.
func resources(pod *corev1.Pod) filter {
	want := requests(pod)
	names := slices.Sorted(maps.Keys(want))
	return func(_ *corev1.Pod, n *nodeInfo) *refusal {
		r := &refusal{}
		for _, name := range names {
			if want[name] == 0 || n.requested[name]+want[name] <= n.allocatable[name] {
				continue
			}
			reason := fmt.Sprintf("Insufficient %s", name)
			if name == corev1.ResourcePods {
				reason = "Too many pods"
			}
			r.reasons = append(r.reasons, reason)
			r.hopeless = r.hopeless || want[name] > n.allocatable[name]
		}
		if len(r.reasons) == 0 {
			return nil
		}
		return r
	}
}
