package controller

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reasons of a Deployment's conditions, as Kubernetes words them; kubectl
// rollout status and kstatus read them.
const (
	reasonCreated      = "NewReplicaSetCreated"
	reasonFound        = "FoundNewReplicaSet"
	reasonUpdated      = "ReplicaSetUpdated"
	reasonDone         = "NewReplicaSetAvailable"
	reasonTimedOut     = "ProgressDeadlineExceeded"
	reasonCreateFailed = "ReplicaSetCreateError"
	reasonPaused       = "DeploymentPaused"
	reasonResumed      = "DeploymentResumed"
)

// status computes the counts and the Available and ReplicaFailure conditions;
// other conditions are taken from base.
func (r *rollout) status(base *appsv1.DeploymentStatus) appsv1.DeploymentStatus {
	s := appsv1.DeploymentStatus{
		ObservedGeneration: r.d.Generation,
		CollisionCount:     base.CollisionCount,
		Conditions:         slices.Clone(base.Conditions),
	}
	var terminating int32
	for _, set := range r.all {
		s.Replicas += set.Status.Replicas
		s.ReadyReplicas += set.Status.ReadyReplicas
		s.AvailableReplicas += set.Status.AvailableReplicas
		terminating += value(set.Status.TerminatingReplicas, 0)
	}
	s.TerminatingReplicas = &terminating
	if r.newer != nil {
		s.UpdatedReplicas = r.newer.Status.Replicas
	}
	s.UnavailableReplicas = max(specReplicas(r.all)-s.AvailableReplicas, 0)
	_, unavailable := fenceposts(r.d)
	available := appsv1.DeploymentCondition{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue,
		Reason: "MinimumReplicasAvailable", Message: "Deployment has minimum availability."}
	if s.AvailableReplicas < *r.d.Spec.Replicas-unavailable {
		available.Status, available.Reason = corev1.ConditionFalse, "MinimumReplicasUnavailable"
		available.Message = "Deployment does not have minimum availability."
	}
	setDeploymentCondition(&s, available, r.now)
	r.copyFailure(&s)
	return s
}

// copyFailure shows the ReplicaSets' trouble at the Deployment: the new one's
// first.
func (r *rollout) copyFailure(s *appsv1.DeploymentStatus) {
	sets := r.old
	if r.newer != nil {
		sets = append([]*appsv1.ReplicaSet{r.newer}, r.old...)
	}
	for _, set := range sets {
		for _, c := range set.Status.Conditions {
			if c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue {
				setDeploymentCondition(s, appsv1.DeploymentCondition{Type: appsv1.DeploymentReplicaFailure,
					Status: c.Status, Reason: c.Reason, Message: c.Message}, r.now)
				return
			}
		}
	}
	s.Conditions = slices.DeleteFunc(s.Conditions, func(c appsv1.DeploymentCondition) bool {
		return c.Type == appsv1.DeploymentReplicaFailure
	})
}

// complete tells whether all pods are of the new template and available.
func (r *rollout) complete(s appsv1.DeploymentStatus) bool {
	want := *r.d.Spec.Replicas
	return s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want
}

// progress sets the Progressing condition, and plans to look again when the
// progress deadline is due.
func (r *rollout) progress(s *appsv1.DeploymentStatus) {
	d := r.d
	if !hasDeadline(d) {
		s.Conditions = slices.DeleteFunc(s.Conditions, func(c appsv1.DeploymentCondition) bool {
			return c.Type == appsv1.DeploymentProgressing
		})
		return
	}
	name := fmt.Sprintf("Deployment %q", d.Name)
	if r.newer != nil {
		name = fmt.Sprintf("ReplicaSet %q", r.newer.Name)
	}
	current := deploymentCondition(s, appsv1.DeploymentProgressing)
	settled := s.Replicas == s.UpdatedReplicas && current != nil && current.Reason == reasonDone
	switch {
	case settled:
	case r.complete(*s):
		setProgress(s, corev1.ConditionTrue, reasonDone, name+" has successfully progressed.", r.now)
	case moved(d.Status, *s):
		// Always a new time of update: the deadline counts from it.
		next := appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue,
			Reason: reasonUpdated, Message: name + " is progressing.",
			LastUpdateTime: metav1.NewTime(r.now), LastTransitionTime: metav1.NewTime(r.now)}
		if current != nil && current.Status == corev1.ConditionTrue {
			next.LastTransitionTime = current.LastTransitionTime
		}
		replaceDeploymentCondition(s, next)
	case r.timedOut(current):
		setProgress(s, corev1.ConditionFalse, reasonTimedOut, name+" has timed out progressing.", r.now)
	}
	current = deploymentCondition(s, appsv1.DeploymentProgressing)
	if current == nil || r.complete(*s) || current.Reason == reasonTimedOut {
		return
	}
	deadline := time.Duration(*d.Spec.ProgressDeadlineSeconds) * time.Second
	r.plan.wait = max(current.LastUpdateTime.Add(deadline).Sub(r.now), 0) + time.Second
}

// hasDeadline: the largest int32 means no deadline.
func hasDeadline(d *appsv1.Deployment) bool {
	return d.Spec.ProgressDeadlineSeconds != nil && *d.Spec.ProgressDeadlineSeconds != 1<<31-1
}

// moved tells whether the rollout came forward between two states.
func moved(old, s appsv1.DeploymentStatus) bool {
	return s.UpdatedReplicas > old.UpdatedReplicas ||
		s.Replicas-s.UpdatedReplicas < old.Replicas-old.UpdatedReplicas ||
		s.ReadyReplicas > old.ReadyReplicas || s.AvailableReplicas > old.AvailableReplicas
}

func (r *rollout) timedOut(c *appsv1.DeploymentCondition) bool {
	if c == nil || c.Reason == reasonDone {
		return false
	}
	if c.Reason == reasonTimedOut {
		return true
	}
	deadline := time.Duration(*r.d.Spec.ProgressDeadlineSeconds) * time.Second
	return c.LastUpdateTime.Add(deadline).Before(r.now)
}

// setPaused notes a pause and its end in the Progressing condition, so that
// the time in between does not count against the deadline.
func setPaused(s *appsv1.DeploymentStatus, d *appsv1.Deployment, now time.Time) {
	c := deploymentCondition(s, appsv1.DeploymentProgressing)
	if !hasDeadline(d) || (c != nil && c.Reason == reasonTimedOut) {
		return
	}
	noted := c != nil && c.Reason == reasonPaused
	if d.Spec.Paused && !noted {
		setProgress(s, corev1.ConditionUnknown, reasonPaused, "Deployment is paused", now)
	} else if !d.Spec.Paused && noted {
		setProgress(s, corev1.ConditionUnknown, reasonResumed, "Deployment is resumed", now)
	}
}

func setProgress(s *appsv1.DeploymentStatus, status corev1.ConditionStatus, reason, message string, now time.Time) {
	setDeploymentCondition(s, appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing,
		Status: status, Reason: reason, Message: message}, now)
}

// setDeploymentCondition sets c with both its times; status and reason that
// are so already leave all as it is.
func setDeploymentCondition(s *appsv1.DeploymentStatus, c appsv1.DeploymentCondition, now time.Time) {
	c.LastUpdateTime, c.LastTransitionTime = metav1.NewTime(now), metav1.NewTime(now)
	if old := deploymentCondition(s, c.Type); old != nil {
		if old.Status == c.Status && old.Reason == c.Reason {
			return
		}
		if old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
	}
	replaceDeploymentCondition(s, c)
}

// replaceDeploymentCondition puts c last, as Kubernetes does.
func replaceDeploymentCondition(s *appsv1.DeploymentStatus, c appsv1.DeploymentCondition) {
	s.Conditions = append(slices.DeleteFunc(s.Conditions, func(o appsv1.DeploymentCondition) bool { return o.Type == c.Type }), c)
}

func deploymentCondition(s *appsv1.DeploymentStatus, t appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range s.Conditions {
		if s.Conditions[i].Type == t {
			return &s.Conditions[i]
		}
	}
	return nil
}
