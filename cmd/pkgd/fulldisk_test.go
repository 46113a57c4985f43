package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/seed38700745/pkg/cluster/store/powercut"
)

// diskful is a machine whose data folder is on a small disk of its own.
func diskful(t *testing.T, size int64) *machine {
	t.Helper()
	m := newMachine(t)
	d := powercut.ForTest(t, size)
	home := m.home
	m.home = filepath.Join(d.Path(), "home")
	for i, e := range m.env {
		if e == "PKG_HOME="+home {
			m.env[i] = "PKG_HOME=" + m.home
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(m.home, "logs", "pkgd.log"))
			t.Logf("pkgd.log:\n%s", tail(log, 8000))
		}
		m.t = t
		m.pkg("cluster", "delete", "--yes", "--volumes")
	})
	return m
}

// scribe writes ConfigMaps until told to stop, and remembers which were
// acknowledged.
type scribe struct {
	stop, done chan struct{}

	mu           sync.Mutex
	acknowledged []string
	refused      []error
}

func startScribe(set *kubernetes.Clientset) *scribe {
	s := &scribe{stop: make(chan struct{}), done: make(chan struct{})}
	go func() { // ends when stop is closed
		defer close(s.done)
		for n := 0; ; n++ {
			select {
			case <-s.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			o := configMap(fmt.Sprintf("scribe-%d", n))
			o.Data["data"] = strings.Repeat("x", 32<<10)
			_, err := set.CoreV1().ConfigMaps("default").Create(context.Background(), o, metav1.CreateOptions{})
			s.mu.Lock()
			if err != nil {
				s.refused = append(s.refused, err)
			} else {
				s.acknowledged = append(s.acknowledged, o.Name)
			}
			s.mu.Unlock()
		}
	}()
	return s
}

func (s *scribe) counts() (acknowledged, refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acknowledged), len(s.refused)
}

// nodeSays waits until the node has, or has not, disk pressure and the taint.
func nodeSays(t *testing.T, set *kubernetes.Clientset, pressure corev1.ConditionStatus) {
	t.Helper()
	eventually(t, time.Minute, func() error {
		nodes, err := set.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
		if err != nil || len(nodes.Items) != 1 {
			return fmt.Errorf("nodes: %v, %w", nodes, err)
		}
		n, status, tainted := nodes.Items[0], corev1.ConditionUnknown, corev1.ConditionFalse
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeDiskPressure {
				status = c.Status
			}
		}
		for _, x := range n.Spec.Taints {
			if x.Key == corev1.TaintNodeDiskPressure {
				tainted = corev1.ConditionTrue
			}
		}
		if status != pressure || tainted != pressure {
			return fmt.Errorf("DiskPressure is %s, tainted %s; want %s", status, tainted, pressure)
		}
		return nil
	})
}

// TestFullDisk fills the disk of the data folder to the last block while a
// client writes: what cannot be kept is refused and said so, reads go on, the
// pod that filled it is evicted, and then everything goes on by itself.
func TestFullDisk(t *testing.T) {
	m := diskful(t, 160<<20)
	m.pkg("cluster", "start", "--eviction-pressure-transition-period", "2s", "--eviction-hard", "nodefs.available<8Mi,imagefs.available<8Mi")
	m.apply(podManifest("keeper", "sh", "-c", "trap exit TERM; while true; do echo tick; sleep 0.1; done"),
		fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"hog"},"spec":{"terminationGracePeriodSeconds":1,
		"volumes":[{"name":"scratch","emptyDir":{}}],"containers":[{"name":"c","image":%q,"volumeMounts":[{"name":"scratch","mountPath":"/scratch"}],
		"command":["sh","-c","while [ ! -e /scratch/go ]; do sleep 0.1; done; dd if=/dev/zero of=/scratch/full bs=64k; sleep 1000"]}]}}`, busybox))
	m.kubectl("wait", "--for=condition=Ready", "pod/keeper", "pod/hog", "--timeout=60s")
	set := client(t, m)
	s := startScribe(set)
	m.kubectl("exec", "hog", "--", "touch", "/scratch/go")

	eventually(t, time.Minute, func() error {
		if _, refused := s.counts(); refused == 0 {
			return errors.New("every write found room")
		}
		return nil
	})
	s.mu.Lock()
	err := s.refused[0]
	s.mu.Unlock()
	if !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), "the data folder is out of space: free some on the file system of "+filepath.Join(m.home, "store")) {
		t.Errorf("a refused write: %v", err)
	}
	acknowledged, _ := s.counts()
	list, err := set.CoreV1().ConfigMaps("default").List(context.Background(), metav1.ListOptions{})
	if err != nil || len(list.Items) < acknowledged {
		t.Errorf("reading on a full disk: %d objects, error %v; want %d", len(list.Items), err, acknowledged)
	}
	nodeSays(t, set, corev1.ConditionTrue)

	eventually(t, time.Minute, func() error {
		p, err := set.CoreV1().Pods("default").Get(context.Background(), "hog", metav1.GetOptions{})
		if err != nil || p.Status.Reason != "Evicted" || !strings.HasPrefix(p.Status.Message, "The node was low on resource: ephemeral-storage. Threshold quantity: 8Mi, available: ") {
			return fmt.Errorf("hog: %s %s, %w", p.Status.Reason, p.Status.Message, err)
		}
		return nil
	})
	before, _ := s.counts()
	eventually(t, 30*time.Second, func() error { // by itself
		if now, _ := s.counts(); now < before+10 {
			return fmt.Errorf("%d writes since there is room again", now-before)
		}
		return nil
	})
	nodeSays(t, set, corev1.ConditionFalse)
	close(s.stop)
	<-s.done
	if p := m.kubectl("get", "pod", "keeper", "-o", "jsonpath={.status.phase} {.status.containerStatuses[0].restartCount}"); p != "Running 0" {
		t.Errorf("keeper is %s, want it Running and not restarted", p)
	}
	if events := m.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}"); !strings.Contains(events, "Evicted") {
		t.Errorf("no event Evicted among %s", events)
	}

	pid := m.pid()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() error {
		if syscall.Kill(pid, 0) == nil && m.try("pkg", "cluster", "status").code == 0 {
			return errors.New("pkgd still runs")
		}
		return nil
	})
	m.pkg("cluster", "start")
	there := m.kubectl("get", "configmaps", "-o", "name")
	names := map[string]bool{}
	for name := range strings.FieldsSeq(there) {
		names[strings.TrimPrefix(name, "configmap/")] = true
	}
	for _, name := range s.acknowledged {
		if !names[name] {
			t.Errorf("%s was acknowledged and is lost", name)
		}
	}
	t.Logf("%d writes acknowledged, %d refused", len(s.acknowledged), len(s.refused))
}
