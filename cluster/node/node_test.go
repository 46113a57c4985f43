package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/event"
	"github.com/seed38700745/pkg/cluster/node/eviction"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// world is an agent among fakes, in a synctest bubble.
type world struct {
	t       *testing.T
	verbs   *memory
	runtime *fakeRuntime
	images  *fakeImages
	network *fakeNetwork
	volumes *fakeVolumes
	dir     string
	stop    func() // ends the agent and waits for it

	mu      sync.Mutex
	amounts map[eviction.Signal]eviction.Amount // what the machine has; guarded by mu
}

// plenty is a machine that is short of nothing.
func plenty() map[eviction.Signal]eviction.Amount {
	half := eviction.Amount{Available: 1 << 39, Capacity: 1 << 40}
	return map[eviction.Signal]eviction.Amount{eviction.MemoryAvailable: half, eviction.NodeFSAvailable: half,
		eviction.ImageFSAvailable: half, eviction.PIDAvailable: half}
}

func (w *world) measure() (map[eviction.Signal]eviction.Amount, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.amounts), nil
}

// short sets what is available of something.
func (w *world) short(s eviction.Signal, available int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.amounts[s] = eviction.Amount{Available: available, Capacity: w.amounts[s].Capacity}
}

// inWorld runs test in a bubble with an agent that runs.
func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, verbs: newMemory(), runtime: newFakeRuntime(), images: newFakeImages(), network: &fakeNetwork{}, volumes: &fakeVolumes{}, dir: dir, amounts: plenty()}
		w.begin()
		test(w)
		w.stop()
	})
}

// begin starts an agent on what there is.
func (w *world) begin() {
	var tick atomic.Int64 // Events are named by the time, and the bubble's clock stands still
	rec := event.New(w.verbs, "kubelet", "n1", func() time.Time { return time.Now().Add(time.Duration(tick.Add(1))) })
	a, err := New(Config{Name: "n1", Verbs: w.verbs, Runtime: w.runtime, Images: w.images, Network: w.network, Volumes: w.volumes,
		Measure: w.measure,
		DNS:     DNS{Server: "10.142.0.10", Domain: "cluster.local"}, Recorder: rec, RootDir: w.dir + "/root", LogDir: w.dir + "/log",
		Version: "v1.36.3", RuntimeVersion: "1.0", Port: 10250, Logger: discard()})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	recorded := make(chan error, 1)
	go func() { recorded <- rec.Run(ctx) }()
	go func() { done <- a.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
		<-recorded
	}
	synctest.Wait()
}

// after lets time pass and everything settle.
func (w *world) after(d time.Duration) {
	time.Sleep(d) // synctest: the bubble's clock
	synctest.Wait()
}

func testPod(change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: types.UID("u-web")}}
	p.Spec = corev1.PodSpec{NodeName: "n1", RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst,
		Containers: []corev1.Container{{Name: "main", Image: "web:1", ImagePullPolicy: corev1.PullIfNotPresent}}}
	p.Status.Phase = corev1.PodPending
	if change != nil {
		change(p)
	}
	return p
}

func (w *world) create(p *corev1.Pod) {
	w.t.Helper()
	if _, err := builtin.Pods.Create(context.Background(), w.verbs, p, object.WriteOptions{}); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

func (w *world) delete(grace *int64) {
	w.t.Helper()
	if err := builtin.Pods.Delete(context.Background(), w.verbs, "default", "web", object.DeleteOptions{GracePeriodSeconds: grace}); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

func (w *world) pod() *corev1.Pod {
	w.t.Helper()
	p, err := builtin.Pods.Get(context.Background(), w.verbs, "default", "web")
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) status(name string) corev1.ContainerStatus {
	w.t.Helper()
	for _, s := range statuses(w.pod()) {
		if s.Name == name {
			return s
		}
	}
	w.t.Fatalf("no status of container %s in %+v", name, w.pod().Status)
	return corev1.ContainerStatus{}
}

func (w *world) wantEvent(text string) {
	w.t.Helper()
	if all := w.verbs.eventTexts(); !slices.Contains(all, text) {
		w.t.Errorf("no event %q among:\n%s", text, strings.Join(all, "\n"))
	}
}

func condition(p *corev1.Pod, t corev1.PodConditionType) corev1.PodCondition {
	for _, c := range p.Status.Conditions {
		if c.Type == t {
			return c
		}
	}
	return corev1.PodCondition{}
}

func TestPodRuns(t *testing.T) {
	inWorld(t, func(w *world) {
		w.images.origin = "made from Debian packages"
		w.create(testPod(nil))
		w.after(time.Second)
		p := w.pod()
		if p.Status.Phase != corev1.PodRunning || p.Status.PodIP != "10.42.0.2" || p.Status.HostIP != "192.0.2.1" || p.Status.QOSClass != corev1.PodQOSBestEffort {
			t.Errorf("status %+v", p.Status)
		}
		for _, c := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady} {
			if condition(p, c).Status != corev1.ConditionTrue {
				t.Errorf("condition %s is %+v", c, condition(p, c))
			}
		}
		s := w.status("main")
		if s.ContainerID != "pkg://c1" || !s.Ready || !*s.Started || s.RestartCount != 0 || s.State.Running == nil {
			t.Errorf("container status %+v", s)
		}
		for _, e := range []string{`Pulling: Pulling image "web:1"`, "Created: Container created", "Started: Container started",
			`Pulled: Successfully pulled image "web:1" in 0s (0s including waiting). Image size: 42 bytes; made from Debian packages`} {
			w.wantEvent(e)
		}
		writes := w.verbs.statusWrites
		w.after(10 * time.Minute)
		if w.verbs.statusWrites != writes {
			t.Errorf("an idle pod's status was written %d times", w.verbs.statusWrites-writes)
		}
	})
}

func TestCrashLoop(t *testing.T) {
	inWorld(t, func(w *world) {
		w.create(testPod(nil))
		var starts []int // seconds from the end of one to the start of the next
		for range 8 {
			w.after(time.Second)
			c := w.runtime.latest("main")
			w.runtime.exit(c.ID, 1)
			ended := time.Now()
			synctest.Wait()
			for w.runtime.latest("main").ID == c.ID {
				w.after(time.Second)
			}
			starts = append(starts, int(time.Since(ended).Seconds()))
		}
		if want := []int{0, 10, 20, 40, 80, 160, 300, 300}; !cmp.Equal(starts, want) {
			t.Errorf("restarted after %v s, want %v", starts, want)
		}
		w.after(goodRun) // a long run starts the series anew
		c := w.runtime.latest("main")
		w.runtime.exit(c.ID, 1)
		w.after(time.Second)
		if got := w.runtime.latest("main"); got.Attempt != c.Attempt+1 {
			t.Errorf("not restarted at once after a long run: %+v", got)
		}
		w.runtime.exit(w.runtime.latest("main").ID, 3)
		w.after(time.Second)
		s := w.status("main")
		if s.State.Waiting == nil || s.State.Waiting.Reason != "CrashLoopBackOff" ||
			s.State.Waiting.Message != "back-off 10s restarting failed container=main pod=web_default(u-web)" {
			t.Errorf("state %+v", s.State)
		}
		if l := s.LastTerminationState.Terminated; l == nil || l.ExitCode != 3 || l.Reason != "Error" {
			t.Errorf("last state %+v", s.LastTerminationState)
		}
		w.wantEvent("BackOff: Back-off restarting failed container main in pod web_default(u-web)")
		if p := w.pod(); p.Status.Phase != corev1.PodRunning || condition(p, corev1.PodReady).Status != corev1.ConditionFalse {
			t.Errorf("phase %s, ready %+v", p.Status.Phase, condition(p, corev1.PodReady))
		}
	})
}

func TestImageErrors(t *testing.T) {
	t.Run("pull", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.images.errs["web:1"] = errors.New("registry says no")
			w.create(testPod(nil))
			w.after(time.Second)
			if s := w.status("main").State.Waiting; s == nil || s.Reason != "ErrImagePull" || s.Message != "registry says no" {
				t.Fatalf("state %+v", s)
			}
			w.after(2 * time.Second)
			if s := w.status("main").State.Waiting; s.Reason != "ImagePullBackOff" || s.Message != `Back-off pulling image "web:1": ErrImagePull: registry says no` {
				t.Errorf("state %+v", s)
			}
			w.wantEvent(`Failed: Failed to pull image "web:1": registry says no`)
			w.wantEvent(`BackOff: Back-off pulling image "web:1"`)
			w.after(70 * time.Second) // pulls at 0, 10, 30, 70
			if w.images.pulls != 4 {
				t.Errorf("%d pulls in 73 s, want 4", w.images.pulls)
			}
			delete(w.images.errs, "web:1")
			w.after(81 * time.Second)
			if p := w.pod(); p.Status.Phase != corev1.PodRunning {
				t.Errorf("phase %s", p.Status.Phase)
			}
		})
	})
	t.Run("never", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.create(testPod(func(p *corev1.Pod) { p.Spec.Containers[0].ImagePullPolicy = corev1.PullNever }))
			w.after(time.Second)
			if s := w.status("main").State.Waiting; s == nil || s.Reason != "ErrImageNeverPull" {
				t.Errorf("state %+v", s)
			}
		})
	})
	t.Run("invalid", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.images.errs["web:1"] = cri.ErrInvalidImageName
			w.create(testPod(nil))
			w.after(time.Second)
			if s := w.status("main").State.Waiting; s == nil || s.Reason != "InvalidImageName" {
				t.Errorf("state %+v", s)
			}
		})
	})
}

func TestMissingConfigMap(t *testing.T) {
	inWorld(t, func(w *world) {
		w.create(testPod(func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{
				ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "conf"}, Key: "a"}}}}
		}))
		w.after(time.Second)
		if s := w.status("main").State.Waiting; s == nil || s.Reason != "CreateContainerConfigError" || s.Message != `configmap "conf" not found` {
			t.Fatalf("state %+v", s)
		}
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "conf"}, Data: map[string]string{"a": "1"}}
		if _, err := builtin.ConfigMaps.Create(context.Background(), w.verbs, m, object.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.after(time.Second) // at once, not at the next retry
		if s := w.status("main").State; s.Running == nil {
			t.Fatalf("state %+v", s)
		}
		if env := w.runtime.configs["c1"].Env; !slices.Contains(env, "A=1") {
			t.Errorf("environment %q", env)
		}
	})
}

func TestInitContainersAndSidecars(t *testing.T) {
	inWorld(t, func(w *world) {
		always := corev1.ContainerRestartPolicyAlways
		w.runtime.execs["ready"] = func(context.Context) (int, error) { return 1, nil }
		w.create(testPod(func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{
				{Name: "first", Image: "i:1"},
				{Name: "side", Image: "s:1", RestartPolicy: &always, StartupProbe: &corev1.Probe{FailureThreshold: 100, PeriodSeconds: 1,
					ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"ready"}}}}},
				{Name: "last", Image: "i:1"},
			}
		}))
		w.after(5 * time.Second)
		if p := w.pod(); condition(p, corev1.PodInitialized).Message != "containers with incomplete status: [first side last]" ||
			w.status("main").State.Waiting.Reason != "PodInitializing" || p.Status.Phase != corev1.PodPending {
			t.Errorf("status %+v", p.Status)
		}
		w.runtime.exit(w.runtime.latest("first").ID, 0)
		w.after(5 * time.Second)
		if got := w.runtime.latest("last"); got.ID != "" || w.runtime.latest("side").ID == "" {
			t.Fatalf("started before the sidecar was: %+v", got)
		}
		w.runtime.mu.Lock()
		delete(w.runtime.execs, "ready")
		w.runtime.mu.Unlock()
		w.after(2 * time.Second)
		w.runtime.exit(w.runtime.latest("last").ID, 0)
		w.after(time.Second)
		if p := w.pod(); p.Status.Phase != corev1.PodRunning || condition(p, corev1.PodReady).Status != corev1.ConditionTrue {
			t.Errorf("status %+v", p.Status)
		}
		w.runtime.exit(w.runtime.latest("side").ID, 0) // a sidecar is restarted
		w.after(2 * time.Second)
		if c := w.runtime.latest("side"); c.Attempt != 1 || c.State != cri.Running {
			t.Errorf("sidecar %+v", c)
		}
		w.delete(nil)
		w.after(time.Second)
		log := w.runtime.log()
		if i, j := slices.Index(log, "stop main 30s"), slices.Index(log, "stop side 30s"); i < 0 || j < i {
			t.Errorf("sidecar must be stopped after the others: %q", log)
		}
	})
}

func TestJobPodEnds(t *testing.T) {
	for _, c := range []struct {
		code  int
		phase corev1.PodPhase
	}{{0, corev1.PodSucceeded}, {2, corev1.PodFailed}} {
		inWorld(t, func(w *world) {
			w.create(testPod(func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever }))
			w.after(time.Second)
			w.runtime.exit("c1", c.code)
			w.after(time.Second)
			p := w.pod()
			if p.Status.Phase != c.phase || w.status("main").State.Terminated == nil || w.status("main").State.Terminated.ExitCode != int32(c.code) {
				t.Errorf("status %+v", p.Status)
			}
			if _, there, _ := w.runtime.Sandbox(context.Background(), "u-web"); there || len(w.volumes.setUp) != 0 || len(w.network.attached) != 0 {
				t.Error("an ended pod keeps its sandbox, volumes or network")
			}
			w.after(5 * time.Minute)
			if got := w.pod(); got.ResourceVersion != p.ResourceVersion {
				t.Errorf("an ended pod was written again")
			}
			w.delete(nil)
			w.after(time.Second)
			if _, err := builtin.Pods.Get(context.Background(), w.verbs, "default", "web"); !apierrors.IsNotFound(err) {
				t.Errorf("deleted pod: %v", err)
			}
		})
	}
}

func TestTermination(t *testing.T) {
	inWorld(t, func(w *world) {
		w.runtime.execs["bye"] = func(ctx context.Context) (int, error) { time.Sleep(4 * time.Second); return 0, nil }
		w.runtime.ignoreTERM["main"] = true
		w.create(testPod(func(p *corev1.Pod) {
			p.Spec.TerminationGracePeriodSeconds = new(int64(10))
			p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"bye"}}}}
		}))
		w.after(time.Second)
		w.delete(nil)
		w.after(9 * time.Second)
		if w.pod().DeletionTimestamp == nil {
			t.Fatal("not deleted")
		}
		if log := w.runtime.log(); !slices.Contains(log, "stop main 6s") {
			t.Errorf("preStop must count in the grace: %q", log)
		}
		w.after(2 * time.Second)
		if _, err := builtin.Pods.Get(context.Background(), w.verbs, "default", "web"); !apierrors.IsNotFound(err) {
			t.Errorf("pod after its grace: %v", err)
		}
		w.wantEvent("Killing: Stopping container main")
		if len(w.volumes.setUp) != 0 || len(w.network.attached) != 0 || len(w.runtime.sandboxes) != 0 {
			t.Error("leftovers")
		}
	})
}

func TestPreStopSleepEndsWithTheGrace(t *testing.T) {
	inWorld(t, func(w *world) {
		w.create(testPod(func(p *corev1.Pod) {
			p.Spec.TerminationGracePeriodSeconds = new(int64(10))
			p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 60}}}
		}))
		w.after(time.Second)
		w.delete(nil)
		w.after(9 * time.Second)
		if slices.Contains(w.runtime.log(), "stop main 1s") {
			t.Error("stopped before the hook or the grace ended")
		}
		w.after(2 * time.Second)
		if !slices.Contains(w.runtime.log(), "stop main 1s") || len(w.runtime.sandboxes) != 0 {
			t.Errorf("not stopped when the grace was over: %q", w.runtime.log())
		}
	})
}

func TestForcedDeletionCutsGrace(t *testing.T) {
	inWorld(t, func(w *world) {
		w.runtime.ignoreTERM["main"] = true
		w.create(testPod(nil))
		w.after(time.Second)
		w.delete(nil)
		w.after(2 * time.Second)
		w.delete(new(int64(0)))
		w.after(2 * time.Second)
		if len(w.runtime.sandboxes) != 0 {
			t.Errorf("sandbox still there after a forced deletion: %q", w.runtime.log())
		}
	})
}

func TestDeletionInterruptsPull(t *testing.T) {
	inWorld(t, func(w *world) {
		w.volumes.err = errors.New(`MountVolume.SetUp failed for volume "x" : configmap "y" not found`)
		w.create(testPod(nil))
		w.after(time.Second)
		w.wantEvent(`FailedMount: MountVolume.SetUp failed for volume "x" : configmap "y" not found`)
		if s := w.status("main").State.Waiting; s == nil || s.Reason != "ContainerCreating" {
			t.Errorf("state %+v", s)
		}
		w.delete(nil)
		w.after(time.Second)
		if _, err := builtin.Pods.Get(context.Background(), w.verbs, "default", "web"); !apierrors.IsNotFound(err) {
			t.Errorf("pod that never started is not deleted at once: %v", err)
		}
	})
}

func TestAdoption(t *testing.T) {
	inWorld(t, func(w *world) {
		w.create(testPod(func(p *corev1.Pod) {
			p.Spec.Containers[0].ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"ok"}}}}
		}))
		w.after(3 * time.Second)
		before := w.pod()
		if condition(before, corev1.PodReady).Status != corev1.ConditionTrue {
			t.Fatalf("not ready: %+v", before.Status)
		}
		w.stop()
		calls := len(w.runtime.log())
		w.begin()
		w.after(time.Minute)
		for _, c := range w.runtime.log()[calls:] {
			if !strings.HasPrefix(c, "exec") {
				t.Errorf("adoption did %q", c)
			}
		}
		if diff := cmp.Diff(before.Status, w.pod().Status); diff != "" {
			t.Errorf("status changed by adoption:\n%s", diff)
		}
	})
}

func TestReboot(t *testing.T) {
	for _, lost := range []bool{true, false} { // the runtime forgot, or says Unknown
		inWorld(t, func(w *world) {
			w.create(testPod(nil))
			w.after(time.Second)
			w.stop()
			if lost {
				clear(w.runtime.sandboxes)
			} else {
				s := w.runtime.sandboxes["u-web"]
				s.Ready = false
				s.Containers[0].State = cri.Unknown
			}
			clear(w.network.attached)
			w.begin()
			w.after(time.Second)
			s := w.status("main")
			if s.State.Running == nil || s.RestartCount != 1 || s.ContainerID != "pkg://c2" {
				t.Errorf("lost=%v: status %+v", lost, s)
			}
			if l := s.LastTerminationState.Terminated; l == nil || l.Reason != "ContainerStatusUnknown" || l.ExitCode != 137 {
				t.Errorf("lost=%v: last state %+v", lost, s.LastTerminationState)
			}
			w.wantEvent("SandboxChanged: Pod sandbox changed, it will be killed and re-created.")
		})
	}
}

func TestOrphanedSandboxIsRemoved(t *testing.T) {
	inWorld(t, func(w *world) {
		w.create(testPod(nil))
		w.after(time.Second)
		w.stop()
		w.delete(new(int64(0)))
		w.begin()
		w.after(2 * time.Minute)
		if len(w.runtime.sandboxes) != 0 || len(w.network.attached) != 0 || len(w.volumes.setUp) != 0 {
			t.Errorf("leftovers: %v %v %v", w.runtime.sandboxes, w.network.attached, w.volumes.setUp)
		}
	})
}

func TestEphemeralContainer(t *testing.T) {
	inWorld(t, func(w *world) {
		w.create(testPod(nil))
		w.after(time.Second)
		p := w.pod().DeepCopy()
		p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debugger", Image: "tools:1"}}}
		if _, err := builtin.Pods.Update(context.Background(), w.verbs, p, object.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.after(time.Second)
		if s := w.status("debugger"); s.State.Running == nil {
			t.Fatalf("status %+v", s)
		}
		w.runtime.exit(w.runtime.latest("debugger").ID, 1)
		w.after(10 * time.Minute)
		if s := w.status("debugger"); s.State.Terminated == nil || s.RestartCount != 0 || w.pod().Status.Phase != corev1.PodRunning {
			t.Errorf("status %+v, phase %s", s, w.pod().Status.Phase)
		}
	})
}

func TestNodeAndLease(t *testing.T) {
	inWorld(t, func(w *world) {
		w.after(time.Second)
		n, err := builtin.Nodes.Get(context.Background(), w.verbs, "", "n1")
		if err != nil {
			t.Fatal(err)
		}
		if n.Labels["kubernetes.io/hostname"] != "n1" || n.Status.NodeInfo.ContainerRuntimeVersion != "pkg://1.0" || n.Status.DaemonEndpoints.KubeletEndpoint.Port != 10250 ||
			n.Status.Capacity.Pods().Value() != 110 || n.Status.Allocatable.Memory().IsZero() {
			t.Errorf("node %+v", n)
		}
		first, err := builtin.Leases.Get(context.Background(), w.verbs, "kube-node-lease", "n1")
		if err != nil {
			t.Fatal(err)
		}
		w.after(11 * time.Second)
		second, err := builtin.Leases.Get(context.Background(), w.verbs, "kube-node-lease", "n1")
		if err != nil || !second.Spec.RenewTime.After(first.Spec.RenewTime.Time) {
			t.Errorf("lease not renewed: %v, %v", second, err)
		}
	})
}

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
