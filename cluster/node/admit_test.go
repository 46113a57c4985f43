package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/seed38700745/pkg/cluster/cri"
)

func TestAdmission(t *testing.T) {
	a := &Agent{Config: Config{Name: "n1", MaxPods: 3, Reserved: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m")}},
		capacity: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("1Gi")}}
	ask := func(cpu, memory string) *corev1.Pod {
		return testPod(func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
		})
	}
	for _, c := range []struct {
		name   string
		pod    *corev1.Pod
		others []*corev1.Pod
		want   string
	}{
		{"fits", ask("1500m", "1Gi"), nil, ""},
		{"reserved", ask("1501m", "1Mi"), nil, "OutOfcpu: Pod was rejected: Node didn't have enough resource: cpu, requested: 1501, used: 0, capacity: 1500"},
		{"memory", ask("1m", "600Mi"), []*corev1.Pod{ask("1m", "500Mi")}, "OutOfmemory: Pod was rejected: Node didn't have enough resource: memory, requested: 629145600, used: 524288000, capacity: 1073741824"},
		{"pods", ask("1m", "1Mi"), []*corev1.Pod{ask("1m", "1"), ask("1m", "1"), ask("1m", "1")}, "OutOfpods: Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3"},
		{"selector", testPod(func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: "n2"} }), nil,
			"NodeAffinity: Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"},
		{"labels of others", testPod(func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"zone": "x"} }), nil, ""},
		{"sysctl", testPod(func(p *corev1.Pod) {
			p.Spec.SecurityContext = &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: "kernel.msgmax"}}}
		}), nil, `SysctlForbidden: Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted`},
	} {
		got := ""
		if r := a.refuse(c.pod, c.others); r != nil {
			got = r.reason + ": " + r.message
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestRefusedPodFails(t *testing.T) {
	inWorld(t, func(w *world) {
		w.create(testPod(func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10000")}
		}))
		w.after(time.Second)
		if p := w.pod(); p.Status.Phase != corev1.PodFailed || p.Status.Reason != "OutOfcpu" || len(w.runtime.log()) != 0 {
			t.Errorf("status %+v, runtime %q", p.Status, w.runtime.log())
		}
	})
}

func TestCredentials(t *testing.T) {
	for kind, data := range map[corev1.SecretType]map[string][]byte{
		corev1.SecretTypeDockerConfigJson: {corev1.DockerConfigJsonKey: []byte(`{"auths":{"https://r.example/v1/":{"auth":"dTpwOnc="},"q.example":{"username":"a","password":"b"}}}`)},
		corev1.SecretTypeDockercfg:        {corev1.DockerConfigKey: []byte(`{"r.example":{"username":"u","password":"p:w"},"q.example":{"username":"a","password":"b"}}`)},
	} {
		all, err := credentialsOf(&corev1.Secret{Type: kind, Data: data})
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		slices.SortFunc(all, func(a, b cri.Credential) int { return strings.Compare(a.Username, b.Username) })
		if got := strings.ReplaceAll(fmt.Sprint(all), "https://r.example/v1/", "r.example"); got != "[{q.example a b } {r.example u p:w }]" {
			t.Errorf("%s: %s", kind, got)
		}
	}
	if all, err := credentialsOf(&corev1.Secret{Type: corev1.SecretTypeOpaque}); len(all) != 0 || err != nil {
		t.Errorf("an opaque secret: %v, %v", all, err)
	}
	if _, err := credentialsOf(&corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte("{")}}); err == nil {
		t.Error("a broken secret is accepted")
	}
}

func TestOldAttemptsAreRemoved(t *testing.T) {
	inWorld(t, func(w *world) {
		w.create(testPod(nil))
		for range 5 {
			w.after(time.Second)
			w.runtime.exit(w.runtime.latest("main").ID, 1)
			w.after(maxBackoff)
		}
		if n := len(w.runtime.sandboxes["u-web"].Containers); n != 2 {
			t.Errorf("%d records are kept, want the running and the last one", n)
		}
	})
}
