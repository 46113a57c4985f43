package node

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/node/eviction"
	"github.com/seed38700745/pkg/cluster/node/podspec"
)

// Reasons in container statuses, in Kubernetes' words.
const (
	reasonCreating     = "ContainerCreating"
	reasonInitializing = "PodInitializing"
	reasonCrashLoop    = "CrashLoopBackOff"
	reasonOOMKilled    = "OOMKilled"
	reasonCompleted    = "Completed"
	reasonError        = "Error"
	reasonStartError   = "StartError"
	reasonUnknown      = "ContainerStatusUnknown"
)

const (
	startErrorCode = 128 // exit code of a container that could not be started
	unknownMessage = "The container could not be located when the pod was terminated"
)

// waiting is why a container does not run yet.
type waiting struct{ reason, message string }

// report is all that a pod's status is computed from.
type report struct {
	view
	plan     plan
	problems map[string]waiting // failed starts, and pulls without a reason, by container
	messages func(r *record) string
	hostIPs  []string
	podIPs   []string // nil: not attached
	// failed ends the pod for a reason of its own (deadline, admission).
	failed *waiting
	// ended: the agent has stopped all containers for good.
	ended bool
}

// podStatus computes the pod's status. Conditions of others and the times of
// unchanged conditions are kept from the present one.
func podStatus(r report) corev1.PodStatus {
	old := r.pod.Status
	s := *old.DeepCopy()
	s.ObservedGeneration = r.pod.Generation
	if s.StartTime == nil {
		s.StartTime = stamp(r.now)
	}
	s.QOSClass = podspec.QoS(r.pod)
	s.HostIP, s.HostIPs = first(r.hostIPs), nil
	for _, ip := range r.hostIPs {
		s.HostIPs = append(s.HostIPs, corev1.HostIP{IP: ip})
	}
	ips := r.podIPs
	if r.pod.Spec.HostNetwork {
		ips = r.hostIPs
	}
	if len(ips) > 0 {
		s.PodIP, s.PodIPs = ips[0], nil
		for _, ip := range ips {
			s.PodIPs = append(s.PodIPs, corev1.PodIP{IP: ip})
		}
	}
	s.InitContainerStatuses = r.containerStatuses(r.pod.Spec.InitContainers, old.InitContainerStatuses, true)
	s.ContainerStatuses = r.containerStatuses(r.pod.Spec.Containers, old.ContainerStatuses, false)
	var debuggers []corev1.Container
	for i := range r.pod.Spec.EphemeralContainers {
		debuggers = append(debuggers, *ephemeral(r.pod, i))
	}
	s.EphemeralContainerStatuses = r.containerStatuses(debuggers, old.EphemeralContainerStatuses, false)
	for i := range s.EphemeralContainerStatuses {
		s.EphemeralContainerStatuses[i].Ready = false // no part of what the pod is for
	}
	s.Phase = r.phase()
	s.Reason, s.Message = "", r.origins()
	if r.failed != nil {
		s.Phase, s.Reason, s.Message = corev1.PodFailed, r.failed.reason, r.failed.message
	} else if isTerminal(old.Phase) {
		s.Phase, s.Reason, s.Message = old.Phase, old.Reason, old.Message
	}
	s.Conditions = r.conditions(s)
	if r.failed != nil && r.failed.reason == eviction.Reason {
		s.Conditions = slices.DeleteFunc(s.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.DisruptionTarget })
		s.Conditions = append(s.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
			Reason: corev1.PodReasonTerminationByKubelet, Message: r.failed.message, LastTransitionTime: *stamp(r.now), ObservedGeneration: r.pod.Generation})
	}
	return s
}

func isTerminal(p corev1.PodPhase) bool { return p == corev1.PodSucceeded || p == corev1.PodFailed }

// stamp is a time as the API stores it: whole seconds.
func stamp(t time.Time) *metav1.Time {
	return new(metav1.NewTime(t.Truncate(time.Second)))
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}

// origins says which containers run something else than their image's name
// promises.
func (r report) origins() string {
	var all []string
	for _, c := range r.pod.Spec.Containers {
		if l := r.latest[c.Name]; l != nil && l.Labels[labelOrigin] != "" {
			all = append(all, fmt.Sprintf("image %q: %s", c.Image, l.Labels[labelOrigin]))
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), "; ")
}

// phase is computed from the containers by Kubernetes' rules.
func (r report) phase() corev1.PodPhase {
	var waits, runs, ends, good int
	for i := range r.pod.Spec.InitContainers {
		c := &r.pod.Spec.InitContainers[i]
		if l := r.latest[c.Name]; !isSidecar(c) && !r.initialized() && l != nil && !l.running() && l.exitCode() != 0 &&
			(r.ended || !restarts(r.pod, c, l.exitCode())) {
			return corev1.PodFailed
		}
	}
	restartable := false
	for i := range r.pod.Spec.Containers {
		c := &r.pod.Spec.Containers[i]
		l := r.latest[c.Name]
		switch {
		case l == nil:
			waits++
		case l.running():
			runs++
		default:
			ends++
			if l.exitCode() == 0 {
				good++
			}
			restartable = restartable || restarts(r.pod, c, l.exitCode())
		}
	}
	switch {
	case r.ended:
		if waits == 0 && good == ends {
			return corev1.PodSucceeded
		}
		return corev1.PodFailed
	case waits > 0 || !r.plan.initialized && !r.plan.finished && !r.initialized():
		return corev1.PodPending
	case runs > 0 || restartable:
		return corev1.PodRunning
	case good == ends:
		return corev1.PodSucceeded
	}
	return corev1.PodFailed
}

func (r report) containerStatuses(specs []corev1.Container, old []corev1.ContainerStatus, init bool) []corev1.ContainerStatus {
	var all []corev1.ContainerStatus
	for i := range specs {
		var before corev1.ContainerStatus
		for _, o := range old {
			if o.Name == specs[i].Name {
				before = o
			}
		}
		all = append(all, r.containerStatus(&specs[i], before, init))
	}
	return all
}

// containerStatus describes one container. old is its present status.
func (r report) containerStatus(c *corev1.Container, old corev1.ContainerStatus, init bool) corev1.ContainerStatus {
	s := corev1.ContainerStatus{Name: c.Name, Image: c.Image, Started: new(bool),
		RestartCount: old.RestartCount, LastTerminationState: old.LastTerminationState}
	w, waits := r.problems[c.Name]
	if b, ok := r.plan.waits[c.Name]; ok && !waits {
		w, waits = waiting{reasonCrashLoop, fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)",
			b.delay, c.Name, r.pod.Name, r.pod.Namespace, r.pod.UID)}, true
	}
	if waits && w.reason == "" { // nothing is wrong
		w.reason = r.defaultReason(init)
	}
	l := r.latest[c.Name]
	if l == nil || l.stale && !r.plan.finished && !r.ended && !isEphemeral(r.pod, c.Name) {
		if !waits {
			w = waiting{reason: r.defaultReason(init)}
		}
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: w.reason, Message: w.message}
		if l != nil {
			s.LastTerminationState = corev1.ContainerState{Terminated: r.terminated(l)}
		}
		return s
	}
	s.RestartCount = int32(l.Attempt)
	s.Image = cmp.Or(l.ImageName, c.Image)
	s.ImageID = cmp.Or(l.Labels[labelImageID], l.ImageID, old.ImageID)
	if l.ID != "" {
		s.ContainerID = containerIDPrefix + strings.TrimPrefix(l.ID, containerIDPrefix)
	}
	if p := previous(r.sandbox, l); p != nil {
		s.LastTerminationState = corev1.ContainerState{Terminated: r.terminated(p)}
	}
	if l.running() {
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: *stamp(l.StartedAt)}
		h := r.health[l.ID]
		*s.Started = h.Started
		s.Ready = h.Started && h.Ready && (!init || isSidecar(c))
		return s
	}
	t := r.terminated(l)
	if waits && !r.ended {
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: w.reason, Message: w.message}
		s.LastTerminationState = corev1.ContainerState{Terminated: t}
		return s
	}
	s.State.Terminated = t
	s.Ready = init && !isSidecar(c) && t.ExitCode == 0
	return s
}

// defaultReason is why a container waits that has no problem of its own.
func (r report) defaultReason(init bool) string {
	if len(r.pod.Spec.InitContainers) > 0 && (!init || r.exists && r.sandbox.Ready) {
		return reasonInitializing
	}
	return reasonCreating
}

// terminated describes how an attempt ended.
func (r report) terminated(l *record) *corev1.ContainerStateTerminated {
	t := &corev1.ContainerStateTerminated{ExitCode: int32(l.exitCode()), Signal: int32(l.Signal)}
	if l.ID != "" {
		t.ContainerID = containerIDPrefix + strings.TrimPrefix(l.ID, containerIDPrefix)
	}
	if !l.StartedAt.IsZero() {
		t.StartedAt = *stamp(l.StartedAt)
	} else if l.State != cri.Unknown { // it never ran: kubelet's zero time, which kubectl can print
		t.StartedAt = metav1.Unix(0, 0)
	}
	if !l.FinishedAt.IsZero() {
		t.FinishedAt = *stamp(l.FinishedAt)
	}
	switch {
	case l.State == cri.Unknown:
		t.Reason, t.Message = reasonUnknown, unknownMessage
		return t
	case l.OOMKilled:
		t.Reason = reasonOOMKilled
	case l.ExitCode == 0:
		t.Reason = reasonCompleted
	case l.ExitCode == startErrorCode && l.Message != "":
		t.Reason = reasonStartError
	default:
		t.Reason = reasonError
	}
	t.Message = l.Message
	if t.Message == "" && r.messages != nil {
		t.Message = r.messages(l)
	}
	return t
}

// conditions returns the conditions for status s, which has all else filled.
func (r report) conditions(s corev1.PodStatus) []corev1.PodCondition {
	sandboxed := r.exists && r.sandbox.Ready && !r.ended
	all := []corev1.PodCondition{
		{Type: corev1.PodReadyToStartContainers, Status: truth(sandboxed)},
		r.initializedCondition(s),
		{Type: corev1.PodReady},
		containersReady(s),
	}
	ready := all[3]
	ready.Type = corev1.PodReady
	if ready.Status == corev1.ConditionTrue {
		if missing := gatesNotReady(r.pod); missing != "" {
			ready.Status, ready.Reason, ready.Message = corev1.ConditionFalse, "ReadinessGatesNotReady", missing
		}
	}
	all[2] = ready
	for _, o := range r.pod.Status.Conditions {
		if !slices.ContainsFunc(all, func(c corev1.PodCondition) bool { return c.Type == o.Type }) {
			all = append(all, o)
		}
	}
	for i := range all {
		if i > 3 { // others' conditions
			break
		}
		all[i].ObservedGeneration = r.pod.Generation
		all[i].LastTransitionTime = *stamp(r.now)
		for _, o := range r.pod.Status.Conditions {
			if o.Type == all[i].Type && o.Status == all[i].Status {
				all[i].LastTransitionTime = o.LastTransitionTime
			}
		}
	}
	return all
}

func (r report) initializedCondition(s corev1.PodStatus) corev1.PodCondition {
	c := corev1.PodCondition{Type: corev1.PodInitialized, Status: corev1.ConditionTrue}
	if s.Phase == corev1.PodSucceeded {
		c.Reason = "PodCompleted"
		return c
	}
	if len(r.pod.Spec.InitContainers) == 0 || r.plan.initialized || r.initialized() {
		return c
	}
	var names []string
	for i, st := range s.InitContainerStatuses {
		through := st.Ready
		if isSidecar(&r.pod.Spec.InitContainers[i]) {
			through = st.Started != nil && *st.Started
		}
		if !through {
			names = append(names, st.Name)
		}
	}
	if len(names) > 0 {
		c.Status, c.Reason = corev1.ConditionFalse, "ContainersNotInitialized"
		c.Message = fmt.Sprintf("containers with incomplete status: %s", names)
	}
	return c
}

func containersReady(s corev1.PodStatus) corev1.PodCondition {
	c := corev1.PodCondition{Type: corev1.ContainersReady, Status: corev1.ConditionFalse}
	switch s.Phase {
	case corev1.PodSucceeded:
		c.Reason = "PodCompleted"
		return c
	case corev1.PodFailed:
		c.Reason = "PodFailed"
		return c
	}
	var names []string
	for _, st := range s.InitContainerStatuses {
		if !st.Ready && st.State.Running != nil && s.Phase == corev1.PodRunning {
			names = append(names, st.Name)
		}
	}
	for _, st := range s.ContainerStatuses {
		if !st.Ready {
			names = append(names, st.Name)
		}
	}
	if len(names) > 0 {
		c.Reason, c.Message = "ContainersNotReady", fmt.Sprintf("containers with unready status: %s", names)
		return c
	}
	c.Status = corev1.ConditionTrue
	return c
}

// gatesNotReady names the readiness gates that hold the pod back.
func gatesNotReady(pod *corev1.Pod) string {
	var all []string
	for _, g := range pod.Spec.ReadinessGates {
		i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == g.ConditionType })
		if i < 0 {
			all = append(all, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", g.ConditionType))
		} else if pod.Status.Conditions[i].Status != corev1.ConditionTrue {
			all = append(all, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %v", g.ConditionType, pod.Status.Conditions[i].Status))
		}
	}
	return strings.Join(all, ", ")
}

func truth(b bool) corev1.ConditionStatus {
	if b {
		return corev1.ConditionTrue
	}
	return corev1.ConditionFalse
}

// sameStatus tells whether writing b over a would change anything.
func sameStatus(a, b corev1.PodStatus) bool { return equality.Semantic.DeepEqual(a, b) }
