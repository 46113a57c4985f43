package table

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func desired(n *int32) int64 {
	if n == nil {
		return 1
	}
	return int64(*n)
}

// DeploymentColumns are the columns of deployments.
func DeploymentColumns() Columns {
	status := appsv1.DeploymentStatus{}.SwaggerDoc()
	return append(append(Columns{
		nameColumn(),
		text("Ready", "Number of the pod with ready state"),
		text("Up-to-date", status["updatedReplicas"]),
		text("Available", status["availableReplicas"]),
		ageColumn(),
	}, podColumns()...), selectorColumn(appsv1.DeploymentSpec{}.SwaggerDoc()["selector"]))
}

// DeploymentRow shows a deployment.
func DeploymentRow(d *appsv1.Deployment, now time.Time) []any {
	names, images := containerCells(d.Spec.Template.Spec.Containers)
	return []any{
		d.Name, fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, desired(d.Spec.Replicas)),
		int64(d.Status.UpdatedReplicas), int64(d.Status.AvailableReplicas), age(d.CreationTimestamp, now),
		names, images, metav1.FormatLabelSelector(d.Spec.Selector),
	}
}

// ReplicaSetColumns are the columns of replica sets.
func ReplicaSetColumns() Columns {
	status := appsv1.ReplicaSetStatus{}.SwaggerDoc()
	return append(append(Columns{
		nameColumn(),
		integer("Desired", appsv1.ReplicaSetSpec{}.SwaggerDoc()["replicas"]),
		integer("Current", status["replicas"]),
		integer("Ready", status["readyReplicas"]),
		ageColumn(),
	}, podColumns()...), selectorColumn(appsv1.ReplicaSetSpec{}.SwaggerDoc()["selector"]))
}

// ReplicaSetRow shows a replica set.
func ReplicaSetRow(r *appsv1.ReplicaSet, now time.Time) []any {
	names, images := containerCells(r.Spec.Template.Spec.Containers)
	return []any{
		r.Name, desired(r.Spec.Replicas), int64(r.Status.Replicas), int64(r.Status.ReadyReplicas),
		age(r.CreationTimestamp, now), names, images, metav1.FormatLabelSelector(r.Spec.Selector),
	}
}

// ReplicationControllerColumns are the columns of replication controllers.
func ReplicationControllerColumns() Columns {
	status := corev1.ReplicationControllerStatus{}.SwaggerDoc()
	return append(append(Columns{
		nameColumn(),
		integer("Desired", corev1.ReplicationControllerSpec{}.SwaggerDoc()["replicas"]),
		integer("Current", status["replicas"]),
		integer("Ready", status["readyReplicas"]),
		ageColumn(),
	}, podColumns()...), selectorColumn(corev1.ReplicationControllerSpec{}.SwaggerDoc()["selector"]))
}

// ReplicationControllerRow shows a replication controller.
func ReplicationControllerRow(r *corev1.ReplicationController, now time.Time) []any {
	var names, images string
	if r.Spec.Template != nil {
		names, images = containerCells(r.Spec.Template.Spec.Containers)
	}
	return []any{
		r.Name, desired(r.Spec.Replicas), int64(r.Status.Replicas), int64(r.Status.ReadyReplicas),
		age(r.CreationTimestamp, now), names, images, labels.FormatLabels(r.Spec.Selector),
	}
}

// StatefulSetColumns are the columns of stateful sets.
func StatefulSetColumns() Columns {
	return append(Columns{
		nameColumn(), text("Ready", "Number of the pod with ready state"), ageColumn(),
	}, podColumns()...)
}

// StatefulSetRow shows a stateful set.
func StatefulSetRow(s *appsv1.StatefulSet, now time.Time) []any {
	names, images := containerCells(s.Spec.Template.Spec.Containers)
	return []any{
		s.Name, fmt.Sprintf("%d/%d", s.Status.ReadyReplicas, desired(s.Spec.Replicas)),
		age(s.CreationTimestamp, now), names, images,
	}
}

// DaemonSetColumns are the columns of daemon sets.
func DaemonSetColumns() Columns {
	status := appsv1.DaemonSetStatus{}.SwaggerDoc()
	return append(append(Columns{
		nameColumn(),
		integer("Desired", status["desiredNumberScheduled"]),
		integer("Current", status["currentNumberScheduled"]),
		integer("Ready", status["numberReady"]),
		integer("Up-to-date", status["updatedNumberScheduled"]),
		integer("Available", status["numberAvailable"]),
		text("Node Selector", corev1.PodSpec{}.SwaggerDoc()["nodeSelector"]),
		ageColumn(),
	}, podColumns()...), selectorColumn(appsv1.DaemonSetSpec{}.SwaggerDoc()["selector"]))
}

// DaemonSetRow shows a daemon set.
func DaemonSetRow(d *appsv1.DaemonSet, now time.Time) []any {
	names, images := containerCells(d.Spec.Template.Spec.Containers)
	s := d.Status
	return []any{
		d.Name, int64(s.DesiredNumberScheduled), int64(s.CurrentNumberScheduled), int64(s.NumberReady),
		int64(s.UpdatedNumberScheduled), int64(s.NumberAvailable), labels.FormatLabels(d.Spec.Template.Spec.NodeSelector),
		age(d.CreationTimestamp, now), names, images, metav1.FormatLabelSelector(d.Spec.Selector),
	}
}

// ControllerRevisionColumns are the columns of controller revisions.
func ControllerRevisionColumns() Columns {
	return Columns{
		nameColumn(),
		text("Controller", "Controller of the object"),
		text("Revision", appsv1.ControllerRevision{}.SwaggerDoc()["revision"]),
		ageColumn(),
	}
}

// ControllerRevisionRow shows a controller revision.
func ControllerRevisionRow(r *appsv1.ControllerRevision, now time.Time) []any {
	controller := none
	if ref := metav1.GetControllerOf(r); ref != nil {
		gk := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).GroupKind()
		controller = strings.ToLower(gk.String()) + "/" + ref.Name
	}
	return []any{r.Name, controller, r.Revision, age(r.CreationTimestamp, now)}
}
