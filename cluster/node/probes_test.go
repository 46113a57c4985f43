package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// command answers a command's exit code, which tests change.
func (w *world) command(name string) *atomic.Int32 {
	var code atomic.Int32
	w.runtime.execs[name] = func(context.Context) (int, error) { return int(code.Load()), nil }
	return &code
}

func execProbe(command string, change func(*corev1.Probe)) *corev1.Probe {
	p := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{command}}}, PeriodSeconds: 10, FailureThreshold: 3, SuccessThreshold: 1, TimeoutSeconds: 1}
	if change != nil {
		change(p)
	}
	return p
}

func TestLivenessProbe(t *testing.T) {
	inWorld(t, func(w *world) {
		code := w.command("alive")
		w.create(testPod(func(p *corev1.Pod) {
			p.Spec.Containers[0].LivenessProbe = execProbe("alive", func(p *corev1.Probe) {
				p.InitialDelaySeconds, p.TerminationGracePeriodSeconds = 5, new(int64(3))
			})
		}))
		w.after(30 * time.Second)
		if c := w.runtime.latest("main"); c.Attempt != 0 {
			t.Fatal("restarted although alive")
		}
		code.Store(1)
		w.after(20 * time.Second) // probes at 5, 15, 25, 35, 45: two failures
		if c := w.runtime.latest("main"); c.Attempt != 0 {
			t.Error("restarted before the threshold")
		}
		w.after(10 * time.Second)
		if c := w.runtime.latest("main"); c.Attempt != 1 {
			t.Errorf("not restarted: %+v", c)
		}
		if log := w.runtime.log(); !slices.Contains(log, "stop main 3s") {
			t.Errorf("the probe's grace does not hold: %q", log)
		}
		w.wantEvent("Killing: Container main failed liveness probe, will be restarted")
		w.wantEvent("Unhealthy: Liveness probe failed: ")
	})
}

func TestStartupAndReadinessProbe(t *testing.T) {
	inWorld(t, func(w *world) {
		up, ready := w.command("up"), w.command("ready")
		up.Store(1)
		ready.Store(1)
		w.create(testPod(func(p *corev1.Pod) {
			p.Spec.Containers[0].StartupProbe = execProbe("up", func(p *corev1.Probe) { p.FailureThreshold = 30; p.PeriodSeconds = 1 })
			p.Spec.Containers[0].ReadinessProbe = execProbe("ready", func(p *corev1.Probe) { p.SuccessThreshold = 2; p.PeriodSeconds = 1 })
			p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.org/gate"}}
		}))
		w.after(10 * time.Second)
		if s := w.status("main"); *s.Started || s.Ready {
			t.Errorf("started %v, ready %v", *s.Started, s.Ready)
		}
		if slices.ContainsFunc(w.runtime.log(), func(c string) bool { return strings.HasSuffix(c, "ready") }) {
			t.Error("readiness was probed before startup succeeded")
		}
		up.Store(0)
		w.after(2 * time.Second)
		if s := w.status("main"); !*s.Started || s.Ready {
			t.Errorf("started %v, ready %v", *s.Started, s.Ready)
		}
		if c := condition(w.pod(), corev1.PodReady); c.Message != "containers with unready status: [main]" {
			t.Errorf("condition %+v", c)
		}
		ready.Store(0)
		w.after(3 * time.Second)
		if s := w.status("main"); !s.Ready {
			t.Error("not ready")
		}
		if c := condition(w.pod(), corev1.PodReady); c.Reason != "ReadinessGatesNotReady" ||
			c.Message != `corresponding condition of pod readiness gate "example.org/gate" does not exist.` {
			t.Errorf("condition %+v", c)
		}
		ready.Store(1)
		w.after(2 * time.Second)
		if !w.status("main").Ready {
			t.Error("unready before the threshold")
		}
		w.after(2 * time.Second)
		if w.status("main").Ready {
			t.Error("still ready")
		}
		if w.runtime.latest("main").Attempt != 0 {
			t.Error("readiness restarted the container")
		}
	})
}

// TestSeenAtOnce: a container that needs half a second is ready long before
// the second period of its probe, and the tries between leave no trace.
func TestSeenAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		code := w.command("ready")
		code.Store(1)
		w.create(testPod(func(p *corev1.Pod) {
			p.Spec.Containers[0].ReadinessProbe = execProbe("ready", nil)
		}))
		w.after(500 * time.Millisecond)
		code.Store(0)
		w.after(500 * time.Millisecond)
		if !w.status("main").Ready {
			t.Error("not ready after a second")
		}
		code.Store(1)
		w.after(15 * time.Second)
		if !w.status("main").Ready {
			t.Error("unready before the threshold")
		}
		w.after(15 * time.Second)
		if w.status("main").Ready {
			t.Error("still ready")
		}
		n := 0
		for _, e := range w.verbs.events() {
			if e.Reason == "Unhealthy" {
				n += int(e.Count)
			}
		}
		if n != 4 { // at 0, and three until the threshold
			t.Errorf("%d Unhealthy events, want 4", n)
		}
	})
}

func TestStartupProbeGivesUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.command("up").Store(1)
		w.create(testPod(func(p *corev1.Pod) {
			p.Spec.Containers[0].StartupProbe = execProbe("up", func(p *corev1.Probe) { p.PeriodSeconds = 1 })
		}))
		w.after(4 * time.Second)
		w.wantEvent("Killing: Container main failed startup probe, will be restarted")
		if w.runtime.latest("main").Attempt == 0 {
			t.Error("not restarted")
		}
	})
}

func TestPostStart(t *testing.T) {
	inWorld(t, func(w *world) {
		w.runtime.execs["hello"] = func(context.Context) (int, error) { time.Sleep(5 * time.Second); return 0, nil }
		w.create(testPod(func(p *corev1.Pod) {
			p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"hello"}}}}
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "second", Image: "x"})
		}))
		w.after(2 * time.Second)
		if s := w.status("main"); s.State.Running == nil || s.Ready || w.runtime.latest("second").ID != "" {
			t.Errorf("while the hook runs: %+v", s)
		}
		w.after(4 * time.Second)
		if s := w.status("main"); !s.Ready || w.runtime.latest("second").ID == "" {
			t.Errorf("after the hook: %+v", s)
		}
	})
	inWorld(t, func(w *world) {
		w.runtime.execs["hello"] = func(context.Context) (int, error) { return 3, nil }
		w.create(testPod(func(p *corev1.Pod) {
			p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"hello"}}}}
		}))
		w.after(5 * time.Second)
		w.wantEvent("FailedPostStartHook: PostStartHook failed: command 'hello' exited with 3: ")
		if s := w.status("main"); s.State.Waiting == nil || s.State.Waiting.Reason != "CrashLoopBackOff" {
			t.Errorf("state %+v", s.State)
		}
	})
}

func TestStartError(t *testing.T) {
	inWorld(t, func(w *world) {
		w.runtime.startErr["main"] = errors.New(`exec: "nope": executable file not found in $PATH`)
		w.create(testPod(nil))
		w.after(time.Second)
		s := w.status("main")
		if s.State.Waiting == nil || s.State.Waiting.Reason != "RunContainerError" && s.State.Waiting.Reason != "CrashLoopBackOff" {
			t.Errorf("state %+v", s.State)
		}
		if l := s.LastTerminationState.Terminated; l == nil || l.Reason != "StartError" || l.ExitCode != 128 || !strings.Contains(l.Message, "nope") {
			t.Errorf("last state %+v", s.LastTerminationState)
		}
		w.wantEvent(`Failed: Error: exec: "nope": executable file not found in $PATH`)
	})
}

func TestDeadline(t *testing.T) {
	inWorld(t, func(w *world) {
		w.create(testPod(func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = new(int64(30)) }))
		w.after(29 * time.Second)
		if p := w.pod(); p.Status.Phase != corev1.PodRunning {
			t.Fatalf("phase %s", p.Status.Phase)
		}
		w.after(2 * time.Second)
		if p := w.pod(); p.Status.Phase != corev1.PodFailed || p.Status.Reason != "DeadlineExceeded" {
			t.Errorf("status %+v", p.Status)
		}
		if len(w.runtime.sandboxes) != 0 {
			t.Error("still runs")
		}
	})
}
