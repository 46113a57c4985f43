package controller

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
	"github.com/seed38700745/pkg/cluster/store"
)

// rig is a cluster's API over a real store, in which all controllers and a
// simple agent run. Time is the synctest bubble's: settle lets it pass.
type rig struct {
	t     *testing.T
	ctx   context.Context
	world *world
	agent *agent
}

// world is the API, which refuse may make refuse creates.
type world struct {
	object.Verbs
	refuse atomic.Pointer[func(r object.Resource) error]
}

func (w *world) Create(ctx context.Context, r object.Resource, o object.Object, opts object.WriteOptions) (object.Object, error) {
	if refuse := w.refuse.Load(); refuse != nil && opts.Subresource == "" {
		if err := (*refuse)(r); err != nil {
			return nil, err
		}
	}
	return w.Verbs.Create(ctx, r, o, opts)
}

// openAPI opens an API with the bootstrap objects, until the test ends.
func openAPI(t *testing.T) object.Verbs {
	t.Helper()
	kinds := kind.NewRegistry(kind.All())
	db, err := store.Open(filepath.Join(t.TempDir(), "db"), store.Options{Codec: api.NewCodec(kinds)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	server, err := api.New(api.Config{Store: db, Kinds: kinds, ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"),
		Authorize: func(context.Context, auth.Attributes) (bool, string, error) { return true, "", nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := api.Bootstrap(t.Context(), server, netip.AddrPort{}); err != nil {
		t.Fatal(err)
	}
	return server
}

// withRig runs body in a cluster of its own.
func withRig(t *testing.T, c Config, body func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		w := &world{Verbs: openAPI(t)}
		c.Verbs = w
		var calls atomic.Int64 // events are named by their time, which stands still in a bubble
		c.Now = func() time.Time { return time.Now().Add(time.Duration(calls.Add(1))) }
		r := &rig{t: t, ctx: ctx, world: w, agent: &agent{verbs: w}}
		node := readyNode("node-1")
		node.Labels = map[string]string{corev1.LabelHostname: "host-1"}
		create(r, builtin.Nodes, node)
		var running sync.WaitGroup
		running.Go(func() {
			if err := New(c).Run(ctx); err != nil {
				t.Errorf("controllers: %v", err)
			}
		})
		running.Go(func() { r.agent.run(ctx) })
		running.Go(func() { r.agent.beat(ctx) })
		defer running.Wait()
		defer cancel()
		body(r)
	})
}

// settle lets all loops finish what they do within d.
func (r *rig) settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// agent binds pods to node-1, or the node that their affinity names, and runs them, by what their image says: "ok"
// becomes ready, "broken" runs and never becomes ready, "done" and "fail" end,
// "hold" stays pending.
type agent struct {
	verbs object.Verbs
	mu    sync.Mutex
	next  int // guarded by mu: addresses given
	mute  atomic.Bool
}

// beat keeps node-1 ready, unless it is mute.
func (a *agent) beat(ctx context.Context) {
	ticker := time.NewTicker(10 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if a.mute.Load() {
			continue
		}
		if n, err := builtin.Nodes.Get(ctx, a.verbs, "", "node-1"); err == nil {
			n = n.DeepCopy()
			n.Status = readyNode("node-1").Status
			_, _ = builtin.Nodes.UpdateStatus(ctx, a.verbs, n, object.WriteOptions{}) // a lost race is one beat less
		}
	}
}

func (a *agent) run(ctx context.Context) {
	_ = builtin.Pods.Follow(ctx, a.verbs, object.WatchOptions{}, func(p *corev1.Pod, deleted bool) {
		if deleted {
			return
		}
		live, err := builtin.Pods.Get(ctx, a.verbs, p.Namespace, p.Name)
		if err != nil || live.UID != p.UID {
			return
		}
		if err := a.sync(ctx, live); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			panic(err)
		}
	}, nil)
}

func (a *agent) sync(ctx context.Context, p *corev1.Pod) error {
	switch image := p.Spec.Containers[0].Image; {
	case p.DeletionTimestamp != nil:
		if !podFinished(p) {
			p = p.DeepCopy()
			setPod(p, corev1.PodFailed, false)
			stored, err := builtin.Pods.UpdateStatus(ctx, a.verbs, p, object.WriteOptions{})
			if err != nil {
				return err
			}
			p = stored
		}
		if len(p.Finalizers) > 0 {
			return nil
		}
		return builtin.Pods.Delete(ctx, a.verbs, p.Namespace, p.Name, object.DeleteOptions{GracePeriodSeconds: new(int64(0))})
	case p.Spec.NodeName == "":
		_, err := a.verbs.Create(ctx, builtin.Pods.Resource, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name},
			Target:     corev1.ObjectReference{Name: cmp.Or(daemonNode(p), "node-1")}}, object.WriteOptions{Subresource: "binding"})
		return err
	case p.Status.Phase == corev1.PodPending && image != "hold":
		p = p.DeepCopy()
		a.mu.Lock()
		a.next++
		p.Status.PodIP = fmt.Sprintf("10.0.%d.%d", a.next/250, a.next%250+1)
		a.mu.Unlock()
		p.Status.PodIPs = []corev1.PodIP{{IP: p.Status.PodIP}}
		p.Status.StartTime = stamp(time.Now())
		switch image {
		case "done":
			setPod(p, corev1.PodSucceeded, false)
		case "fail":
			setPod(p, corev1.PodFailed, false)
		default:
			setPod(p, corev1.PodRunning, image == "ok")
		}
		_, err := builtin.Pods.UpdateStatus(ctx, a.verbs, p, object.WriteOptions{})
		return err
	}
	return nil
}

func setPod(p *corev1.Pod, phase corev1.PodPhase, ready bool) {
	p.Status.Phase = phase
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status, LastTransitionTime: metav1.NewTime(time.Now())}}
}

// create stores o or ends the test.
func create[T object.Object](r *rig, h builtin.Handle[T], o T) T {
	r.t.Helper()
	stored, err := h.Create(r.ctx, r.world, o, object.WriteOptions{})
	if err != nil {
		r.t.Fatalf("create %s: %v", h.Resource, err)
	}
	return stored
}

func get[T object.Object](r *rig, h builtin.Handle[T], name string) T {
	r.t.Helper()
	o, err := h.Get(r.ctx, r.world, "default", name)
	if apierrors.IsNotFound(err) {
		o, err = h.Get(r.ctx, r.world, "", name)
	}
	if err != nil {
		r.t.Fatalf("get %s %s: %v", h.Resource, name, err)
	}
	return o
}

func list[T object.Object](r *rig, h builtin.Handle[T]) []T {
	r.t.Helper()
	all, err := h.List(r.ctx, r.world, object.ListOptions{})
	if err != nil {
		r.t.Fatalf("list %s: %v", h.Resource, err)
	}
	return all
}

// edit changes an object as a user does.
func edit[T object.Object](r *rig, h builtin.Handle[T], name string, change func(T)) {
	r.t.Helper()
	for {
		o := get(r, h, name).DeepCopyObject().(T)
		change(o)
		_, err := h.Update(r.ctx, r.world, o, object.WriteOptions{})
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			r.t.Fatalf("update %s: %v", h.Resource, err)
		}
	}
}

func remove[T object.Object](r *rig, h builtin.Handle[T], name string, o object.DeleteOptions) {
	r.t.Helper()
	k := object.KeyOf(get(r, h, name))
	if err := h.Delete(r.ctx, r.world, k.Namespace, k.Name, o); err != nil {
		r.t.Fatalf("delete %s: %v", h.Resource, err)
	}
}

// events returns "reason: message" of the events about an object.
func events(r *rig, name string) map[string]bool {
	all := map[string]bool{}
	for _, e := range list(r, builtin.Events) {
		if e.InvolvedObject.Name == name {
			all[e.Reason+": "+e.Message] = true
		}
	}
	return all
}

func wantEvent(r *rig, name, event string) {
	r.t.Helper()
	if all := events(r, name); !all[event] {
		r.t.Errorf("no event %q about %s; there are %v", event, name, all)
	}
}

func template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}, RestartPolicy: corev1.RestartPolicyAlways},
	}
}

func meta(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "default", Name: name} }

func metaName(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }

func webSelector() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
}
