package node

import (
	"context"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/node/eviction"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// minGrace is what a container gets at least between the signal and the kill.
const minGrace = time.Second

const defaultGrace = 30 * time.Second

// grace is how long the pod's containers may take to stop.
func grace(pod *corev1.Pod) time.Duration {
	if pod.Spec.TerminationGracePeriodSeconds == nil {
		return defaultGrace
	}
	return max(time.Duration(*pod.Spec.TerminationGracePeriodSeconds)*time.Second, minGrace)
}

// probeGrace is grace for a container whose probe failed.
func probeGrace(pod *corev1.Pod, c *corev1.Container, failed string) time.Duration {
	p := c.LivenessProbe
	if failed == "startup" {
		p = c.StartupProbe
	}
	if failed != "" && p != nil && p.TerminationGracePeriodSeconds != nil {
		return max(time.Duration(*p.TerminationGracePeriodSeconds)*time.Second, minGrace)
	}
	return grace(pod)
}

// deletionGrace is what is left of a deleted pod's grace.
func deletionGrace(pod *corev1.Pod, gone bool, now time.Time) time.Duration {
	if gone {
		return minGrace // deleted by force: its name may be taken again
	}
	total := time.Duration(seconds(pod.DeletionGracePeriodSeconds)) * time.Second
	// deletionTimestamp is when the grace is over, cut to whole seconds.
	left := pod.DeletionTimestamp.Add(time.Second).Sub(now)
	return max(min(total, left), minGrace)
}

// stop runs a container's preStop hook and stops it; both share the grace. It
// reports whether that succeeded.
func (w *worker) stop(ctx context.Context, v view, c *corev1.Container, id string, grace time.Duration) bool {
	began := w.agent.Now()
	if c != nil && c.Lifecycle != nil && c.Lifecycle.PreStop != nil && w.firstPreStop(id) {
		hook, cancel := context.WithTimeout(ctx, grace)
		if err := w.hook(hook, v.pod, c, id, c.Lifecycle.PreStop); err != nil && hook.Err() == nil {
			w.event(v.pod, c.Name, corev1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed")
			w.log.Warn("preStop hook failed", "container", c.Name, "error", err)
		}
		cancel()
		if ctx.Err() != nil {
			return false
		}
	}
	left := max(grace-w.agent.Now().Sub(began), minGrace)
	err := w.agent.Runtime.StopContainer(ctx, w.uid, id, left)
	if err != nil && ctx.Err() == nil {
		w.log.Warn("container not stopped", "id", id, "error", err)
	}
	return err == nil
}

// firstPreStop tells whether the preStop hook of a container is still to run.
func (w *worker) firstPreStop(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	ran := w.preStops[id]
	w.preStops[id] = true
	return !ran
}

// stopAll stops all containers: at the same time, but sidecars after the
// others and one after the other, the last first.
func (w *worker) stopAll(ctx context.Context, v view, grace time.Duration) {
	began := w.agent.Now()
	var all sync.WaitGroup
	var sidecars []*record
	for _, r := range v.latest {
		if !r.running() {
			continue
		}
		c := container(v.pod, r.Name)
		if c != nil && isSidecar(c) && isInit(v.pod, c.Name) {
			sidecars = append(sidecars, r)
			continue
		}
		all.Go(func() { w.stop(ctx, v, c, r.ID, grace) }) // ends with ctx or the grace
	}
	all.Wait()
	order := func(r *record) int {
		return slices.IndexFunc(v.pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == r.Name })
	}
	slices.SortFunc(sidecars, func(a, b *record) int { return order(b) - order(a) })
	for _, r := range sidecars {
		w.stop(ctx, v, container(v.pod, r.Name), r.ID, max(grace-w.agent.Now().Sub(began), minGrace))
	}
}

// announceStop records, once, that the pod's containers are being stopped.
func (w *worker) announceStop(v view) {
	if w.stopping {
		return
	}
	w.stopping = true
	for _, r := range v.latest {
		if r.running() {
			w.event(v.pod, r.Name, corev1.EventTypeNormal, "Killing", "Stopping container "+r.Name)
		}
	}
}

// halt stops what runs of the pod, and returns the pod as it then is; ok is
// false if something still runs.
func (w *worker) halt(ctx context.Context, v view, grace time.Duration) (after view, ok bool) {
	w.stopProbes(nil)
	if v.exists && v.sandbox.Ready {
		w.announceStop(v)
		w.stopAll(ctx, v, grace)
	}
	after, err := w.look(ctx, v.pod)
	if err != nil {
		return v, false
	}
	for _, r := range after.latest {
		if r.running() {
			return after, false
		}
	}
	return after, true
}

// rest ends a pod that came to its end by itself, or for the reason failed:
// it stops what still runs, writes the final status, then gives back what the
// pod held. Its logs stay until it is deleted.
func (w *worker) rest(ctx context.Context, v view, failed *waiting, grace time.Duration) time.Duration {
	if w.cleaned {
		if !isTerminal(v.pod.Status.Phase) && !w.write(ctx, report{view: v, plan: decide(v), failed: failed, ended: true}) {
			return w.again()
		}
		w.tellEvicted()
		return resyncPeriod
	}
	v, ok := w.halt(ctx, v, grace)
	if !ok {
		return w.again()
	}
	told := isTerminal(v.pod.Status.Phase) || w.write(ctx, report{view: v, plan: decide(v), failed: failed, ended: true})
	if !told && (failed == nil || failed.reason != eviction.Reason) {
		return w.again()
	}
	if err := w.release(ctx); err != nil {
		w.log.Warn("pod not cleaned up", "error", err)
		return w.again()
	}
	w.cleaned, w.retry = true, 0
	if !told { // the disk may be full of what the evicted pod has just given back
		return 0
	}
	w.tellEvicted()
	return resyncPeriod
}

// terminate ends a deleted pod. When all is gone it lets the API forget it.
func (w *worker) terminate(ctx context.Context, pod *corev1.Pod, gone bool) (time.Duration, bool) {
	v := view{pod: pod, now: w.agent.Now()}
	if !w.cleaned {
		var err error
		if v, err = w.look(ctx, pod); err != nil && v.exists {
			w.log.Warn("pod not seen", "error", err)
		}
		v, ok := w.halt(ctx, v, deletionGrace(pod, gone, v.now))
		if !ok {
			return w.again(), false
		}
		if !gone {
			w.write(ctx, report{view: v, plan: decide(v), ended: true})
		}
		if err := w.release(ctx); err != nil {
			w.log.Warn("pod not cleaned up", "error", err)
			return w.again(), false
		}
		w.cleaned = true
	}
	if !gone {
		err := builtin.Pods.Delete(ctx, w.agent.Verbs, pod.Namespace, pod.Name,
			object.DeleteOptions{GracePeriodSeconds: new(int64), Preconditions: uidPrecondition(pod)})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			if ctx.Err() == nil {
				w.log.Warn("pod not deleted", "error", err)
			}
			return w.again(), false
		}
	}
	if err := w.agent.files.removeLogs(pod); err != nil {
		w.log.Warn("logs not removed", "error", err)
	}
	// With finalizers of others the pod stays; it holds nothing any more.
	if _, gone := w.current(); !gone {
		return resyncPeriod, false
	}
	return 0, true
}

// release gives back what the pod holds: sandbox, network, volumes, files.
func (w *worker) release(ctx context.Context) error {
	if err := w.agent.Runtime.RemoveSandbox(ctx, w.uid); err != nil {
		return err
	}
	if err := w.agent.Network.Detach(ctx, w.uid); err != nil {
		return err
	}
	w.network = cri.PodNetwork{}
	if err := w.agent.files.remove(w.uid); err != nil {
		return err
	}
	return w.agent.Volumes.Teardown(ctx, w.uid)
}
