package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/node/podspec"
)

// Waiting reasons of containers that could not be started.
const (
	errImagePull       = "ErrImagePull"
	errImagePullBack   = "ImagePullBackOff"
	errImageNeverPull  = "ErrImageNeverPull"
	errInvalidName     = "InvalidImageName"
	errContainerConfig = "CreateContainerConfigError"
	errRunContainer    = "RunContainerError"
)

const (
	configRetry = 10 * time.Second // after a configuration error
	// pullShown is how long a failed pull is shown as ErrImagePull before it
	// becomes ImagePullBackOff.
	pullShown = 2 * time.Second
)

// start brings one container up and reports whether it runs.
func (w *worker) start(ctx context.Context, v view, s starting, paths map[string]string) bool {
	image, ok := w.image(ctx, v.pod, s.spec)
	if !ok {
		return false
	}
	c, err := w.containerConfig(ctx, v.pod, s, image, paths)
	if err == nil {
		c.PIDOf, err = v.target(s.spec.Name)
	}
	if err != nil {
		if ctx.Err() == nil {
			w.failed(v.pod, s.spec.Name, errContainerConfig, err.Error(), delay{until: w.agent.Now().Add(configRetry)})
		}
		return false
	}
	started, err := w.agent.Runtime.StartContainer(ctx, w.uid, c)
	w.agent.meters.containerStarted(v.pod, s.spec.Name, err)
	if err != nil {
		if ctx.Err() == nil {
			w.failed(v.pod, s.spec.Name, errRunContainer, err.Error(), delay{until: w.agent.Now().Add(w.startRetry(s))})
		}
		return false
	}
	delete(w.problems, s.spec.Name)
	delete(w.delays, s.spec.Name)
	w.event(v.pod, s.spec.Name, corev1.EventTypeNormal, "Created", "Container created")
	w.event(v.pod, s.spec.Name, corev1.EventTypeNormal, "Started", "Container started")
	w.dropOldAttempts(ctx, v, s)
	h := health{Started: s.spec.StartupProbe == nil, Ready: s.spec.ReadinessProbe == nil}
	if s.spec.Lifecycle == nil || s.spec.Lifecycle.PostStart == nil {
		w.note(started.ID, func(known *health) { *known = h })
		return true
	}
	w.note(started.ID, func(known *health) { *known = health{} })
	if latest, err := w.look(ctx, v.pod); err == nil {
		w.report(ctx, latest, decide(latest)) // the hook may take long
	}
	if err := w.hook(ctx, v.pod, s.spec, started.ID, s.spec.Lifecycle.PostStart); err != nil && ctx.Err() == nil {
		w.event(v.pod, s.spec.Name, corev1.EventTypeWarning, "FailedPostStartHook", fmt.Sprintf("PostStartHook failed: %v", err))
		w.event(v.pod, s.spec.Name, corev1.EventTypeNormal, "Killing", "FailedPostStartHook")
		w.stop(ctx, v, s.spec, started.ID, grace(v.pod))
		return true
	}
	w.note(started.ID, func(known *health) { *known = h })
	return true
}

// startRetry is how long to wait after the runtime refused a start and left no
// record of it; with a record the crash backoff applies.
func (w *worker) startRetry(s starting) time.Duration {
	_, wait := restartSeries(&record{Container: cri.Container{Labels: map[string]string{labelSeries: strconv.Itoa(s.series)}}})
	return wait
}

// failed notes that a container could not be started.
func (w *worker) failed(pod *corev1.Pod, container, reason, message string, d delay) {
	w.event(pod, container, corev1.EventTypeWarning, "Failed", "Error: "+message)
	d.since = w.agent.Now()
	w.problems[container], w.delays[container] = waiting{reason, message}, d
}

// holding tells whether a container's next start is held back.
func (w *worker) holding(now time.Time, container string) bool {
	return now.Before(w.delays[container].until)
}

// held returns when the first start that is held back is due, and whether all
// are. Failed pulls become ImagePullBackOff here.
func (w *worker) held(v view, p plan) (next time.Duration, all bool) {
	next, all = resyncPeriod, true
	now := w.agent.Now()
	if !p.next.IsZero() {
		next = min(next, p.next.Sub(now))
	}
	for _, s := range p.start {
		name := s.spec.Name
		if !w.holding(now, name) {
			all = false
			continue
		}
		d := w.delays[name]
		due := d.until.Sub(now)
		if d.pull && !d.shown {
			if showAt := d.since.Add(pullShown); now.Before(showAt) {
				due = min(due, showAt.Sub(now))
			} else {
				w.showPullBackOff(v.pod, s.spec, d)
			}
		}
		next = min(next, due)
	}
	return max(next, 0), all
}

func (w *worker) showPullBackOff(pod *corev1.Pod, c *corev1.Container, d delay) {
	d.shown = true
	w.delays[c.Name] = d
	text := fmt.Sprintf("Back-off pulling image %q", c.Image)
	w.event(pod, c.Name, corev1.EventTypeNormal, "BackOff", text)
	w.event(pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: "+errImagePullBack)
	w.problems[c.Name] = waiting{errImagePullBack, fmt.Sprintf("%s: %s: %s", text, errImagePull, w.problems[c.Name].message)}
}

// backOff reports a crash backoff, once for each attempt.
func (w *worker) backOff(pod *corev1.Pod, container string, b wait) {
	delete(w.problems, container)
	if w.delays[container].until.Equal(b.until) {
		return
	}
	w.delays[container] = delay{since: w.agent.Now(), until: b.until}
	w.event(pod, container, corev1.EventTypeWarning, "BackOff",
		fmt.Sprintf("Back-off restarting failed container %s in pod %s_%s(%s)", container, pod.Name, pod.Namespace, pod.UID))
}

// image makes the container's image present.
func (w *worker) image(ctx context.Context, pod *corev1.Pod, c *corev1.Container) (cri.Image, bool) {
	policy := cmp.Or(cri.PullPolicy(c.ImagePullPolicy), cri.PullIfNotPresent)
	present, have := w.agent.Images.Present(c.Image)
	if have && policy != cri.PullAlways {
		w.event(pod, c.Name, corev1.EventTypeNormal, "Pulled", withOrigin(fmt.Sprintf("Container image %q already present on machine and can be accessed by the pod", c.Image), present))
		return present, true
	}
	if policy == cri.PullNever {
		w.neverPull(pod, c)
		return cri.Image{}, false
	}
	asked := w.agent.Now()
	if err := w.agent.pulls.Wait(ctx); err != nil {
		return cri.Image{}, false
	}
	w.event(pod, c.Name, corev1.EventTypeNormal, "Pulling", fmt.Sprintf("Pulling image %q", c.Image))
	began := w.agent.Now()
	credentials, err := w.credentials(ctx, pod)
	var image cri.Image
	if err == nil {
		image, err = w.fetch(ctx, pod, c, policy, credentials)
	}
	if ctx.Err() != nil {
		return cri.Image{}, false
	}
	switch {
	case errors.Is(err, cri.ErrImageNeverPull):
		w.neverPull(pod, c)
	case errors.Is(err, cri.ErrInvalidImageName):
		message := fmt.Sprintf("Failed to apply default image tag %q: %v", c.Image, err)
		w.event(pod, c.Name, corev1.EventTypeWarning, "InspectFailed", message)
		w.failed(pod, c.Name, errInvalidName, message, delay{until: w.agent.Now().Add(maxBackoff)})
	case err != nil:
		w.event(pod, c.Name, corev1.EventTypeWarning, "Failed", fmt.Sprintf("Failed to pull image %q: %v", c.Image, err))
		w.event(pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: "+errImagePull)
		now := w.agent.Now()
		w.problems[c.Name] = waiting{errImagePull, err.Error()}
		w.delays[c.Name] = delay{since: now, until: now.Add(w.pullDelay(c.Name)), pull: true}
	default:
		now := w.agent.Now()
		w.event(pod, c.Name, corev1.EventTypeNormal, "Pulled", withOrigin(fmt.Sprintf("Successfully pulled image %q in %v (%v including waiting). Image size: %d bytes.",
			c.Image, now.Sub(began).Round(time.Millisecond), now.Sub(asked).Round(time.Millisecond), image.Size), image))
		return image, true
	}
	return cri.Image{}, false
}

// pullDelay is the pause after a failed pull: 10 s, doubling to 300 s while
// pulls go on failing.
func (w *worker) pullDelay(container string) time.Duration {
	d := w.delays[container]
	if !d.pull {
		return firstBackoff
	}
	return min(2*d.until.Sub(d.since), maxBackoff)
}

func (w *worker) neverPull(pod *corev1.Pod, c *corev1.Container) {
	message := fmt.Sprintf("Container image %q is not present with pull policy of Never", c.Image)
	w.event(pod, c.Name, corev1.EventTypeWarning, errImageNeverPull, message)
	w.failed(pod, c.Name, errImageNeverPull, message, delay{until: w.agent.Now().Add(configRetry)})
}

func withOrigin(text string, i cri.Image) string {
	if i.Origin == "" {
		return text
	}
	return strings.TrimSuffix(text, ".") + "; " + i.Origin
}

// containerConfig translates the container for the runtime.
func (w *worker) containerConfig(ctx context.Context, pod *corev1.Pod, s starting, image cri.Image, paths map[string]string) (cri.ContainerConfig, error) {
	pod = w.addressed(pod)
	spec := s.spec
	env, err := podspec.Env(ctx, w.agent.Verbs, pod, spec, w.agent.allocatable())
	if err != nil {
		return cri.ContainerConfig{}, err
	}
	c := cri.ContainerConfig{
		Name: spec.Name, Attempt: s.attempt, Image: image,
		Env: podspec.Environ(image.Config, env), Dir: podspec.WorkingDir(spec, image.Config),
		TTY: spec.TTY, Stdin: spec.Stdin, StdinOnce: spec.StdinOnce,
		StopSignal: stopSignal(spec, image),
		Resources:  podspec.Resources(pod, spec, w.agent.capacity.Memory().Value()),
		Labels: map[string]string{
			labelSeries: strconv.Itoa(s.series), labelImage: spec.Image, labelImageID: imageID(image),
			labelGrace: strconv.Itoa(int(grace(pod).Seconds())),
		},
	}
	if image.Origin != "" {
		c.Labels[labelOrigin] = image.Origin
	}
	if c.Args, err = podspec.Command(spec, image.Config, env); err != nil {
		return c, err
	}
	if err := podspec.Secure(&c, pod, spec, w.agent.files.profiles()); err != nil {
		return c, err
	}
	if err := w.mounts(&c, pod, spec, env, paths); err != nil {
		return c, err
	}
	return c, nil
}

// addressed returns the pod with its addresses in its status, which fields of
// the environment refer to and which may not be written yet.
func (w *worker) addressed(pod *corev1.Pod) *corev1.Pod {
	var r report
	r.view = view{pod: pod, now: w.agent.Now()}
	r.podIPs = w.network.IPs
	if ip := w.agent.Network.NodeIP(); ip != "" {
		r.hostIPs = []string{ip}
	}
	pod = pod.DeepCopy()
	s := podStatus(r)
	pod.Status.PodIP, pod.Status.PodIPs, pod.Status.HostIP, pod.Status.HostIPs = s.PodIP, s.PodIPs, s.HostIP, s.HostIPs
	return pod
}

func stopSignal(c *corev1.Container, image cri.Image) string {
	if c.Lifecycle != nil && c.Lifecycle.StopSignal != nil {
		return string(*c.Lifecycle.StopSignal)
	}
	return image.Config.StopSignal
}

func imageID(i cri.Image) string {
	if i.Digest != "" {
		return i.Digest
	}
	return i.ID
}

// dropOldAttempts removes the records of a container but for the new and the
// last one, which logs --previous shows.
func (w *worker) dropOldAttempts(ctx context.Context, v view, s starting) {
	for _, c := range v.sandbox.Containers {
		if c.Name == s.spec.Name && c.Attempt < s.attempt-1 {
			if err := w.agent.Runtime.RemoveContainer(ctx, w.uid, c.ID); err != nil {
				w.log.Warn("old container not removed", "container", c.Name, "error", err)
			}
			w.agent.files.removeLog(v.pod, c.Name, c.Attempt)
		}
	}
}

// dropDead removes the records and logs of all ended attempts but the latest
// of each container, to free disk space.
func (w *worker) dropDead(ctx context.Context) {
	pod, _ := w.current()
	v, err := w.look(ctx, pod)
	if err != nil {
		return
	}
	for _, c := range v.sandbox.Containers {
		if latest := v.latest[c.Name]; latest == nil || c.State != cri.Exited || c.Attempt >= latest.Attempt {
			continue
		}
		if err := w.agent.Runtime.RemoveContainer(ctx, w.uid, c.ID); err != nil {
			w.log.Warn("old container not removed", "container", c.Name, "error", err)
			continue
		}
		w.agent.files.removeLog(pod, c.Name, c.Attempt)
	}
}

// adopt takes over what the pod's status says about running containers that
// this agent did not start, so that a restart of the agent changes nothing.
func (w *worker) adopt(v view) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, r := range v.latest {
		if !r.running() {
			continue
		}
		if _, known := w.health[r.ID]; known {
			continue
		}
		spec := container(v.pod, name)
		if spec == nil {
			continue
		}
		h := health{Started: spec.StartupProbe == nil, Ready: spec.ReadinessProbe == nil}
		for _, s := range statuses(v.pod) {
			if s.Name == name && bareID(s.ContainerID) == r.ID && s.State.Running != nil {
				h.Started = h.Started || s.Started != nil && *s.Started
				h.Ready = h.Ready || s.Ready
			}
		}
		w.health[r.ID] = h
	}
	maps.DeleteFunc(w.health, func(id string, _ health) bool { return !knownID(v, id) })
}

func knownID(v view, id string) bool {
	for _, c := range v.sandbox.Containers {
		if c.ID == id {
			return true
		}
	}
	return false
}

// container returns a container's specification, or nil.
func container(pod *corev1.Pod, name string) *corev1.Container {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		if c := ephemeral(pod, i); c.Name == name {
			return c
		}
	}
	return nil
}
