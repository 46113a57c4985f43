package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/seed38700745/pkg/cluster/store/powercut"
)

// ledger is what one client has been told of its ConfigMaps.
type ledger struct {
	acknowledged map[string]string // name to value; "" for deleted
	unknown      map[string]bool   // the last write got no answer
	writes       int
}

// client connects to the cluster as the administrator, without limits.
func (m *machine) client(t *testing.T) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(m.home, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Timeout = -1, 5*time.Second
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// load creates, changes and deletes ConfigMaps until a write gets no answer.
func (l *ledger) load(ctx context.Context, c kubernetes.Interface, prefix string, rng *rand.Rand) {
	maps := c.CoreV1().ConfigMaps("default")
	for n := 0; ; n++ {
		name := fmt.Sprintf("%s-%d", prefix, n)
		value := fmt.Sprintf("%0*d", 1+rng.IntN(2000), n)
		o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"x": value}}
		if _, err := maps.Create(ctx, o, metav1.CreateOptions{}); err != nil {
			l.unknown[name] = true
			return
		}
		l.acknowledged[name] = value
		l.writes++
		if n < 3 {
			continue
		}
		earlier := fmt.Sprintf("%s-%d", prefix, n-1-rng.IntN(3))
		if l.acknowledged[earlier] == "" {
			continue
		}
		var err error
		changed := ""
		if rng.IntN(3) == 0 {
			err = maps.Delete(ctx, earlier, metav1.DeleteOptions{})
		} else {
			changed = value + "!"
			o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: earlier}, Data: map[string]string{"x": changed}}
			_, err = maps.Update(ctx, o, metav1.UpdateOptions{})
		}
		if err != nil {
			l.unknown[earlier] = true
			return
		}
		l.acknowledged[earlier] = changed
		l.writes++
	}
}

// check compares what is there with what was acknowledged.
func (l *ledger) check(t *testing.T, there map[string]string) {
	t.Helper()
	for name, want := range l.acknowledged {
		if got := there[name]; got != want && !l.unknown[name] {
			t.Errorf("ConfigMap %s: %d bytes, want %d that were acknowledged", name, len(got), len(want))
		}
	}
}

// cutPower ends everything on this machine but the test and what its disk has
// not synced, as between a power cut and the next boot. stopped waits until the
// test itself uses the cluster no more.
func cutPower(t *testing.T, d *powercut.Disk, stopped func()) {
	t.Helper()
	if err := d.Cut(); err != nil {
		t.Fatal(err)
	}
	killOthers(t)
	stopped()
	unmountRun(t, d.Path())
	if err := setBootID(); err != nil {
		t.Fatal(err)
	}
	if err := d.Remount(); err != nil {
		t.Fatal(err)
	}
}

// A cluster that has just started for the first time keeps its certificates, its
// addresses and what was written.
func TestPowerCutOfNewCluster(t *testing.T) {
	m := newMachine(t)
	d := m.newDisk(t, 64<<20)
	m.pkg("cluster", "start")
	c := m.client(t)
	o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "first"}, Data: map[string]string{"x": "kept"}}
	if _, err := c.CoreV1().ConfigMaps("default").Create(t.Context(), o, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	cutPower(t, d, func() {})
	m.pkg("cluster", "start")
	if got := configMaps(t, c)["first"]; got != "kept" {
		t.Errorf("ConfigMap first: %q after the cut", got)
	}
}

// The power is cut at several moments of a write load: every acknowledged write
// is there afterwards, and pods start again.
func TestPowerCut(t *testing.T) {
	const clients, cuts, seed = 8, 5, 20261121
	rng := rand.New(rand.NewPCG(seed, 0))
	m := newMachine(t)
	d := m.newDisk(t, 256<<20)
	m.pkg("cluster", "start")
	m.apply(podManifest("p", "sleep", "1000"))
	m.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=60s")
	var all []*ledger
	for cut := range cuts {
		c := m.client(t)
		var g sync.WaitGroup
		for n := range clients {
			l := &ledger{acknowledged: map[string]string{}, unknown: map[string]bool{}}
			all = append(all, l)
			own := rand.New(rand.NewPCG(seed, uint64(cut*clients+n+1)))
			g.Go(func() { l.load(t.Context(), c, fmt.Sprintf("m%d-%d", cut, n), own) })
		}
		<-time.After(time.Duration(20+rng.IntN(400)) * time.Millisecond)
		cutPower(t, d, g.Wait)
		start := time.Now()
		m.pkg("cluster", "start")
		there := configMaps(t, c) // the certificates are those of before, too
		writes := 0
		for _, l := range all {
			l.check(t, there)
			writes += l.writes
		}
		ready := time.Since(start)
		eventually(t, 30*time.Second, func() error {
			if r := m.try("pkg", "kubectl", "exec", "p", "--", "true"); r.code != 0 {
				return &exitStatus{r}
			}
			return nil
		})
		t.Logf("cut %d: %d writes acknowledged so far, ready and checked after %s, the pod runs after %s",
			cut, writes, ready.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
		if writes == 0 {
			t.Error("nothing was written")
		}
	}
}

// configMaps are the values of all ConfigMaps, by name.
func configMaps(t *testing.T, c kubernetes.Interface) map[string]string {
	t.Helper()
	l, err := c.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]string{}
	for _, o := range l.Items {
		there[o.Name] = o.Data["x"]
	}
	return there
}
