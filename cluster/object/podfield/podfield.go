// Package podfield gives the values that a pod's containers may ask about
// themselves: fieldRef and resourceFieldRef of environment variables and of
// downwardAPI volumes, as Kubernetes defines them.
package podfield

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Value returns the value of a field path such as "metadata.name",
// "metadata.labels['app']" or "status.podIP". The maps "metadata.labels" and
// "metadata.annotations" become lines of key="value", sorted by key.
func Value(pod *corev1.Pod, path string) (string, error) {
	if m, key, ok := subscript(path); ok {
		switch m {
		case "metadata.labels":
			return pod.Labels[key], nil
		case "metadata.annotations":
			return pod.Annotations[key], nil
		}
		return "", fmt.Errorf("unsupported fieldPath: %s", path)
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.labels":
		return lines(pod.Labels), nil
	case "metadata.annotations":
		return lines(pod.Annotations), nil
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP":
		return pod.Status.HostIP, nil
	case "status.hostIPs":
		ips := make([]string, len(pod.Status.HostIPs))
		for i, ip := range pod.Status.HostIPs {
			ips[i] = ip.IP
		}
		return strings.Join(ips, ","), nil
	case "status.podIP":
		return pod.Status.PodIP, nil
	case "status.podIPs":
		ips := make([]string, len(pod.Status.PodIPs))
		for i, ip := range pod.Status.PodIPs {
			ips[i] = ip.IP
		}
		return strings.Join(ips, ","), nil
	}
	return "", fmt.Errorf("unsupported fieldPath: %s", path)
}

// subscript splits "metadata.labels['app']" into "metadata.labels" and "app".
func subscript(path string) (m, key string, ok bool) {
	m, rest, ok := strings.Cut(path, "['")
	if !ok || !strings.HasSuffix(rest, "']") {
		return "", "", false
	}
	return m, strings.TrimSuffix(rest, "']"), true
}

func lines(m map[string]string) string {
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s=%q", k, m[k])
	}
	return b.String()
}

// Resource returns a request or limit of a container as a whole number of
// divisors, rounded up. container is used where s names none. A limit that is
// not set is what the node offers (allocatable).
func Resource(pod *corev1.Pod, container string, s *corev1.ResourceFieldSelector, allocatable corev1.ResourceList) (string, error) {
	if s.ContainerName != "" {
		container = s.ContainerName
	}
	c := find(pod, container)
	if c == nil {
		return "", fmt.Errorf("container %s not found", container)
	}
	which, name, _ := strings.Cut(s.Resource, ".")
	var q resource.Quantity
	switch which {
	case "requests":
		q = c.Resources.Requests[corev1.ResourceName(name)]
	case "limits":
		var set bool
		if q, set = c.Resources.Limits[corev1.ResourceName(name)]; !set || q.IsZero() {
			q = allocatable[corev1.ResourceName(name)]
		}
	default:
		return "", fmt.Errorf("unsupported container resource: %s", s.Resource)
	}
	divisor := s.Divisor
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	if name == string(corev1.ResourceCPU) {
		return strconv.FormatInt(ceil(q.MilliValue(), divisor.MilliValue()), 10), nil
	}
	return strconv.FormatInt(ceil(q.Value(), divisor.Value()), 10), nil
}

func ceil(a, b int64) int64 {
	if b <= 0 {
		return a
	}
	return (a + b - 1) / b
}

func find(pod *corev1.Pod, name string) *corev1.Container {
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Name == name {
			return &pod.Spec.Containers[i]
		}
	}
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == name {
			return &pod.Spec.InitContainers[i]
		}
	}
	return nil
}
