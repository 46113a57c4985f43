package api_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// next waits for the next event.
func next(t *testing.T, w watch.Interface) watch.Event {
	t.Helper()
	select {
	case e, ok := <-w.ResultChan():
		if !ok {
			t.Fatal("the watch ended")
		}
		return e
	case <-time.After(20 * time.Second):
		t.Fatal("no event")
	}
	return watch.Event{}
}

// expect waits for an event of one type and name.
func expect(t *testing.T, w watch.Interface, kind watch.EventType, name string) watch.Event {
	t.Helper()
	e := next(t, w)
	o, ok := e.Object.(metav1.Object)
	if !ok || e.Type != kind || o.GetName() != name {
		t.Fatalf("event %s %+v, want %s %s", e.Type, e.Object, kind, name)
	}
	return e
}

func TestWatchResumes(t *testing.T) {
	t.Parallel()
	cms := start(t, nil).client(t).CoreV1().ConfigMaps("default")
	first, err := cms.Create(t.Context(), configMap("a", nil), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b", "c"} {
		if _, err := cms.Create(t.Context(), configMap(name, map[string]string{"k": "v"}), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := cms.Delete(t.Context(), "b", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w, err := cms.Watch(t.Context(), metav1.ListOptions{ResourceVersion: first.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	expect(t, w, watch.Added, "b")
	expect(t, w, watch.Added, "c")
	gone := expect(t, w, watch.Deleted, "b").Object.(*corev1.ConfigMap)
	l, _ := cms.List(t.Context(), metav1.ListOptions{})
	if gone.ResourceVersion != l.ResourceVersion {
		t.Errorf("the deletion has revision %s, the list %s", gone.ResourceVersion, l.ResourceVersion)
	}
	if len(gone.ManagedFields) == 0 || gone.UID == "" {
		t.Errorf("the deleted object is incomplete: %+v", gone)
	}

	all, err := cms.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer all.Stop()
	expect(t, all, watch.Added, "a")
	expect(t, all, watch.Added, "c")
}

func TestWatchListEndsWithBookmark(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	cms := c.client(t).CoreV1().ConfigMaps("default")
	if _, err := cms.Create(t.Context(), configMap("a", nil), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	yes := true
	w, err := cms.Watch(t.Context(), metav1.ListOptions{
		SendInitialEvents: &yes, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	expect(t, w, watch.Added, "a")
	mark := next(t, w)
	o := mark.Object.(*corev1.ConfigMap)
	if mark.Type != watch.Bookmark || o.Annotations[metav1.InitialEventsAnnotationKey] != "true" ||
		o.ResourceVersion != strconv.FormatInt(c.Config.Store.Revision(), 10) {
		t.Errorf("bookmark %s %+v", mark.Type, o.ObjectMeta)
	}
	_, err = cms.Watch(t.Context(), metav1.ListOptions{SendInitialEvents: &yes, AllowWatchBookmarks: true})
	if err == nil {
		t.Error("sendInitialEvents without resourceVersionMatch is allowed")
	}
}

// TestWatchSelectors follows an object into and out of a selection.
func TestWatchSelectors(t *testing.T) {
	t.Parallel()
	cms := start(t, nil).client(t).CoreV1().ConfigMaps("default")
	w, err := cms.Watch(t.Context(), metav1.ListOptions{LabelSelector: "color=red"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if _, err := cms.Create(t.Context(), configMap("c", nil), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, color := range []string{"red", "red2", "red", "blue"} {
		p := fmt.Sprintf(`{"metadata":{"labels":{"color":%q}},"data":{"was":%q}}`, color[:3], color)
		if color == "blue" {
			p = `{"metadata":{"labels":{"color":"blue"}}}`
		}
		if _, err := cms.Patch(t.Context(), "c", types.MergePatchType, []byte(p), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, w, watch.Added, "c")
	expect(t, w, watch.Modified, "c")
	last := expect(t, w, watch.Modified, "c").Object.(*corev1.ConfigMap)
	gone := expect(t, w, watch.Deleted, "c").Object.(*corev1.ConfigMap)
	if gone.Labels["color"] != "red" || gone.ResourceVersion <= last.ResourceVersion {
		t.Errorf("left the selection as %v at %s, after %s", gone.Labels, gone.ResourceVersion, last.ResourceVersion)
	}
	if _, err := cms.Watch(t.Context(), metav1.ListOptions{FieldSelector: "data=x"}); !apierrors.IsBadRequest(err) {
		t.Errorf("watch by an unsupported field: %v", err)
	}
}

func TestWatchFromTheFutureFails(t *testing.T) {
	t.Parallel()
	// Not with client-go, which tries again ten times.
	_, err := start(t, nil).List(t.Context(), builtin.ConfigMaps.Resource, object.ListOptions{
		ResourceVersion: "999999999", Match: metav1.ResourceVersionMatchNotOlderThan})
	if !apierrors.IsTimeout(err) || !apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		t.Errorf("list from the future: %v", err)
	}
}

func TestWatchTimeout(t *testing.T) {
	t.Parallel()
	cms := start(t, nil).client(t).CoreV1().ConfigMaps("default")
	second := int64(1)
	w, err := cms.Watch(t.Context(), metav1.ListOptions{TimeoutSeconds: &second})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case e, ok := <-w.ResultChan():
		if ok {
			t.Errorf("event %+v", e)
		}
	case <-time.After(20 * time.Second):
		t.Error("the watch goes on")
	}
}

// TestInformers runs client-go's informer (WatchList, protobuf) and metadata
// client through creations, changes and deletions.
func TestInformers(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	cs := c.client(t)
	cms := cs.CoreV1().ConfigMaps("default")
	for i := range 30 {
		if _, err := cms.Create(t.Context(), configMap(fmt.Sprint("c", i), map[string]string{"n": "1"}), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	factory := informers.NewSharedInformerFactory(cs, 0)
	inf := factory.Core().V1().ConfigMaps().Informer()
	var mu sync.Mutex
	seen := map[string]string{}
	changed := make(chan struct{}, 1000)
	note := func(o any, value string) {
		mu.Lock()
		defer mu.Unlock()
		seen[o.(*corev1.ConfigMap).Name] = value
		changed <- struct{}{}
	}
	if _, err := inf.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { note(o, o.(*corev1.ConfigMap).Data["n"]) },
		UpdateFunc: func(_, o any) { note(o, o.(*corev1.ConfigMap).Data["n"]) },
		DeleteFunc: func(o any) { note(o, "gone") },
	}); err != nil {
		t.Fatal(err)
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), inf.HasSynced) {
		t.Fatal("no sync")
	}
	if _, err := cms.Patch(ctx, "c3", types.MergePatchType, []byte(`{"data":{"n":"2"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := cms.Delete(ctx, "c4", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, changed, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == 30 && seen["c3"] == "2" && seen["c4"] == "gone" && seen["c5"] == "1"
	})
	cancel()
	factory.Shutdown()

	meta, err := metadata.NewForConfig(c.config())
	if err != nil {
		t.Fatal(err)
	}
	r := meta.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace("default")
	l, err := r.List(t.Context(), metav1.ListOptions{})
	if err != nil || len(l.Items) != 29 || l.Items[0].Name != "c0" {
		t.Errorf("metadata list: %d items, %v", len(l.Items), err)
	}
	w, err := r.Watch(t.Context(), metav1.ListOptions{ResourceVersion: l.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if _, err := cms.Create(t.Context(), configMap("z", nil), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	expect(t, w, watch.Added, "z")
}

// until waits for a condition that is looked at after each signal.
func until(t *testing.T, signal <-chan struct{}, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-signal:
		case <-deadline:
			t.Fatal("it did not come to pass")
		}
	}
}

// TestFollowInProcess runs object.Follow over the in-process watch.
func TestFollowInProcess(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type change struct {
		name    string
		deleted bool
	}
	changes, synced := make(chan change, 10), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- builtin.ConfigMaps.Follow(ctx, c, object.WatchOptions{Namespace: "default"},
			func(o *corev1.ConfigMap, deleted bool) { changes <- change{o.Name, deleted} }, func() { close(synced) })
	}()
	<-synced
	if _, err := builtin.ConfigMaps.Create(ctx, c, configMap("a", nil), object.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := builtin.ConfigMaps.Delete(ctx, c, "default", "a", object.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []change{{"a", false}, {"a", true}} {
		select {
		case got := <-changes:
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("no change")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
