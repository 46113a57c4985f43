package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

func statefulSet(n int32, image string) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{ObjectMeta: meta("db"), Spec: appsv1.StatefulSetSpec{
		Replicas: &n, Selector: webSelector(), Template: template(image), ServiceName: "db-headless",
		PodManagementPolicy:  appsv1.OrderedReadyPodManagement,
		RevisionHistoryLimit: new(int32(10)),
		UpdateStrategy: appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType,
			RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: new(int32(0))}},
		VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metaName("data"), Spec: pvc("", nil).Spec}},
	}}
}

func podNames(r *rig) string {
	var names []string
	for _, p := range list(r, builtin.Pods) {
		names = append(names, p.Name)
	}
	return strings.Join(names, " ")
}

func TestStatefulSetIdentityAndOrder(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.StatefulSets, statefulSet(3, "hold"))
		r.settle(time.Second)
		if got := podNames(r); got != "db-0" {
			t.Fatalf("pods %q while the first is pending", got)
		}
		p := get(r, builtin.Pods, "db-0")
		if p.Spec.Hostname != "db-0" || p.Spec.Subdomain != "db-headless" || p.Labels["apps.kubernetes.io/pod-index"] != "0" ||
			p.Labels["statefulset.kubernetes.io/pod-name"] != "db-0" || !strings.HasPrefix(p.Labels["controller-revision-hash"], "db-") {
			t.Errorf("identity: %q %q %v", p.Spec.Hostname, p.Spec.Subdomain, p.Labels)
		}
		if v := p.Spec.Volumes[0]; v.Name != "data" || v.PersistentVolumeClaim.ClaimName != "data-db-0" {
			t.Errorf("volume %+v", v)
		}
		if c := get(r, builtin.PersistentVolumeClaims, "data-db-0"); c.Labels["app"] != "web" || len(c.OwnerReferences) != 0 {
			t.Errorf("claim %v %v", c.Labels, c.OwnerReferences)
		}
		wantEvent(r, "db", "SuccessfulCreate: create Claim data-db-0 Pod db-0 in StatefulSet db success")
		wantEvent(r, "db", "SuccessfulCreate: create Pod db-0 in StatefulSet db successful")
	})
}

func TestStatefulSetScalesAndUpdates(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.StatefulSets, statefulSet(3, "ok"))
		r.settle(time.Second)
		s := get(r, builtin.StatefulSets, "db")
		if s.Status.ReadyReplicas != 3 || s.Status.CurrentReplicas != 3 || s.Status.CurrentRevision != s.Status.UpdateRevision {
			t.Fatalf("after creation: %+v", s.Status)
		}
		edit(r, builtin.StatefulSets, "db", func(s *appsv1.StatefulSet) {
			s.Spec.Template.Labels["v"] = "2"
			s.Spec.UpdateStrategy.RollingUpdate.Partition = new(int32(1))
		})
		r.settle(5 * time.Second)
		for i, want := range []string{"", "2", "2"} {
			if p := get(r, builtin.Pods, fmt.Sprint("db-", i)); p.Labels["v"] != want {
				t.Errorf("%s has label %q, want %q", p.Name, p.Labels["v"], want)
			}
		}
		s = get(r, builtin.StatefulSets, "db")
		if s.Status.CurrentReplicas != 1 || s.Status.UpdatedReplicas != 2 || s.Status.CurrentRevision == s.Status.UpdateRevision {
			t.Errorf("at the partition: %+v", s.Status)
		}
		remove(r, builtin.Pods, "db-0", object.DeleteOptions{}) // comes back as it was
		r.settle(5 * time.Second)
		if p := get(r, builtin.Pods, "db-0"); p.Labels["v"] != "" {
			t.Errorf("db-0 below the partition was updated")
		}
		edit(r, builtin.StatefulSets, "db", func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy.RollingUpdate.Partition = new(int32(0)) })
		r.settle(5 * time.Second)
		s = get(r, builtin.StatefulSets, "db")
		if s.Status.UpdatedReplicas != 3 || s.Status.CurrentRevision != s.Status.UpdateRevision {
			t.Errorf("after the update: %+v", s.Status)
		}
		edit(r, builtin.StatefulSets, "db", func(s *appsv1.StatefulSet) { s.Spec.Replicas = new(int32(1)) })
		r.settle(5 * time.Second)
		if got := podNames(r); got != "db-0" {
			t.Errorf("pods %q after scaling to 1", got)
		}
		if n := len(list(r, builtin.PersistentVolumeClaims)); n != 3 {
			t.Errorf("%d claims, want all 3 kept", n)
		}
	})
}

func TestStatefulSetStaysStuckOnBrokenRollout(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.StatefulSets, statefulSet(2, "ok"))
		r.settle(time.Second)
		edit(r, builtin.StatefulSets, "db", func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Containers[0].Image = "broken" })
		r.settle(5 * time.Second)
		edit(r, builtin.StatefulSets, "db", func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Containers[0].Image = "ok" })
		r.settle(time.Minute)
		if p := get(r, builtin.Pods, "db-1"); p.Spec.Containers[0].Image != "broken" {
			t.Errorf("db-1 was replaced; Kubernetes waits for it to be deleted by hand")
		}
		remove(r, builtin.Pods, "db-1", object.DeleteOptions{})
		r.settle(time.Minute)
		s := get(r, builtin.StatefulSets, "db")
		if s.Status.ReadyReplicas != 2 || len(list(r, builtin.ControllerRevisions)) != 2 {
			t.Errorf("after deleting it: %+v, %d revisions", s.Status, len(list(r, builtin.ControllerRevisions)))
		}
	})
}

func TestStatefulSetParallelFailedPodAndRetention(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		s := statefulSet(3, "broken")
		s.Spec.PodManagementPolicy = appsv1.ParallelPodManagement
		s.Spec.Ordinals = &appsv1.StatefulSetOrdinals{Start: 5}
		s.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
			WhenDeleted: appsv1.DeletePersistentVolumeClaimRetentionPolicyType, WhenScaled: appsv1.DeletePersistentVolumeClaimRetentionPolicyType}
		set := create(r, builtin.StatefulSets, s)
		r.settle(time.Second)
		if got := podNames(r); got != "db-5 db-6 db-7" {
			t.Fatalf("pods %q", got)
		}
		if c := get(r, builtin.PersistentVolumeClaims, "data-db-5"); len(c.OwnerReferences) != 1 || c.OwnerReferences[0].UID != set.UID {
			t.Errorf("claim's owners %v", c.OwnerReferences)
		}
		uid := get(r, builtin.Pods, "db-7").UID
		failed := get(r, builtin.Pods, "db-6").DeepCopy()
		failed.Status.Phase = corev1.PodFailed
		if _, err := builtin.Pods.UpdateStatus(r.ctx, r.world, failed, object.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		r.settle(time.Second)
		if p := get(r, builtin.Pods, "db-6"); p.UID == failed.UID {
			t.Errorf("failed pod was not recreated")
		}
		wantEvent(r, "db", "RecreatingFailedPod: StatefulSet default/db is recreating failed Pod db-6")
		edit(r, builtin.Pods, "db-7", func(p *corev1.Pod) { p.Finalizers = []string{"test/hold"} })
		edit(r, builtin.StatefulSets, "db", func(s *appsv1.StatefulSet) { s.Spec.Replicas = new(int32(2)) })
		r.settle(time.Second)
		if c := get(r, builtin.PersistentVolumeClaims, "data-db-7"); len(c.OwnerReferences) != 1 || c.OwnerReferences[0].UID != uid {
			t.Errorf("claim of the pod that goes: owners %v", c.OwnerReferences)
		}
	})
}
