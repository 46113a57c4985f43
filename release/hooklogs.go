package release

import (
	"bufio"
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	kfields "k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/seed38700745/pkg/cluster/object"
)

// hookLogs says what the containers of a hook's pods write, while they run: each line
// behind the pod's name, and the container's where a pod has several.
type hookLogs struct {
	cluster Cluster
	say     func(format string, args ...any)

	mu      sync.Mutex
	begun   map[string]bool // guarded by mu; by pod, container and restart
	streams sync.WaitGroup
}

// podsOfHook selects the pods of a hook; false for kinds that have none.
func podsOfHook(namespace string, k *Hook) (object.WatchOptions, bool) {
	o := object.WatchOptions{Namespace: namespace}
	switch k.Kind {
	case "Pod":
		o.Fields = kfields.OneTermEqualSelector("metadata.name", k.Name)
	case "Job":
		o.Labels = labels.Set{"job-name": k.Name}.AsSelector()
	default:
		return o, false
	}
	return o, true
}

// follow begins, until stop is called: then the logs of containers that have ended are
// read to their ends, for logTimeout at most. What fails is only said.
func (l *hookLogs) follow(ctx context.Context, namespace string, k *Hook) (stop func()) {
	which, ok := podsOfHook(namespace, k)
	if !ok {
		return func() {}
	}
	l.begun = map[string]bool{}
	reading, endReading := context.WithCancel(ctx)
	watching, endWatching := context.WithCancel(reading)
	watched := make(chan struct{})
	go func() { // ends with stop
		defer close(watched)
		_ = object.Follow(watching, l.cluster, pods(), which, object.Handler{Changed: func(o object.Object, deleted bool) {
			if u, ok := o.(*unstructured.Unstructured); ok && !deleted {
				l.begin(reading, u)
			}
		}})
	}()
	return func() {
		defer endReading()
		endWatching()
		<-watched
		l.beginRest(reading, which)
		ended := make(chan struct{})
		go func() { // ends with the streams, at the latest after endReading
			l.streams.Wait()
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(logTimeout):
		case <-ctx.Done():
		}
	}
}

// beginRest looks for what was too quick to be seen by the watch.
func (l *hookLogs) beginRest(ctx context.Context, which object.WatchOptions) {
	found, err := l.cluster.List(ctx, pods(), object.ListOptions{Namespace: which.Namespace, Labels: which.Labels, Fields: which.Fields})
	if err != nil {
		return
	}
	for _, o := range found.Items {
		if u, ok := o.(*unstructured.Unstructured); ok {
			l.begin(ctx, u)
		}
	}
}

// begin starts a stream for each container of a pod that runs or has ended.
func (l *hookLogs) begin(ctx context.Context, pod *unstructured.Unstructured) {
	several := len(containersOf(pod)) > 1
	o := fieldsOf(pod)
	for _, list := range []string{"initContainerStatuses", "containerStatuses"} {
		for _, c := range o.maps("status", list) {
			if c.sub("state", "running") == nil && c.sub("state", "terminated") == nil {
				continue
			}
			id := fmt.Sprintf("%s/%s/%d", pod.GetUID(), c.text("name"), c.num(0, "restartCount"))
			l.mu.Lock()
			seen := l.begun[id]
			l.begun[id] = true
			l.mu.Unlock()
			if seen {
				continue
			}
			title := pod.GetName()
			if several {
				title += "/" + c.text("name")
			}
			l.streams.Go(func() { l.stream(ctx, object.KeyOf(pod), c.text("name"), title) })
		}
	}
}

// maxLogLine bounds a line of a log, in bytes.
const maxLogLine = 1 << 20

func (l *hookLogs) stream(ctx context.Context, pod object.Key, container, title string) {
	log, err := l.cluster.Logs(ctx, pod, LogOptions{Container: container, Follow: true})
	if err != nil {
		if !apierrors.IsNotFound(err) && !apierrors.IsBadRequest(err) && ctx.Err() == nil { // else it never started, or is gone
			l.say("  %s: no log: %v", title, err)
		}
		return
	}
	defer log.Close()
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, maxLogLine)
	for lines.Scan() {
		l.say("  %s | %s", title, lines.Text())
	}
}
