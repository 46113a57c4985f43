package podspec

import (
	corev1 "k8s.io/api/core/v1"
	helper "k8s.io/component-helpers/resource"

	"github.com/seed38700745/pkg/cluster/cri"
)

// Numbers of the Linux CPU controller and of the kubelet.
const (
	cpuPeriod  = 100_000 // microseconds
	minQuota   = 1_000   // microseconds: the kernel's minimum
	minShares  = 2
	maxShares  = 262_144
	oomCrucial = -997 // oom_score_adj of Guaranteed and node-critical pods
	oomBest    = 1000 // of BestEffort
)

// QoS returns the pod's quality of service class.
func QoS(pod *corev1.Pod) corev1.PodQOSClass {
	if pod.Status.QOSClass != "" {
		return pod.Status.QOSClass
	}
	any, guaranteed := false, true
	count := func(r corev1.ResourceRequirements) {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, limit := r.Requests[name], r.Limits[name]
			if !request.IsZero() || !limit.IsZero() {
				any = true
			}
			if limit.IsZero() || (!request.IsZero() && request.Cmp(limit) != 0) {
				guaranteed = false
			}
		}
	}
	if r := pod.Spec.Resources; r != nil && (len(r.Requests) > 0 || len(r.Limits) > 0) {
		count(*r)
	} else {
		for _, c := range pod.Spec.InitContainers {
			count(c.Resources)
		}
		for _, c := range pod.Spec.Containers {
			count(c.Resources)
		}
	}
	switch {
	case !any:
		return corev1.PodQOSBestEffort
	case guaranteed:
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}

// Resources returns a container's cgroup settings on a node with so many bytes
// of memory.
func Resources(pod *corev1.Pod, c *corev1.Container, nodeMemory int64) cri.Resources {
	request, limit := c.Resources.Requests, c.Resources.Limits
	cpu, asked := request[corev1.ResourceCPU]
	if !asked {
		cpu = limit[corev1.ResourceCPU]
	}
	r := cri.Resources{
		CPUShares:   shares(cpu.MilliValue()),
		OOMScoreAdj: oomScore(pod, c, nodeMemory),
	}
	if l := limit[corev1.ResourceCPU]; !l.IsZero() {
		r.CPUQuota, r.CPUPeriod = max(l.MilliValue()*cpuPeriod/1000, minQuota), cpuPeriod
	}
	r.Memory = limit.Memory().Value()
	return r
}

// PodResources returns the settings of the pod's own cgroup: its shares, and
// limits where all of its containers have them.
func PodResources(pod *corev1.Pod) cri.Resources {
	requests := helper.PodRequests(pod, helper.PodResourcesOptions{ExcludeOverhead: false})
	limits := helper.PodLimits(pod, helper.PodResourcesOptions{})
	r := cri.Resources{CPUShares: shares(requests.Cpu().MilliValue())}
	if everyContainerLimits(pod, corev1.ResourceCPU) {
		r.CPUQuota, r.CPUPeriod = max(limits.Cpu().MilliValue()*cpuPeriod/1000, minQuota), cpuPeriod
	}
	if everyContainerLimits(pod, corev1.ResourceMemory) {
		r.Memory = limits.Memory().Value()
	}
	return r
}

func everyContainerLimits(pod *corev1.Pod, name corev1.ResourceName) bool {
	if pod.Spec.Resources != nil {
		if q := pod.Spec.Resources.Limits[name]; !q.IsZero() {
			return true
		}
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			if q := c.Resources.Limits[name]; q.IsZero() {
				return false
			}
		}
	}
	return true
}

func shares(milliCPU int64) uint64 {
	return uint64(min(max(milliCPU*1024/1000, minShares), maxShares))
}

// oomScore decides who is killed first when memory is short: BestEffort, then
// Burstable by how little it asked for.
func oomScore(pod *corev1.Pod, c *corev1.Container, nodeMemory int64) int {
	if pod.Spec.PriorityClassName == "system-node-critical" {
		return oomCrucial
	}
	switch QoS(pod) {
	case corev1.PodQOSGuaranteed:
		return oomCrucial
	case corev1.PodQOSBestEffort:
		return oomBest
	}
	if nodeMemory <= 0 {
		return oomBest - 1
	}
	adj := 1000 - int(1000*c.Resources.Requests.Memory().Value()/nodeMemory)
	return min(max(adj, 1000+oomCrucial), oomBest-1)
}
