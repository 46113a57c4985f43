package node

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	helper "k8s.io/component-helpers/resource"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/seed38700745/pkg/cluster/node/podspec"
)

// admit decides, the first time a pod is seen, whether the node takes it. A
// pod that already has a sandbox or ran here is in. It returns the reason why
// the pod fails, or nil.
func (w *worker) admit(v view) *waiting {
	if w.admitted {
		return nil
	}
	w.agent.claims.Lock()
	defer w.agent.claims.Unlock()
	if !v.exists && !hasRun(v.pod) {
		if r := w.agent.refuse(v.pod, w.agent.admittedPods(w.uid)); r != nil {
			return r
		}
	}
	w.mu.Lock()
	w.admitted = true
	w.mu.Unlock()
	return nil
}

// admittedPods are the live pods, but for one, that take up room.
func (a *Agent) admittedPods(except string) []*corev1.Pod {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []*corev1.Pod
	for uid, w := range a.workers {
		w.mu.Lock()
		if uid != except && w.admitted && !isTerminal(w.pod.Status.Phase) {
			all = append(all, w.pod)
		}
		w.mu.Unlock()
	}
	return all
}

// refuse returns why the node cannot take pod beside the others, with
// Kubernetes' reasons.
func (a *Agent) refuse(pod *corev1.Pod, others []*corev1.Pod) *waiting {
	if r := a.refuseUnderPressure(pod); r != nil {
		return r
	}
	if _, err := podspec.Sysctls(pod); err != nil {
		return &waiting{"SysctlForbidden", "Pod was rejected: " + err.Error()}
	}
	if len(pod.Spec.NodeSelector) > 0 || pod.Spec.Affinity != nil && pod.Spec.Affinity.NodeAffinity != nil {
		node := &corev1.Node{}
		node.Name, node.Labels = a.Name, a.nodeLabels()
		if fits, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(node); err == nil && !fits && a.ownLabelsDecide(pod) {
			return &waiting{"NodeAffinity", "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"}
		}
	}
	if len(others)+1 > a.MaxPods {
		return outOf("pods", 1, int64(len(others)), int64(a.MaxPods))
	}
	used := corev1.ResourceList{}
	for _, o := range others {
		for name, q := range helper.PodRequests(o, helper.PodResourcesOptions{}) {
			sum := used[name]
			sum.Add(q)
			used[name] = sum
		}
	}
	room := a.allocatable()
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		want := helper.PodRequests(pod, helper.PodResourcesOptions{})[name]
		if want.IsZero() {
			continue
		}
		have, taken := room[name], used[name]
		sum := taken.DeepCopy()
		sum.Add(want)
		if sum.Cmp(have) > 0 {
			if name == corev1.ResourceCPU {
				return outOf(string(name), want.MilliValue(), taken.MilliValue(), have.MilliValue())
			}
			return outOf(string(name), want.Value(), taken.Value(), have.Value())
		}
	}
	return nil
}

// ownLabelsDecide tells whether a pod's node selector refers only to labels
// that the agent itself sets: it does not know of the others.
func (a *Agent) ownLabelsDecide(pod *corev1.Pod) bool {
	own := labels.Set(a.nodeLabels())
	for key := range pod.Spec.NodeSelector {
		if !own.Has(key) {
			return false
		}
	}
	return pod.Spec.Affinity == nil || pod.Spec.Affinity.NodeAffinity == nil
}

func outOf(resource string, want, used, have int64) *waiting {
	return &waiting{"OutOf" + resource, fmt.Sprintf("Pod was rejected: Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d",
		resource, want, used, have)}
}
