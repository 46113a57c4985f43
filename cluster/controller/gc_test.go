package controller

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// served is what the test's API serves.
func served() []Resource {
	return []Resource{
		{builtin.Pods.Resource, "Pod", true}, {builtin.ConfigMaps.Resource, "ConfigMap", true}, {builtin.ServiceAccounts.Resource, "ServiceAccount", true},
		{builtin.ReplicaSets.Resource, "ReplicaSet", true}, {builtin.Deployments.Resource, "Deployment", true}, {builtin.Namespaces.Resource, "Namespace", false},
	}
}

func TestCollectorDeletesInBackground(t *testing.T) {
	withRig(t, Config{Resources: served}, func(r *rig) {
		create(r, builtin.Deployments, deployment(3, "ok"))
		r.settle(3 * time.Second)
		remove(r, builtin.Deployments, "web", object.DeleteOptions{Propagation: new(metav1.DeletePropagationBackground)})
		r.settle(3 * time.Second)
		if s, p := len(list(r, builtin.ReplicaSets)), len(list(r, builtin.Pods)); s+p != 0 {
			t.Errorf("%d replica sets and %d pods left", s, p)
		}
	})
}

func TestCollectorForegroundWaitsForDependents(t *testing.T) {
	withRig(t, Config{Resources: served}, func(r *rig) {
		create(r, builtin.Deployments, deployment(2, "ok"))
		r.settle(3 * time.Second)
		for _, p := range list(r, builtin.Pods) {
			edit(r, builtin.Pods, p.Name, func(p *corev1.Pod) { p.Finalizers = []string{"test/hold"} })
		}
		remove(r, builtin.Deployments, "web", object.DeleteOptions{Propagation: new(metav1.DeletePropagationForeground)})
		r.settle(5 * time.Second)
		if d := get(r, builtin.Deployments, "web"); d.DeletionTimestamp == nil || len(list(r, builtin.ReplicaSets)) != 1 {
			t.Errorf("the owner went before its dependents")
		}
		for _, p := range list(r, builtin.Pods) {
			if p.DeletionTimestamp == nil {
				t.Errorf("%s is not being deleted", p.Name)
			}
			edit(r, builtin.Pods, p.Name, func(p *corev1.Pod) { p.Finalizers = nil })
		}
		r.settle(5 * time.Second)
		for _, p := range list(r, builtin.Pods) { // held pods are let go by a last delete
			remove(r, builtin.Pods, p.Name, object.DeleteOptions{GracePeriodSeconds: new(int64(0))})
		}
		r.settle(5 * time.Second)
		if n := len(list(r, builtin.Deployments)) + len(list(r, builtin.ReplicaSets)); n != 0 {
			t.Errorf("%d owners left", n)
		}
	})
}

func TestCollectorOrphans(t *testing.T) {
	withRig(t, Config{Resources: served}, func(r *rig) {
		create(r, builtin.ReplicaSets, replicaSet(2))
		r.settle(3 * time.Second)
		remove(r, builtin.ReplicaSets, "web", object.DeleteOptions{Propagation: new(metav1.DeletePropagationOrphan)})
		r.settle(3 * time.Second)
		pods := list(r, builtin.Pods)
		if len(pods) != 2 || len(list(r, builtin.ReplicaSets)) != 0 || len(pods[0].OwnerReferences) != 0 {
			t.Errorf("%d pods, %d sets", len(pods), len(list(r, builtin.ReplicaSets)))
		}
	})
}

func TestCollectorKeepsWhatStillHasAnOwner(t *testing.T) {
	withRig(t, Config{Resources: served}, func(r *rig) {
		owner := create(r, builtin.ConfigMaps, &corev1.ConfigMap{ObjectMeta: meta("owner")})
		gone := metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "gone", UID: "no-such"}
		unknown := metav1.OwnerReference{APIVersion: "example.com/v1", Kind: "Widget", Name: "w", UID: "w-1"}
		both := &corev1.ConfigMap{ObjectMeta: meta("both")}
		both.OwnerReferences = []metav1.OwnerReference{gone, {APIVersion: "v1", Kind: "ConfigMap", Name: "owner", UID: owner.UID}}
		create(r, builtin.ConfigMaps, both)
		foreign := &corev1.ConfigMap{ObjectMeta: meta("foreign")}
		foreign.OwnerReferences = []metav1.OwnerReference{unknown}
		create(r, builtin.ConfigMaps, foreign)
		lone := &corev1.ConfigMap{ObjectMeta: meta("lone")}
		lone.OwnerReferences = []metav1.OwnerReference{gone}
		create(r, builtin.ConfigMaps, lone)
		r.settle(5 * time.Second)
		if refs := get(r, builtin.ConfigMaps, "both").OwnerReferences; len(refs) != 1 || refs[0].Name != "owner" {
			t.Errorf("owners %v", refs)
		}
		get(r, builtin.ConfigMaps, "foreign") // a kind that is not served may come back
		if slices.ContainsFunc(list(r, builtin.ConfigMaps), func(m *corev1.ConfigMap) bool { return m.Name == "lone" }) {
			t.Errorf("an object without a living owner was kept")
		}
	})
}

func TestNamespaceIsEmptiedAndGetsDefaults(t *testing.T) {
	withRig(t, Config{Resources: served, RootCA: []byte("PEM")}, func(r *rig) {
		create(r, builtin.Namespaces, &corev1.Namespace{ObjectMeta: metaName("shop")})
		r.settle(time.Second)
		if m, err := builtin.ConfigMaps.Get(r.ctx, r.world, "shop", rootCAConfig); err != nil || m.Data["ca.crt"] != "PEM" {
			t.Errorf("%v, %v", m, err)
		}
		if err := builtin.ServiceAccounts.Delete(r.ctx, r.world, "shop", "default", object.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		r.settle(time.Second)
		if _, err := builtin.ServiceAccounts.Get(r.ctx, r.world, "shop", "default"); err != nil {
			t.Errorf("the service account is not back: %v", err)
		}
		held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "held", Finalizers: []string{"test/hold"}}}
		create(r, builtin.ConfigMaps, held)
		set := replicaSet(2)
		set.Namespace = "shop"
		create(r, builtin.ReplicaSets, set)
		r.settle(time.Second)
		remove(r, builtin.Namespaces, "shop", object.DeleteOptions{})
		r.settle(10 * time.Second)
		var messages []string
		for _, c := range get(r, builtin.Namespaces, "shop").Status.Conditions {
			messages = append(messages, c.Message)
		}
		all := strings.Join(messages, "\n")
		if !strings.Contains(all, "Some resources are remaining: configmaps has 1 resource instances") ||
			!strings.Contains(all, "Some content in the namespace has finalizers remaining: test/hold in 1 resource instances") {
			t.Errorf("conditions:\n%s", all)
		}
		let, err := builtin.ConfigMaps.Get(r.ctx, r.world, "shop", "held")
		if err != nil {
			t.Fatal(err)
		}
		let = let.DeepCopy()
		let.Finalizers = nil
		if _, err := builtin.ConfigMaps.Update(r.ctx, r.world, let, object.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		r.settle(5 * time.Second)
		if _, err := builtin.Namespaces.Get(r.ctx, r.world, "", "shop"); err == nil {
			t.Errorf("the namespace is still there")
		}
	})
}
