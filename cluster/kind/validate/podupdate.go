package validate

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// updatable lists what may change in a running pod, as the error says it.
func updatable() string {
	return strings.Join([]string{
		"`spec.containers[*].image`",
		"`spec.initContainers[*].image`",
		"`spec.activeDeadlineSeconds`",
		"`spec.tolerations` (only additions to existing tolerations)",
		"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
	}, ",")
}

// PodUpdate checks the change of a pod as such; subresources (binding, resize,
// ephemeralcontainers) have their own rules.
func PodUpdate(p, old *corev1.Pod) field.ErrorList {
	var errs errors
	at := spec()
	if len(p.Spec.Containers) != len(old.Spec.Containers) {
		return errors{field.Forbidden(at.Child("containers"), "pod updates may not add or remove containers")}
	}
	if len(p.Spec.InitContainers) != len(old.Spec.InitContainers) {
		return errors{field.Forbidden(at.Child("initContainers"), "pod updates may not add or remove containers")}
	}
	errs = append(errs, deadlineUpdate(at.Child("activeDeadlineSeconds"), p.Spec.ActiveDeadlineSeconds, old.Spec.ActiveDeadlineSeconds)...)
	errs = append(errs, gatesUpdate(at.Child("schedulingGates"), p.Spec.SchedulingGates, old.Spec.SchedulingGates)...)
	errs = append(errs, addedTolerations(at.Child("tolerations"), p.Spec.Tolerations, old.Spec.Tolerations)...)

	// What remains must be the same once the changeable fields are put back.
	munged := *p.Spec.DeepCopy()
	for i := range munged.Containers {
		munged.Containers[i].Image = old.Spec.Containers[i].Image
	}
	for i := range munged.InitContainers {
		munged.InitContainers[i].Image = old.Spec.InitContainers[i].Image
	}
	munged.ActiveDeadlineSeconds = old.Spec.ActiveDeadlineSeconds
	munged.Tolerations = old.Spec.Tolerations
	munged.SchedulingGates = old.Spec.SchedulingGates
	if len(old.Spec.SchedulingGates) > 0 {
		// Nothing has looked at these yet.
		munged.NodeSelector = old.Spec.NodeSelector
		munged.Affinity = old.Spec.Affinity
	}
	if g, was := p.Spec.TerminationGracePeriodSeconds, old.Spec.TerminationGracePeriodSeconds; g != nil && was != nil && *was < 0 && *g == 1 {
		munged.TerminationGracePeriodSeconds = was
	}
	if !equal(munged, old.Spec) {
		errs = append(errs, field.Forbidden(at, "pod updates may not change fields other than "+updatable()+"\n"+diff.Diff(old.Spec, munged)))
	}
	return errs
}

func deadlineUpdate(p *field.Path, d, old *int64) errors {
	switch {
	case d == nil && old != nil:
		return errors{field.Invalid(p, d, "must not update from a positive integer to nil value")}
	case d != nil && *d < 0:
		return errors{field.Invalid(p, *d, notNegative)}
	case d != nil && old != nil && *d > *old:
		return errors{field.Invalid(p, *d, "must be less than or equal to previous value")}
	}
	return nil
}

func gatesUpdate(p *field.Path, gates, old []corev1.PodSchedulingGate) errors {
	var errs errors
	for i, g := range gates {
		if !slices.Contains(old, g) {
			errs = append(errs, field.Forbidden(p.Index(i), "only deletion is allowed, but found new scheduling gate '"+g.Name+"'"))
		}
	}
	return errs
}

// addedTolerations: those that there were must stay, but for their seconds.
func addedTolerations(p *field.Path, list, old []corev1.Toleration) errors {
	for _, o := range old {
		o.TolerationSeconds = nil
		found := slices.ContainsFunc(list, func(t corev1.Toleration) bool {
			t.TolerationSeconds = nil
			return t == o
		})
		if !found {
			return errors{field.Forbidden(p, "existing toleration can not be modified except its tolerationSeconds")}
		}
	}
	return nil
}

// PodStatusUpdate checks a change of a pod's status.
func PodStatusUpdate(p, _ *corev1.Pod) field.ErrorList {
	var errs errors
	if n := p.Status.NominatedNodeName; n != "" {
		errs = append(errs, dnsSubdomain(field.NewPath("status", "nominatedNodeName"), n)...)
	}
	for i, ip := range p.Status.PodIPs {
		errs = append(errs, ipAddress(field.NewPath("status", "podIPs").Index(i), ip.IP)...)
	}
	return errs
}
