package node

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// news is something that happened to the node, as the kubelet tells it.
type news struct{ eventType, reason, message string }

// conditionNews are the kubelet's reasons, by a condition's type and status.
var conditionNews = map[corev1.NodeConditionType]map[corev1.ConditionStatus]string{
	corev1.NodeReady:          {corev1.ConditionTrue: "NodeReady", corev1.ConditionFalse: "NodeNotReady"},
	corev1.NodeMemoryPressure: {corev1.ConditionTrue: "NodeHasInsufficientMemory", corev1.ConditionFalse: "NodeHasSufficientMemory"},
	corev1.NodeDiskPressure:   {corev1.ConditionTrue: "NodeHasDiskPressure", corev1.ConditionFalse: "NodeHasNoDiskPressure"},
	corev1.NodePIDPressure:    {corev1.ConditionTrue: "NodeHasInsufficientPID", corev1.ConditionFalse: "NodeHasSufficientPID"},
}

// statusNews lists what a new status of the node called name tells that the old
// one did not. Pure.
func statusNews(name string, old, status corev1.NodeStatus) []news {
	var all []news
	if was, is := old.NodeInfo.BootID, status.NodeInfo.BootID; was != "" && was != is {
		all = append(all, news{corev1.EventTypeWarning, "Rebooted", fmt.Sprintf("Node %s has been rebooted, boot id: %s", name, is)})
	}
	before := map[corev1.NodeConditionType]corev1.ConditionStatus{}
	for _, c := range old.Conditions {
		before[c.Type] = c.Status
	}
	for _, c := range status.Conditions {
		if reason := conditionNews[c.Type][c.Status]; reason != "" && before[c.Type] != c.Status {
			all = append(all, statusIs(name, reason))
		}
	}
	return all
}

func statusIs(name, reason string) news {
	return news{corev1.EventTypeNormal, reason, fmt.Sprintf("Node %s status is now: %s", name, reason)}
}

// cordonNews tells that the node was closed to new pods or opened again since
// the last call.
func (a *Agent) cordonNews(node *corev1.Node) {
	if a.cordoned != nil && *a.cordoned != node.Spec.Unschedulable {
		reason := "NodeSchedulable"
		if node.Spec.Unschedulable {
			reason = "NodeNotSchedulable"
		}
		a.nodeEvent(node, statusIs(a.Name, reason))
	}
	a.cordoned = &node.Spec.Unschedulable
}

func (a *Agent) nodeEvent(node *corev1.Node, n news) {
	a.Recorder.Event(node, builtin.Nodes.Kind, "", n.eventType, n.reason, "%s", n.message)
}
