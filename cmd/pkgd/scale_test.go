package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/instance"
)

// nginxImage is in testImages.
const nginxImage = "docker.io/library/nginx:1.22"

// From kubectl scale to 20 pods Ready, with the image present, once without
// probes and once the bundled chart with its own; and what the machine's
// programs then hold in memory.
func BenchmarkScale(b *testing.B) {
	const pods = 20
	for _, kind := range []string{"plain", "chart"} {
		b.Run(kind, func(b *testing.B) {
			m := newMachine(b)
			m.pkg("cluster", "start")
			name := "web"
			if kind == "chart" {
				m.pkg("install", "web", "bundled/nginx")
				name = strings.TrimPrefix(strings.TrimSpace(m.kubectl("get", "deployment", "-o", "name")), "deployment.apps/")
			} else {
				m.kubectl("create", "deployment", name, "--image="+nginxImage)
			}
			m.kubectl("rollout", "status", "deployment/"+name, "--timeout=60s")
			m.kubectl("scale", "deployment/"+name, "--replicas=0")
			m.readyPods(b, 0)
			before := programTimes(b)
			start := time.Now()
			m.kubectl("scale", "deployment/"+name, "--replicas="+strconv.Itoa(pods))
			m.readyPods(b, pods)
			took := time.Since(start)
			used := programTimes(b) - before
			daemon := field(b, fmt.Sprintf("/proc/%d/status", m.pid()), "VmRSS:") / 1024
			all, proportional := daemon, field(b, fmt.Sprintf("/proc/%d/smaps_rollup", m.pid()), "Pss:")/1024
			for _, pid := range shimPIDs(b) {
				all += field(b, fmt.Sprintf("/proc/%d/status", pid), "VmRSS:") / 1024
				proportional += field(b, fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:") / 1024
			}
			report(b, map[string]float64{
				"ready-ms":   ms(took),
				"cpu-ms/pod": ms(used) / pods,
				"pkgd-MB":    daemon,
				"all-RSS-MB": all,
				"all-PSS-MB": proportional,
			})
		})
	}
}

// readyPods waits until exactly so many pods are there, all Ready.
func (m *machine) readyPods(t testing.TB, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	set := client(t, m)
	ready := map[string]bool{}
	list, err := set.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		ready[list.Items[i].Name] = isReady(&list.Items[i])
	}
	w, err := set.CoreV1().Pods("default").Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	done := func() bool {
		for _, is := range ready {
			if !is {
				return false
			}
		}
		return len(ready) == want
	}
	for !done() {
		e, ok := <-w.ResultChan()
		if !ok {
			t.Fatalf("the pods are %v, want %d that are Ready", ready, want)
		}
		pod, isPod := e.Object.(*corev1.Pod)
		if !isPod {
			t.Fatalf("watch of pods: %v", e.Object)
		}
		if ready[pod.Name] = isReady(pod); e.Type == "DELETED" {
			delete(ready, pod.Name)
		}
	}
}

func isReady(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// programTimes is the processor time of pkgd and the shims of this PID
// namespace, with that of the helpers that have ended.
func programTimes(t testing.TB) time.Duration {
	t.Helper()
	var sum time.Duration
	for _, pid := range append(running(t, "shim-"), running(t, "pkgd")...) {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended
		}
		f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+2:]))
		for _, ticks := range f[11:15] { // its own, and its children's
			n, _ := strconv.Atoi(ticks)
			sum += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return sum
}

// running finds the processes of this PID namespace whose program's name
// begins so.
func running(t testing.TB, prefix string) (pids []int) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if target, err := os.Readlink(l); err == nil && strings.HasPrefix(filepath.Base(target), prefix) {
			pid, _ := strconv.Atoi(strings.Split(l, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

func shimPIDs(t testing.TB) []int { return running(t, "shim-") }

// TestPodsLeaveNothing starts and stops pods behind a Service again and again:
// nothing of them may stay, and pkgd's memory may not grow. PKG_CHURN=100x10
// makes more of it.
func TestPodsLeaveNothing(t *testing.T) {
	pods, rounds := 20, 3
	if churn := os.Getenv("PKG_CHURN"); churn != "" {
		if _, err := fmt.Sscanf(churn, "%dx%d", &pods, &rounds); err != nil {
			t.Fatalf("PKG_CHURN=%s: want PODSxROUNDS", churn)
		}
	}
	m := newMachine(t)
	m.pkg("cluster", "start")
	m.apply(fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"churn"},"spec":{"replicas":0,
		"selector":{"matchLabels":{"app":"churn"}},"template":{"metadata":{"labels":{"app":"churn"}},
		"spec":{"terminationGracePeriodSeconds":1,"volumes":[{"name":"scratch","emptyDir":{"medium":"Memory"}}],
		"containers":[{"name":"c","image":%q,"command":["sh","-c","trap 'exit 0' TERM; sleep 1000 & wait"],
		"volumeMounts":[{"name":"scratch","mountPath":"/scratch"}],"ports":[{"containerPort":80}]}]}}}}`, busybox),
		`{"apiVersion":"v1","kind":"Service","metadata":{"name":"churn"},"spec":{"selector":{"app":"churn"},"ports":[{"port":80}]}}`)
	round := func(n int) float64 {
		start := time.Now()
		m.kubectl("scale", "deployment/churn", "--replicas="+strconv.Itoa(n))
		m.readyPods(t, n)
		up := time.Since(start)
		m.kubectl("scale", "deployment/churn", "--replicas=0")
		m.readyPods(t, 0)
		rss, err := procField(fmt.Sprintf("/proc/%d/status", m.pid()), "VmRSS:")
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d pods: up in %d ms, up and down in %d ms, pkgd %.1f MB", n, up.Milliseconds(), time.Since(start).Milliseconds(), rss/1024)
		return rss / 1024
	}
	seen := func() []string {
		own := slices.DeleteFunc(traces(t), func(s string) bool {
			return strings.HasPrefix(s, "cgroup ") && !strings.Contains(s, instance.ID(m.home))
		})
		return append(own, rules(t)...)
	}
	idle := func() error { // the Service has no endpoints, and its rules say so
		if all := rules(t); !slices.ContainsFunc(all, func(s string) bool { return strings.HasSuffix(s, " empty with 1 elements") }) {
			return fmt.Errorf("the rules have endpoints: %q", all)
		}
		return nil
	}
	eventually(t, 10*time.Second, idle)
	held := []float64{round(pods)}
	eventually(t, 10*time.Second, idle)
	before := seen()
	for range rounds {
		held = append(held, round(pods))
	}
	eventually(t, 10*time.Second, func() error { // the rules follow, and shims end after their pods
		if diff := cmp.Diff(before, seen()); diff != "" {
			return fmt.Errorf("the machine after one round and after all (-one +all):\n%s", diff)
		}
		for _, dir := range []string{"containers", "pods", filepath.Join("logs", "pods")} {
			if left, err := os.ReadDir(filepath.Join(m.home, dir)); err != nil || len(left) > 0 {
				return fmt.Errorf("%s holds %v (%v), want nothing", dir, left, err)
			}
		}
		return nil
	})
	// What watchers may still ask for is bounded in size, and full in the end.
	// Before that it grows with every round, as Events do, which stay for an hour.
	middle, last := held[len(held)/2], held[len(held)-1]
	if most := middle*1.15 + 15; last > most {
		t.Errorf("pkgd has %.1f MB after %d rounds and had %.1f MB after half of them; want at most %.1f", last, rounds+1, middle, most)
	}
}
