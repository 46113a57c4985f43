package controller

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

func readyNode(name string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metaName(name), Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now()}}}}
}

// beat sends heartbeats of a node for d.
func beat(r *rig, name string, d time.Duration) {
	for range d / (10 * time.Second) {
		n := get(r, builtin.Nodes, name).DeepCopy()
		nodeCondition(n, corev1.NodeReady).LastHeartbeatTime = metav1.Now()
		if _, err := builtin.Nodes.UpdateStatus(r.ctx, r.world, n, object.WriteOptions{}); err != nil {
			r.t.Fatal(err)
		}
		r.settle(10 * time.Second)
	}
}

func tolerating(name string, s *int64) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: meta(name), Spec: template("ok").Spec}
	p.Spec.Tolerations = []corev1.Toleration{{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists,
		Effect: corev1.TaintEffectNoExecute, TolerationSeconds: s}}
	return p
}

func TestLostNodeIsTaintedAndEmptied(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.Nodes, readyNode("node-2"))
		r.agent.mute.Store(true)
		create(r, builtin.Pods, tolerating("leaves", new(int64(300))))
		create(r, builtin.Pods, tolerating("stays", nil))
		beat(r, "node-2", 40*time.Second)
		if !ready(get(r, builtin.Nodes, "node-1")) {
			t.Fatalf("lost too early")
		}
		beat(r, "node-2", 30*time.Second)
		n := get(r, builtin.Nodes, "node-1")
		if c := nodeCondition(n, corev1.NodeReady); c.Status != corev1.ConditionUnknown || c.Reason != "NodeStatusUnknown" || len(n.Spec.Taints) != 2 {
			t.Fatalf("after 70 s: %+v %v", c, n.Spec.Taints)
		}
		if podReady(get(r, builtin.Pods, "stays")) {
			t.Errorf("a pod of a lost node is ready")
		}
		if len(get(r, builtin.Nodes, "node-2").Spec.Taints) != 0 {
			t.Errorf("the node with heartbeats is tainted")
		}
		beat(r, "node-2", 270*time.Second)
		get(r, builtin.Pods, "leaves") // 300 s are not over
		beat(r, "node-2", 50*time.Second)
		if pods := list(r, builtin.Pods); len(pods) != 1 || pods[0].Name != "stays" {
			t.Errorf("%d pods after 300 s", len(pods))
		}
		r.agent.mute.Store(false)
		beat(r, "node-2", 20*time.Second)
		if n = get(r, builtin.Nodes, "node-1"); len(n.Spec.Taints) != 0 {
			t.Errorf("the node came back with taints %v", n.Spec.Taints)
		}
	})
}

func TestOnlyNodeLostEvictsNobody(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		r.agent.mute.Store(true)
		create(r, builtin.Pods, tolerating("leaves", new(int64(0))))
		r.settle(10 * time.Minute)
		n := get(r, builtin.Nodes, "node-1")
		if len(n.Spec.Taints) != 1 || n.Spec.Taints[0].Effect != corev1.TaintEffectNoSchedule || len(list(r, builtin.Pods)) != 1 {
			t.Errorf("taints %v, %d pods", n.Spec.Taints, len(list(r, builtin.Pods)))
		}
	})
}

func TestPodsOfGoneNodesAreDeleted(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.Pods, tolerating("pod", nil))
		r.settle(time.Second)
		remove(r, builtin.Nodes, "node-1", object.DeleteOptions{})
		r.settle(30 * time.Second)
		get(r, builtin.Pods, "pod")
		r.settle(time.Minute)
		if n := len(list(r, builtin.Pods)); n != 0 {
			t.Errorf("%d pods left", n)
		}
	})
}

func TestAggregatedRolesAndOldEvents(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.ClusterRoles, &rbacv1.ClusterRole{ObjectMeta: metaName("all"), AggregationRule: &rbacv1.AggregationRule{
			ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"to": "all"}}}}})
		part := &rbacv1.ClusterRole{ObjectMeta: metaName("part"), Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}}
		part.Labels = map[string]string{"to": "all"}
		create(r, builtin.ClusterRoles, part)
		create(r, builtin.Events, &corev1.Event{ObjectMeta: meta("old"), LastTimestamp: metav1.Now()})
		r.settle(50 * time.Minute)
		if rules := get(r, builtin.ClusterRoles, "all").Rules; len(rules) != 1 || rules[0].Resources[0] != "pods" {
			t.Errorf("rules %v", rules)
		}
		get(r, builtin.Events, "old")
		r.settle(20 * time.Minute)
		if n := len(list(r, builtin.Events)); n != 0 {
			t.Errorf("%d events after 70 minutes", n)
		}
	})
}
