package controller

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

func service(change func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{ObjectMeta: meta("web"), Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"},
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("web"), Protocol: corev1.ProtocolTCP}}}}
	if change != nil {
		change(s)
	}
	return s
}

func serving(name string, ip string, port int32, ready bool) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{NodeName: "node-1", Hostname: name, Subdomain: "web", Containers: []corev1.Container{{Name: "main", Image: "ok",
			Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: port, Protocol: corev1.ProtocolTCP}}}}}}
	setPod(p, corev1.PodRunning, ready)
	p.Status.PodIP = ip
	return p
}

func TestPlanSlices(t *testing.T) {
	svc := service(nil)
	var pods []*corev1.Pod
	for i := range 250 {
		pods = append(pods, serving(fmt.Sprint("p", i), fmt.Sprintf("10.1.%d.%d", i/200, i%200+1), 8080, true))
	}
	pods = append(pods, serving("other-port", "10.2.0.1", 9090, true))
	p := planSlices(svc, pods, nil)
	sizes := map[int32][]int{}
	for i, s := range p.create {
		s.Name = fmt.Sprint("web-", i)
		sizes[*s.Ports[0].Port] = append(sizes[*s.Ports[0].Port], len(s.Endpoints))
	}
	slices.Sort(sizes[8080])
	if fmt.Sprint(sizes) != "map[8080:[50 100 100] 9090:[1]]" {
		t.Fatalf("slices by port: %v", sizes)
	}
	// One pod becomes unready: one slice changes, and the endpoint stays in it.
	have := p.create
	setPod(pods[7], corev1.PodRunning, false)
	if p = planSlices(svc, pods, have); len(p.create)+len(p.remove) != 0 || len(p.update) != 1 {
		t.Errorf("one unready pod: %d created, %d updated, %d removed", len(p.create), len(p.update), len(p.remove))
	}
	// All pods go: one empty slice stays.
	p = planSlices(svc, nil, have)
	if len(p.create) != 1 || len(p.create[0].Endpoints) != 0 || len(p.remove) != len(have) {
		t.Errorf("no pods: %d created, %d removed of %d", len(p.create), len(p.remove), len(have))
	}
}

func TestEndpointConditions(t *testing.T) {
	leaving := serving("leaving", "10.0.0.3", 80, true)
	leaving.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	ended := serving("ended", "10.0.0.4", 80, true)
	ended.Status.Phase = corev1.PodSucceeded
	pods := []*corev1.Pod{serving("up", "10.0.0.1", 80, true), serving("down", "10.0.0.2", 80, false), leaving, ended, serving("new", "", 80, false)}
	for publish, want := range map[bool]string{
		false: "down ready=false serving=false terminating=false; leaving ready=false serving=true terminating=true; up ready=true serving=true terminating=false; ",
		true:  "down ready=true serving=false terminating=false; leaving ready=true serving=true terminating=true; up ready=true serving=true terminating=false; ",
	} {
		svc := service(func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = publish })
		got := ""
		for _, e := range planSlices(svc, pods, nil).create[0].Endpoints {
			got += fmt.Sprintf("%s ready=%v serving=%v terminating=%v; ", *e.Hostname, *e.Conditions.Ready, *e.Conditions.Serving, *e.Conditions.Terminating)
		}
		if got != want {
			t.Errorf("publishNotReadyAddresses %v:\ngot  %s\nwant %s", publish, got, want)
		}
	}
	e := makeEndpoints(service(nil), pods, nil)
	if len(e.Subsets) != 1 || len(e.Subsets[0].Addresses) != 1 || len(e.Subsets[0].NotReadyAddresses) != 1 || e.Subsets[0].Ports[0].Port != 80 {
		t.Errorf("endpoints %+v", e.Subsets)
	}
}

func TestEndpointsOverCapacity(t *testing.T) {
	var pods []*corev1.Pod
	for i := range 1100 {
		pods = append(pods, serving(fmt.Sprint("p", i), fmt.Sprintf("10.1.%d.%d", i/200, i%200+1), 80, i < 900))
	}
	e := makeEndpoints(service(nil), pods, nil)
	if e.Annotations["endpoints.kubernetes.io/over-capacity"] != "truncated" || len(e.Subsets[0].Addresses) != 900 || len(e.Subsets[0].NotReadyAddresses) != 100 {
		t.Errorf("%v, %d ready, %d not", e.Annotations, len(e.Subsets[0].Addresses), len(e.Subsets[0].NotReadyAddresses))
	}
}

func TestEndpointsFollowService(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		svc := create(r, builtin.Services, service(func(s *corev1.Service) {
			s.Spec.ClusterIP, s.Spec.Ports[0].TargetPort = corev1.ClusterIPNone, intstr.FromInt32(80)
		}))
		create(r, builtin.ReplicaSets, replicaSet(2))
		r.settle(time.Second)
		all := list(r, builtin.EndpointSlices)
		if len(all) != 1 || len(all[0].Endpoints) != 2 || !metav1.IsControlledBy(all[0], svc) ||
			all[0].Labels[discoveryv1.LabelServiceName] != "web" || all[0].Labels[discoveryv1.LabelManagedBy] != slicesManager {
			t.Fatalf("slices %+v", all)
		}
		if _, ok := all[0].Labels[corev1.IsHeadlessService]; !ok {
			t.Errorf("no headless label: %v", all[0].Labels)
		}
		if e := get(r, builtin.Endpoints, "web"); len(e.Subsets) != 1 || len(e.Subsets[0].Addresses) != 2 || e.Labels[endpointsManagedBy] != endpointsManager {
			t.Errorf("endpoints %+v", e)
		}
		remove(r, builtin.Services, "web", object.DeleteOptions{})
		r.settle(time.Second)
		if n := len(list(r, builtin.Endpoints)); n != 0 {
			t.Errorf("%d endpoints after the service is gone", n)
		}
	})
}

func TestEndpointsOfUsersAreMirrored(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.Services, service(func(s *corev1.Service) { s.Spec.Selector = nil }))
		create(r, builtin.Endpoints, &corev1.Endpoints{ObjectMeta: meta("web"), Subsets: []corev1.EndpointSubset{{
			Addresses: []corev1.EndpointAddress{{IP: "192.0.2.1"}}, Ports: []corev1.EndpointPort{{Name: "http", Port: 8080, Protocol: corev1.ProtocolTCP}}}}})
		r.settle(time.Second)
		all := list(r, builtin.EndpointSlices)
		if len(all) != 1 || all[0].Endpoints[0].Addresses[0] != "192.0.2.1" || all[0].Labels[discoveryv1.LabelManagedBy] != mirrored {
			t.Fatalf("slices %+v", all)
		}
		if e := get(r, builtin.Endpoints, "web"); e.Labels[endpointsManagedBy] != "" {
			t.Errorf("the user's endpoints were taken over: %v", e.Labels)
		}
		remove(r, builtin.Endpoints, "web", object.DeleteOptions{})
		r.settle(time.Second)
		if n := len(list(r, builtin.EndpointSlices)); n != 0 {
			t.Errorf("%d slices left", n)
		}
	})
}
