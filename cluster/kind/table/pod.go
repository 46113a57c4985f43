package table

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// PodColumns are the columns of pods.
func PodColumns() Columns {
	status := corev1.PodStatus{}.SwaggerDoc()
	return Columns{
		nameColumn(),
		text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
		text("Status", "The aggregate status of the containers in this pod."),
		text("Restarts", "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted."),
		ageColumn(),
		wide(text("IP", status["podIP"])),
		wide(text("Node", corev1.PodSpec{}.SwaggerDoc()["nodeName"])),
		wide(text("Nominated Node", status["nominatedNodeName"])),
		wide(text("Readiness Gates", corev1.PodSpec{}.SwaggerDoc()["readinessGates"])),
	}
}

// PodRow shows a pod.
func PodRow(p *corev1.Pod, now time.Time) []any {
	s := Summarize(p)
	restarts := strconv.Itoa(s.Restarts)
	if s.Restarts != 0 && !s.LastRestart.IsZero() {
		restarts = fmt.Sprintf("%d (%s ago)", s.Restarts, age(s.LastRestart, now))
	}
	ip := p.Status.PodIP
	if ip == "" && len(p.Status.PodIPs) > 0 {
		ip = p.Status.PodIPs[0].IP
	}
	return []any{
		p.Name, fmt.Sprintf("%d/%d", s.Ready, s.Total), s.Status, restarts, age(p.CreationTimestamp, now),
		or(ip, none), or(p.Spec.NodeName, none), or(p.Status.NominatedNodeName, none), readinessGates(p),
	}
}

func readinessGates(p *corev1.Pod) string {
	if len(p.Spec.ReadinessGates) == 0 {
		return none
	}
	open := 0
	for _, gate := range p.Spec.ReadinessGates {
		if conditionTrue(p, gate.ConditionType) {
			open++
		}
	}
	return fmt.Sprintf("%d/%d", open, len(p.Spec.ReadinessGates))
}

// Summary is what a pod's row says about its containers.
type Summary struct {
	Ready, Total int // containers, sidecars among them
	Status       string
	Restarts     int
	LastRestart  metav1.Time
}

// Summarize computes a pod's Summary from its status.
func Summarize(p *corev1.Pod) Summary {
	s := Summary{Total: len(p.Spec.Containers), Status: or(p.Status.Reason, string(p.Status.Phase))}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonSchedulingGated {
			s.Status = corev1.PodReasonSchedulingGated
		}
	}
	sidecars := map[string]bool{}
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			sidecars[c.Name] = true
			s.Total++
		}
	}
	if !s.initializing(p, sidecars) || conditionTrue(p, corev1.PodInitialized) {
		s.running(p, sidecars)
	}
	switch {
	case p.DeletionTimestamp == nil:
	case p.Status.Reason == "NodeLost":
		s.Status = "Unknown"
	case p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed:
		s.Status = "Terminating"
	}
	return s
}

// initializing tells whether an init container still has to succeed, and what
// is to be said about the first such.
func (s *Summary) initializing(p *corev1.Pod, sidecars map[string]bool) bool {
	for i, c := range p.Status.InitContainerStatuses {
		s.countRestarts(c)
		state := c.State
		switch {
		case state.Terminated != nil && state.Terminated.ExitCode == 0:
			continue
		case sidecars[c.Name] && c.Started != nil && *c.Started:
			if c.Ready {
				s.Ready++
			}
			continue
		case state.Terminated != nil:
			s.Status = "Init:" + exitReason(state.Terminated)
		case state.Waiting != nil && state.Waiting.Reason != "" && state.Waiting.Reason != "PodInitializing":
			s.Status = "Init:" + state.Waiting.Reason
		default:
			s.Status = fmt.Sprintf("Init:%d/%d", i, len(p.Spec.InitContainers))
		}
		return true
	}
	return false
}

// running says what the regular containers do. Restarts of init containers
// count no more, but those of sidecars do.
func (s *Summary) running(p *corev1.Pod, sidecars map[string]bool) {
	s.Restarts, s.LastRestart = 0, metav1.Time{}
	for _, c := range p.Status.InitContainerStatuses {
		if sidecars[c.Name] {
			s.countRestarts(c)
		}
	}
	hasRunning := false
	for _, c := range slices.Backward(p.Status.ContainerStatuses) {
		s.countRestarts(c)
		switch state := c.State; {
		case state.Waiting != nil && state.Waiting.Reason != "":
			s.Status = state.Waiting.Reason
		case state.Terminated != nil:
			s.Status = exitReason(state.Terminated)
		case c.Ready && state.Running != nil:
			hasRunning = true
			s.Ready++
		}
	}
	if s.Status == "Completed" && hasRunning {
		s.Status = "NotReady"
		if conditionTrue(p, corev1.PodReady) {
			s.Status = "Running"
		}
	}
}

func (s *Summary) countRestarts(c corev1.ContainerStatus) {
	s.Restarts += int(c.RestartCount)
	if t := c.LastTerminationState.Terminated; t != nil && s.LastRestart.Before(&t.FinishedAt) {
		s.LastRestart = t.FinishedAt
	}
}

func exitReason(t *corev1.ContainerStateTerminated) string {
	switch {
	case t.Reason != "":
		return t.Reason
	case t.Signal != 0:
		return fmt.Sprintf("Signal:%d", t.Signal)
	}
	return fmt.Sprintf("ExitCode:%d", t.ExitCode)
}

func conditionTrue(p *corev1.Pod, t corev1.PodConditionType) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == t {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// PodTemplateColumns are the columns of pod templates.
func PodTemplateColumns() Columns {
	return Columns{
		nameColumn(),
		text("Containers", "Names of each container in the template."),
		text("Images", "Images referenced by each container in the template."),
		text("Pod Labels", "The labels for the pod template."),
	}
}

// PodTemplateRow shows a pod template.
func PodTemplateRow(t *corev1.PodTemplate, _ time.Time) []any {
	names, images := containerCells(t.Template.Spec.Containers)
	return []any{t.Name, names, images, labels.FormatLabels(t.Template.Labels)}
}
