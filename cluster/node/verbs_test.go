package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// memory is an API server's objects in memory, with the verbs that the agent
// uses: conflicts by resource version, graceful deletion of pods, watches.
type memory struct {
	mu      sync.Mutex
	version int
	objects map[object.Resource]map[object.Key]object.Object
	watches []*memoryWatch
	now     func() time.Time
	// statusWrites counts the updates of pods' statuses.
	statusWrites int
	// full refuses these updates, as a full disk does.
	full bool
}

type memoryWatch struct {
	resource object.Resource
	options  object.WatchOptions
	events   chan watch.Event
}

func newMemory() *memory {
	return &memory{objects: map[object.Resource]map[object.Key]object.Object{}, now: time.Now}
}

func gr(r object.Resource) schema.GroupResource {
	return schema.GroupResource(r)
}

func (m *memory) Get(ctx context.Context, r object.Resource, k object.Key) (object.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o, ok := m.objects[r][k]; ok {
		return o, nil
	}
	return nil, apierrors.NewNotFound(gr(r), k.Name)
}

func selected(o object.Object, namespace string, f fields.Selector) bool {
	if namespace != "" && o.GetNamespace() != namespace {
		return false
	}
	if pod, ok := o.(*corev1.Pod); ok && f != nil {
		return f.Matches(fields.Set{"spec.nodeName": pod.Spec.NodeName})
	}
	return true
}

func (m *memory) List(ctx context.Context, r object.Resource, o object.ListOptions) (*object.List, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := &object.List{ResourceVersion: strconv.Itoa(m.version)}
	for _, x := range m.objects[r] {
		if selected(x, o.Namespace, o.Fields) {
			l.Items = append(l.Items, x)
		}
	}
	return l, nil
}

func (m *memory) Watch(ctx context.Context, r object.Resource, o object.WatchOptions) (watch.Interface, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &memoryWatch{resource: r, options: o, events: make(chan watch.Event, 1000)}
	for _, x := range m.objects[r] {
		if selected(x, o.Namespace, o.Fields) {
			w.events <- watch.Event{Type: watch.Added, Object: x}
		}
	}
	end := &corev1.Pod{}
	end.ResourceVersion = strconv.Itoa(m.version)
	end.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	w.events <- watch.Event{Type: watch.Bookmark, Object: end}
	m.watches = append(m.watches, w)
	return watch.NewProxyWatcher(w.events), nil
}

func (m *memory) put(r object.Resource, o object.Object, t watch.EventType) {
	m.version++
	o.SetResourceVersion(strconv.Itoa(m.version))
	if m.objects[r] == nil {
		m.objects[r] = map[object.Key]object.Object{}
	}
	if t == watch.Deleted {
		delete(m.objects[r], object.KeyOf(o))
	} else {
		m.objects[r][object.KeyOf(o)] = o
	}
	for _, w := range m.watches {
		if w.resource == r && selected(o, w.options.Namespace, w.options.Fields) {
			w.events <- watch.Event{Type: t, Object: o}
		}
	}
}

func (m *memory) Create(ctx context.Context, r object.Resource, o object.Object, w object.WriteOptions) (object.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.objects[r][object.KeyOf(o)]; ok {
		return nil, apierrors.NewAlreadyExists(gr(r), o.GetName())
	}
	if o.GetUID() == "" {
		o.SetUID(types.UID(fmt.Sprintf("uid-%d", m.version+1)))
	}
	o.SetCreationTimestamp(metav1.NewTime(m.now()))
	m.put(r, o, watch.Added)
	return o, nil
}

func (m *memory) Update(ctx context.Context, r object.Resource, o object.Object, w object.WriteOptions) (object.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.objects[r][object.KeyOf(o)]
	if !ok {
		return nil, apierrors.NewNotFound(gr(r), o.GetName())
	}
	if v := o.GetResourceVersion(); v != "" && v != old.GetResourceVersion() {
		return nil, apierrors.NewConflict(gr(r), o.GetName(), fmt.Errorf("changed"))
	}
	if r == builtin.Pods.Resource && w.Subresource == "status" {
		if m.full {
			return nil, apierrors.NewInternalError(errors.New("the data folder is out of space"))
		}
		m.statusWrites++
	}
	m.put(r, o, watch.Modified)
	return o, nil
}

func (m *memory) Patch(context.Context, object.Resource, object.Key, types.PatchType, []byte, object.WriteOptions) (object.Object, error) {
	return nil, fmt.Errorf("patch is not used by the agent")
}

func (m *memory) Delete(ctx context.Context, r object.Resource, k object.Key, o object.DeleteOptions) (object.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.objects[r][k]
	if !ok {
		return nil, apierrors.NewNotFound(gr(r), k.Name)
	}
	if p := o.Preconditions; p != nil && p.UID != nil && *p.UID != old.GetUID() {
		return nil, apierrors.NewConflict(gr(r), k.Name, fmt.Errorf("uid"))
	}
	if pod, ok := old.(*corev1.Pod); ok && (o.GracePeriodSeconds == nil || *o.GracePeriodSeconds > 0) {
		pod = pod.DeepCopy()
		grace := int64(30)
		if pod.Spec.TerminationGracePeriodSeconds != nil {
			grace = *pod.Spec.TerminationGracePeriodSeconds
		}
		if o.GracePeriodSeconds != nil {
			grace = *o.GracePeriodSeconds
		}
		pod.DeletionGracePeriodSeconds = &grace
		pod.DeletionTimestamp = &metav1.Time{Time: m.now().Add(time.Duration(grace) * time.Second)}
		m.put(r, pod, watch.Modified)
		return pod, nil
	}
	gone := old.DeepCopyObject().(object.Object)
	m.put(r, gone, watch.Deleted)
	return gone, nil
}

// events returns all Events in the order of their last change.
func (m *memory) events() []*corev1.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*corev1.Event
	for _, o := range m.objects[builtin.Events.Resource] {
		all = append(all, o.(*corev1.Event))
	}
	slices.SortFunc(all, func(a, b *corev1.Event) int {
		x, _ := strconv.Atoi(a.ResourceVersion)
		y, _ := strconv.Atoi(b.ResourceVersion)
		return x - y
	})
	return all
}

// eventTexts returns "Reason: message" of all Events.
func (m *memory) eventTexts() []string {
	var texts []string
	for _, e := range m.events() {
		texts = append(texts, e.Reason+": "+e.Message)
	}
	return texts
}
