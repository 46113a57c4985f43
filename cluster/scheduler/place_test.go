package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func testNode(name, cpu, memory string, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
			corev1.ResourcePods: resource.MustParse("110")}},
	}
	for _, f := range change {
		f(n)
	}
	return n
}

func testPod(name, cpu, memory string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "ok", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}}}}},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func tainted(n *corev1.Node) {
	n.Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "db", Effect: corev1.TaintEffectNoSchedule}}
}

func labeled(key, value string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Labels[key] = value }
}

func hostPort80(p *corev1.Pod) {
	p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80, ContainerPort: 80}}
}

func TestPlaceReasons(t *testing.T) {
	const hopeless = "Preemption is not helpful for scheduling."
	for _, c := range []struct {
		name  string
		pod   *corev1.Pod
		nodes []*nodeInfo
		want  string
	}{
		{"no nodes", testPod("p", "1", "1Gi"), nil, "no nodes available to schedule pods"},
		{"memory", testPod("p", "1", "4Gi"), []*nodeInfo{newNodeInfo(testNode("a", "2", "2Gi"), nil)},
			"0/1 nodes are available: 1 Insufficient memory. no new claims to deallocate, preemption: 0/1 nodes are available: 1 " + hopeless},
		{"taken", testPod("p", "1", "1Gi"), []*nodeInfo{newNodeInfo(testNode("a", "1", "2Gi"), []*corev1.Pod{testPod("q", "500m", "1Gi")})},
			"0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."},
		{"several", testPod("p", "4", "1Gi", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "ssd"} }), []*nodeInfo{
			newNodeInfo(testNode("a", "8", "8Gi"), nil), newNodeInfo(testNode("b", "1", "512Mi", labeled("disk", "ssd")), nil),
			newNodeInfo(testNode("c", "8", "8Gi", tainted), nil)},
			"0/3 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 node(s) didn't match Pod's node affinity/selector, " +
				"1 node(s) had untolerated taint(s). no new claims to deallocate, preemption: 0/3 nodes are available: 3 " + hopeless},
		{"cordoned", testPod("p", "1", "1Gi"), []*nodeInfo{newNodeInfo(testNode("a", "8", "8Gi", func(n *corev1.Node) { n.Spec.Unschedulable = true }), nil)},
			"0/1 nodes are available: 1 node(s) were unschedulable. no new claims to deallocate, preemption: 0/1 nodes are available: 1 " + hopeless},
		{"host port", testPod("p", "1", "1Gi", hostPort80), []*nodeInfo{newNodeInfo(testNode("a", "8", "8Gi"), []*corev1.Pod{testPod("q", "1", "1Gi", hostPort80)})},
			"0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."},
		{"too many", testPod("p", "0", "0"), []*nodeInfo{newNodeInfo(testNode("a", "8", "8Gi", func(n *corev1.Node) {
			n.Status.Allocatable[corev1.ResourcePods] = resource.MustParse("1")
		}), []*corev1.Pod{testPod("q", "1", "1Gi")})},
			"0/1 nodes are available: 1 Too many pods. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."},
	} {
		t.Run(c.name, func(t *testing.T) {
			chosen, why := place(c.pod, world{nodes: c.nodes})
			if chosen != nil {
				t.Fatalf("placed on %s", chosen.node.Name)
			}
			if got := why.String(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestPlacePrefersEmptierAndTolerated(t *testing.T) {
	nodes := []*nodeInfo{
		newNodeInfo(testNode("a", "4", "8Gi"), []*corev1.Pod{testPod("q", "2", "4Gi")}),
		newNodeInfo(testNode("b", "4", "8Gi"), nil),
		newNodeInfo(testNode("c", "64", "64Gi", tainted), nil),
	}
	if n, _ := place(testPod("p", "1", "1Gi"), world{nodes: nodes}); n.node.Name != "b" {
		t.Errorf("placed on %s, want the empty b", n.node.Name)
	}
	tolerant := testPod("p", "1", "1Gi", func(p *corev1.Pod) {
		p.Spec.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}}
	})
	if n, _ := place(tolerant, world{nodes: nodes}); n.node.Name != "c" {
		t.Errorf("placed on %s, want the large c", n.node.Name)
	}
}

func app(name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels["app"] = name }
}

func apart(p *corev1.Pod) {
	p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}, TopologyKey: corev1.LabelHostname}}}}
}

func near(p *corev1.Pod) {
	p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}, TopologyKey: corev1.LabelHostname}}}}
}

func TestPlacePodAffinityAndSpread(t *testing.T) {
	with := func(pods ...*corev1.Pod) world {
		return world{nodes: []*nodeInfo{newNodeInfo(testNode("a", "8", "8Gi"), pods), newNodeInfo(testNode("b", "4", "4Gi"), nil)}}
	}
	db := testPod("db", "1", "1Gi", app("db"))
	if n, _ := place(testPod("p", "1", "1Gi", app("db"), apart), with(db)); n == nil || n.node.Name != "b" {
		t.Errorf("anti-affinity: %v", n)
	}
	if n, _ := place(testPod("p", "1", "1Gi", app("db")), with(testPod("db", "1", "1Gi", app("db"), apart))); n == nil || n.node.Name != "b" {
		t.Errorf("anti-affinity of the one that is there: %v", n)
	}
	if n, _ := place(testPod("p", "4", "2Gi", app("web"), near), with(db)); n == nil || n.node.Name != "a" {
		t.Errorf("affinity: %v", n)
	}
	if n, why := place(testPod("p", "1", "1Gi", app("web"), near), with()); n != nil || why.reasons[reasonAffinity] != 2 {
		t.Errorf("affinity to nobody: %v, %v", n, why)
	}
	if n, _ := place(testPod("p", "1", "1Gi", app("db"), near), with()); n == nil {
		t.Errorf("the first of a group that wants to be near itself was refused")
	}
	spread := testPod("p", "1", "1Gi", app("db"), func(p *corev1.Pod) {
		p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: corev1.LabelHostname,
			WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}}}
	})
	if n, _ := place(spread, with(db)); n == nil || n.node.Name != "b" {
		t.Errorf("spread: %v", n)
	}
}

// TestPlaceNeverOvercommits places random pods on random nodes as a burst
// would, and checks the sums, and that the same world gives the same answer.
func TestPlaceNeverOvercommits(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := newCache()
		for i := range r.IntN(6) + 1 {
			c.setNode(testNode(fmt.Sprint("n", i), fmt.Sprint(r.IntN(8)+1), fmt.Sprint(r.IntN(16)+1, "Gi"), func(n *corev1.Node) {
				n.Status.Allocatable[corev1.ResourcePods] = *resource.NewQuantity(int64(r.IntN(10)), resource.DecimalSI)
			}), false)
		}
		refused := 0
		for i := range 60 {
			p := testPod(fmt.Sprint("p", i), fmt.Sprint(r.IntN(2000), "m"), fmt.Sprint(r.IntN(4096), "Mi"))
			if r.IntN(4) == 0 {
				hostPort80(p)
			}
			chosen, why := place(p, world{nodes: c.known()})
			again, _ := place(p, world{nodes: c.known()})
			if chosen != again {
				t.Fatalf("seed %d: the same world gave two answers", seed)
			}
			if chosen == nil {
				refused++
				if len(why.reasons) == 0 {
					t.Fatalf("seed %d: refused without a reason", seed)
				}
				continue
			}
			c.assume(p, chosen.node.Name)
		}
		if refused == 0 {
			continue
		}
		for _, n := range c.known() {
			sum, on80 := amounts{}, 0
			for _, p := range n.pods {
				for name, v := range requests(p) {
					sum[name] += v
				}
				on80 += len(hostPorts(p))
			}
			for name, v := range sum {
				if v > n.allocatable[name] || v != n.requested[name] {
					t.Fatalf("seed %d: %s of %s: %d asked, %d noted, %d there", seed, name, n.node.Name, v, n.requested[name], n.allocatable[name])
				}
			}
			if on80 > 1 {
				t.Fatalf("seed %d: %d pods on host port 80", seed, on80)
			}
		}
	}
}

// BenchmarkPlace places one pod among 5,000 nodes with 10 pods each.
func BenchmarkPlace(b *testing.B) {
	c := newCache()
	for i := range 5000 {
		c.setNode(testNode(fmt.Sprint("n", i), "16", "64Gi"), false)
		for j := range 10 {
			c.assume(testPod(fmt.Sprint("p", i, "-", j), "500m", "1Gi"), fmt.Sprint("n", i))
		}
	}
	p := testPod("p", "1", "1Gi")
	b.ReportAllocs()
	for b.Loop() {
		if n, _ := place(p, world{nodes: c.known()}); n == nil {
			b.Fatal("no node fits")
		}
	}
}
