package validate

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Deployment checks a deployment.
func Deployment(d *appsv1.Deployment) field.ErrorList {
	s, p := &d.Spec, spec()
	errs := nonNegativePtr(p.Child("replicas"), s.Replicas)
	errs = append(errs, podSelector(p, s.Selector, s.Template.Labels, "deployment")...)
	errs = append(errs, podTemplate(p.Child("template"), &s.Template)...)
	errs = append(errs, alwaysRestarts(p.Child("template"), &s.Template, "ReplicaSet")...)
	errs = append(errs, strategy(p.Child("strategy"), &s.Strategy)...)
	errs = append(errs, nonNegative(p.Child("minReadySeconds"), s.MinReadySeconds)...)
	errs = append(errs, nonNegativePtr(p.Child("revisionHistoryLimit"), s.RevisionHistoryLimit)...)
	errs = append(errs, nonNegativePtr(p.Child("progressDeadlineSeconds"), s.ProgressDeadlineSeconds)...)
	if t := s.ProgressDeadlineSeconds; t != nil && *t <= s.MinReadySeconds {
		errs = append(errs, field.Invalid(p.Child("progressDeadlineSeconds"), *t, "must be greater than minReadySeconds"))
	}
	return errs
}

func strategy(p *field.Path, s *appsv1.DeploymentStrategy) errors {
	at := p.Child("rollingUpdate")
	switch s.Type {
	case appsv1.RecreateDeploymentStrategyType:
		if s.RollingUpdate != nil {
			return errors{field.Forbidden(at, "may not be specified when strategy `type` is '"+string(appsv1.RecreateDeploymentStrategyType)+"'")}
		}
		return nil
	case appsv1.RollingUpdateDeploymentStrategyType:
		if s.RollingUpdate == nil {
			return errors{field.Required(at, "this should be defaulted and never be nil")}
		}
		return rolling(at, s.RollingUpdate.MaxUnavailable, s.RollingUpdate.MaxSurge)
	}
	return errors{field.NotSupported(p.Child("type"), s.Type,
		[]appsv1.DeploymentStrategyType{appsv1.RecreateDeploymentStrategyType, appsv1.RollingUpdateDeploymentStrategyType})}
}

// rolling checks how many pods a rolling update may miss or have in excess.
func rolling(p *field.Path, unavailable, surge *intstr.IntOrString) errors {
	var errs errors
	if unavailable != nil {
		errs = append(errs, intOrPercent(p.Child("maxUnavailable"), *unavailable)...)
	}
	if surge != nil {
		errs = append(errs, intOrPercent(p.Child("maxSurge"), *surge)...)
	}
	if isZero(unavailable) && isZero(surge) {
		errs = append(errs, field.Invalid(p.Child("maxUnavailable"), unavailable, "may not be 0 when `maxSurge` is 0"))
	}
	if unavailable != nil {
		errs = append(errs, atMostAll(p.Child("maxUnavailable"), *unavailable)...)
	}
	return errs
}

// DeploymentUpdate checks a change.
func DeploymentUpdate(d, old *appsv1.Deployment) field.ErrorList {
	return unchanged(spec().Child("selector"), d.Spec.Selector, old.Spec.Selector)
}

// ReplicaSet checks a replica set.
func ReplicaSet(r *appsv1.ReplicaSet) field.ErrorList {
	s, p := &r.Spec, spec()
	errs := nonNegativePtr(p.Child("replicas"), s.Replicas)
	errs = append(errs, nonNegative(p.Child("minReadySeconds"), s.MinReadySeconds)...)
	errs = append(errs, podSelector(p, s.Selector, s.Template.Labels, "deployment")...)
	errs = append(errs, podTemplate(p.Child("template"), &s.Template)...)
	return append(errs, alwaysRestarts(p.Child("template"), &s.Template, "ReplicaSet")...)
}

// ReplicaSetUpdate checks a change.
func ReplicaSetUpdate(r, old *appsv1.ReplicaSet) field.ErrorList {
	return unchanged(spec().Child("selector"), r.Spec.Selector, old.Spec.Selector)
}

// ReplicationController checks a replication controller.
func ReplicationController(r *corev1.ReplicationController) field.ErrorList {
	s, p := &r.Spec, spec()
	errs := nonNegative(p.Child("minReadySeconds"), s.MinReadySeconds)
	if len(s.Selector) == 0 {
		errs = append(errs, field.Required(p.Child("selector"), ""))
	}
	errs = append(errs, nonNegativePtr(p.Child("replicas"), s.Replicas)...)
	if s.Template == nil {
		return append(errs, field.Required(p.Child("template"), ""))
	}
	if len(s.Selector) > 0 && !matches(s.Selector, s.Template.Labels) {
		errs = append(errs, field.Invalid(p.Child("template", "metadata", "labels"), s.Template.Labels,
			"`selector` does not match template `labels`"))
	}
	errs = append(errs, podTemplate(p.Child("template"), s.Template)...)
	return append(errs, alwaysRestarts(p.Child("template"), s.Template, "ReplicationController")...)
}

// StatefulSet checks a stateful set.
func StatefulSet(d *appsv1.StatefulSet) field.ErrorList {
	s, p := &d.Spec, spec()
	var errs errors
	switch s.PodManagementPolicy {
	case "":
		errs = append(errs, field.Required(p.Child("podManagementPolicy"), ""))
	case appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement:
	default:
		errs = append(errs, field.Invalid(p.Child("podManagementPolicy"), s.PodManagementPolicy,
			fmt.Sprintf("must be '%s' or '%s'", appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement)))
	}
	errs = append(errs, statefulUpdate(p.Child("updateStrategy"), &s.UpdateStrategy)...)
	if r := s.PersistentVolumeClaimRetentionPolicy; r != nil {
		at := p.Child("persistentVolumeClaimRetentionPolicy")
		for _, f := range []struct {
			name   string
			policy appsv1.PersistentVolumeClaimRetentionPolicyType
		}{{"whenDeleted", r.WhenDeleted}, {"whenScaled", r.WhenScaled}} {
			errs = append(errs, oneOfOrEmpty(at.Child(f.name), f.policy,
				appsv1.DeletePersistentVolumeClaimRetentionPolicyType, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)...)
		}
	}
	errs = append(errs, nonNegativePtr(p.Child("replicas"), s.Replicas)...)
	errs = append(errs, nonNegative(p.Child("minReadySeconds"), s.MinReadySeconds)...)
	if s.Ordinals != nil {
		errs = append(errs, nonNegative(p.Child("ordinals", "start"), s.Ordinals.Start)...)
	}
	errs = append(errs, podSelector(p, s.Selector, s.Template.Labels, "statefulset")...)
	errs = append(errs, optionalName(p.Child("serviceName"), s.ServiceName)...)
	errs = append(errs, statefulTemplate(p, s)...)
	return append(errs, alwaysRestarts(p.Child("template"), &s.Template, "StatefulSet")...)
}

// statefulTemplate checks the pod template with the volumes that the claim
// templates will add to it.
func statefulTemplate(p *field.Path, s *appsv1.StatefulSetSpec) errors {
	template := s.Template.DeepCopy()
	own := map[string]bool{}
	for _, c := range s.VolumeClaimTemplates {
		own[c.Name] = true
	}
	kept := template.Spec.Volumes[:0]
	for _, v := range template.Spec.Volumes {
		// The claim wins over a volume of the same name.
		if !own[v.Name] {
			kept = append(kept, v)
		}
	}
	template.Spec.Volumes = kept
	var errs errors
	for i, c := range s.VolumeClaimTemplates {
		at := p.Child("volumeClaimTemplates").Index(i)
		errs = append(errs, required(at.Child("metadata", "name"), c.Name)...)
		errs = append(errs, claimSpec(at.Child("spec"), &s.VolumeClaimTemplates[i].Spec)...)
		template.Spec.Volumes = append(template.Spec.Volumes, corev1.Volume{
			Name: c.Name,
			VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: c.Name},
			},
		})
	}
	return append(errs, podTemplate(p.Child("template"), template)...)
}

func statefulUpdate(p *field.Path, s *appsv1.StatefulSetUpdateStrategy) errors {
	switch s.Type {
	case "":
		return errors{field.Required(p, "")}
	case appsv1.OnDeleteStatefulSetStrategyType:
		if s.RollingUpdate != nil {
			return errors{field.Invalid(p.Child("rollingUpdate"), s.RollingUpdate,
				fmt.Sprintf("only allowed for updateStrategy '%s'", appsv1.RollingUpdateStatefulSetStrategyType))}
		}
		return nil
	case appsv1.RollingUpdateStatefulSetStrategyType:
		if s.RollingUpdate == nil {
			return nil
		}
		errs := nonNegativePtr(p.Child("rollingUpdate", "partition"), s.RollingUpdate.Partition)
		if m := s.RollingUpdate.MaxUnavailable; m != nil {
			at := p.Child("rollingUpdate", "maxUnavailable")
			errs = append(errs, intOrPercent(at, *m)...)
			if isZero(m) {
				errs = append(errs, field.Invalid(at, *m, "cannot be 0"))
			}
			errs = append(errs, atMostAll(at, *m)...)
		}
		return errs
	}
	return errors{field.Invalid(p, s, fmt.Sprintf("must be '%s' or '%s'",
		appsv1.RollingUpdateStatefulSetStrategyType, appsv1.OnDeleteStatefulSetStrategyType))}
}

// StatefulSetUpdate checks a change: only the fields that the message names
// may change.
func StatefulSetUpdate(d, old *appsv1.StatefulSet) field.ErrorList {
	same := d.Spec.DeepCopy()
	same.Replicas = old.Spec.Replicas
	same.Ordinals = old.Spec.Ordinals
	same.Template = old.Spec.Template
	same.UpdateStrategy = old.Spec.UpdateStrategy
	same.MinReadySeconds = old.Spec.MinReadySeconds
	same.RevisionHistoryLimit = old.Spec.RevisionHistoryLimit
	same.PersistentVolumeClaimRetentionPolicy = old.Spec.PersistentVolumeClaimRetentionPolicy
	if equal(*same, old.Spec) {
		return nil
	}
	return errors{field.Forbidden(spec(), "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "+
		"'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden")}
}

// DaemonSet checks a daemon set.
func DaemonSet(d *appsv1.DaemonSet) field.ErrorList {
	s, p := &d.Spec, spec()
	errs := podSelector(p, s.Selector, s.Template.Labels, "daemonset")
	errs = append(errs, podTemplate(p.Child("template"), &s.Template)...)
	errs = append(errs, alwaysRestarts(p.Child("template"), &s.Template, "DaemonSet")...)
	errs = append(errs, nonNegative(p.Child("minReadySeconds"), s.MinReadySeconds)...)
	errs = append(errs, nonNegativePtr(p.Child("revisionHistoryLimit"), s.RevisionHistoryLimit)...)
	at := p.Child("updateStrategy")
	switch s.UpdateStrategy.Type {
	case appsv1.OnDeleteDaemonSetStrategyType:
	case appsv1.RollingUpdateDaemonSetStrategyType:
		r := s.UpdateStrategy.RollingUpdate
		if r == nil {
			return append(errs, field.Required(at.Child("rollingUpdate"), ""))
		}
		errs = append(errs, rolling(at.Child("rollingUpdate"), r.MaxUnavailable, r.MaxSurge)...)
	default:
		errs = append(errs, field.NotSupported(at, s.UpdateStrategy.Type,
			[]appsv1.DaemonSetUpdateStrategyType{appsv1.RollingUpdateDaemonSetStrategyType, appsv1.OnDeleteDaemonSetStrategyType}))
	}
	return errs
}

// DaemonSetUpdate checks a change.
func DaemonSetUpdate(d, old *appsv1.DaemonSet) field.ErrorList {
	return unchanged(spec().Child("selector"), d.Spec.Selector, old.Spec.Selector)
}

// ControllerRevision checks a controller revision.
func ControllerRevision(r *appsv1.ControllerRevision) field.ErrorList {
	var errs errors
	if r.Data.Raw == nil && r.Data.Object == nil {
		errs = append(errs, field.Required(field.NewPath("data"), "data is mandatory"))
	}
	return append(errs, nonNegative(field.NewPath("revision"), r.Revision)...)
}

// ControllerRevisionUpdate checks a change.
func ControllerRevisionUpdate(r, old *appsv1.ControllerRevision) field.ErrorList {
	return unchanged(field.NewPath("data"), r.Data, old.Data)
}
