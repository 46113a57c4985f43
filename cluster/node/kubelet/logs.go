package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/node/podlog"
)

// logs answers with a container's log. The parameters are those of
// corev1.PodLogOptions.
func (s *server) logs(w http.ResponseWriter, r *http.Request) {
	pod := s.pod(w, r)
	if pod == nil {
		return
	}
	name := r.PathValue("container")
	if !hasContainer(pod, name) {
		http.Error(w, fmt.Sprintf("container %q not found in pod %q", name, pod.Name), http.StatusNotFound)
		return
	}
	o, previous, err := logOptions(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	path, err := s.logPath(pod, name, previous)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if o.Follow {
		o.Running = func() bool { return s.writes(r.Context(), pod, name, path) }
	}
	flush := func() {}
	if f, ok := w.(http.Flusher); ok {
		flush = f.Flush
	}
	w.Header().Set("Content-Type", "text/plain")
	if err := podlog.Read(r.Context(), w, path, o, flush); err != nil && r.Context().Err() == nil {
		s.Logger.Warn("log not sent", "path", path, "error", err)
	}
}

func hasContainer(pod *corev1.Pod, name string) bool {
	is := func(c corev1.Container) bool { return c.Name == name }
	return slices.ContainsFunc(pod.Spec.Containers, is) || slices.ContainsFunc(pod.Spec.InitContainers, is) ||
		slices.ContainsFunc(pod.Spec.EphemeralContainers, func(c corev1.EphemeralContainer) bool { return c.Name == name })
}

func logOptions(q url.Values) (o podlog.Options, previous bool, err error) {
	o.Follow, o.Timestamps, previous = isTrue(q.Get("follow")), isTrue(q.Get("timestamps")), isTrue(q.Get("previous"))
	if o.Tail, err = number(q, "tailLines"); err != nil {
		return o, previous, err
	}
	if o.Limit, err = number(q, "limitBytes"); err != nil {
		return o, previous, err
	}
	if n, err := number(q, "sinceSeconds"); err != nil {
		return o, previous, err
	} else if n != nil {
		o.Since = time.Now().Add(-time.Duration(*n) * time.Second)
	}
	if t := q.Get("sinceTime"); t != "" {
		if o.Since, err = time.Parse(time.RFC3339, t); err != nil {
			return o, previous, fmt.Errorf("sinceTime: %w", err)
		}
	}
	switch stream := q.Get("stream"); stream {
	case "", "All":
	case "Stdout", "Stderr":
		o.Stream = strings.ToLower(stream)
	default:
		return o, previous, fmt.Errorf("stream: %q is none of All, Stdout, Stderr", stream)
	}
	return o, previous, nil
}

func isTrue(s string) bool { return s == "true" || s == "1" }

// number returns a parameter that is a whole number, nil if it is missing.
func number(q url.Values, name string) (*int64, error) {
	if q.Get(name) == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(q.Get(name), 10, 64)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("%s: %q is not a whole number", name, q.Get(name))
	}
	return &n, nil
}

// logPath returns the log of a container's latest attempt, or of the one
// before. The files themselves tell which there are: they outlive containers.
func (s *server) logPath(pod *corev1.Pod, name string, previous bool) (string, error) {
	dir := filepath.Join(s.LogDir(pod.Namespace, pod.Name, string(pod.UID)), name)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var attempts []int
	for _, e := range entries {
		if n, ok := strings.CutSuffix(e.Name(), ".log"); ok {
			if attempt, err := strconv.Atoi(n); err == nil {
				attempts = append(attempts, attempt)
			}
		}
	}
	slices.Sort(attempts)
	back := 1
	if previous {
		back = 2
	}
	if len(attempts) < back {
		if previous {
			return "", fmt.Errorf("previous terminated container %q in pod %q not found", name, pod.Name)
		}
		return "", fmt.Errorf("container %q in pod %q is waiting to start: %s", name, pod.Name, whyWaiting(pod, name))
	}
	return filepath.Join(dir, strconv.Itoa(attempts[len(attempts)-back])+".log"), nil
}

func whyWaiting(pod *corev1.Pod, name string) string {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses} {
		for _, s := range list {
			if s.Name == name && s.State.Waiting != nil {
				if s.State.Waiting.Message != "" && s.State.Waiting.Reason != "ContainerCreating" {
					return strings.TrimPrefix(s.State.Waiting.Message, s.State.Waiting.Reason+": ")
				}
				return s.State.Waiting.Reason
			}
		}
	}
	return "ContainerCreating"
}

// writes tells whether a running container writes to the log at path.
func (s *server) writes(ctx context.Context, pod *corev1.Pod, name, path string) bool {
	attempts, err := s.attempts(ctx, string(pod.UID), name)
	return err == nil && len(attempts) > 0 && attempts[0].State == cri.Running &&
		filepath.Base(path) == strconv.Itoa(attempts[0].Attempt)+".log"
}
