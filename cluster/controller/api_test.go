package controller_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/controller"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
	"github.com/seed38700745/pkg/cluster/scheduler"
	"github.com/seed38700745/pkg/cluster/store"
)

// deadline bounds every wait for a state of the world.
const deadline = 20 * time.Second

// startCluster runs the real API over a real store with controllers and
// scheduler, and an agent that makes bound pods ready or done, until the test ends.
func startCluster(t *testing.T) object.Verbs {
	t.Helper()
	kinds := kind.NewRegistry(kind.All())
	db, err := store.Open(filepath.Join(t.TempDir(), "db"), store.Options{Codec: api.NewCodec(kinds)})
	if err != nil {
		t.Fatal(err)
	}
	server, err := api.New(api.Config{Store: db, Kinds: kinds, ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"),
		Authorize: func(context.Context, auth.Attributes) (bool, string, error) { return true, "", nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := api.Bootstrap(t.Context(), server, netip.AddrPort{}); err != nil {
		t.Fatal(err)
	}
	resources := func() (all []controller.Resource) {
		for _, k := range kinds.All() {
			all = append(all, controller.Resource{Resource: k.Resource(), Kind: k.GVK.Kind, Namespaced: k.Namespaced})
		}
		return all
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	set := controller.New(controller.Config{Verbs: server, Resources: resources, RootCA: []byte("PEM"), VolumesDir: "/volumes"})
	placer := scheduler.New(scheduler.Config{Verbs: server})
	running.Go(func() { _ = set.Run(ctx) })
	running.Go(func() { _ = placer.Run(ctx) })
	running.Go(func() { simulateAgent(ctx, server) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1", Labels: map[string]string{corev1.LabelHostname: "node-1"}}}
	node, err = builtin.Nodes.Create(ctx, server, node, object.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node = node.DeepCopy()
	node.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"),
		corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("110")}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now()}}
	if _, err := builtin.Nodes.UpdateStatus(ctx, server, node, object.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	return server
}

// simulateAgent runs pods in name only: image "done" ends at once.
func simulateAgent(ctx context.Context, v object.Verbs) {
	_ = builtin.Pods.Follow(ctx, v, object.WatchOptions{}, func(p *corev1.Pod, deleted bool) {
		switch {
		case deleted || p.Spec.NodeName == "":
		case p.DeletionTimestamp != nil:
			_ = builtin.Pods.Delete(ctx, v, p.Namespace, p.Name, object.DeleteOptions{GracePeriodSeconds: new(int64(0))})
		case p.Status.Phase == corev1.PodPending:
			for range 5 {
				p = p.DeepCopy()
				p.Status.Phase, p.Status.PodIP, p.Status.PodIPs = corev1.PodRunning, "10.1.0.9", []corev1.PodIP{{IP: "10.1.0.9"}}
				if p.Spec.Containers[0].Image == "done" {
					p.Status.Phase = corev1.PodSucceeded
				}
				p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
				_, err := builtin.Pods.UpdateStatus(ctx, v, p, object.WriteOptions{})
				if !apierrors.IsConflict(err) {
					return
				}
				if p, err = builtin.Pods.Get(ctx, v, p.Namespace, p.Name); err != nil {
					return
				}
			}
		}
	}, nil)
}

// eventually waits until check holds; what it returns says why it does not.
func eventually(t *testing.T, what string, check func() string) {
	t.Helper()
	end := time.Now().Add(deadline)
	for {
		why := check()
		if why == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %s", what, why)
		}
		select {
		case <-t.Context().Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func must[T object.Object](t *testing.T, v object.Verbs, h builtin.Handle[T], o T) {
	t.Helper()
	if _, err := h.Create(t.Context(), v, o, object.WriteOptions{}); err != nil {
		t.Fatalf("create %s %s: %v", h.Resource, o.GetName(), err)
	}
}

func podTemplate(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": image}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}}}
}

func selecting(image string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": image}}
}

// TestOverTheAPI runs one of each workload over the real API and its defaults,
// from the objects that a user writes to ready pods with volumes and
// endpoints, and then empties the namespace.
func TestOverTheAPI(t *testing.T) {
	v, ctx := startCluster(t), t.Context()
	must(t, v, builtin.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	in := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "shop", Name: name} }
	must(t, v, builtin.Services, &corev1.Service{ObjectMeta: in("db"), Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "mysql"},
		Ports: []corev1.ServicePort{{Port: 3306}}}})
	must(t, v, builtin.StatefulSets, &appsv1.StatefulSet{ObjectMeta: in("db"), Spec: appsv1.StatefulSetSpec{
		Replicas: new(int32(2)), Selector: selecting("mysql"), Template: podTemplate("mysql"), ServiceName: "db",
		VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}}}})
	must(t, v, builtin.Deployments, &appsv1.Deployment{ObjectMeta: in("web"), Spec: appsv1.DeploymentSpec{
		Replicas: new(int32(3)), Selector: selecting("web"), Template: podTemplate("web")}})
	done := podTemplate("done")
	done.Spec.RestartPolicy = corev1.RestartPolicyNever
	must(t, v, builtin.Jobs, &batchv1.Job{ObjectMeta: in("task"), Spec: batchv1.JobSpec{Completions: new(int32(2)), Template: done}})

	eventually(t, "stateful set", func() string {
		s, err := builtin.StatefulSets.Get(ctx, v, "shop", "db")
		if err != nil || s.Status.AvailableReplicas != 2 || s.Status.CurrentRevision != s.Status.UpdateRevision {
			return describe(err, s.Status)
		}
		c, err := builtin.PersistentVolumeClaims.Get(ctx, v, "shop", "data-db-1")
		if err != nil || c.Status.Phase != corev1.ClaimBound {
			return describe(err, c)
		}
		return ""
	})
	eventually(t, "endpoints", func() string {
		l, err := builtin.EndpointSlices.List(ctx, v, object.ListOptions{Namespace: "shop"})
		if err != nil || len(l) != 1 || len(l[0].Endpoints) != 2 {
			return describe(err, l)
		}
		return ""
	})
	eventually(t, "deployment", func() string {
		d, err := builtin.Deployments.Get(ctx, v, "shop", "web")
		if err != nil || d.Status.AvailableReplicas != 3 || d.Annotations["deployment.kubernetes.io/revision"] != "1" {
			return describe(err, d.Status)
		}
		return ""
	})
	eventually(t, "job", func() string {
		j, err := builtin.Jobs.Get(ctx, v, "shop", "task")
		if err != nil || j.Status.Succeeded != 2 || j.Status.CompletionTime == nil {
			return describe(err, j.Status)
		}
		return ""
	})

	d, err := builtin.Deployments.Get(ctx, v, "shop", "web")
	if err != nil {
		t.Fatal(err)
	}
	d = d.DeepCopy()
	d.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "V", Value: "2"}}
	eventually(t, "change of the template", func() string {
		d.ResourceVersion = ""
		if _, err := builtin.Deployments.Update(ctx, v, d.DeepCopy(), object.WriteOptions{}); err != nil {
			return err.Error()
		}
		return ""
	})
	eventually(t, "rollout", func() string {
		now, err := builtin.Deployments.Get(ctx, v, "shop", "web")
		if err != nil || now.Status.ObservedGeneration != now.Generation || now.Status.UpdatedReplicas != 3 || now.Status.Replicas != 3 {
			return describe(err, now.Status)
		}
		return ""
	})

	if err := builtin.Namespaces.Delete(ctx, v, "", "shop", object.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "namespace", func() string {
		ns, err := builtin.Namespaces.Get(ctx, v, "", "shop")
		if apierrors.IsNotFound(err) {
			return ""
		}
		return describe(err, ns)
	})
	eventually(t, "volumes wait for the agent to delete their data", func() string {
		l, err := builtin.PersistentVolumes.List(ctx, v, object.ListOptions{})
		if err != nil || len(l) != 2 {
			return describe(err, l)
		}
		for _, pv := range l {
			if pv.DeletionTimestamp == nil || strings.Join(pv.Finalizers, " ") != controller.LocalVolumeFinalizer {
				return describe(nil, pv)
			}
		}
		return ""
	})
}

// TestDeploymentGoesWithItsPods deletes in the background over the real API.
func TestDeploymentGoesWithItsPods(t *testing.T) {
	v, ctx := startCluster(t), t.Context()
	must(t, v, builtin.Deployments, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}, Spec: appsv1.DeploymentSpec{
		Replicas: new(int32(2)), Selector: selecting("web"), Template: podTemplate("web")}})
	count := func() int {
		sets, err := builtin.ReplicaSets.List(ctx, v, object.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		pods, err := builtin.Pods.List(ctx, v, object.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return len(sets) + len(pods)
	}
	want := func(n int) func() string {
		return func() string {
			if count() != n {
				return describe(nil, count())
			}
			return ""
		}
	}
	eventually(t, "one set and two pods", want(3))
	for _, p := range []metav1.DeletionPropagation{metav1.DeletePropagationForeground} {
		if err := builtin.Deployments.Delete(ctx, v, "default", "web", object.DeleteOptions{Propagation: &p}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "nothing left", want(0))
}

func describe(err error, o any) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%+v", o)
}
