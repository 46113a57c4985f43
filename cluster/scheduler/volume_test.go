package scheduler

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func localVolume(name, size, host string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName: "disks", Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)},
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{host}}}}}}},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable},
	}
}

func unbound(name, provisioner string) podClaim {
	return podClaim{
		claim: &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: new("disks"), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}},
		class: &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "disks"}, Provisioner: provisioner},
	}
}

func TestVolumePlan(t *testing.T) {
	a, b := testNode("a", "4", "8Gi"), testNode("b", "4", "8Gi")
	w := world{volumes: []*corev1.PersistentVolume{localVolume("big", "9Gi", "a"), localVolume("fits", "2Gi", "a"), localVolume("other", "1Gi", "b")}}

	w.claims = []podClaim{unbound("one", "kubernetes.io/no-provisioner"), unbound("two", "kubernetes.io/no-provisioner")}
	choices, ok := volumePlan(w, a)
	if !ok || choices[0].volume.Name != "fits" || choices[1].volume.Name != "big" {
		t.Errorf("on a: %v, want the smallest for the first and the rest for the second", choices)
	}
	if _, ok := volumePlan(w, b); ok {
		t.Errorf("b has one volume for two claims, and fits")
	}
	if r := volumes(w)(nil, newNodeInfo(b, nil)); r == nil || r.reasons[0] != reasonVolumeNone {
		t.Errorf("b: %v", r)
	}

	w.claims = []podClaim{unbound("one", "test/maker"), unbound("two", "test/maker")}
	if choices, ok = volumePlan(w, b); !ok || choices[0].volume == nil || choices[1].volume != nil {
		t.Errorf("on b with a provisioner: %v, want the one there is and one to be made", choices)
	}
	w.claims[0].claim.Annotations = map[string]string{selectedNode: "a"}
	if _, ok := volumePlan(w, b); ok {
		t.Errorf("a claim whose volume is made on a fits on b")
	}

	bound := unbound("one", "")
	bound.class, bound.claim.Spec.VolumeName = nil, "fits"
	w.claims = []podClaim{bound}
	if r := volumes(w)(nil, newNodeInfo(b, nil)); r == nil || r.reasons[0] != reasonVolumeNode {
		t.Errorf("a volume on a was let through on b: %v", r)
	}
	if r := volumes(w)(nil, newNodeInfo(a, nil)); r != nil {
		t.Errorf("a volume on a was refused there: %v", r)
	}
}

func TestEnough(t *testing.T) {
	for nodes, want := range map[int]int{1: 1, 100: 100, 101: 100, 1000: 420, 5000: 500, 20000: 1000} {
		if got := enough(nodes); got != want {
			t.Errorf("%d nodes: %d, want %d", nodes, got, want)
		}
	}
}
