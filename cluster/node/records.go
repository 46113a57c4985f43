package node

import (
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/cri"
)

// Labels that the agent keeps in container records, so that a restarted agent
// decides as the one before would have.
const (
	labelSeries  = "pkg.internal/crash-series" // restarts in a row, for the backoff
	labelImage   = "pkg.internal/image"        // the image the pod asked for
	labelImageID = "pkg.internal/image-id"     // shown in the pod's status
	labelOrigin  = "pkg.internal/image-origin" // see cri.Image.Origin
	labelGrace   = "pkg.internal/grace"        // termination grace in seconds
)

// containerIDPrefix stands before a container's ID in the pod's status.
const containerIDPrefix = "pkg://"

// record is the latest attempt of one container as far as it is known.
type record struct {
	cri.Container
	// stale records stem from the pod's status or from a sandbox that died:
	// the container is gone, only how it ended is remembered.
	stale bool
}

func (r *record) running() bool {
	return !r.stale && (r.State == cri.Running || r.State == cri.Created)
}

// series is the number of restarts in a row that this attempt stands for.
func (r *record) series() int {
	n, _ := strconv.Atoi(r.Labels[labelSeries]) // absent: 0
	return n
}

// records returns the latest attempt of every container, by name: from the
// sandbox, else from the pod's status.
func records(pod *corev1.Pod, sandbox cri.Sandbox, exists bool) map[string]*record {
	all := map[string]*record{}
	if exists {
		for _, c := range sandbox.Containers {
			if old := all[c.Name]; old == nil || old.Attempt < c.Attempt {
				all[c.Name] = &record{Container: c, stale: !sandbox.Ready}
			}
		}
	}
	for _, s := range statuses(pod) {
		if all[s.Name] != nil {
			continue
		}
		if r := recordFromStatus(s); r != nil {
			all[s.Name] = r
		}
	}
	if exists && !sandbox.Ready {
		for _, r := range all {
			if r.State == cri.Running || r.State == cri.Created {
				r.State = cri.Unknown
			}
		}
	}
	return all
}

func statuses(pod *corev1.Pod) []corev1.ContainerStatus {
	all := append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...)
	all = append(all, pod.Status.ContainerStatuses...)
	return append(all, pod.Status.EphemeralContainerStatuses...)
}

// recordFromStatus is what the pod's status tells about a container that the
// runtime does not know any more; nil: it never ran.
func recordFromStatus(s corev1.ContainerStatus) *record {
	r := &record{stale: true, Container: cri.Container{Name: s.Name, Attempt: int(s.RestartCount), ImageName: s.Image}}
	t := s.State.Terminated
	if t == nil && s.State.Running == nil {
		t = s.LastTerminationState.Terminated
	}
	switch {
	case s.State.Running != nil:
		r.State, r.ID = cri.Unknown, s.ContainerID
		r.StartedAt = s.State.Running.StartedAt.Time
	case t != nil && t.Reason == reasonUnknown:
		r.State = cri.Unknown
	case t != nil:
		r.State, r.ID = cri.Exited, t.ContainerID
		r.ExitCode, r.Signal, r.Message = int(t.ExitCode), int(t.Signal), t.Message
		r.OOMKilled = t.Reason == reasonOOMKilled
		r.StartedAt, r.FinishedAt = t.StartedAt.Time, t.FinishedAt.Time
	default:
		return nil
	}
	return r
}

// previous returns the attempt of a container before its latest one, where
// the runtime still has it.
func previous(sandbox cri.Sandbox, latest *record) *record {
	var best *record
	for _, c := range sandbox.Containers {
		if c.Name == latest.Name && c.Attempt < latest.Attempt && (best == nil || best.Attempt < c.Attempt) {
			best = &record{Container: c}
		}
	}
	return best
}

// Crash backoff: the first restart is at once, then 10 s doubling to 300 s
// after the end; a run of 600 s starts the series anew.
const (
	firstBackoff = 10 * time.Second
	maxBackoff   = 300 * time.Second
	goodRun      = 2 * maxBackoff
)

// restartSeries tells which restart in a row the next attempt is, and how long
// after the end of r it may start.
func restartSeries(r *record) (series int, delay time.Duration) {
	series = r.series()
	if !r.StartedAt.IsZero() && r.FinishedAt.Sub(r.StartedAt) >= goodRun {
		series = 0
	}
	if series > 0 {
		delay = firstBackoff
		for i := 1; i < series && delay < maxBackoff; i++ {
			delay *= 2
		}
		delay = min(delay, maxBackoff)
	}
	return series + 1, delay
}

// exitCode is the code that a container's end counts as.
func (r *record) exitCode() int {
	if r.State == cri.Unknown {
		return 137 // Kubernetes' code for a container that was lost
	}
	return r.ExitCode
}
