package eviction

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	helper "k8s.io/component-helpers/resource"
)

// Reason is what an evicted pod's status and event say.
const Reason = "Evicted"

// criticalPriority is the least priority of pods that are never evicted:
// Kubernetes' system-cluster-critical.
const criticalPriority = 2_000_000_000

// Usage is what a pod uses.
type Usage struct {
	Pod        *corev1.Pod
	Containers map[string]ContainerUsage // by name
	Memory     int64                     // bytes of the working set
	PIDs       int64
	Volumes    map[string]Disk // of its emptyDirs on disk, by name
}

// ContainerUsage is what one container uses.
type ContainerUsage struct {
	Memory int64 // bytes of the working set
	Disk   Disk  // its writable layer and its logs
}

// disk is all that the pod has on the node's disk.
func (u Usage) disk() Disk {
	var sum Disk
	for _, c := range u.Containers {
		sum.Add(c.Disk)
	}
	for _, v := range u.Volumes {
		sum.Add(v)
	}
	return sum
}

// of is how much the pod uses of what a signal is about.
func (u Usage) of(s Signal) int64 {
	switch s.Resource() {
	case corev1.ResourceMemory:
		return u.Memory
	case "pids":
		return u.PIDs
	case "inodes":
		return u.disk().Inodes
	}
	return u.disk().Bytes
}

// request is how much of it the pod was promised.
func (u Usage) request(s Signal) int64 {
	q := helper.PodRequests(u.Pod, helper.PodResourcesOptions{})[s.Resource()]
	return q.Value()
}

// Critical tells whether a pod is never evicted.
func Critical(p *corev1.Pod) bool { return priority(p) >= criticalPriority }

func priority(p *corev1.Pod) int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}

// Rank orders pods by who goes first when a signal is short, without those
// that are critical: pods that use more than they requested, then those of
// lower priority, then those that use the most above their request. For process
// ids it is priority, then their number.
func Rank(pods []Usage, s Signal) []Usage {
	all := slices.DeleteFunc(slices.Clone(pods), func(u Usage) bool { return Critical(u.Pod) })
	excess := func(u Usage) int64 { return u.of(s) - u.request(s) }
	slices.SortStableFunc(all, func(a, b Usage) int {
		if s != PIDAvailable {
			if x, y := excess(a) > 0, excess(b) > 0; x != y {
				if x {
					return -1
				}
				return 1
			}
		}
		return cmp.Or(cmp.Compare(priority(a.Pod), priority(b.Pod)), cmp.Compare(excess(b), excess(a)), cmp.Compare(a.Pod.Name, b.Pod.Name))
	})
	return all
}

// Message says, in the kubelet's words, why a pod was evicted for m.
func Message(m Met, u Usage) string {
	var b strings.Builder
	name := m.Signal.Resource()
	fmt.Fprintf(&b, "The node was low on resource: %s. Threshold quantity: %s, available: %s. ", name, m.quantity(m.Threshold), m.quantity(m.Available))
	if name != corev1.ResourceMemory && name != corev1.ResourceEphemeralStorage {
		return b.String()
	}
	for _, c := range slices.Concat(u.Pod.Spec.InitContainers, u.Pod.Spec.Containers) {
		used, ok := u.Containers[c.Name]
		if !ok {
			continue
		}
		n := used.Memory
		if name == corev1.ResourceEphemeralStorage {
			n = used.Disk.Bytes
		}
		if request := c.Resources.Requests[name]; n > request.Value() {
			fmt.Fprintf(&b, "Container %s was using %s, request is %s, has larger consumption of %s. ",
				c.Name, inKi(n), request.String(), name)
		}
	}
	return b.String()
}

// inKi shows bytes as the kubelet does: in whole Ki.
func inKi(n int64) *resource.Quantity { return resource.NewQuantity(n&^1023, resource.BinarySI) }

// NodeMessage says why a pod is not let onto a node under pressure.
func NodeMessage(under []corev1.NodeConditionType) string {
	return fmt.Sprintf("The node had condition: %v. ", under)
}

// Limited tells whether Exceeded may find anything, so that what is not
// limited need not be measured.
func Limited(p *corev1.Pod) bool {
	for _, v := range p.Spec.Volumes {
		if e := v.EmptyDir; e != nil && e.SizeLimit != nil && !e.SizeLimit.IsZero() {
			return true
		}
	}
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		if _, ok := c.Resources.Limits[corev1.ResourceEphemeralStorage]; ok {
			return true
		}
	}
	return false
}

// Exceeded returns why a pod must go because it uses more of the disk than its
// own limits allow, in the kubelet's words; empty: it may stay.
func Exceeded(u Usage) string {
	for _, v := range u.Pod.Spec.Volumes {
		if e := v.EmptyDir; e != nil && e.SizeLimit != nil && !e.SizeLimit.IsZero() && u.Volumes[v.Name].Bytes > e.SizeLimit.Value() {
			return fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q. ", v.Name, e.SizeLimit.String())
		}
	}
	if total, ok := helper.PodLimits(u.Pod, helper.PodResourcesOptions{})[corev1.ResourceEphemeralStorage]; ok && u.disk().Bytes > total.Value() {
		return fmt.Sprintf("Pod ephemeral local storage usage exceeds the total limit of containers %s. ", total.String())
	}
	for _, c := range slices.Concat(u.Pod.Spec.InitContainers, u.Pod.Spec.Containers) {
		if limit, ok := c.Resources.Limits[corev1.ResourceEphemeralStorage]; ok && u.Containers[c.Name].Disk.Bytes > limit.Value() {
			return fmt.Sprintf("Container %s exceeded its local ephemeral storage limit %q. ", c.Name, limit.String())
		}
	}
	return ""
}
