package node

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestStatusNews(t *testing.T) {
	status := func(boot string, memory corev1.ConditionStatus) corev1.NodeStatus {
		s := corev1.NodeStatus{Conditions: []corev1.NodeCondition{
			{Type: corev1.NodeMemoryPressure, Status: memory}, {Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}
		s.NodeInfo.BootID = boot
		return s
	}
	for _, c := range []struct {
		name     string
		old, now corev1.NodeStatus
		want     []string
	}{
		{"first", corev1.NodeStatus{}, status("a", corev1.ConditionFalse), []string{
			"Normal NodeHasSufficientMemory: Node n status is now: NodeHasSufficientMemory", "Normal NodeReady: Node n status is now: NodeReady"}},
		{"same", status("a", corev1.ConditionFalse), status("a", corev1.ConditionFalse), nil},
		{"pressure", status("a", corev1.ConditionFalse), status("a", corev1.ConditionTrue), []string{
			"Normal NodeHasInsufficientMemory: Node n status is now: NodeHasInsufficientMemory"}},
		{"reboot", status("a", corev1.ConditionFalse), status("b", corev1.ConditionFalse), []string{
			"Warning Rebooted: Node n has been rebooted, boot id: b"}},
	} {
		var got []string
		for _, n := range statusNews("n", c.old, c.now) {
			got = append(got, n.eventType+" "+n.reason+": "+n.message)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, d)
		}
	}
}
