package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/cri"
)

// frozenPause is how often the probes of a frozen pod look whether it goes on.
const frozenPause = 200 * time.Millisecond

// Freeze makes the processes of a pod stand still until thaw is called. What
// probes find out meanwhile counts for nothing. It fails where the pod does not
// run here; then nothing is frozen.
func (a *Agent) Freeze(ctx context.Context, pod *corev1.Pod) (thaw func() error, err error) {
	w := a.worker(string(pod.UID))
	if w == nil {
		return nil, fmt.Errorf("pod %s/%s does not run on node %s", pod.Namespace, pod.Name, a.Name)
	}
	w.freezes.Add(1) // before it stands still, and after it goes on: see probeLoop
	if err := a.Runtime.Freeze(ctx, w.uid); err != nil {
		w.freezes.Add(1)
		return nil, err
	}
	return func() error {
		err := a.Runtime.Thaw(w.uid)
		w.freezes.Add(1)
		return err
	}, nil
}

// Exec runs a command in a running container of a pod of this node and returns
// its exit code and the beginning of its output, both kinds.
func (a *Agent) Exec(ctx context.Context, pod *corev1.Pod, container string, command []string) (code int, output string, err error) {
	s, ok, err := a.Runtime.Sandbox(ctx, string(pod.UID))
	if err != nil {
		return 0, "", err
	}
	for _, c := range s.Containers {
		if !ok || c.Name != container || c.State != cri.Running {
			continue
		}
		out := &head{limit: maxOutput}
		code, err := a.Runtime.Exec(ctx, string(pod.UID), c.ID, cri.ExecConfig{Args: command, Stdout: out, Stderr: out})
		return code, out.String(), err
	}
	return 0, "", errors.New("container " + container + " does not run")
}
