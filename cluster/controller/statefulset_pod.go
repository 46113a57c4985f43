package controller

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// ordinal is the number in the name of a pod of set.
func ordinal(set *appsv1.StatefulSet, p *corev1.Pod) (int, bool) {
	digits, ok := strings.CutPrefix(p.Name, set.Name+"-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || strconv.FormatUint(n, 10) != digits {
		return 0, false
	}
	return int(n), true
}

func podRevision(p *corev1.Pod) string { return p.Labels[appsv1.ControllerRevisionHashLabelKey] }

// statefulPod makes pod n of set from a revision's template.
func statefulPod(set *appsv1.StatefulSet, template *corev1.PodTemplateSpec, n int, rev string) *corev1.Pod {
	p := fromTemplate(template, owner{object: set, kind: builtin.StatefulSets.Kind})
	p.GenerateName = ""
	p.Name = fmt.Sprintf("%s-%d", set.Name, n)
	p.Spec.Hostname, p.Spec.Subdomain = p.Name, set.Spec.ServiceName
	setLabels(p, map[string]string{
		appsv1.StatefulSetPodNameLabel:        p.Name,
		appsv1.PodIndexLabel:                  strconv.Itoa(n),
		appsv1.ControllerRevisionHashLabelKey: rev,
	})
	p.Spec.Volumes = withClaims(set, p.Name, p.Spec.Volumes)
	return p
}

func setLabels(o metav1.Object, add map[string]string) {
	l := maps.Clone(o.GetLabels())
	if l == nil {
		l = map[string]string{}
	}
	maps.Copy(l, add)
	o.SetLabels(l)
}

// withIdentity returns p with the labels that name it, if any is missing. The
// rest of its identity cannot change once it exists.
func withIdentity(set *appsv1.StatefulSet, p *corev1.Pod) (*corev1.Pod, bool) {
	n, _ := ordinal(set, p)
	index := strconv.Itoa(n)
	if p.Labels[appsv1.StatefulSetPodNameLabel] == p.Name && p.Labels[appsv1.PodIndexLabel] == index {
		return p, false
	}
	p = p.DeepCopy()
	setLabels(p, map[string]string{appsv1.StatefulSetPodNameLabel: p.Name, appsv1.PodIndexLabel: index})
	return p, true
}

func claimName(template, pod string) string { return template + "-" + pod }

// withClaims puts the claims in front of the template's volumes, and in the
// place of those of the same name.
func withClaims(set *appsv1.StatefulSet, pod string, volumes []corev1.Volume) []corev1.Volume {
	var all []corev1.Volume
	for _, t := range set.Spec.VolumeClaimTemplates {
		all = append(all, corev1.Volume{Name: t.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claimName(t.Name, pod)},
		}})
	}
	for _, v := range volumes {
		if !slices.ContainsFunc(set.Spec.VolumeClaimTemplates, func(t corev1.PersistentVolumeClaim) bool { return t.Name == v.Name }) {
			all = append(all, v)
		}
	}
	return all
}

// claimsOf makes the claims that a pod needs, as they are when new.
func claimsOf(set *appsv1.StatefulSet, pod *corev1.Pod) []*corev1.PersistentVolumeClaim {
	var all []*corev1.PersistentVolumeClaim
	for i := range set.Spec.VolumeClaimTemplates {
		c := set.Spec.VolumeClaimTemplates[i].DeepCopy()
		c.Name, c.Namespace = claimName(c.Name, pod.Name), set.Namespace
		setLabels(c, set.Spec.Selector.MatchLabels)
		c.Status = corev1.PersistentVolumeClaimStatus{}
		c.OwnerReferences, _ = claimOwners(set, pod, c.OwnerReferences)
		all = append(all, c)
	}
	return all
}

// claimOwners returns refs with the owners that the retention policy asks for:
// the set, when claims go with it; the pod, when it is to go in a scale-down
// that takes its claims along. It tells whether that changes anything.
func claimOwners(set *appsv1.StatefulSet, pod *corev1.Pod, refs []metav1.OwnerReference) ([]metav1.OwnerReference, bool) {
	deleted, scaled := appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	if p := set.Spec.PersistentVolumeClaimRetentionPolicy; p != nil {
		deleted, scaled = p.WhenDeleted, p.WhenScaled
	}
	n, _ := ordinal(set, pod)
	start := startOrdinal(set)
	condemned := n < start || n >= start+int(value(set.Spec.Replicas, 1))
	takeAlong := scaled == appsv1.DeletePersistentVolumeClaimRetentionPolicyType && condemned && pod.UID != ""

	ours := func(r metav1.OwnerReference) bool {
		return r.UID == set.UID || (r.Kind == "Pod" && r.Name == pod.Name)
	}
	kept := slices.DeleteFunc(slices.Clone(refs), ours)
	switch {
	case takeAlong:
		ref := metav1.NewControllerRef(pod, builtin.Pods.Kind)
		ref.BlockOwnerDeletion = nil
		kept = append(kept, *ref)
	case deleted == appsv1.DeletePersistentVolumeClaimRetentionPolicyType:
		ref := metav1.NewControllerRef(set, builtin.StatefulSets.Kind)
		ref.BlockOwnerDeletion = nil
		kept = append(kept, *ref)
	}
	same := len(kept) == len(refs)
	for i := range kept {
		same = same && slices.ContainsFunc(refs, func(r metav1.OwnerReference) bool { return r.UID == kept[i].UID })
	}
	return kept, !same
}
