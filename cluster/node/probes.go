package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/node/probe"
)

// probeKey names one probe of one running container.
type probeKey struct {
	id   string
	kind string // "startup", "liveness", "readiness"
}

// keepProbes runs exactly the probes that the running containers want now: the
// startup probe until it succeeded, then the other two.
func (w *worker) keepProbes(life context.Context, v view) {
	want := map[probeKey]bool{}
	for name, r := range v.latest {
		c := container(v.pod, name)
		if !r.running() || c == nil || isInit(v.pod, name) && !isSidecar(c) {
			continue
		}
		h := w.healthOf(r.ID)
		if h.Failed != "" {
			continue // it is being killed
		}
		for kind, p := range probesOf(c, h.Started) {
			k := probeKey{r.ID, kind}
			want[k] = true
			if w.probes[k] == nil {
				ctx, cancel := context.WithCancel(life)
				w.probes[k] = cancel
				l := probeLoop{w: w, pod: v.pod, spec: c, kind: kind, probe: p, id: r.ID,
					started: r.StartedAt, target: w.target(v.pod, c, r.ID)}
				go l.run(ctx) // until cancel: by keepProbes or stopProbes
			}
		}
	}
	w.stopProbes(want)
}

// stopProbes ends all probes but those in keep.
func (w *worker) stopProbes(keep map[probeKey]bool) {
	for k, cancel := range w.probes {
		if !keep[k] {
			cancel()
			delete(w.probes, k)
		}
	}
}

// probesOf returns the probes that apply to a running container.
func probesOf(c *corev1.Container, started bool) map[string]*corev1.Probe {
	all := map[string]*corev1.Probe{}
	if !started {
		if c.StartupProbe != nil {
			all["startup"] = c.StartupProbe
		}
		return all
	}
	if c.LivenessProbe != nil {
		all["liveness"] = c.LivenessProbe
	}
	if c.ReadinessProbe != nil {
		all["readiness"] = c.ReadinessProbe
	}
	return all
}

// probeLoop runs one probe of one container until its context ends.
type probeLoop struct {
	w       *worker
	pod     *corev1.Pod
	spec    *corev1.Container
	kind    string
	probe   *corev1.Probe
	id      string
	started time.Time
	target  probe.Target
}

// Until a startup or readiness probe succeeds for the first time, it is also
// tried between its periods, first after firstEarly, then after twice the
// pause, and so on: a container that is up is seen at once, not up to a period
// later. These tries only count when they succeed.
const firstEarly = 100 * time.Millisecond

// run probes at the probe's period and notes results that hold as often as
// their thresholds demand. Liveness and startup probes end when they gave up,
// startup also when it succeeded. A pod that is frozen is not probed, and what
// was asked while it stood still counts for nothing.
func (l probeLoop) run(ctx context.Context) {
	due := l.started.Add(time.Duration(l.probe.InitialDelaySeconds) * time.Second)
	if now := l.w.agent.Now(); due.Before(now) {
		due = now
	}
	timer := time.NewTimer(due.Sub(l.w.agent.Now()))
	defer timer.Stop()
	period := time.Duration(max(l.probe.PeriodSeconds, 1)) * time.Second
	early := firstEarly
	if l.kind == "liveness" || l.probe.SuccessThreshold > 1 {
		early = period
	}
	good, bad := int32(0), int32(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		before := l.w.freezes.Load()
		if before%2 == 1 {
			timer.Reset(frozenPause)
			continue
		}
		scheduled := !l.w.agent.Now().Before(due)
		ok, message := l.w.agent.prober.Run(ctx, l.probe.ProbeHandler, l.target, time.Duration(max(l.probe.TimeoutSeconds, 1))*time.Second)
		if ctx.Err() != nil {
			return
		}
		if l.w.freezes.Load() != before {
			timer.Reset(frozenPause)
			continue
		}
		l.w.agent.meters.probe(l.pod, l.spec.Name, l.kind, ok)
		switch {
		case ok:
			good, bad, early = good+1, 0, period
		case scheduled:
			good, bad = 0, bad+1
			l.w.event(l.pod, l.spec.Name, corev1.EventTypeWarning, "Unhealthy",
				fmt.Sprintf("%s probe failed: %s", strings.ToUpper(l.kind[:1])+l.kind[1:], message))
		}
		if l.conclude(good, bad) {
			return
		}
		now := l.w.agent.Now()
		if scheduled {
			if due = due.Add(period); due.Before(now) {
				due = now
			}
		}
		timer.Reset(min(due.Sub(now), early))
		early = min(2*early, period)
	}
}

// conclude notes a result that is certain and reports whether the probe is
// over.
func (l probeLoop) conclude(good, bad int32) bool {
	succeeded := good >= max(l.probe.SuccessThreshold, 1)
	failed := bad >= max(l.probe.FailureThreshold, 1)
	switch {
	case l.kind == "readiness" && (succeeded || failed):
		l.w.note(l.id, func(h *health) { h.Ready = succeeded })
	case l.kind == "startup" && succeeded:
		l.w.note(l.id, func(h *health) { h.Started = true })
		return true
	case l.kind != "readiness" && failed:
		l.w.note(l.id, func(h *health) { h.Failed = l.kind })
		return true
	}
	return false
}
