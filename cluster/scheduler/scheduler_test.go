package scheduler

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
	"github.com/seed38700745/pkg/cluster/store"
)

// openAPI opens an API over a real store with the bootstrap objects, until the
// test ends.
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
	create(t, server, builtin.ServiceAccounts, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default"}})
	return server
}

// withScheduler runs body beside a Scheduler in a world of their own, in a
// synctest bubble: time passes when body sleeps.
func withScheduler(t *testing.T, body func(ctx context.Context, w object.Verbs)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		w := openAPI(t)
		var calls atomic.Int64
		s := New(Config{Verbs: w, Now: func() time.Time { return time.Now().Add(time.Duration(calls.Add(1))) }})
		var running sync.WaitGroup
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Errorf("scheduler: %v", err)
			}
		})
		defer running.Wait()
		defer cancel()
		body(ctx, w)
	})
}

func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func create[T object.Object](t *testing.T, w object.Verbs, h builtin.Handle[T], o T) {
	t.Helper()
	if _, err := h.Create(context.Background(), w, o, object.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func podNamed(t *testing.T, w object.Verbs, name string) *corev1.Pod {
	t.Helper()
	p, err := builtin.Pods.Get(context.Background(), w, "default", name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSchedulerBurstDoesNotOvercommit(t *testing.T) {
	withScheduler(t, func(ctx context.Context, w object.Verbs) {
		create(t, w, builtin.Nodes, testNode("a", "4", "8Gi"))
		create(t, w, builtin.Nodes, testNode("b", "4", "8Gi"))
		for i := range 20 {
			create(t, w, builtin.Pods, testPod(fmt.Sprint("p", i), "1", "1Gi"))
		}
		settle(time.Second)
		on := map[string]int{}
		for i := range 20 {
			on[podNamed(t, w, fmt.Sprint("p", i)).Spec.NodeName]++
		}
		if on["a"] != 4 || on["b"] != 4 || on[""] != 12 {
			t.Fatalf("pods by node: %v", on)
		}
		create(t, w, builtin.Nodes, testNode("c", "4", "8Gi"))
		settle(11 * time.Second) // at most one backoff
		waits := 0
		for i := range 20 {
			if podNamed(t, w, fmt.Sprint("p", i)).Spec.NodeName == "" {
				waits++
			}
		}
		if waits != 8 {
			t.Errorf("%d pods wait after a node for 4 came, want 8", waits)
		}
	})
}

func TestSchedulerSaysWhyAndRetries(t *testing.T) {
	withScheduler(t, func(ctx context.Context, w object.Verbs) {
		create(t, w, builtin.Nodes, testNode("a", "2", "1Gi"))
		create(t, w, builtin.Pods, testPod("big", "1", "4Gi"))
		settle(time.Second)
		p := podNamed(t, w, "big")
		const want = "0/1 nodes are available: 1 Insufficient memory. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
		if len(p.Status.Conditions) != 1 || p.Status.Conditions[0].Reason != "Unschedulable" || p.Status.Conditions[0].Message != want {
			t.Errorf("conditions %+v", p.Status.Conditions)
		}
		es, err := builtin.Events.List(ctx, w, object.ListOptions{})
		if err != nil || len(es) != 1 || es[0].Reason != "FailedScheduling" || es[0].Message != want || es[0].Source.Component != "default-scheduler" {
			t.Errorf("events %v, %v", es, err)
		}
		n, err := builtin.Nodes.Get(ctx, w, "", "a")
		if err != nil {
			t.Fatal(err)
		}
		n = n.DeepCopy()
		n.Status.Allocatable[corev1.ResourceMemory] = resource.MustParse("8Gi")
		if _, err := builtin.Nodes.UpdateStatus(ctx, w, n, object.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		settle(2 * time.Second)
		if got := podNamed(t, w, "big").Spec.NodeName; got != "a" {
			t.Errorf("node %q after memory was added", got)
		}
		es, _ = builtin.Events.List(ctx, w, object.ListOptions{})
		said := false
		for _, e := range es {
			said = said || (e.Reason == "Scheduled" && e.Message == "Successfully assigned default/big to a")
		}
		if !said {
			t.Errorf("no Scheduled event in %v", es)
		}
	})
}

func TestSchedulerGatesPriorityAndOtherSchedulers(t *testing.T) {
	withScheduler(t, func(ctx context.Context, w object.Verbs) {
		gated := testPod("gated", "1", "1Gi", func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "wait"}} })
		create(t, w, builtin.Pods, gated)
		create(t, w, builtin.Pods, testPod("other", "1", "1Gi", func(p *corev1.Pod) { p.Spec.SchedulerName = "mine" }))
		create(t, w, builtin.Pods, testPod("low", "3", "1Gi"))
		create(t, w, builtin.Pods, testPod("high", "3", "1Gi", func(p *corev1.Pod) { p.Spec.PriorityClassName = "system-cluster-critical" }))
		settle(time.Second)
		create(t, w, builtin.Nodes, testNode("a", "4", "8Gi"))
		settle(20 * time.Second)
		for name, want := range map[string]string{"gated": "", "other": "", "low": "", "high": "a"} {
			if got := podNamed(t, w, name).Spec.NodeName; got != want {
				t.Errorf("%s is on %q, want %q", name, got, want)
			}
		}
		p := podNamed(t, w, "gated").DeepCopy()
		if len(p.Status.Conditions) != 1 || p.Status.Conditions[0].Reason != "SchedulingGated" {
			t.Errorf("gated: %+v", p.Status.Conditions)
		}
		p.Spec.SchedulingGates = nil
		if _, err := builtin.Pods.Update(ctx, w, p, object.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		settle(time.Second)
		if got := podNamed(t, w, "gated").Spec.NodeName; got != "a" {
			t.Errorf("node %q after the gate was removed", got)
		}
	})
}

func claimed(p *corev1.Pod) {
	p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
}

func TestSchedulerChoosesNodeForFirstConsumer(t *testing.T) {
	withScheduler(t, func(ctx context.Context, w object.Verbs) {
		create(t, w, builtin.Nodes, testNode("a", "4", "8Gi"))
		create(t, w, builtin.Pods, testPod("db", "1", "1Gi", claimed))
		settle(time.Second)
		if c := podNamed(t, w, "db").Status.Conditions; len(c) != 1 || !strings.Contains(c[0].Message, `persistentvolumeclaim "data" not found`) {
			t.Errorf("without the claim: %+v", c)
		}
		create(t, w, builtin.StorageClasses, &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "local"},
			Provisioner: "test/local", VolumeBindingMode: new(storagev1.VolumeBindingWaitForFirstConsumer)})
		create(t, w, builtin.PersistentVolumeClaims, &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: new("local"),
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}})
		settle(3 * time.Second)
		c, err := builtin.PersistentVolumeClaims.Get(ctx, w, "default", "data")
		if err != nil || c.Annotations["volume.kubernetes.io/selected-node"] != "a" {
			t.Fatalf("claim %v, %v", c.Annotations, err)
		}
		if got := podNamed(t, w, "db").Spec.NodeName; got != "" {
			t.Fatalf("bound to %q before its volume was", got)
		}
		create(t, w, builtin.PersistentVolumes, &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv"}, Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/srv/pv"}},
			Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}}})
		c = c.DeepCopy()
		c.Spec.VolumeName, c.Annotations["pv.kubernetes.io/bind-completed"] = "pv", "yes"
		if _, err := builtin.PersistentVolumeClaims.Update(ctx, w, c, object.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		settle(time.Millisecond) // no backoff: it waited for what it had started
		if got := podNamed(t, w, "db").Spec.NodeName; got != "a" {
			t.Errorf("on %q once its claim is bound", got)
		}
	})
}
