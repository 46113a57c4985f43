package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/node/podspec"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// sync looks at the pod once and does what there is to do. life is the
// worker's context, which probes live in; ctx that of this turn. It returns
// when to look again at the latest, and whether the worker's work is done.
func (w *worker) sync(life, ctx context.Context) (next time.Duration, done bool) {
	pod, gone := w.current()
	if gone || ending(pod) {
		return w.terminate(ctx, pod, gone)
	}
	v, err := w.look(ctx, pod)
	if err == nil {
		err = w.connect(ctx, v)
	}
	if err != nil {
		return w.trouble(ctx, v, "FailedSync", err), false
	}
	if isTerminal(pod.Status.Phase) {
		return w.rest(ctx, v, nil, grace(pod)), false
	}
	if evicted := w.eviction(); evicted != nil {
		return w.rest(ctx, v, evicted, evictedGrace), false
	}
	if refused := w.admit(v); refused != nil {
		w.event(pod, "", corev1.EventTypeWarning, refused.reason, refused.message)
		return w.rest(ctx, v, refused, grace(pod)), false
	}
	if late, remaining := deadline(v); late != nil {
		w.event(pod, "", corev1.EventTypeNormal, late.reason, late.message)
		return w.rest(ctx, v, late, grace(pod)), false
	} else if remaining > 0 {
		defer func() { next = min(next, remaining) }()
	}
	w.takeFresh()
	p := decide(v)
	w.keepProbes(life, v)
	w.report(ctx, v, p)
	if p.finished {
		return w.rest(ctx, v, nil, grace(pod)), false
	}
	if len(p.kill) > 0 {
		for _, k := range p.kill {
			w.event(pod, k.name, corev1.EventTypeNormal, "Killing", k.message)
			if !w.stop(ctx, v, k.spec, k.id, probeGrace(pod, k.spec, w.healthOf(k.id).Failed)) {
				return w.again(), false
			}
		}
		return 0, false
	}
	for name, b := range p.waits {
		w.backOff(pod, name, b)
	}
	next = resyncPeriod
	if !p.next.IsZero() {
		next = min(next, p.next.Sub(v.now))
	}
	if len(p.start) == 0 && !p.newSandbox {
		w.refreshVolumes(ctx, pod)
		return next, false
	}
	return w.bringUp(ctx, v, p, next), false
}

// look reads what there is of the pod.
func (w *worker) look(ctx context.Context, pod *corev1.Pod) (view, error) {
	v := view{pod: pod, now: w.agent.Now()}
	var err error
	if v.sandbox, v.exists, err = w.agent.Runtime.Sandbox(ctx, w.uid); err != nil {
		v.latest = records(pod, cri.Sandbox{}, false)
		return v, fmt.Errorf("sandbox of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	v.latest = records(pod, v.sandbox, v.exists)
	w.adopt(v)
	v.health = w.healths()
	return v, nil
}

// connect finds the network of a sandbox that an earlier agent made.
func (w *worker) connect(ctx context.Context, v view) (err error) {
	if !v.exists || !v.sandbox.Ready || v.pod.Spec.HostNetwork || w.network.NetNS != "" {
		return nil
	}
	if w.network, err = w.agent.Network.Attach(ctx, w.uid, hostPorts(v.pod)); err != nil {
		return fmt.Errorf("network of pod %s/%s: %w", v.pod.Namespace, v.pod.Name, err)
	}
	return nil
}

// bringUp makes the sandbox and starts containers. It returns when to look
// again.
func (w *worker) bringUp(ctx context.Context, v view, p plan, next time.Duration) time.Duration {
	if next, all := w.held(v, p); all && !p.newSandbox {
		w.report(ctx, v, p)
		return next
	}
	paths, err := w.setUpVolumes(ctx, v.pod)
	if err != nil {
		return w.trouble(ctx, v, "FailedMount", err)
	}
	w.setUp = v.now
	if p.newSandbox {
		if err := w.makeSandbox(ctx, v); err != nil {
			return w.trouble(ctx, v, "FailedCreatePodSandBox", err)
		}
		if v, err = w.look(ctx, v.pod); err != nil {
			return w.trouble(ctx, v, "FailedSync", err)
		}
		w.report(ctx, v, p)
	}
	w.retry, w.lastError = 0, ""
	started := false
	for _, s := range p.start {
		if ctx.Err() != nil {
			return 0
		}
		if w.holding(v.now, s.spec.Name) {
			continue
		}
		if w.start(ctx, v, s, paths) {
			started = true
		}
	}
	if ctx.Err() != nil || started {
		return 0
	}
	if v, err = w.look(ctx, v.pod); err == nil {
		w.report(ctx, v, decide(v))
	}
	held, _ := w.held(v, p)
	return min(next, held)
}

// makeSandbox attaches the network and makes the sandbox anew.
func (w *worker) makeSandbox(ctx context.Context, v view) error {
	pod := v.pod
	if v.exists {
		w.event(pod, "", corev1.EventTypeNormal, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
		if err := w.agent.Runtime.RemoveSandbox(ctx, w.uid); err != nil {
			return err
		}
	} else if hasRun(pod) {
		w.event(pod, "", corev1.EventTypeNormal, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
	}
	w.network = cri.PodNetwork{}
	c, err := w.sandboxConfig(pod)
	if err != nil {
		return err
	}
	if !pod.Spec.HostNetwork {
		if w.network, err = w.agent.Network.Attach(ctx, w.uid, hostPorts(pod)); err != nil {
			return fmt.Errorf("failed to set up network: %w", err)
		}
		c.NetNS = w.network.NetNS
	}
	return w.agent.Runtime.RunSandbox(ctx, c)
}

func (w *worker) sandboxConfig(pod *corev1.Pod) (cri.SandboxConfig, error) {
	sysctls, err := podspec.Sysctls(pod)
	if err != nil {
		return cri.SandboxConfig{}, err
	}
	c := cri.SandboxConfig{
		PodUID: w.uid, Namespace: pod.Namespace, Name: pod.Name,
		HostPID: pod.Spec.HostPID, HostIPC: pod.Spec.HostIPC,
		SharePID:  pod.Spec.ShareProcessNamespace != nil && *pod.Spec.ShareProcessNamespace,
		Sysctls:   sysctls,
		Resources: podspec.PodResources(pod),
		LogDir:    w.agent.files.logDir(pod.Namespace, pod.Name, w.uid),
	}
	if !pod.Spec.HostNetwork {
		if c.Hostname, err = podspec.UTSHostname(pod, w.agent.DNS.Domain); err != nil {
			return c, err
		}
	}
	return c, nil
}

// hasRun tells whether a container of the pod ever ran, by its status.
func hasRun(pod *corev1.Pod) bool {
	return slices.ContainsFunc(statuses(pod), func(s corev1.ContainerStatus) bool { return s.ContainerID != "" })
}

// hostPorts are the ports of the node that the pod wants forwarded.
func hostPorts(pod *corev1.Pod) []cri.PortMapping {
	var all []cri.PortMapping
	add := func(c corev1.Container) {
		for _, p := range c.Ports {
			if p.HostPort != 0 {
				all = append(all, cri.PortMapping{HostIP: p.HostIP, HostPort: p.HostPort, ContainerPort: p.ContainerPort, Protocol: string(p.Protocol)})
			}
		}
	}
	for _, c := range pod.Spec.InitContainers {
		if isSidecar(&c) {
			add(c)
		}
	}
	for _, c := range pod.Spec.Containers {
		add(c)
	}
	return all
}

// trouble reports an error that keeps the whole pod from starting: an event
// for each new message, and a pause.
func (w *worker) trouble(ctx context.Context, v view, reason string, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	text := err.Error()
	if reason == "FailedCreatePodSandBox" {
		text = "Failed to create pod sandbox: " + text
	}
	if text != w.lastError {
		w.lastError = text
		w.event(v.pod, "", corev1.EventTypeWarning, reason, text)
	}
	w.log.Warn("pod cannot start", "reason", reason, "error", err)
	return w.again()
}

// takeFresh handles a changed ConfigMap or Secret: volumes are due, and starts
// that failed for their configuration are tried again.
func (w *worker) takeFresh() {
	w.mu.Lock()
	fresh := w.fresh
	w.fresh = false
	w.mu.Unlock()
	if !fresh {
		return
	}
	w.setUp = time.Time{}
	for name, d := range w.delays {
		if !d.pull {
			delete(w.delays, name)
		}
	}
}

// refreshVolumes writes ConfigMaps, Secrets and tokens anew when they may have
// changed: on a source's change and each minute.
func (w *worker) refreshVolumes(ctx context.Context, pod *corev1.Pod) {
	now := w.agent.Now()
	if now.Sub(w.setUp) < resyncPeriod {
		return
	}
	w.setUp = now
	if _, err := w.setUpVolumes(ctx, pod); err != nil && ctx.Err() == nil {
		w.log.Warn("volumes not refreshed", "error", err)
	}
}

// deadline returns why the pod has to end if its activeDeadlineSeconds are
// over, else how long it has; 0: for ever.
func deadline(v view) (over *waiting, remaining time.Duration) {
	s := v.pod.Spec.ActiveDeadlineSeconds
	if s == nil || v.pod.Status.StartTime == nil {
		return nil, 0
	}
	remaining = v.pod.Status.StartTime.Add(time.Duration(*s) * time.Second).Sub(v.now)
	if remaining > 0 {
		return nil, remaining
	}
	return &waiting{"DeadlineExceeded", "Pod was active on the node longer than the specified deadline"}, 0
}

// report writes the pod's status if it changed.
func (w *worker) report(ctx context.Context, v view, p plan) {
	w.write(ctx, report{view: v, plan: p})
}

// write completes r and writes the status it gives. A conflict is resolved by
// computing the status anew from the newer pod.
func (w *worker) write(ctx context.Context, r report) bool {
	r.problems = w.problems
	r.messages = w.terminationMessage
	r.podIPs = w.network.IPs
	if ip := w.agent.Network.NodeIP(); ip != "" {
		r.hostIPs = []string{ip}
	}
	for {
		s := podStatus(r)
		if sameStatus(s, r.pod.Status) {
			return true
		}
		changed := r.pod.DeepCopy()
		changed.Status = s
		stored, err := builtin.Pods.UpdateStatus(ctx, w.agent.Verbs, changed, object.WriteOptions{FieldManager: "kubelet"})
		if err == nil {
			w.set(stored, false)
			return true
		}
		if !apierrors.IsConflict(err) {
			if !apierrors.IsNotFound(err) && !errors.Is(err, context.Canceled) {
				w.log.Warn("status not written", "error", err)
			}
			return apierrors.IsNotFound(err)
		}
		latest, err := builtin.Pods.Get(ctx, w.agent.Verbs, r.pod.Namespace, r.pod.Name)
		if err != nil || string(latest.UID) != w.uid {
			return true // gone; the worker will hear of it
		}
		r.pod = latest
	}
}

// event records something about the pod or one of its containers.
func (w *worker) event(pod *corev1.Pod, container, kind, reason, message string) {
	path := ""
	if container != "" {
		path = "spec.containers{" + container + "}"
		switch {
		case isInit(pod, container):
			path = "spec.initContainers{" + container + "}"
		case isEphemeral(pod, container):
			path = "spec.ephemeralContainers{" + container + "}"
		}
	}
	w.agent.Recorder.Event(pod, builtin.Pods.Kind, path, kind, reason, "%s", message)
}

// uidPrecondition guards a delete against a newer pod of the same name.
func uidPrecondition(pod *corev1.Pod) *metav1.Preconditions {
	return &metav1.Preconditions{UID: &pod.UID}
}

// bareID is a container's ID as the runtime knows it.
func bareID(id string) string { return strings.TrimPrefix(id, containerIDPrefix) }
