package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// These are the figures that the project promises. Each is measured from outside,
// on the real programs: `make bench` prints them. The time that the benchmark
// loop itself takes says nothing.

// cost is what a program cost.
type cost struct {
	cpu, wall time.Duration
	rss       float64 // MB at its peak
}

// measure runs a program many times and returns the medians.
func measure(b *testing.B, env []string, name string, args ...string) cost {
	b.Helper()
	var cpu, wall []time.Duration
	var rss []float64
	for range 20 {
		c := exec.Command(name, args...)
		c.Env = env
		start := time.Now()
		usage, peak, err := trace(c)
		if err != nil {
			b.Fatalf("%s %v: %v", name, args, err)
		}
		wall = append(wall, time.Since(start))
		cpu = append(cpu, time.Duration(usage.Utime.Nano()+usage.Stime.Nano()))
		rss = append(rss, peak)
	}
	return cost{median(cpu), median(wall), median(rss)}
}

// trace runs c and stops it when it is about to end, to read its peak of
// resident memory in MB: the one that wait reports starts with the peak of the
// process that forked, which is this one.
func trace(c *exec.Cmd) (usage syscall.Rusage, peak float64, err error) {
	runtime.LockOSThread() // all of a tracee's calls come from one thread
	defer runtime.UnlockOSThread()
	c.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := c.Start(); err != nil {
		return usage, 0, err
	}
	pid := c.Process.Pid
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		return usage, 0, err
	}
	if err := syscall.PtraceSetOptions(pid, unix.PTRACE_O_TRACEEXIT); err != nil {
		return usage, 0, err
	}
	for signal := 0; ; {
		if err := syscall.PtraceCont(pid, signal); err != nil {
			return usage, 0, err
		}
		if _, err := syscall.Wait4(pid, &status, 0, &usage); err != nil {
			return usage, 0, err
		}
		switch {
		case status.Exited() && status.ExitStatus() == 0:
			return usage, peak, nil
		case status.Exited() || status.Signaled():
			return usage, 0, fmt.Errorf("ended with %v", status)
		case status.TrapCause() == unix.PTRACE_EVENT_EXIT:
			signal = 0
			if peak, err = procField(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:"); err != nil {
				return usage, 0, err
			}
			peak /= 1024
		case status.StopSignal() == syscall.SIGTRAP:
			signal = 0
		default:
			signal = int(status.StopSignal())
		}
	}
}

func median[T ~int64 | ~float64](x []T) T {
	x = slices.Clone(x)
	slices.Sort(x)
	return x[len(x)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// report shows a figure instead of the loop's time.
func report(b *testing.B, figures map[string]float64) {
	b.ReportMetric(0, "ns/op")
	for unit, value := range figures {
		b.ReportMetric(value, unit)
	}
}

func BenchmarkCommand(b *testing.B) {
	m := newMachine(b)
	chart := filepath.Join("..", "..", "charts", "nginx")
	for name, args := range map[string][]string{"version": {"version"}, "template": {"template", "x", chart}} {
		programs := map[string]string{"pkg": binary("pkg")}
		if helm := filepath.Join("..", "..", "bin", "tools", "helm"); exists(helm) {
			programs["helm"] = helm
		}
		for program, path := range programs {
			b.Run(name+"/"+program, func(b *testing.B) {
				u := measure(b, m.env, path, args...)
				report(b, map[string]float64{"cpu-ms": ms(u.cpu), "wall-ms": ms(u.wall), "peak-MB": u.rss})
			})
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// From exec of pkgd on an empty data folder to a Ready node, certificates made.
func BenchmarkStart(b *testing.B) {
	var took []time.Duration
	for range 5 {
		m := newMachine(b)
		r := m.try("pkg", "cluster", "start")
		if r.code != 0 {
			b.Fatal(r.stderr)
		}
		took = append(took, r.took)
		m.pkg("cluster", "delete", "--yes")
	}
	report(b, map[string]float64{"ready-ms": ms(median(took))})
}

// From nothing but a running cluster, with the image present, to Ready.
func BenchmarkInstall(b *testing.B) {
	for _, chart := range []string{"nginx", "mysql"} {
		b.Run(chart, func(b *testing.B) {
			m := newMachine(b)
			m.pkg("cluster", "start")
			m.pkg("install", "bundled/"+chart) // unpacks the image
			m.pkg("uninstall", chart)
			var took []time.Duration
			for i := range 3 {
				name := fmt.Sprintf("bench-%d", i)
				r := m.try("pkg", "install", name, "bundled/"+chart)
				if r.code != 0 {
					b.Fatal(r.stderr)
				}
				took = append(took, r.took)
				m.pkg("uninstall", name)
			}
			report(b, map[string]float64{"install-ms": ms(median(took))})
		})
	}
}

// settle is how long after the last change a cluster counts as idle.
const settle = 30 * time.Second

// Memory, processor and disk of an idle cluster with MySQL in it.
func BenchmarkIdle(b *testing.B) {
	m := newMachine(b)
	m.pkg("install", "bundled/mysql")
	<-time.After(settle)
	pid := m.pid()
	before, written := cpuTime(b, pid), writtenBytes(b, pid)
	const window = 30 * time.Second
	<-time.After(window)
	used := cpuTime(b, pid) - before
	shim := shimPID(b)
	report(b, map[string]float64{
		"pkgd-MB":    field(b, fmt.Sprintf("/proc/%d/status", pid), "VmRSS:") / 1024,
		"cpu-%":      100 * used.Seconds() / window.Seconds(),
		"written-kB": float64(writtenBytes(b, pid)-written) / 1024,
		"shim-MB":    field(b, fmt.Sprintf("/proc/%d/status", shim), "VmRSS:") / 1024,
		// Clean pages are the program's file, which all shims share.
		"shim-private-MB": field(b, fmt.Sprintf("/proc/%d/smaps_rollup", shim), "Private_Dirty:") / 1024,
	})
}

// field is procField for figures that must be there.
func field(b *testing.B, path, name string) float64 {
	b.Helper()
	v, err := procField(path, name)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// procField reads a number from a file of /proc.
func procField(path, name string) (float64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			return strconv.ParseFloat(f[1], 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}

func writtenBytes(b *testing.B, pid int) int64 {
	return int64(field(b, fmt.Sprintf("/proc/%d/io", pid), "write_bytes:"))
}

// cpuTime is what a process has used, in ticks of 10 ms.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+2:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// shimPID finds a shim of this PID namespace.
func shimPID(b *testing.B) int {
	b.Helper()
	pids := shimPIDs(b)
	if len(pids) == 0 {
		b.Fatal("no shim is running")
	}
	return pids[0]
}

// client connects as one more program would.
func client(b testing.TB, m *machine) *kubernetes.Clientset {
	b.Helper()
	c, err := clientcmd.BuildConfigFromFlags("", filepath.Join(m.home, "kubeconfig"))
	if err != nil {
		b.Fatal(err)
	}
	c.QPS, c.Burst = -1, 0
	c.Dial = nil
	set, err := kubernetes.NewForConfig(c)
	if err != nil {
		b.Fatal(err)
	}
	return set
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"data": strings.Repeat("x", 1024)}}
}

// ConfigMaps of 1 KiB created by 32 clients, each durable before its answer.
func BenchmarkCreate(b *testing.B) {
	const clients, each = 32, 400
	m := newMachine(b)
	m.pkg("cluster", "start")
	sets := make([]*kubernetes.Clientset, clients)
	for i := range sets {
		sets[i] = client(b, m)
	}
	var wg sync.WaitGroup
	var failed atomic.Int64
	start := time.Now()
	for i, set := range sets {
		wg.Go(func() {
			for j := range each {
				if _, err := set.CoreV1().ConfigMaps("default").Create(context.Background(), configMap(fmt.Sprintf("c%d-%d", i, j)), metav1.CreateOptions{}); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	if n := failed.Load(); n > 0 {
		b.Fatalf("%d creates failed", n)
	}
	report(b, map[string]float64{"creates/s": clients * each / took.Seconds()})
}

// 100 watches on one namespace while one client creates 200 objects: from just
// before the write to each receipt.
func BenchmarkWatch(b *testing.B) {
	const watches, creates = 100, 200
	m := newMachine(b)
	m.pkg("cluster", "start")
	var mu sync.Mutex
	begun := map[string]time.Time{}
	var delays []time.Duration
	var wg sync.WaitGroup
	for range watches {
		w, err := client(b, m).CoreV1().ConfigMaps("bench").Watch(context.Background(), metav1.ListOptions{})
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			defer w.Stop()
			for seen := 0; seen < creates; {
				e, ok := <-w.ResultChan()
				if !ok {
					return
				}
				now := time.Now()
				if o, ok := e.Object.(*corev1.ConfigMap); ok && strings.HasPrefix(o.Name, "w") {
					mu.Lock()
					delays = append(delays, now.Sub(begun[o.Name]))
					mu.Unlock()
					seen++
				}
			}
		})
	}
	set := client(b, m)
	if _, err := set.CoreV1().Namespaces().Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bench"}}, metav1.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
	for i := range creates {
		o := configMap(fmt.Sprintf("w%d", i))
		mu.Lock()
		begun[o.Name] = time.Now()
		mu.Unlock()
		if _, err := set.CoreV1().ConfigMaps("bench").Create(context.Background(), o, metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
	if len(delays) != watches*creates {
		b.Fatalf("%d receipts, want %d", len(delays), watches*creates)
	}
	slices.Sort(delays)
	report(b, map[string]float64{"p50-ms": ms(delays[len(delays)/2]), "p99-ms": ms(delays[len(delays)*99/100])})
}
