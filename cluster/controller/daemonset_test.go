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

func daemonSet(image string, change func(*appsv1.DaemonSet)) *appsv1.DaemonSet {
	d := &appsv1.DaemonSet{ObjectMeta: meta("agent"), Spec: appsv1.DaemonSetSpec{
		Selector: webSelector(), Template: template(image), RevisionHistoryLimit: new(int32(10)),
		UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType,
			RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: new(intstr.FromInt32(1)), MaxSurge: new(intstr.FromInt32(0))}},
	}}
	if change != nil {
		change(d)
	}
	return d
}

// onNodes returns "node:label v" of the pods that are not being deleted.
func onNodes(r *rig) string {
	var all []string
	for _, n := range list(r, builtin.Nodes) {
		for _, p := range list(r, builtin.Pods) {
			if p.Spec.NodeName == n.Name && p.DeletionTimestamp == nil {
				all = append(all, n.Name+":"+p.Labels["v"])
			}
		}
	}
	return strings.Join(all, " ")
}

func setVersion(r *rig, v, image string) {
	edit(r, builtin.DaemonSets, "agent", func(d *appsv1.DaemonSet) {
		d.Spec.Template.Labels["v"] = v
		d.Spec.Template.Spec.Containers[0].Image = image
	})
}

func TestDaemonSetFollowsNodes(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		tainted := readyNode("node-2")
		tainted.Spec.Taints = []corev1.Taint{{Key: "dedicated", Effect: corev1.TaintEffectNoSchedule}}
		create(r, builtin.Nodes, tainted)
		create(r, builtin.DaemonSets, daemonSet("ok", func(d *appsv1.DaemonSet) {
			d.Spec.Template.Spec.NodeSelector = map[string]string{"not": "there"}
		}))
		r.settle(time.Second)
		if got := onNodes(r); got != "" {
			t.Errorf("pods %q though no node has the label", got)
		}
		edit(r, builtin.DaemonSets, "agent", func(d *appsv1.DaemonSet) { d.Spec.Template.Spec.NodeSelector = nil })
		r.settle(time.Second)
		if got := onNodes(r); got != "node-1:" {
			t.Fatalf("pods %q, want one on node-1 alone", got)
		}
		p := list(r, builtin.Pods)[0]
		if p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] == "" || !strings.HasPrefix(p.Name, "agent-") {
			t.Errorf("pod %s %v", p.Name, p.Labels)
		}
		create(r, builtin.Nodes, readyNode("node-3"))
		edit(r, builtin.Nodes, "node-2", func(n *corev1.Node) { n.Spec.Taints = nil })
		edit(r, builtin.Nodes, "node-1", func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "dedicated", Effect: corev1.TaintEffectNoSchedule}}
		})
		r.settle(time.Second)
		if got := onNodes(r); got != "node-1: node-2: node-3:" {
			t.Errorf("pods %q; node-1's may stay under NoSchedule, and cordoned nodes have theirs", got)
		}
		d := get(r, builtin.DaemonSets, "agent")
		if s := d.Status; s.DesiredNumberScheduled != 2 || s.NumberMisscheduled != 1 || s.NumberReady != 2 || s.NumberAvailable != 2 ||
			s.UpdatedNumberScheduled != 2 || s.ObservedGeneration != d.Generation {
			t.Errorf("status %+v", s)
		}
		remove(r, builtin.Nodes, "node-3", object.DeleteOptions{})
		r.settle(time.Second)
		if got := onNodes(r); got != "node-1: node-2:" {
			t.Errorf("pods %q after node-3 went", got)
		}
	})
}

func TestDaemonSetRollsWithinMaxUnavailable(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.Nodes, readyNode("node-2"))
		create(r, builtin.Nodes, readyNode("node-3"))
		create(r, builtin.DaemonSets, daemonSet("ok", nil))
		r.settle(time.Second)
		setVersion(r, "2", "broken")
		r.settle(10 * time.Second)
		if got := onNodes(r); got != "node-1:2 node-2: node-3:" {
			t.Fatalf("a broken update went on: %q", got)
		}
		setVersion(r, "3", "ok")
		r.settle(10 * time.Second)
		if got := onNodes(r); got != "node-1:3 node-2:3 node-3:3" {
			t.Errorf("after it was put right: %q", got)
		}
		if n := len(list(r, builtin.ControllerRevisions)); n != 3 {
			t.Errorf("%d revisions", n)
		}
		edit(r, builtin.DaemonSets, "agent", func(d *appsv1.DaemonSet) { d.Spec.RevisionHistoryLimit = new(int32(0)) })
		r.settle(time.Second)
		if n := len(list(r, builtin.ControllerRevisions)); n != 1 {
			t.Errorf("%d revisions with a limit of 0 old ones", n)
		}
		edit(r, builtin.DaemonSets, "agent", func(d *appsv1.DaemonSet) {
			d.Spec.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.OnDeleteDaemonSetStrategyType}
			d.Spec.Template.Labels["v"] = "4"
		})
		r.settle(10 * time.Second)
		remove(r, builtin.Pods, list(r, builtin.Pods)[0].Name, object.DeleteOptions{})
		r.settle(10 * time.Second)
		if got := onNodes(r); strings.Count(got, ":4") != 1 || strings.Count(got, ":3") != 2 {
			t.Errorf("OnDelete: %q, want the deleted one replaced alone", got)
		}
	})
}

func TestDaemonSetSurges(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.Nodes, readyNode("node-2"))
		create(r, builtin.DaemonSets, daemonSet("ok", func(d *appsv1.DaemonSet) {
			d.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable = new(intstr.FromInt32(0))
			d.Spec.UpdateStrategy.RollingUpdate.MaxSurge = new(intstr.FromString("50%"))
		}))
		r.settle(time.Second)
		setVersion(r, "2", "broken")
		r.settle(10 * time.Second)
		if got := onNodes(r); got != "node-1: node-1:2 node-2:" && got != "node-1:2 node-1: node-2:" {
			t.Fatalf("pods %q, want one new beside the old one", got)
		}
		setVersion(r, "3", "ok")
		r.settle(10 * time.Second)
		if got := onNodes(r); got != "node-1:3 node-2:3" {
			t.Errorf("pods %q", got)
		}
	})
}

func TestDaemonSetReplacesFailedPodsLaterAndLater(t *testing.T) {
	withRig(t, Config{}, func(r *rig) {
		create(r, builtin.DaemonSets, daemonSet("fail", nil))
		r.settle(20 * time.Second)
		tries := 0
		for e := range events(r, "agent") {
			if strings.HasPrefix(e, "SuccessfulCreate:") {
				tries++
			}
		}
		if tries < 4 || tries > 6 { // after 0, 1, 2, 4, 8 s
			t.Errorf("%d pods were tried in 20 s", tries)
		}
		r.settle(time.Second)
		failed := false
		for e := range events(r, "agent") {
			failed = failed || strings.HasPrefix(e, "FailedDaemonPod: Found failed daemon pod default/agent-")
		}
		if !failed {
			t.Errorf("no FailedDaemonPod event in %v", events(r, "agent"))
		}
	})
}
