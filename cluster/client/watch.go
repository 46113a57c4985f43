package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/seed38700745/pkg/cluster/object"
)

func selectors(q url.Values, l labels.Selector, f fields.Selector) {
	if l != nil && !l.Empty() {
		q.Set("labelSelector", l.String())
	}
	if f != nil && !f.Empty() {
		q.Set("fieldSelector", f.String())
	}
}

// Watch implements object.Verbs. For servers that cannot send initial events (the
// feature WatchList, which also wants an etcd that tells progress) it lists first and
// makes them up.
func (c *Client) Watch(ctx context.Context, r object.Resource, o object.WatchOptions) (watch.Interface, error) {
	kind, err := c.collection(ctx, r, "")
	if err != nil {
		return nil, err
	}
	if o.SendInitialEvents && c.listsFirst.Load() {
		return c.listAndWatch(ctx, kind, o)
	}
	w, err := c.watch(ctx, kind, o, nil)
	if o.SendInitialEvents && (apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsInternalError(err)) {
		c.listsFirst.Store(true)
		return c.listAndWatch(ctx, kind, o)
	}
	return w, err
}

// listAndWatch does what SendInitialEvents asks for with two requests.
func (c *Client) listAndWatch(ctx context.Context, kind Kind, o object.WatchOptions) (watch.Interface, error) {
	l, err := c.List(ctx, kind.Resource, object.ListOptions{Namespace: o.Namespace, Labels: o.Labels, Fields: o.Fields})
	if err != nil {
		return nil, err
	}
	first := make([]watch.Event, 0, len(l.Items)+1)
	for _, item := range l.Items {
		first = append(first, watch.Event{Type: watch.Added, Object: item})
	}
	end := &unstructured.Unstructured{}
	end.SetGroupVersionKind(kind.GVK())
	end.SetResourceVersion(l.ResourceVersion)
	end.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	first = append(first, watch.Event{Type: watch.Bookmark, Object: end})
	o.SendInitialEvents, o.ResourceVersion = false, l.ResourceVersion
	return c.watch(ctx, kind, o, first)
}

func (c *Client) watch(ctx context.Context, kind Kind, o object.WatchOptions, first []watch.Event) (watch.Interface, error) {
	q := url.Values{"watch": {"true"}}
	selectors(q, o.Labels, o.Fields)
	set(q, "resourceVersion", o.ResourceVersion)
	if o.SendInitialEvents {
		q.Set("sendInitialEvents", "true")
		q.Set("resourceVersionMatch", string(metav1.ResourceVersionMatchNotOlderThan))
	}
	if o.AllowBookmarks || o.SendInitialEvents {
		q.Set("allowWatchBookmarks", "true")
	}
	set(q, "timeoutSeconds", strconv.Itoa(int(o.Timeout.Seconds())))
	ctx, cancel := context.WithCancel(ctx)
	resp, err := c.send(ctx, request{method: http.MethodGet, path: kind.path(o.Namespace, ""), query: q})
	if err != nil {
		cancel()
		return nil, err
	}
	frames := json.NewDecoder(resp.Body)
	if o.SendInitialEvents { // a refusal may come as the first event
		e, err := readEvent(frames)
		if status, ok := e.Object.(*metav1.Status); ok {
			err = &apierrors.StatusError{ErrStatus: *status}
		}
		if err != nil {
			cancel()
			resp.Body.Close()
			return nil, err
		}
		first = append(first, e)
	}
	s := &stream{events: make(chan watch.Event), cancel: cancel}
	go s.run(ctx, resp.Body, frames, first) // ends with ctx, Stop, or the answer
	return s, nil
}

// stream is a running watch.
type stream struct {
	events chan watch.Event
	cancel context.CancelFunc
	once   sync.Once
}

// Stop implements watch.Interface.
func (s *stream) Stop() { s.once.Do(s.cancel) }

// ResultChan implements watch.Interface.
func (s *stream) ResultChan() <-chan watch.Event { return s.events }

func (s *stream) run(ctx context.Context, body io.Closer, frames *json.Decoder, first []watch.Event) {
	defer close(s.events)
	defer s.cancel()
	defer body.Close()
	send := func(e watch.Event) bool {
		select {
		case s.events <- e:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for _, e := range first {
		if !send(e) {
			return
		}
	}
	for {
		e, err := readEvent(frames)
		if err != nil {
			return // the connection ended: whoever follows watches again
		}
		if !send(e) || e.Type == watch.Error {
			return
		}
	}
}

// readEvent reads one frame of a watch.
func readEvent(frames *json.Decoder) (watch.Event, error) {
	var frame struct {
		Type   watch.EventType `json:"type"`
		Object json.RawMessage `json:"object"`
	}
	if err := frames.Decode(&frame); err != nil {
		return watch.Event{}, err
	}
	if frame.Type == watch.Error {
		status := &metav1.Status{}
		if err := json.Unmarshal(frame.Object, status); err != nil {
			return watch.Event{}, fmt.Errorf("watch: %w", err)
		}
		return watch.Event{Type: watch.Error, Object: status}, nil
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(frame.Object); err != nil {
		return watch.Event{}, fmt.Errorf("watch: %w", err)
	}
	return watch.Event{Type: frame.Type, Object: u}, nil
}
