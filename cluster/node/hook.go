package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/node/probe"
)

// hook runs a lifecycle hook of a running container.
func (w *worker) hook(ctx context.Context, pod *corev1.Pod, c *corev1.Container, id string, h *corev1.LifecycleHandler) error {
	switch {
	case h.Exec != nil:
		code, output, err := w.exec(ctx, id, h.Exec.Command, 0)
		if err != nil {
			return fmt.Errorf("exec %q: %w", strings.Join(h.Exec.Command, " "), err)
		}
		if code != 0 {
			return fmt.Errorf("command '%s' exited with %d: %s", strings.Join(h.Exec.Command, " "), code, output)
		}
		return nil
	case h.Sleep != nil:
		timer := time.NewTimer(time.Duration(h.Sleep.Seconds) * time.Second)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		return nil
	case h.HTTPGet != nil, h.TCPSocket != nil:
		p := corev1.ProbeHandler{HTTPGet: h.HTTPGet, TCPSocket: h.TCPSocket}
		ok, message := w.agent.prober.Run(ctx, p, w.target(pod, c, id), hookTimeout)
		if !ok {
			return errors.New(message)
		}
	}
	return nil
}

const hookTimeout = 30 * time.Second // of HTTP and TCP hooks

// target is where probes and hooks of a container go.
func (w *worker) target(pod *corev1.Pod, c *corev1.Container, id string) probe.Target {
	ip := first(w.network.IPs)
	if ip == "" { // an adopted pod whose network was not looked up yet
		ip = pod.Status.PodIP
	}
	if pod.Spec.HostNetwork {
		ip = w.agent.Network.NodeIP()
	}
	return probe.Target{IP: ip, Ports: c.Ports, Exec: func(ctx context.Context, args []string, timeout time.Duration) (int, string, error) {
		return w.exec(ctx, id, args, timeout)
	}}
}

// maxOutput is how much of a command's output is kept for messages.
const maxOutput = 10 << 10

// exec runs a command in a container and returns its exit code and output.
func (w *worker) exec(ctx context.Context, id string, args []string, timeout time.Duration) (int, string, error) {
	out := &head{limit: maxOutput}
	code, err := w.agent.Runtime.Exec(ctx, w.uid, id, cri.ExecConfig{Args: args, Stdout: out, Stderr: out, Timeout: timeout})
	return code, out.String(), err
}
