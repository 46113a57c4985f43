package controller

import (
	"errors"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

func replicaSet(n int32) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{ObjectMeta: meta("web"), Spec: appsv1.ReplicaSetSpec{
		Replicas: &n, Selector: webSelector(), Template: template("ok")}}
}

func TestReplicaSetKeepsCount(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.ReplicaSets, replicaSet(5))
		r.settle(time.Second)
		pods := list(r, builtin.Pods)
		if len(pods) != 5 {
			t.Fatalf("%d pods", len(pods))
		}
		remove(r, builtin.Pods, pods[0].Name, object.DeleteOptions{})
		r.settle(time.Second)
		s := get(r, builtin.ReplicaSets, "web").Status
		if s.Replicas != 5 || s.ReadyReplicas != 5 || s.AvailableReplicas != 5 || s.FullyLabeledReplicas != 5 {
			t.Errorf("status %+v", s)
		}
		edit(r, builtin.ReplicaSets, "web", func(s *appsv1.ReplicaSet) { s.Spec.Replicas = new(int32(2)) })
		r.settle(time.Second)
		if n := len(list(r, builtin.Pods)); n != 2 {
			t.Errorf("%d pods after scaling to 2", n)
		}
	})
}

func TestReplicaSetAdoptsAndReleases(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		orphan := &corev1.Pod{ObjectMeta: meta("orphan"), Spec: template("ok").Spec}
		orphan.Labels = map[string]string{"app": "web"}
		create(r, builtin.Pods, orphan)
		set := create(r, builtin.ReplicaSets, replicaSet(2))
		r.settle(time.Second)
		if p := get(r, builtin.Pods, "orphan"); !metav1.IsControlledBy(p, set) || len(list(r, builtin.Pods)) != 2 {
			t.Errorf("not adopted: %v, %d pods", p.OwnerReferences, len(list(r, builtin.Pods)))
		}
		edit(r, builtin.Pods, "orphan", func(p *corev1.Pod) { p.Labels["app"] = "debug" })
		r.settle(time.Second)
		if p := get(r, builtin.Pods, "orphan"); len(p.OwnerReferences) != 0 || len(list(r, builtin.Pods)) != 3 {
			t.Errorf("not released and replaced: %v, %d pods", p.OwnerReferences, len(list(r, builtin.Pods)))
		}
	})
}

func TestReplicaSetStopsCreatingWhatIsRefused(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		tries := 0
		refuse := func(res object.Resource) error {
			if res == builtin.Pods.Resource {
				tries++
				return errors.New("no quota")
			}
			return nil
		}
		r.world.refuse.Store(&refuse)
		create(r, builtin.ReplicaSets, replicaSet(100))
		r.settle(time.Millisecond)
		if tries > 2 { // one, and one when its failure was noted
			t.Errorf("%d creates at first, want a slow start", tries)
		}
		s := get(r, builtin.ReplicaSets, "web").Status
		if len(s.Conditions) != 1 || s.Conditions[0].Type != appsv1.ReplicaSetReplicaFailure || s.Conditions[0].Reason != "FailedCreate" {
			t.Errorf("conditions %+v", s.Conditions)
		}
		wantEvent(r, "web", "FailedCreate: Error creating: no quota")
		r.world.refuse.Store(nil)
		r.settle(2 * time.Minute)
		if s := get(r, builtin.ReplicaSets, "web").Status; s.Replicas != 100 || len(s.Conditions) != 0 {
			t.Errorf("after quota came: %d replicas, %v", s.Replicas, s.Conditions)
		}
	})
}

func TestReplicaSetMinReadySeconds(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		s := replicaSet(1)
		s.Spec.MinReadySeconds = 30
		create(r, builtin.ReplicaSets, s)
		r.settle(10 * time.Second)
		if st := get(r, builtin.ReplicaSets, "web").Status; st.ReadyReplicas != 1 || st.AvailableReplicas != 0 {
			t.Errorf("too early: %+v", st)
		}
		r.settle(25 * time.Second)
		if st := get(r, builtin.ReplicaSets, "web").Status; st.AvailableReplicas != 1 {
			t.Errorf("after 35 s: %+v", st)
		}
	})
}

func TestDeletionOrder(t *testing.T) {
	now := time.Unix(10000, 0)
	pod := func(name string, node string, phase corev1.PodPhase, readyFor time.Duration, change func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))}}
		p.Spec.NodeName, p.Status.Phase = node, phase
		if readyFor > 0 {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue,
				LastTransitionTime: metav1.NewTime(now.Add(-readyFor))}}
		}
		if change != nil {
			change(p)
		}
		return p
	}
	pods := []*corev1.Pod{
		pod("7-old", "a", corev1.PodRunning, time.Hour, nil),
		pod("6-younger-ready", "a", corev1.PodRunning, time.Minute, nil),
		pod("5-crowded", "b", corev1.PodRunning, time.Hour, nil),
		pod("4-cheap", "a", corev1.PodRunning, time.Hour, func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.PodDeletionCost: "-5"} }),
		pod("3-unready", "a", corev1.PodRunning, 0, nil),
		pod("2-pending", "a", corev1.PodPending, 0, nil),
		pod("1-unassigned", "", corev1.PodPending, 0, nil),
	}
	deletionOrder(pods, map[string]int{"a": 1, "b": 3}, now)
	for i, p := range pods {
		if p.Name[:1] != fmt.Sprint(i+1) {
			t.Errorf("position %d: %s", i+1, p.Name)
		}
	}
}
