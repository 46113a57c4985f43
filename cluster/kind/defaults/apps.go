package defaults

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const revisionHistory = 10

// Deployment defaults a deployment.
func Deployment(d *appsv1.Deployment) {
	s := &d.Spec
	setPtr(&s.Replicas, 1)
	setPtr(&s.RevisionHistoryLimit, revisionHistory)
	setPtr(&s.ProgressDeadlineSeconds, 600)
	set(&s.Strategy.Type, appsv1.RollingUpdateDeploymentStrategyType)
	if s.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		setPtr(&s.Strategy.RollingUpdate, appsv1.RollingUpdateDeployment{})
		setPtr(&s.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		setPtr(&s.Strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
	PodTemplateSpec(&s.Template)
}

// ReplicaSet defaults a replica set.
func ReplicaSet(r *appsv1.ReplicaSet) {
	setPtr(&r.Spec.Replicas, 1)
	PodTemplateSpec(&r.Spec.Template)
}

// DaemonSet defaults a daemon set.
func DaemonSet(d *appsv1.DaemonSet) {
	s := &d.Spec
	setPtr(&s.RevisionHistoryLimit, revisionHistory)
	set(&s.UpdateStrategy.Type, appsv1.RollingUpdateDaemonSetStrategyType)
	if s.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		setPtr(&s.UpdateStrategy.RollingUpdate, appsv1.RollingUpdateDaemonSet{})
		setPtr(&s.UpdateStrategy.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
		setPtr(&s.UpdateStrategy.RollingUpdate.MaxSurge, intstr.FromInt32(0))
	}
	PodTemplateSpec(&s.Template)
}

// StatefulSet defaults a stateful set and its claim templates.
func StatefulSet(d *appsv1.StatefulSet) {
	s := &d.Spec
	setPtr(&s.Replicas, 1)
	setPtr(&s.RevisionHistoryLimit, revisionHistory)
	set(&s.PodManagementPolicy, appsv1.OrderedReadyPodManagement)
	set(&s.UpdateStrategy.Type, appsv1.RollingUpdateStatefulSetStrategyType)
	if s.UpdateStrategy.Type == appsv1.RollingUpdateStatefulSetStrategyType {
		setPtr(&s.UpdateStrategy.RollingUpdate, appsv1.RollingUpdateStatefulSetStrategy{})
		setPtr(&s.UpdateStrategy.RollingUpdate.Partition, 0)
	}
	setPtr(&s.PersistentVolumeClaimRetentionPolicy, appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{})
	set(&s.PersistentVolumeClaimRetentionPolicy.WhenDeleted, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	set(&s.PersistentVolumeClaimRetentionPolicy.WhenScaled, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	PodTemplateSpec(&s.Template)
	for i := range s.VolumeClaimTemplates {
		c := &s.VolumeClaimTemplates[i]
		PersistentVolumeClaim(c)
		set(&c.APIVersion, "v1")
		set(&c.Kind, "PersistentVolumeClaim")
	}
}
