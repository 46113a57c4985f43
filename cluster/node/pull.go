package node

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/cri"
)

// progressPeriod is the time between two reports of how far a pull is.
const progressPeriod = 2 * time.Second

// fetch makes an image present. While that takes its time, events say what is
// being done and the container's waiting message how far it is.
func (w *worker) fetch(ctx context.Context, pod *corev1.Pod, c *corev1.Container, policy cri.PullPolicy, credentials cri.Credentials) (cri.Image, error) {
	type result struct {
		image cri.Image
		err   error
	}
	done := make(chan result, 1)
	latest := make(chan cri.ImageProgress, 1)
	tell := w.pullStages(pod, c)
	go func() { // ends with the pull or ctx
		image, err := w.agent.Images.Ensure(ctx, c.Image, policy, credentials, func(p cri.ImageProgress) {
			tell(p)
			select { // the newest counts
			case <-latest:
			default:
			}
			select {
			case latest <- p:
			default:
			}
		})
		done <- result{image, err}
	}()
	ticker := time.NewTicker(progressPeriod)
	defer ticker.Stop()
	shown := ""
	for {
		select {
		case r := <-done:
			if shown != "" {
				delete(w.problems, c.Name)
			}
			return r.image, r.err
		case <-ticker.C:
		}
		select {
		case p := <-latest:
			if text := progressText(c.Image, p); text != "" && text != shown {
				shown = text
				w.problems[c.Name] = waiting{message: text}
				if v, err := w.look(ctx, pod); err == nil {
					w.report(ctx, v, decide(v))
				}
			}
		default:
		}
	}
}

// progressText says how far a pull is; "" at stages that have nothing to say.
func progressText(name string, p cri.ImageProgress) string {
	switch {
	case p.Stage == "building":
		return fmt.Sprintf("building image %q from Debian packages", name)
	case p.Total <= 0:
		return ""
	case p.Stage == "downloading":
		return fmt.Sprintf("pulling image %q: %.1f of %.1f MB (%d %%)", name, float64(p.Done)/1e6, float64(p.Total)/1e6, p.Done*100/p.Total)
	case p.Stage == "unpacking":
		return fmt.Sprintf("unpacking image %q: layer %d of %d", name, min(p.Done+1, p.Total), p.Total)
	}
	return ""
}

// pullStages returns a function that records as events what is being done about
// an image, since that may take minutes. It may be called by any goroutine, one at
// a time.
func (w *worker) pullStages(pod *corev1.Pod, c *corev1.Container) func(cri.ImageProgress) {
	texts := map[string]string{"building": "building it from Debian packages", "downloading": "downloading", "unpacking": "unpacking"}
	last := ""
	return func(p cri.ImageProgress) {
		if text := texts[p.Stage]; text != "" && text != last {
			last = text
			w.event(pod, c.Name, corev1.EventTypeNormal, "Pulling", fmt.Sprintf("Pulling image %q: %s", c.Image, text))
		}
	}
}
