//go:build !front

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/seed38700745/pkg/cluster/client"
	"github.com/seed38700745/pkg/cluster/object"
)

// logSource is one instance of a container whose log can be read.
type logSource struct {
	pod       object.Key
	container string
	id        string // of the instance
	label     string // "web-1" or, among several containers, "web-1 nginx"
	running   bool
	restarted bool   // there was an instance before
	ended     string // how it ended, "" while it runs
}

// String is the source's label.
func (s logSource) String() string { return s.label }

// logSources lists the containers of a pod that have started, init containers
// first; only those called name, if that is not empty.
func logSources(pod *unstructured.Unstructured, name string) []logSource {
	var out []logSource
	count := 0
	for _, list := range []string{"initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"} {
		all, _, _ := unstructured.NestedSlice(pod.Object, "status", list)
		count += len(all)
		for _, e := range all {
			c, ok := e.(map[string]any)
			if !ok {
				continue
			}
			s := logSource{pod: object.KeyOf(pod)}
			s.container, _, _ = unstructured.NestedString(c, "name")
			s.id, _, _ = unstructured.NestedString(c, "containerID")
			if s.id == "" || name != "" && s.container != name {
				continue
			}
			restarts, _, _ := unstructured.NestedInt64(c, "restartCount")
			s.restarted = restarts > 0
			_, s.running, _ = unstructured.NestedMap(c, "state", "running")
			for _, state := range []string{"state", "lastState"} {
				if ended, ok, _ := unstructured.NestedMap(c, state, "terminated"); ok && ended["containerID"] == s.id {
					s.ended = fmt.Sprintf("%v, exit code %v", ended["reason"], ended["exitCode"])
				}
			}
			out = append(out, s)
		}
	}
	for i := range out {
		out[i].label = pod.GetName()
		if count > 1 {
			out[i].label += " " + out[i].container
		}
	}
	return out
}

// logPrinter writes lines of several logs, each after its source's name in a colour
// of its own.
type logPrinter struct {
	out, talk io.Writer
	paint     painter

	mu     sync.Mutex
	width  int            // of the longest name so far; guarded by mu
	colors map[string]int // by pod; guarded by mu
	broken error          // of out; guarded by mu
}

// logColors are ANSI's that can be read on light and dark grounds.
func logColors() []string {
	return []string{"36", "33", "35", "32", "34", "96", "93", "95", "92", "94"}
}

// head is what stands before a source's lines.
func (l *logPrinter) head(s logSource) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.colors == nil {
		l.colors = map[string]int{}
	}
	if _, ok := l.colors[s.pod.Name]; !ok {
		l.colors[s.pod.Name] = len(l.colors) % len(logColors())
	}
	l.width = max(l.width, len(s.label))
	return l.paint.paint(logColors()[l.colors[s.pod.Name]], fmt.Sprintf("%-*s |", l.width, s.label)) + " "
}

// copy prints a log to its end.
func (l *logPrinter) copy(ctx context.Context, c *client.Client, s logSource, o client.LogOptions) error {
	log, err := c.Logs(ctx, s.pod, o)
	if err != nil {
		return err
	}
	defer log.Close()
	lines := bufio.NewReader(log)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			if err := l.line(l.head(s), line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// line prints one whole line. After an error of the output there is none any more.
func (l *logPrinter) line(head, line string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken == nil {
		_, l.broken = io.WriteString(l.out, head+strings.TrimSuffix(line, "\n")+"\n")
	}
	return l.broken
}

// say tells what happens to a source, on stderr.
func (l *logPrinter) say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.talk, l.paint.faint("-- "+fmt.Sprintf(format, args...)))
}

// failed tells whether the output is gone.
func (l *logPrinter) failed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken != nil
}
