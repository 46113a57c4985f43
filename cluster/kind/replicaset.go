package kind

import (
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func replicaSet() *Kind {
	k := defineNamespaced[appsv1.ReplicaSet, appsv1.ReplicaSetList](appsv1.SchemeGroupVersion, "ReplicaSet", "replicasets", "rs")
	k.Categories = []string{"all"}
	k.Acted = true
	k.Generation = true
	status(k, func(to, from *appsv1.ReplicaSet) { to.Status = from.Status })
	scale(k, func(r *appsv1.ReplicaSet) (int32, int32, string) {
		return orOne(r.Spec.Replicas), r.Status.Replicas, selectorString(r.Spec.Selector)
	}, func(r *appsv1.ReplicaSet, n int32) { r.Spec.Replicas = &n })
	selectable(k, []string{"status.replicas"}, func(r *appsv1.ReplicaSet) []string {
		return []string{strconv.Itoa(int(r.Status.Replicas))}
	})
	k.Default = on(defaults.ReplicaSet)
	k.Columns, k.Row = table.ReplicaSetColumns(), row(table.ReplicaSetRow)
	k.Validate = check(validate.ReplicaSet)
	k.ValidateUpdate = checkBoth(validate.ReplicaSetUpdate)
	k.Warnings = warn(func(r *appsv1.ReplicaSet) []string { return validate.TemplateWarnings(&r.Spec.Template) })
	return k
}

func replicationController() *Kind {
	k := defineNamespaced[corev1.ReplicationController, corev1.ReplicationControllerList](
		corev1.SchemeGroupVersion, "ReplicationController", "replicationcontrollers", "rc")
	k.Categories = []string{"all"}
	k.Generation = true
	k.DefaultPropagation = metav1.DeletePropagationOrphan
	status(k, func(to, from *corev1.ReplicationController) { to.Status = from.Status })
	scale(k, func(r *corev1.ReplicationController) (int32, int32, string) {
		return orOne(r.Spec.Replicas), r.Status.Replicas, labels.Set(r.Spec.Selector).String()
	}, func(r *corev1.ReplicationController, n int32) { r.Spec.Replicas = &n })
	selectable(k, []string{"status.replicas"}, func(r *corev1.ReplicationController) []string {
		return []string{strconv.Itoa(int(r.Status.Replicas))}
	})
	k.Default = on(defaults.ReplicationController)
	k.Columns, k.Row = table.ReplicationControllerColumns(), row(table.ReplicationControllerRow)
	k.Validate = check(validate.ReplicationController)
	return k
}
