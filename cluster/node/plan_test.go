package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/cri"
)

// text describes a plan in a line.
func (p plan) text() string {
	var all []string
	if p.finished {
		all = append(all, "finished")
	}
	if p.newSandbox {
		all = append(all, "sandbox")
	}
	for _, k := range p.kill {
		all = append(all, "kill "+k.name)
	}
	for _, s := range p.start {
		all = append(all, fmt.Sprintf("start %s#%d", s.spec.Name, s.attempt))
	}
	for name, w := range p.waits {
		all = append(all, fmt.Sprintf("wait %s %v", name, w.delay))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func TestDecide(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	always, never := corev1.RestartPolicyAlways, corev1.RestartPolicyNever
	onFailure := corev1.RestartPolicyOnFailure
	run := func(name string) cri.Container {
		return cri.Container{ID: name, Name: name, State: cri.Running, StartedAt: now.Add(-time.Minute)}
	}
	end := func(name string, code, series int) cri.Container {
		return cri.Container{ID: name, Name: name, State: cri.Exited, ExitCode: code, StartedAt: now.Add(-3 * time.Second), FinishedAt: now.Add(-2 * time.Second),
			Labels: map[string]string{labelSeries: fmt.Sprint(series)}}
	}
	lost := func(name string) cri.Container { return cri.Container{ID: name, Name: name, State: cri.Unknown} }
	well := health{Started: true, Ready: true}
	for _, c := range []struct {
		name   string
		policy corev1.RestartPolicy
		inits  string // "i" is an init container, "s" a sidecar
		mains  string
		have   []cri.Container
		health map[string]health
		dead   bool // the sandbox
		want   string
	}{
		{name: "nothing yet", policy: always, mains: "a b", want: "sandbox, start a#0, start b#0"},
		{name: "all runs", policy: always, mains: "a b", have: []cri.Container{run("a"), run("b")}, want: ""},
		{name: "init first", policy: always, inits: "i j", mains: "a", have: []cri.Container{}, want: "start i#0"},
		{name: "init runs", policy: always, inits: "i j", mains: "a", have: []cri.Container{run("i")}, want: ""},
		{name: "next init", policy: always, inits: "i j", mains: "a", have: []cri.Container{end("i", 0, 0)}, want: "start j#0"},
		{name: "inits through", policy: always, inits: "i j", mains: "a", have: []cri.Container{end("i", 0, 0), end("j", 0, 0)}, want: "start a#0"},
		{name: "init failed", policy: always, inits: "i", mains: "a", have: []cri.Container{end("i", 1, 0)}, want: "start i#1"},
		{name: "init failed again", policy: always, inits: "i", mains: "a", have: []cri.Container{end("i", 1, 1)}, want: "wait i 10s"},
		{name: "init failed for good", policy: never, inits: "i", mains: "a", have: []cri.Container{end("i", 1, 0)}, want: "finished"},
		{name: "inits are over once a container ran", policy: always, inits: "i", mains: "a", have: []cri.Container{run("a")}, want: ""},
		{name: "sidecar not started", policy: always, inits: "s i", mains: "a", have: []cri.Container{run("s")}, want: ""},
		{name: "sidecar started", policy: always, inits: "s i", mains: "a", have: []cri.Container{run("s")}, health: map[string]health{"s": well}, want: "start i#0"},
		{name: "sidecar died while init runs", policy: always, inits: "s i", mains: "a", have: []cri.Container{end("s", 0, 0), run("i")}, want: "start s#1"},
		{name: "sidecar died later", policy: never, inits: "s", mains: "a", have: []cri.Container{end("s", 1, 0), run("a")}, want: "start s#1"},
		{name: "sidecars do not keep a pod", policy: never, inits: "s", mains: "a", have: []cri.Container{run("s"), end("a", 0, 0)}, want: "finished"},
		{name: "one of two ended", policy: never, mains: "a b", have: []cri.Container{end("a", 1, 0), run("b")}, want: ""},
		{name: "succeeded", policy: onFailure, mains: "a b", have: []cri.Container{end("a", 0, 0), end("b", 0, 0)}, want: "finished"},
		{name: "failed once", policy: onFailure, mains: "a b", have: []cri.Container{end("a", 2, 0), end("b", 0, 0)}, want: "start a#1"},
		{name: "ended well, always", policy: always, mains: "a", have: []cri.Container{end("a", 0, 0)}, want: "start a#1"},
		{name: "backoff grows", policy: always, mains: "a", have: []cri.Container{end("a", 1, 3)}, want: "wait a 40s"},
		{name: "liveness failed", policy: always, mains: "a", have: []cri.Container{run("a")}, health: map[string]health{"a": {Started: true, Failed: "liveness"}}, want: "kill a"},
		{name: "reboot", policy: always, inits: "i", mains: "a", have: []cri.Container{end("i", 0, 0), run("a")}, dead: true, want: "sandbox, start i#1"},
		{name: "reboot without inits", policy: always, mains: "a", have: []cri.Container{run("a")}, dead: true, want: "sandbox, start a#1"},
		{name: "reboot of a pod that must not restart", policy: never, mains: "a", have: []cri.Container{run("a")}, dead: true, want: "finished, sandbox"},
		{name: "shim died", policy: onFailure, mains: "a", have: []cri.Container{lost("a")}, dead: true, want: "sandbox, start a#1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sidecar := corev1.ContainerRestartPolicyAlways
			pod := testPod(func(p *corev1.Pod) {
				p.Spec.RestartPolicy, p.Spec.Containers = c.policy, nil
				for _, n := range strings.Fields(c.mains) {
					p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: n})
				}
				for _, n := range strings.Fields(c.inits) {
					i := corev1.Container{Name: n}
					if n == "s" {
						i.RestartPolicy = &sidecar
					}
					p.Spec.InitContainers = append(p.Spec.InitContainers, i)
				}
			})
			v := view{pod: pod, exists: c.have != nil, sandbox: cri.Sandbox{Ready: !c.dead, Containers: c.have}, health: c.health, now: now}
			v.latest = records(pod, v.sandbox, v.exists)
			if got := decide(v).text(); got != c.want {
				t.Errorf("decided %q, want %q", got, c.want)
			}
		})
	}
}

func TestRestartRules(t *testing.T) {
	pod := testPod(func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever })
	c := &corev1.Container{Name: "main", RestartPolicyRules: []corev1.ContainerRestartRule{{Action: corev1.ContainerRestartRuleActionRestart,
		ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: corev1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{42}}}}}
	if !restarts(pod, c, 42) || restarts(pod, c, 1) {
		t.Error("rules on exit codes do not hold")
	}
	c.RestartPolicy = new(corev1.ContainerRestartPolicyOnFailure)
	if !restarts(pod, c, 1) || restarts(pod, c, 0) {
		t.Error("the container's own policy does not hold")
	}
}
