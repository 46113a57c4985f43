package node

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/node/eviction"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// named is a pod with one container and a memory request.
func named(name, request string, change func(*corev1.Pod)) *corev1.Pod {
	return testPod(func(p *corev1.Pod) {
		p.Name, p.UID = name, types.UID("u-"+name)
		if request != "" {
			p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(request)}
		}
		if change != nil {
			change(p)
		}
	})
}

func (w *world) get(name string) *corev1.Pod {
	w.t.Helper()
	p, err := builtin.Pods.Get(context.Background(), w.verbs, "default", name)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) nodeCondition(c corev1.NodeConditionType) string {
	w.t.Helper()
	n, err := builtin.Nodes.Get(context.Background(), w.verbs, "", "n1")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, x := range n.Status.Conditions {
		if x.Type == c {
			return string(x.Status) + " " + x.Reason
		}
	}
	return ""
}

func TestMemoryPressureEvictsOnePodAtATime(t *testing.T) {
	inWorld(t, func(w *world) {
		w.runtime.memory = map[string]uint64{"u-modest": 50 << 20, "u-greedy": 300 << 20, "u-larger": 400 << 20, "u-critical": 1 << 30}
		w.create(named("modest", "100Mi", nil))
		w.create(named("greedy", "", nil))
		w.create(named("larger", "200Mi", nil))
		w.create(named("critical", "", func(p *corev1.Pod) { p.Spec.Priority = new(int32(2000001000)) }))
		w.after(time.Second)
		w.short(eviction.MemoryAvailable, 60<<20)
		w.after(pressurePeriod)
		if got := w.nodeCondition(corev1.NodeMemoryPressure); got != "True KubeletHasInsufficientMemory" {
			t.Errorf("the node's condition is %q", got)
		}
		// Both exceed their requests; greedy by more.
		p := w.get("greedy")
		if p.Status.Phase != corev1.PodFailed || p.Status.Reason != "Evicted" ||
			!strings.HasPrefix(p.Status.Message, "The node was low on resource: memory. Threshold quantity: 100Mi, available: 60Mi. ") {
			t.Errorf("greedy: %+v", p.Status)
		}
		if c := condition(p, corev1.DisruptionTarget); c.Status != corev1.ConditionTrue || c.Reason != "TerminationByKubelet" {
			t.Errorf("greedy's condition: %+v", c)
		}
		for _, name := range []string{"modest", "larger", "critical"} {
			if p := w.get(name); p.Status.Phase != corev1.PodRunning {
				t.Errorf("%s is %s: one pod at a time", name, p.Status.Phase)
			}
		}
		w.after(2 * pressurePeriod) // still short: the others, but not the critical one
		for name, want := range map[string]corev1.PodPhase{"larger": corev1.PodFailed, "modest": corev1.PodFailed, "critical": corev1.PodRunning} {
			if p := w.get(name); p.Status.Phase != want {
				t.Errorf("%s is %s, want %s", name, p.Status.Phase, want)
			}
		}
		// New pods: only those with requests.
		w.short(eviction.MemoryAvailable, 1<<30)
		w.create(named("besteffort", "", nil))
		w.create(named("burstable", "10Mi", nil))
		w.after(time.Second)
		if p := w.get("besteffort"); p.Status.Reason != "Evicted" || p.Status.Message != "The node had condition: [MemoryPressure]. " {
			t.Errorf("besteffort: %+v", p.Status)
		}
		if p := w.get("burstable"); p.Status.Phase != corev1.PodRunning {
			t.Errorf("burstable is %s", p.Status.Phase)
		}
		w.after(defaultPressureTransition + pressurePeriod)
		if got := w.nodeCondition(corev1.NodeMemoryPressure); got != "False KubeletHasSufficientMemory" {
			t.Errorf("the node's condition is %q when there is memory again", got)
		}
		w.wantEvent("EvictionThresholdMet: Attempting to reclaim memory")
		w.wantEvent("NodeHasInsufficientMemory: Node n1 status is now: NodeHasInsufficientMemory")
	})
}

func TestDiskPressureRemovesImagesFirst(t *testing.T) {
	inWorld(t, func(w *world) {
		w.create(named("a", "", nil))
		w.after(time.Second)
		w.short(eviction.NodeFSAvailable, 1<<30)
		w.after(pressurePeriod)
		w.images.mu.Lock()
		pruned := w.images.pruned
		w.images.mu.Unlock()
		if pruned == 0 {
			t.Error("unused images were not removed")
		}
		if p := w.get("a"); p.Status.Reason != "Evicted" || !strings.HasPrefix(p.Status.Message, "The node was low on resource: ephemeral-storage. ") {
			t.Errorf("a: %+v", p.Status)
		}
		w.create(named("b", "10Mi", nil))
		w.after(time.Second)
		if p := w.get("b"); p.Status.Message != "The node had condition: [DiskPressure]. " {
			t.Errorf("b: %+v", p.Status)
		}
	})
}

// The status of an evicted pod may find room only when the pod has given its own
// room back.
func TestEvictionOnAFullDisk(t *testing.T) {
	inWorld(t, func(w *world) {
		fill := func(full bool) {
			w.verbs.mu.Lock()
			defer w.verbs.mu.Unlock()
			w.verbs.full = full
		}
		w.create(named("a", "", nil))
		w.after(time.Second)
		fill(true)
		w.short(eviction.NodeFSAvailable, 0)
		w.after(pressurePeriod)
		if _, there, _ := w.runtime.Sandbox(context.Background(), "u-a"); there {
			t.Error("the pod waits for its status to be written, and keeps the disk full")
		}
		if p := w.get("a"); p.Status.Phase != corev1.PodRunning {
			t.Fatalf("a is %s: the test's disk was not full", p.Status.Phase)
		}
		fill(false)
		w.after(pressurePeriod)
		if p := w.get("a"); p.Status.Phase != corev1.PodFailed || p.Status.Reason != "Evicted" {
			t.Errorf("a: %+v", p.Status)
		}
	})
}

func TestPodsEndThatExceedTheirDiskLimits(t *testing.T) {
	inWorld(t, func(w *world) {
		scratch := filepath.Join(w.dir, "scratch")
		w.volumes.paths = map[string]string{"scratch": scratch}
		if err := os.MkdirAll(scratch, 0o755); err != nil {
			t.Fatal(err)
		}
		w.create(named("a", "", func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{
				EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: new(resource.MustParse("1Mi"))}}}}
		}))
		w.after(2 * pressurePeriod)
		if p := w.get("a"); p.Status.Phase != corev1.PodRunning {
			t.Fatalf("a is %s", p.Status.Phase)
		}
		if err := os.WriteFile(filepath.Join(scratch, "x"), make([]byte, 2<<20), 0o644); err != nil {
			t.Fatal(err)
		}
		w.after(pressurePeriod)
		if p := w.get("a"); p.Status.Reason != "Evicted" || p.Status.Message != `Usage of EmptyDir volume "scratch" exceeds the limit "1Mi". ` {
			t.Errorf("a: %+v", p.Status)
		}
		if got := w.nodeCondition(corev1.NodeDiskPressure); got != "False KubeletHasNoDiskPressure" {
			t.Errorf("the node's condition is %q", got)
		}
	})
}

func TestImagesGoWhenTheDiskIsFull(t *testing.T) {
	inWorld(t, func(w *world) {
		w.images.mu.Lock()
		w.images.present["old:0"], w.images.present["old:1"], w.images.present["old:2"] = true, true, true
		w.images.mu.Unlock()
		revision := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "sh.helm.release.v1.old.v1", Labels: map[string]string{"owner": "helm"},
			Annotations: map[string]string{object.ImagesAnnotation: object.KeepImages([]string{"old:0"})}}}
		if _, err := builtin.Secrets.Create(context.Background(), w.verbs, revision, object.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.create(named("a", "", nil)) // web:1
		w.after(imagePeriod)
		capacity := w.amounts[eviction.ImageFSAvailable].Capacity
		w.short(eviction.ImageFSAvailable, capacity*16/100) // 84 % in use
		w.after(imagePeriod)
		if got := w.images.freed; len(got) > 0 {
			t.Errorf("%v went below the threshold", got)
		}
		w.amounts[eviction.ImageFSAvailable] = eviction.Amount{Available: 149, Capacity: 1000} // 85.1 % in use; 51 bytes too few for 80 %
		w.after(imagePeriod)
		w.images.mu.Lock()
		defer w.images.mu.Unlock()
		if diff := cmp.Diff([]string{"sha256:old:1", "sha256:old:2"}, w.images.freed); diff != "" {
			t.Errorf("images that went (-want +got):\n%s", diff)
		}
	})
}

func TestImageUseOrdersByLastUse(t *testing.T) {
	u, now := imageUse{}, time.Unix(1000, 0)
	images := []cri.Image{{ID: "a"}, {ID: "b"}, {ID: "c"}, {ID: "b"}}
	at := func(minutes int) time.Time { return now.Add(time.Duration(minutes) * time.Minute) }
	if got := u.look(images, map[string]bool{"a": true}, at(0)); len(got) > 0 {
		t.Errorf("%v may go at once", got)
	}
	u.look(images, map[string]bool{"b": true}, at(5))
	u.look(images, map[string]bool{"c": true}, at(10))
	got := u.look(append(images, cri.Image{ID: "new"}), nil, at(15))
	if want := []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v: the longest unused first, and none that is new", got, want)
	}
}
