package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// The annotations of pods; see the package's comment.
const (
	PreCommand  = "pkg.internal/pre-backup-command"
	PostCommand = "pkg.internal/post-backup-command"
	Freeze      = "pkg.internal/backup-freeze"
	Container   = "pkg.internal/backup-container"

	defaultContainer = "kubectl.kubernetes.io/default-container"
)

// Bounds of what is done to pods.
const (
	commandTimeout = 10 * time.Minute // a dump of a large database
	postTimeout    = 1 * time.Minute
	freezeTimeout  = 10 * time.Second
)

// quiet is a set of pods that were made ready for the copy.
type quiet struct {
	maker *Maker
	undo  []func(context.Context) error // in the order of what they undo
}

// begin readies the pods, first by their commands and then by freezing them,
// and tells in words what was done. After an error, too, end must be called.
func (q *quiet) begin(ctx context.Context, pods []*corev1.Pod) (how string, err error) {
	commands, frozen, running := 0, 0, 0
	for _, p := range pods {
		if !runs(p) {
			continue
		}
		running++
		ran, err := q.command(ctx, p)
		if err != nil {
			return "", fmt.Errorf("pod %s/%s: %w", p.Namespace, p.Name, err)
		}
		if ran {
			commands++
		}
	}
	for _, p := range pods {
		if !runs(p) || !freezes(p) {
			continue
		}
		if err := q.freeze(ctx, p); err != nil {
			return "", err
		}
		frozen++
	}
	return words(running, commands, frozen), nil
}

// words describes a consistent copy.
func words(running, commands, frozen int) string {
	var parts []string
	if commands > 0 {
		parts = append(parts, fmt.Sprintf("pre-backup command in %s", count(commands, "pod")))
	}
	if frozen > 0 {
		parts = append(parts, count(frozen, "pod")+" frozen")
	}
	switch {
	case running == 0:
		return "no pod ran"
	case len(parts) == 0:
		return count(running, "pod") + " running on"
	}
	return strings.Join(parts, ", ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// runs tells whether a pod has containers that run.
func runs(p *corev1.Pod) bool {
	for _, c := range append(p.Status.ContainerStatuses, p.Status.InitContainerStatuses...) {
		if c.State.Running != nil {
			return true
		}
	}
	return false
}

// freezes tells whether a pod is frozen for the copy.
func freezes(p *corev1.Pod) bool {
	if want, ok := p.Annotations[Freeze]; ok {
		return want == "true"
	}
	return p.Annotations[PreCommand] == ""
}

func (q *quiet) command(ctx context.Context, p *corev1.Pod) (ran bool, err error) {
	if post := p.Annotations[PostCommand]; post != "" {
		q.undo = append(q.undo, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, postTimeout)
			defer cancel()
			if err := q.run(ctx, p, post); err != nil {
				return fmt.Errorf("pod %s/%s: post-backup command: %w", p.Namespace, p.Name, err)
			}
			return nil
		})
	}
	pre := p.Annotations[PreCommand]
	if pre == "" {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	if err := q.run(ctx, p, pre); err != nil {
		return false, fmt.Errorf("pre-backup command: %w", err)
	}
	return true, nil
}

// run runs a command of an annotation in the pod.
func (q *quiet) run(ctx context.Context, p *corev1.Pod, text string) error {
	command, err := parse(text)
	if err != nil {
		return err
	}
	code, output, err := q.maker.Node.Exec(ctx, p, containerOf(p), command)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("exit code %d in container %s: %s", code, containerOf(p), strings.TrimSpace(output))
	}
	return nil
}

// parse reads a command: a JSON list, or text for the shell.
func parse(text string) ([]string, error) {
	if !strings.HasPrefix(strings.TrimSpace(text), "[") {
		return []string{"sh", "-c", text}, nil
	}
	var command []string
	if err := json.Unmarshal([]byte(text), &command); err != nil {
		return nil, fmt.Errorf("%q is no JSON list of words: %w", text, err)
	}
	if len(command) == 0 {
		return nil, errors.New("the list is empty")
	}
	return command, nil
}

func containerOf(p *corev1.Pod) string {
	for _, name := range []string{p.Annotations[Container], p.Annotations[defaultContainer]} {
		if name != "" {
			return name
		}
	}
	return p.Spec.Containers[0].Name
}

func (q *quiet) freeze(ctx context.Context, p *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(ctx, freezeTimeout)
	defer cancel()
	thaw, err := q.maker.Node.Freeze(ctx, p)
	if err != nil {
		return fmt.Errorf("freeze pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	q.undo = append(q.undo, func(context.Context) error { return thaw() })
	return nil
}

// end undoes what begin did, in the opposite order, also when ctx has ended.
func (q *quiet) end(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for i := len(q.undo) - 1; i >= 0; i-- {
		errs = append(errs, q.undo[i](ctx))
	}
	return errors.Join(errs...)
}
