package controller

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

func deployment(replicas int32, image string) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: meta("web"),
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: webSelector(), Template: template(image),
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: new(intstr.FromString("25%")), MaxUnavailable: new(intstr.FromString("25%"))}},
			RevisionHistoryLimit: new(int32(10)), ProgressDeadlineSeconds: new(int32(600)),
		},
	}
}

func progressing(d *appsv1.Deployment) string {
	if c := deploymentCondition(&d.Status, appsv1.DeploymentProgressing); c != nil {
		return c.Reason
	}
	return ""
}

func TestDeploymentRollsOutAndBack(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.Deployments, deployment(3, "ok"))
		r.settle(time.Second)
		d := get(r, builtin.Deployments, "web")
		if d.Status.AvailableReplicas != 3 || d.Status.UpdatedReplicas != 3 || progressing(d) != reasonDone {
			t.Fatalf("after creation: %+v", d.Status)
		}
		sets := list(r, builtin.ReplicaSets)
		if len(sets) != 1 {
			t.Fatalf("%d replica sets, want 1", len(sets))
		}
		first := sets[0].Name
		wantEvent(r, "web", "ScalingReplicaSet: Scaled up replica set "+first+" from 0 to 3")
		hash := strings.TrimPrefix(first, "web-")
		if strings.Trim(hash, "bcdfghjklmnpqrstvwxz2456789") != "" || sets[0].Labels["pod-template-hash"] != hash {
			t.Errorf("hash %q, labels %v", hash, sets[0].Labels)
		}

		edit(r, builtin.Deployments, "web", func(d *appsv1.Deployment) { d.Spec.Template.Labels["v"] = "2" })
		r.settle(5 * time.Second)
		d = get(r, builtin.Deployments, "web")
		if d.Annotations[revisionAnnotation] != "2" || d.Status.UpdatedReplicas != 3 || d.Status.Replicas != 3 {
			t.Errorf("after the change: revision %s, %+v", d.Annotations[revisionAnnotation], d.Status)
		}
		if old := get(r, builtin.ReplicaSets, first); *old.Spec.Replicas != 0 {
			t.Errorf("old replica set kept %d replicas", *old.Spec.Replicas)
		}
		wantEvent(r, "web", "ScalingReplicaSet: Scaled down replica set "+first+" from 1 to 0")

		edit(r, builtin.Deployments, "web", func(d *appsv1.Deployment) { delete(d.Spec.Template.Labels, "v") })
		r.settle(5 * time.Second)
		back := get(r, builtin.ReplicaSets, first)
		if *back.Spec.Replicas != 3 || back.Annotations[revisionAnnotation] != "3" || back.Annotations[revisionHistoryAnnotation] != "1" {
			t.Errorf("after going back: %d replicas, annotations %v", *back.Spec.Replicas, back.Annotations)
		}
	})
}

func TestDeploymentKeepsAvailabilityDuringRollout(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.Deployments, deployment(4, "ok"))
		r.settle(time.Second)
		edit(r, builtin.Deployments, "web", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "broken" })
		r.settle(5 * time.Second)
		d := get(r, builtin.Deployments, "web")
		// 25 % of 4: one more than 4, one less than 4 available; the new ones never become ready.
		if d.Status.AvailableReplicas != 3 || d.Status.UpdatedReplicas != 2 || progressing(d) != reasonUpdated {
			t.Errorf("stuck rollout: %+v", d.Status)
		}
		r.settle(11 * time.Minute)
		d = get(r, builtin.Deployments, "web")
		c := deploymentCondition(&d.Status, appsv1.DeploymentProgressing)
		if c.Reason != reasonTimedOut || c.Status != corev1.ConditionFalse || !strings.HasSuffix(c.Message, "has timed out progressing.") {
			t.Errorf("after the deadline: %+v", c)
		}
		if len(list(r, builtin.Pods)) != 5 {
			t.Errorf("%d pods", len(list(r, builtin.Pods)))
		}
	})
}

func TestDeploymentRecreateStopsOldFirst(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		d := deployment(2, "ok")
		d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
		create(r, builtin.Deployments, d)
		r.settle(time.Second)
		for _, p := range list(r, builtin.Pods) { // one that takes its time to go
			edit(r, builtin.Pods, p.Name, func(p *corev1.Pod) { p.Finalizers = []string{"test/hold"} })
		}
		edit(r, builtin.Deployments, "web", func(d *appsv1.Deployment) { d.Spec.Template.Labels["v"] = "2" })
		r.settle(5 * time.Second)
		for _, p := range list(r, builtin.Pods) {
			if p.Labels["v"] == "2" && p.Status.Phase == corev1.PodRunning && !podFinished(p) {
				for _, old := range list(r, builtin.Pods) {
					if old.Labels["v"] == "" && !podFinished(old) {
						t.Errorf("pod %s runs beside the old %s", p.Name, old.Name)
					}
				}
			}
		}
		if n := get(r, builtin.Deployments, "web").Status.AvailableReplicas; n != 2 {
			t.Errorf("%d available", n)
		}
	})
}

func TestDeploymentScalesInProportion(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.Deployments, deployment(8, "ok"))
		r.settle(time.Second)
		edit(r, builtin.Deployments, "web", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "broken" })
		r.settle(5 * time.Second)
		edit(r, builtin.Deployments, "web", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(16)) })
		r.settle(5 * time.Second)
		total := int32(0)
		for _, s := range list(r, builtin.ReplicaSets) {
			total += *s.Spec.Replicas
			if s.Annotations[desiredAnnotation] != "16" || s.Annotations[maxAnnotation] != "20" {
				t.Errorf("%s: %v", s.Name, s.Annotations)
			}
			if *s.Spec.Replicas < 6 {
				t.Errorf("%s got %d of 20", s.Name, *s.Spec.Replicas)
			}
		}
		if total != 20 {
			t.Errorf("%d replicas in all, want 16 and a surge of 4", total)
		}
	})
}

func TestDeploymentPauseHistoryAndCollision(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		d := deployment(1, "ok")
		d.Spec.RevisionHistoryLimit = new(int32(1))
		defaulted, err := builtin.Deployments.Create(r.ctx, r.world, d.DeepCopy(), object.WriteOptions{DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		taken := &appsv1.ReplicaSet{ObjectMeta: meta("web-" + templateHash(&defaulted.Spec.Template, nil)),
			Spec: appsv1.ReplicaSetSpec{Replicas: new(int32(0)), Selector: webSelector(), Template: template("other")}}
		taken.Spec.Selector.MatchLabels = map[string]string{"app": "other"}
		taken.Spec.Template.Labels = map[string]string{"app": "other"}
		create(r, builtin.ReplicaSets, taken)
		create(r, builtin.Deployments, d)
		r.settle(time.Second)
		now := get(r, builtin.Deployments, "web")
		if now.Status.AvailableReplicas != 1 || value(now.Status.CollisionCount, 0) != 1 {
			t.Errorf("with the name taken: %+v", now.Status)
		}
		edit(r, builtin.Deployments, "web", func(d *appsv1.Deployment) { d.Spec.Paused = true; d.Spec.Template.Labels["v"] = "2" })
		r.settle(5 * time.Second)
		if now = get(r, builtin.Deployments, "web"); progressing(now) != reasonPaused || now.Status.UpdatedReplicas != 0 {
			t.Errorf("paused: %+v", now.Status)
		}
		for _, v := range []string{"3", "4", "5"} {
			edit(r, builtin.Deployments, "web", func(d *appsv1.Deployment) { d.Spec.Paused = false; d.Spec.Template.Labels["v"] = v })
			r.settle(5 * time.Second)
		}
		owned := 0
		for _, s := range list(r, builtin.ReplicaSets) {
			if controllerOf(s) != nil {
				owned++
			}
		}
		if owned != 2 {
			t.Errorf("%d replica sets kept, want the present one and a history of 1", owned)
		}
	})
}

func TestFenceposts(t *testing.T) {
	for _, c := range []struct {
		replicas           int32
		surge, unavailable string
		wantSurge, wantUn  int32
	}{
		{1, "25%", "25%", 1, 0}, {10, "25%", "25%", 3, 2}, {4, "0%", "10%", 0, 1}, {3, "0%", "100%", 0, 3},
	} {
		d := deployment(c.replicas, "ok")
		d.Spec.Strategy.RollingUpdate.MaxSurge = new(intstr.FromString(c.surge))
		d.Spec.Strategy.RollingUpdate.MaxUnavailable = new(intstr.FromString(c.unavailable))
		if s, u := fenceposts(d); s != c.wantSurge || u != c.wantUn {
			t.Errorf("%+v: got %d, %d", c, s, u)
		}
	}
}
