package quota_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/quota"
)

var (
	pods     = object.Resource{Resource: "pods"}
	services = object.Resource{Resource: "services"}
	claims   = object.Resource{Resource: "persistentvolumeclaims"}
)

func list(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		l[corev1.ResourceName(name)] = resource.MustParse(value)
	}
	return l
}

func words(l corev1.ResourceList) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(l)) {
		q := l[name]
		all = append(all, string(name)+"="+q.String())
	}
	return strings.Join(all, " ")
}

func pod(requests, limits corev1.ResourceList) *corev1.Pod {
	return &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits}}}}}
}

func TestUsage(t *testing.T) {
	ended := pod(list("cpu=1"), nil)
	ended.Status.Phase = corev1.PodSucceeded
	class := "fast"
	for _, c := range []struct {
		name string
		r    object.Resource
		o    object.Object
		want string
	}{
		{"pod", pods, pod(list("cpu=100m", "nvidia.com/gpu=1"), list("memory=1Gi", "nvidia.com/gpu=1")),
			"count/pods=1 cpu=100m limits.memory=1Gi pods=1 requests.cpu=100m requests.nvidia.com/gpu=1"},
		{"ended pod", pods, ended, "count/pods=1"},
		{"node port", services, &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: make([]corev1.ServicePort, 2)}},
			"count/services=1 services=1 services.nodeports=2"},
		{"balancer", services, &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: make([]corev1.ServicePort, 2), AllocateLoadBalancerNodePorts: new(bool)}},
			"count/services=1 services=1 services.loadbalancers=1 services.nodeports=0"},
		{"claim", claims, &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: &class,
			Resources: corev1.VolumeResourceRequirements{Requests: list("storage=5Gi")}}},
			"count/persistentvolumeclaims=1 fast.storageclass.storage.k8s.io/persistentvolumeclaims=1 " +
				"fast.storageclass.storage.k8s.io/requests.storage=5Gi persistentvolumeclaims=1 requests.storage=5Gi"},
		{"other", object.Resource{Group: "apps", Resource: "deployments"}, &corev1.ConfigMap{}, "count/deployments.apps=1"},
	} {
		if d := cmp.Diff(c.want, words(quota.Usage(c.r, c.o))); d != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, d)
		}
		for name := range quota.Usage(c.r, c.o) {
			if got := quota.Resource(name); got != c.r {
				t.Errorf("%s is counted for %v, want %v", name, got, c.r)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q"}, Spec: corev1.ResourceQuotaSpec{Hard: list("pods=2", "requests.cpu=1")}}
	one := list("pods=1", "requests.cpu=600m")
	if err := quota.Check(q, nil, one, nil); err != nil {
		t.Errorf("the first: %v", err)
	}
	const want = "exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1"
	if err := quota.Check(q, nil, one, one); err == nil || err.Error() != want {
		t.Errorf("the second: %v", err)
	}
	beyond := list("pods=9", "requests.cpu=9")
	if err := quota.Check(q, one, list("pods=1", "requests.cpu=500m"), beyond); err != nil {
		t.Errorf("what shrinks: %v", err)
	}
	p := pod(list("cpu=1"), nil)
	q.Spec.Hard = list("pods=2", "requests.cpu=1", "memory=1Gi", "limits.memory=1Gi")
	if err := quota.Specified(q, p); err == nil || err.Error() != "failed quota: q: must specify limits.memory for: c; memory for: c" {
		t.Errorf("unspecified: %v", err)
	}
}

func TestCovers(t *testing.T) {
	deadline := pod(nil, nil)
	deadline.Spec.ActiveDeadlineSeconds = new(int64(5))
	urgent := pod(list("cpu=1"), nil)
	urgent.Spec.PriorityClassName = "high"
	for _, c := range []struct {
		name string
		spec corev1.ResourceQuotaSpec
		want map[*corev1.Pod]bool
	}{
		{"all", corev1.ResourceQuotaSpec{}, map[*corev1.Pod]bool{deadline: true, urgent: true}},
		{"terminating", corev1.ResourceQuotaSpec{Scopes: []corev1.ResourceQuotaScope{"Terminating"}}, map[*corev1.Pod]bool{deadline: true, urgent: false}},
		{"best effort", corev1.ResourceQuotaSpec{Scopes: []corev1.ResourceQuotaScope{"BestEffort"}}, map[*corev1.Pod]bool{deadline: true, urgent: false}},
		{"class", corev1.ResourceQuotaSpec{ScopeSelector: &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{
			{ScopeName: "PriorityClass", Operator: "In", Values: []string{"high"}}}}}, map[*corev1.Pod]bool{deadline: false, urgent: true}},
	} {
		c.spec.Hard = list("pods=1")
		for p, want := range c.want {
			if got := quota.Covers(&corev1.ResourceQuota{Spec: c.spec}, pods, p); got != want {
				t.Errorf("%s: %v, want %v", c.name, got, want)
			}
		}
	}
	if quota.Covers(&corev1.ResourceQuota{Spec: corev1.ResourceQuotaSpec{Hard: list("pods=1")}}, services, &corev1.Service{}) {
		t.Error("a quota of pods covers a Service")
	}
}
