package node

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/cri"
)

// view is all that decisions about a pod are based on.
type view struct {
	pod     *corev1.Pod
	sandbox cri.Sandbox
	exists  bool // there is a sandbox
	latest  map[string]*record
	health  map[string]health // by container ID
	now     time.Time
}

// health is what probes and hooks found out about one running container.
type health struct {
	Started bool   // startup probe and postStart hook are through
	Ready   bool   // readiness probe succeeds, or there is none
	Failed  string // "liveness" or "startup": that probe gave up; else empty
}

// plan says what to do about a pod now. The zero plan means: all is well.
type plan struct {
	// finished: nothing of the pod runs on or will run again.
	finished bool
	// newSandbox: there is none, or a dead one which is removed first.
	newSandbox bool
	kill       []killing
	start      []starting
	// waits are containers that may start again only later, by name.
	waits map[string]wait
	// next is the earliest time at which a wait ends; zero: none.
	next time.Time
	// initialized: all init containers are through.
	initialized bool
}

// killing is a container that is stopped while the pod goes on.
type killing struct {
	id, name string
	spec     *corev1.Container
	message  string
}

// starting is a container to start.
type starting struct {
	spec    *corev1.Container
	init    bool
	attempt int
	series  int
}

// wait is a crash backoff.
type wait struct {
	until time.Time
	delay time.Duration
}

// decide computes the plan. It is pure: the same view gives the same plan.
func decide(v view) plan {
	p := plan{waits: map[string]wait{}, newSandbox: !v.exists || !v.sandbox.Ready}
	if v.over() {
		p.finished = true
		p.initialized = v.initialized()
		return p
	}
	if ready := p.inits(v); !ready {
		return p
	}
	p.initialized = true
	for i := range v.pod.Spec.Containers {
		p.container(v, &v.pod.Spec.Containers[i], false)
	}
	for i := range v.pod.Spec.EphemeralContainers { // started once
		if c := ephemeral(v.pod, i); v.latest[c.Name] == nil {
			p.start = append(p.start, starting{spec: c})
		}
	}
	return p
}

// ephemeral returns an ephemeral container (kubectl debug) as a container:
// they have the same fields.
func ephemeral(pod *corev1.Pod, i int) *corev1.Container {
	return (*corev1.Container)(&pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
}

// target returns the ID of the container whose processes the ephemeral container
// called name is to see; "" for none, and for every other container.
func (v view) target(name string) (id string, err error) {
	for _, c := range v.pod.Spec.EphemeralContainers {
		if c.Name != name || c.TargetContainerName == "" {
			continue
		}
		r := v.latest[c.TargetContainerName]
		if r == nil || !r.running() {
			return "", fmt.Errorf("unable to find target container %s: it does not run", c.TargetContainerName)
		}
		return r.ID, nil
	}
	return "", nil
}

func isEphemeral(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.EphemeralContainers, func(c corev1.EphemeralContainer) bool { return c.Name == name })
}

// over tells whether the pod has ended: an init container failed for good, or
// no container runs or will run.
func (v view) over() bool {
	for i := range v.pod.Spec.InitContainers {
		c := &v.pod.Spec.InitContainers[i]
		r := v.latest[c.Name]
		if isSidecar(c) || r == nil || r.running() || v.initialized() {
			continue
		}
		if r.exitCode() != 0 && !restarts(v.pod, c, r.exitCode()) {
			return true
		}
	}
	for i := range v.pod.Spec.Containers {
		c := &v.pod.Spec.Containers[i]
		r := v.latest[c.Name]
		if r == nil || r.running() || restarts(v.pod, c, r.exitCode()) {
			return false
		}
	}
	return true
}

// initialized tells whether the pod's containers proper were reached in this
// sandbox: then its init containers are through.
func (v view) initialized() bool {
	for _, c := range v.pod.Spec.Containers {
		if r := v.latest[c.Name]; r != nil && !r.stale {
			return true
		}
	}
	return false
}

// inits plans the init containers and reports whether the others may start.
func (p *plan) inits(v view) bool {
	through := v.initialized()
	for i := range v.pod.Spec.InitContainers {
		c := &v.pod.Spec.InitContainers[i]
		r := v.latest[c.Name]
		switch {
		case isSidecar(c):
			p.container(v, c, true)
			if !through && (r == nil || !r.running() || !v.health[r.ID].Started) {
				return false
			}
		case through:
		case r != nil && !r.stale && r.State == cri.Exited && r.ExitCode == 0:
		case r != nil && r.stale && r.exitCode() == 0: // ran in a sandbox that died: again
			p.start = append(p.start, starting{c, true, r.Attempt + 1, 0})
			return false
		default:
			p.container(v, c, true)
			return false
		}
	}
	return true
}

// container plans one container that should run.
func (p *plan) container(v view, c *corev1.Container, init bool) {
	r := v.latest[c.Name]
	if r == nil {
		p.start = append(p.start, starting{spec: c, init: init})
		return
	}
	if r.running() {
		if message := v.whyKill(c, r); message != "" {
			p.kill = append(p.kill, killing{r.ID, c.Name, c, message})
		}
		return
	}
	if !restarts(v.pod, c, r.exitCode()) {
		return
	}
	series, delay := restartSeries(r)
	if until := r.FinishedAt.Add(delay); delay > 0 && v.now.Before(until) {
		p.waits[c.Name] = wait{until, delay}
		if p.next.IsZero() || until.Before(p.next) {
			p.next = until
		}
		return
	}
	p.start = append(p.start, starting{c, init, r.Attempt + 1, series})
}

// whyKill returns the message of the Killing event if a running container must
// be stopped, else "".
func (v view) whyKill(c *corev1.Container, r *record) string {
	var message string
	if probe := v.health[r.ID].Failed; probe != "" {
		message = fmt.Sprintf("Container %s failed %s probe", c.Name, probe)
	} else if image, ok := r.Labels[labelImage]; ok && image != c.Image {
		message = fmt.Sprintf("Container %s definition changed", c.Name)
	} else {
		return ""
	}
	if restarts(v.pod, c, 137) {
		message += ", will be restarted"
	}
	return message
}

// isSidecar tells whether an init container keeps running beside the others.
func isSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// restarts tells whether a container that ended with code is started again.
func restarts(pod *corev1.Pod, c *corev1.Container, code int) bool {
	for _, rule := range c.RestartPolicyRules {
		if e := rule.ExitCodes; e != nil && rule.Action == corev1.ContainerRestartRuleActionRestart {
			in := slices.Contains(e.Values, int32(code))
			if in == (e.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn) {
				return true
			}
		}
	}
	policy := pod.Spec.RestartPolicy
	if c.RestartPolicy != nil {
		policy = corev1.RestartPolicy(*c.RestartPolicy)
	} else if policy == corev1.RestartPolicyAlways && isInit(pod, c.Name) {
		policy = corev1.RestartPolicyOnFailure // an init container that succeeded is through
	}
	switch policy {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return code != 0
	}
	return true
}

func isInit(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == name })
}
