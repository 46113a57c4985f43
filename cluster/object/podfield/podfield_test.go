package podfield

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func testPod() *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", UID: "u", Labels: map[string]string{"b": "2", "a": `1"`}, Annotations: map[string]string{"x/y": "z"}}}
	p.Spec.NodeName, p.Spec.ServiceAccountName = "n", "sa"
	p.Status.HostIP, p.Status.HostIPs = "h", []corev1.HostIP{{IP: "h"}, {IP: "h6"}}
	p.Status.PodIP, p.Status.PodIPs = "i", []corev1.PodIP{{IP: "i"}, {IP: "i6"}}
	p.Spec.InitContainers = []corev1.Container{{Name: "init", Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("3Mi")}}}}
	p.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m")}}}}
	return p
}

func TestValue(t *testing.T) {
	for path, want := range map[string]string{
		"metadata.name": "p", "metadata.namespace": "ns", "metadata.uid": "u", "metadata.labels": "a=\"1\\\"\"\nb=\"2\"", "metadata.labels['b']": "2",
		"metadata.labels['none']": "", "metadata.annotations['x/y']": "z", "spec.nodeName": "n", "spec.serviceAccountName": "sa",
		"status.hostIP": "h", "status.hostIPs": "h,h6", "status.podIP": "i", "status.podIPs": "i,i6",
	} {
		if got, err := Value(testPod(), path); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
	}
	for _, path := range []string{"", "spec", "metadata.labels['a", "metadata.name['a']", "status.phase"} {
		if got, err := Value(testPod(), path); err == nil {
			t.Errorf("%q: %q", path, got)
		}
	}
}

func TestResource(t *testing.T) {
	room := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1500m"), corev1.ResourceMemory: resource.MustParse("1Gi")}
	for _, c := range []struct{ container, resource, divisor, want string }{
		{"c", "requests.cpu", "1", "1"}, // rounded up
		{"c", "requests.cpu", "1m", "250"},
		{"c", "limits.cpu", "", "2"}, // none set: the node's
		{"c", "limits.memory", "1Mi", "1024"},
		{"init", "limits.memory", "2Mi", "2"},
		{"c", "requests.memory", "", "0"},
	} {
		s := &corev1.ResourceFieldSelector{Resource: c.resource}
		if c.divisor != "" {
			s.Divisor = resource.MustParse(c.divisor)
		}
		if got, err := Resource(testPod(), c.container, s, room); err != nil || got != c.want {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
	if _, err := Resource(testPod(), "c", &corev1.ResourceFieldSelector{ContainerName: "none", Resource: "limits.cpu"}, room); err == nil {
		t.Error("a container that is not there is accepted")
	}
}
