package scheduler

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

func important(n int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Priority = &n }
}

// victims names the pods that go, and where, for a pod of 2 CPUs and priority 10.
func victims(nodes []*nodeInfo, budgets ...*policyv1.PodDisruptionBudget) string {
	p := choosePreemption(testPod("new", "2", "1Gi", important(10)), world{nodes: nodes}, budgets)
	if p == nil {
		return ""
	}
	var names []string
	for _, v := range p.victims {
		names = append(names, v.Name)
	}
	return p.node + ": " + strings.Join(names, " ")
}

func TestChoosePreemption(t *testing.T) {
	node := func(name string, pods ...*corev1.Pod) *nodeInfo { return newNodeInfo(testNode(name, "4", "8Gi"), pods) }
	db := func(p *corev1.Pod) { p.Labels["app"] = "db" }
	guard := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db"},
		Spec: policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}}}
	young := func(p *corev1.Pod) { p.Status.StartTime = &metav1.Time{Time: time.Unix(2000, 0)} }
	old := func(p *corev1.Pod) { p.Status.StartTime = &metav1.Time{Time: time.Unix(1000, 0)} }
	for _, c := range []struct {
		name    string
		nodes   []*nodeInfo
		budgets []*policyv1.PodDisruptionBudget
		want    string
	}{
		{"nobody less important", []*nodeInfo{node("a", testPod("x", "4", "1Gi", important(10)))}, nil, ""},
		{"not even without them", []*nodeInfo{node("a", testPod("x", "3", "1Gi", important(10)), testPod("y", "1", "1Gi"))}, nil, ""},
		{"as few as needed, the least important", []*nodeInfo{node("a", testPod("x", "2", "1Gi", important(5)), testPod("y", "2", "1Gi", important(1)))}, nil, "a: y"},
		{"the node with the less important victim", []*nodeInfo{
			node("a", testPod("x", "4", "1Gi", important(5))), node("b", testPod("y", "4", "1Gi", important(1)))}, nil, "b: y"},
		{"fewer victims of one importance", []*nodeInfo{
			node("a", testPod("x", "1", "1Gi"), testPod("y", "1", "1Gi"), testPod("z", "2", "1Gi", important(10))), node("b", testPod("v", "4", "1Gi"))}, nil, "b: v"},
		{"the youngest", []*nodeInfo{node("a", testPod("x", "4", "1Gi", old)), node("b", testPod("y", "4", "1Gi", young))}, nil, "b: y"},
		{"no budget broken if it can be", []*nodeInfo{
			node("a", testPod("x", "4", "1Gi", db)), node("b", testPod("y", "4", "1Gi", important(5)))}, []*policyv1.PodDisruptionBudget{guard}, "b: y"},
		{"a budget broken if it must be", []*nodeInfo{node("a", testPod("x", "4", "1Gi", db))}, []*policyv1.PodDisruptionBudget{guard}, "a: x"},
	} {
		if got := victims(c.nodes, c.budgets...); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// goneAfter ends the pods that are being deleted, as an agent does.
func goneAfter(t *testing.T, ctx context.Context, w object.Verbs) (names []string) {
	t.Helper()
	all, err := builtin.Pods.List(ctx, w, object.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.DeletionTimestamp == nil {
			continue
		}
		if err := builtin.Pods.Delete(ctx, w, p.Namespace, p.Name, object.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
			t.Fatal(err)
		}
		names = append(names, p.Name)
	}
	return names
}

func TestSchedulerPreempts(t *testing.T) {
	withScheduler(t, func(ctx context.Context, w object.Verbs) {
		create(t, w, builtin.Nodes, testNode("a", "4", "8Gi"))
		create(t, w, builtin.Pods, testPod("low-1", "2", "1Gi"))
		create(t, w, builtin.Pods, testPod("low-2", "2", "1Gi"))
		settle(time.Second)
		critical := func(p *corev1.Pod) { p.Spec.PriorityClassName = "system-cluster-critical" }
		class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "patient"}, Value: 1000, PreemptionPolicy: new(corev1.PreemptNever)}
		if _, err := w.Create(ctx, object.Resource{Group: "scheduling.k8s.io", Resource: "priorityclasses"}, class, object.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		create(t, w, builtin.Pods, testPod("patient", "2", "1Gi", func(p *corev1.Pod) { p.Spec.PriorityClassName = "patient" }))
		settle(time.Second)
		if c := podNamed(t, w, "patient").Status.Conditions; len(c) != 1 ||
			c[0].Message != "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never." {
			t.Errorf("a pod that must not preempt: %+v", c)
		}
		if err := builtin.Pods.Delete(ctx, w, "default", "patient", object.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
			t.Fatal(err)
		}
		create(t, w, builtin.Pods, testPod("high", "2", "1Gi", critical))
		settle(time.Second)
		high := podNamed(t, w, "high")
		if high.Spec.NodeName != "" || high.Status.NominatedNodeName != "a" || high.Status.Conditions[0].Message != "0/1 nodes are available: 1 Insufficient cpu." {
			t.Fatalf("while its victim goes: on %q, status %+v", high.Spec.NodeName, high.Status)
		}
		create(t, w, builtin.Pods, testPod("sneaky", "2", "1Gi")) // waits, as high does, and is less important
		settle(time.Minute)
		gone := goneAfter(t, ctx, w)
		if len(gone) != 1 || !strings.HasPrefix(gone[0], "low-") {
			t.Fatalf("victims %v, want one of the two", gone)
		}
		settle(11 * time.Second)
		if got := podNamed(t, w, "high").Spec.NodeName; got != "a" {
			t.Errorf("high is on %q once its victim is gone", got)
		}
		if got := podNamed(t, w, "sneaky").Spec.NodeName; got != "" {
			t.Errorf("a pod of no importance took the room that was made: on %q", got)
		}
		es, err := builtin.Events.List(ctx, w, object.ListOptions{})
		if err != nil || !slices.ContainsFunc(es, func(e *corev1.Event) bool {
			return e.Reason == "Preempted" && e.InvolvedObject.Name == gone[0] && strings.HasSuffix(e.Message, "on node a")
		}) {
			t.Errorf("no Preempted event about %v: %v, %v", gone, es, err)
		}
	})
}

func TestRoomIsKeptForTheNominated(t *testing.T) {
	q := newWaiting(time.Now)
	high := testPod("high", "2", "1Gi", important(10))
	q.add(high)
	q.nominate(high, "a")
	fits := func(p *corev1.Pod) bool {
		chosen, _ := place(p, world{nodes: q.withNominated(p, []*nodeInfo{newNodeInfo(testNode("a", "3", "8Gi"), nil)})})
		return chosen != nil
	}
	low, higher := testPod("low", "2", "1Gi"), testPod("higher", "2", "1Gi", important(11))
	if fits(low) || !fits(higher) || !fits(high) {
		t.Errorf("low fits: %v, the more important: %v, the nominated: %v; want false, true, true", fits(low), fits(higher), fits(high))
	}
	q.remove(high)
	if !fits(low) {
		t.Error("room is kept for a pod that is gone")
	}
}

// BenchmarkPreempt finds room for one pod among 1,000 full nodes.
func BenchmarkPreempt(b *testing.B) {
	var nodes []*nodeInfo
	for i := range 1000 {
		var pods []*corev1.Pod
		for j := range 8 {
			pods = append(pods, testPod(fmt.Sprintf("p-%d-%d", i, j), "500m", "1Gi", important(int32(j))))
		}
		nodes = append(nodes, newNodeInfo(testNode(fmt.Sprintf("n-%d", i), "4", "16Gi"), pods))
	}
	pod := testPod("new", "2", "1Gi", important(10))
	for b.Loop() {
		if p := choosePreemption(pod, world{nodes: nodes}, nil); p == nil || len(p.victims) != 4 {
			b.Fatal(p)
		}
	}
}
