package backup

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
)

var move = Move{
	From: Place{Home: "/var/lib/pkg", Node: "old", PodCIDR: netip.MustParsePrefix("10.42.0.0/16"),
		ServiceCIDR: netip.MustParsePrefix("10.142.0.0/16"), FirstNodePort: 30000, NodePorts: 2768},
	To: Place{Home: "/srv/b", Node: "new", PodCIDR: netip.MustParsePrefix("10.45.0.0/16"),
		ServiceCIDR: netip.MustParsePrefix("10.145.0.0/16"), FirstNodePort: 21696, NodePorts: 2768},
}

func onNode(key, value string) *corev1.NodeSelector {
	return &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{value}}}}}}
}

func TestMove(t *testing.T) {
	const selected = "volume.kubernetes.io/selected-node"
	volume := func(path, node string) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path}},
			NodeAffinity:           &corev1.VolumeNodeAffinity{Required: onNode(corev1.LabelHostname, node)}}}
	}
	service := func(port int32, ips ...string) *corev1.Service {
		return &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: ips[0], ClusterIPs: ips, Ports: []corev1.ServicePort{{Port: 80, NodePort: port}}}}
	}
	pod := func(node, ip string, ready corev1.ConditionStatus) *corev1.Pod {
		p := &corev1.Pod{Spec: corev1.PodSpec{NodeName: node, NodeSelector: map[string]string{corev1.LabelHostname: node}}}
		p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}
		if ready == corev1.ConditionFalse {
			p.Status.Conditions[0].Reason, p.Status.Conditions[0].Message = "ContainersNotReady", "restored from a backup"
		}
		return p
	}
	node := func(name, label, cidr string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: label, "disk": "fast"}},
			Spec: corev1.NodeSpec{PodCIDR: cidr, PodCIDRs: []string{cidr}}}
	}
	claim := func(node string) *corev1.PersistentVolumeClaim {
		return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{selected: node}}}
	}
	tests := map[string]struct{ from, want object.Object }{
		"volume":                        {volume("/var/lib/pkg/volumes/x", "old"), volume("/srv/b/volumes/x", "new")},
		"volume elsewhere":              {volume("/var/lib/pkgs/x", "third"), volume("/var/lib/pkgs/x", "third")},
		"claim":                         {claim("old"), claim("new")},
		"claim of another node":         {claim("third"), claim("third")},
		"service":                       {service(30123, "10.142.7.9"), service(21819, "10.145.7.9")},
		"headless service":              {service(0, "None"), service(0, "None")},
		"service outside of the ranges": {service(8080, "192.168.1.1"), service(8080, "192.168.1.1")},
		"last node port":                {service(32767, "10.142.255.254"), service(24463, "10.145.255.254")},
		"pod":                           {pod("old", "10.42.0.9", corev1.ConditionTrue), pod("new", "", corev1.ConditionFalse)},
		"node":                          {node("old", "old", "10.42.0.0/16"), node("new", "new", "10.45.0.0/16")},
		"another node":                  {node("third", "third", "10.42.0.0/16"), node("third", "third", "10.42.0.0/16")},
		"config map":                    {&corev1.ConfigMap{Data: map[string]string{"x": "10.142.0.1"}}, &corev1.ConfigMap{Data: map[string]string{"x": "10.142.0.1"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before := test.from.DeepCopyObject()
			if diff := cmp.Diff(test.want, move.Object(test.from)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, test.from); diff != "" {
				t.Errorf("the argument was changed:\n%s", diff)
			}
		})
	}
	done := pod("old", "10.42.0.9", corev1.ConditionTrue)
	done.Status.Phase = corev1.PodSucceeded
	if got := move.Object(done).(*corev1.Pod); got.Status.PodIP != "10.42.0.9" || got.Spec.NodeName != "new" {
		t.Errorf("a pod that is over: node %s, address %s", got.Spec.NodeName, got.Status.PodIP)
	}
}

func TestMoveCheck(t *testing.T) {
	if err := move.Check(); err != nil {
		t.Error(err)
	}
	m := move
	m.To.ServiceCIDR = netip.MustParsePrefix("10.145.0.0/20")
	if m.Check() == nil {
		t.Error("a smaller range was taken")
	}
	m = move
	m.To.NodePorts = 100
	if m.Check() == nil {
		t.Error("fewer node ports were taken")
	}
}
