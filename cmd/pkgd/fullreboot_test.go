package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// rebootLimit is how soon after the daemon's start twenty pods must be Ready.
const rebootLimit = 10 * time.Second

// workload is a Deployment, or a StatefulSet with a claim for each pod.
func workload(kind, name string, replicas int, image, command, probe string) string {
	claims, mounts, serviceName := "", "", ""
	if kind == "StatefulSet" {
		claims = `,"volumeClaimTemplates":[{"metadata":{"name":"d"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Mi"}}}}],"podManagementPolicy":"Parallel"`
		mounts, serviceName = `,"volumeMounts":[{"name":"d","mountPath":"/d"}]`, `"serviceName":"none",`
	}
	return fmt.Sprintf(`{"apiVersion":"apps/v1","kind":%q,"metadata":{"name":%q},"spec":{%s"replicas":%d,"selector":{"matchLabels":{"app":%q}},
"template":{"metadata":{"labels":{"app":%q}},"spec":{"terminationGracePeriodSeconds":1,"containers":[{"name":"c","image":%q%s,"readinessProbe":%s%s}]}}%s}}`,
		kind, name, serviceName, replicas, name, name, image, command, probe, mounts, claims)
}

// Twenty pods of several kinds, some with volumes, are Ready again soon after
// the machine has started again.
func TestRebootWithTwentyPods(t *testing.T) {
	const pods = 20
	m := newMachine(t)
	m.pkg("cluster", "start")
	count := `,"command":["sh","-c","echo start >> /d/starts; exec sleep 1000"]`
	m.apply(
		workload("Deployment", "web", 8, "docker.io/library/nginx:1.22", "", `{"httpGet":{"path":"/","port":80},"periodSeconds":1}`),
		workload("Deployment", "idle", 4, busybox, `,"command":["sleep","1000"]`, `{"exec":{"command":["true"]}}`),
		workload("StatefulSet", "data", 8, busybox, count, `{"exec":{"command":["test","-s","/d/starts"]}}`))
	c := m.client(t)
	ready := func(since time.Time) (n int, missing []string) {
		t.Helper()
		all, err := c.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return 0, []string{err.Error()}
		}
		for i := range all.Items {
			if p := &all.Items[i]; readySince(p, since) {
				n++
			} else {
				missing = append(missing, p.Name)
			}
		}
		return n, missing
	}
	await := func(limit time.Duration, since time.Time) {
		t.Helper()
		eventually(t, limit, func() error {
			if n, missing := ready(since); n != pods {
				return fmt.Errorf("%d of %d pods Ready, not %s", n, pods, strings.Join(missing, " "))
			}
			return nil
		})
	}
	start := time.Now()
	await(2*time.Minute, time.Time{})
	t.Logf("%d new pods Ready in %s", pods, time.Since(start).Round(time.Millisecond))

	killOthers(t)
	unmountRun(t, "")
	if err := setBootID(); err != nil {
		t.Fatal(err)
	}
	start = time.Now()
	m.pkg("cluster", "start")
	up := time.Since(start)
	await(time.Minute, start)
	took := time.Since(start)
	t.Logf("after the reboot: the cluster is ready in %s, %d pods are Ready in %s", up.Round(time.Millisecond), pods, took.Round(time.Millisecond))
	if took > rebootLimit {
		t.Errorf("%d pods were Ready %s after the daemon's start, want at most %s", pods, took, rebootLimit)
	}
	for n := range 8 {
		if got := m.kubectl("exec", fmt.Sprintf("data-%d", n), "--", "cat", "/d/starts"); got != "start\nstart\n" {
			t.Errorf("data-%d: its volume says %q, want two starts", n, got)
		}
	}
}

// readySince tells whether a pod is Ready and its container runs since a time
// or later. (Kubernetes' times have whole seconds.)
func readySince(p *corev1.Pod, since time.Time) bool {
	for _, s := range p.Status.ContainerStatuses {
		if s.State.Running == nil || s.State.Running.StartedAt.Time.Before(since.Truncate(time.Second)) {
			return false
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
