package controller

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/seed38700745/pkg/cluster/object/builtin"
)

func TestQuotaStatusFollowsObjects(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.ResourceQuotas, &corev1.ResourceQuota{ObjectMeta: meta("q"), Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{
			corev1.ResourcePods: resource.MustParse("2"), "count/deployments.apps": resource.MustParse("3"), corev1.ResourceConfigMaps: resource.MustParse("9")}}})
		create(r, builtin.Deployments, deployment(3, "ok"))
		r.settle(time.Second)
		s := get(r, builtin.ResourceQuotas, "q").Status
		for name, want := range map[corev1.ResourceName]string{corev1.ResourcePods: "2", "count/deployments.apps": "1", corev1.ResourceConfigMaps: "0"} {
			if got := s.Used[name]; got.String() != want {
				t.Errorf("used %s: %s, want %s", name, got.String(), want)
			}
		}
		rs := list(r, builtin.ReplicaSets)[0]
		if len(rs.Status.Conditions) != 1 || rs.Status.Conditions[0].Reason != "FailedCreate" {
			t.Errorf("the replica set's conditions %+v", rs.Status.Conditions)
		}
		q := get(r, builtin.ResourceQuotas, "q").DeepCopy()
		q.Spec.Hard[corev1.ResourcePods] = resource.MustParse("9")
		if _, err := builtin.ResourceQuotas.Update(r.ctx, r.world, q, write()); err != nil {
			t.Fatal(err)
		}
		r.settle(2 * time.Minute) // the backoff of the replica set
		if got := get(r, builtin.ResourceQuotas, "q").Status.Used[corev1.ResourcePods]; got.Value() != 3 {
			t.Errorf("with a larger quota %s pods are counted, want 3", got.String())
		}
	})
}
