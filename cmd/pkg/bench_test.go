package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// cost is what a command line took.
type cost struct {
	wall   time.Duration
	memory int64 // kB, of its largest process
}

// measure runs programs one after another against the cluster, and fails unless they
// end with one of the codes. busybox starts them: what a large process starts itself
// counts with that process's memory.
func (c *testCluster) measure(b *testing.B, codes []int, lines ...[]string) cost {
	b.Helper()
	var out cost
	file := filepath.Join(b.TempDir(), "memory")
	for _, args := range lines {
		cmd := exec.Command("busybox", append([]string{"time", "-f", "%M", "-o", file}, args...)...)
		dir := filepath.Join(filepath.Dir(c.kubeconfig), "bench")
		cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig, "HELM_CACHE_HOME="+dir, "HELM_CONFIG_HOME="+dir, "HELM_DATA_HOME="+dir,
			"PKG_CONFIG_HOME="+dir, "PKG_CACHE_HOME="+dir, "HOME="+dir)
		start := time.Now()
		text, err := cmd.CombinedOutput()
		out.wall += time.Since(start)
		if cmd.ProcessState == nil || !slices.Contains(codes, cmd.ProcessState.ExitCode()) {
			b.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, text)
		}
		memory, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		var peak int64
		words := strings.Fields(string(memory)) // "Command exited with non-zero status 1" may come first
		if _, err := fmt.Sscan(words[len(words)-1], &peak); err != nil {
			b.Fatalf("busybox time: %v in %q", err, memory)
		}
		// busybox takes the kernel's kilobytes for pages.
		out.memory = max(out.memory, peak*1024/int64(os.Getpagesize()))
	}
	return out
}

// rounds is how often each side runs, in turns, for a median.
const rounds = 5

// compare reports the medians of both sides, which take turns.
func compare(b *testing.B, peer string, ours, theirs func(round int) cost) {
	b.Helper()
	var x, y []cost
	for n := range rounds {
		x = append(x, ours(n))
		y = append(y, theirs(n))
	}
	median := func(all []cost) cost {
		byWall := func(a, b cost) int { return int(a.wall - b.wall) }
		slices.SortFunc(all, byWall)
		return all[len(all)/2]
	}
	us, them := median(x), median(y)
	b.ReportMetric(float64(us.wall.Milliseconds()), "pkg-ms")
	b.ReportMetric(float64(them.wall.Milliseconds()), peer+"-ms")
	b.ReportMetric(float64(them.wall)/float64(us.wall), "times-faster")
	b.ReportMetric(float64(us.memory)/1024, "pkg-MB")
	b.ReportMetric(float64(them.memory)/1024, peer+"-MB")
	b.ReportMetric(0, "ns/op")
}

// benchChart has a number of objects of the usual kinds, some of which a value changes.
func benchChart(b *testing.B, objects int) string {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "wide")
	template := `{{- range $n := until ` + fmt.Sprint(objects/5) + ` }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ $.Release.Name }}-{{ $n }}"}
data: {value: "{{ $.Values.value }}", text: "{{ repeat 50  "some text " }}"}
---
apiVersion: v1
kind: Secret
metadata: {name: "{{ $.Release.Name }}-{{ $n }}"}
stringData: {password: "secret-{{ $n }}"}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: "{{ $.Release.Name }}-{{ $n }}"}
---
apiVersion: v1
kind: Service
metadata: {name: "{{ $.Release.Name }}-{{ $n }}"}
spec: {selector: {app: "{{ $n }}"}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ $.Release.Name }}-{{ $n }}"}
spec:
  replicas: 0
  selector: {matchLabels: {app: "{{ $n }}"}}
  template:
    metadata: {labels: {app: "{{ $n }}"}}
    spec:
      serviceAccountName: "{{ $.Release.Name }}-{{ $n }}"
      containers:
      - name: main
        image: "registry.test/app:1"
        ports: [{containerPort: 8080}]
        env: [{name: VALUE, value: "{{ $.Values.value }}"}]
{{- end }}
`
	for name, text := range map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: wide\nversion: 1.0.0\n", "values.yaml": "value: one\n", "templates/all.yaml": template,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

// benchPrograms are pkg, helm and kubectl as built by make.
func benchPrograms(b *testing.B) (pkg, helm, kubectl string) {
	b.Helper()
	for _, p := range []struct {
		to   *string
		path string
	}{{&pkg, "../../bin/pkg"}, {&helm, "../../bin/tools/helm"}, {&kubectl, "../../bin/pkg-kubectl"}} {
		path, err := filepath.Abs(p.path)
		if err == nil {
			_, err = os.Stat(path)
		}
		if err != nil {
			b.Skipf("%v: run make build tools", err)
		}
		*p.to = path
	}
	return pkg, helm, kubectl
}

// BenchmarkUpgradeUnchanged upgrades a release of 100 objects to what it is.
func BenchmarkUpgradeUnchanged(b *testing.B) {
	pkg, helm, _ := benchPrograms(b)
	c := startTestCluster(b)
	dir := benchChart(b, 100)
	done := []int{0}
	c.measure(b, done, []string{pkg, "install", "ours", dir, "--no-wait"}, []string{helm, "install", "theirs", dir})
	compare(b, "helm",
		func(int) cost { return c.measure(b, done, []string{pkg, "upgrade", "ours", dir, "--no-wait"}) },
		func(int) cost { return c.measure(b, done, []string{helm, "upgrade", "theirs", dir}) })
}

// BenchmarkInstall300 installs 300 objects.
func BenchmarkInstall300(b *testing.B) {
	pkg, helm, _ := benchPrograms(b)
	c := startTestCluster(b)
	dir := benchChart(b, 300)
	done := []int{0}
	compare(b, "helm",
		func(n int) cost {
			return c.measure(b, done, []string{pkg, "install", fmt.Sprint("ours", n), dir, "--no-wait"})
		},
		func(n int) cost { return c.measure(b, done, []string{helm, "install", fmt.Sprint("theirs", n), dir}) })
}

// BenchmarkDiff300 shows what a new value would change in 300 objects, against helm
// template with kubectl diff.
func BenchmarkDiff300(b *testing.B) {
	pkg, helm, kubectl := benchPrograms(b)
	c := startTestCluster(b)
	dir := benchChart(b, 300)
	c.measure(b, []int{0}, []string{pkg, "install", "ours", dir, "--no-wait"})
	done := []int{0}
	// kubectl ends with 1 when there are changes, as there are; without credentials it would
	// ask for some.
	piped := "'" + helm + "' template ours '" + dir + "' --set value=two | '" + kubectl + "' diff --token=any -f - >/dev/null; s=$?; [ $s = 1 ] || { echo kubectl diff: $s; exit 1; }"
	compare(b, "helm+kubectl",
		func(int) cost {
			return c.measure(b, done, []string{pkg, "diff", "upgrade", "ours", dir, "--set", "value=two"})
		},
		func(int) cost { return c.measure(b, done, []string{"sh", "-c", piped}) })
}

// BenchmarkList1000 lists 1,000 releases with 10 revisions each.
func BenchmarkList1000(b *testing.B) {
	pkg, helm, _ := benchPrograms(b)
	c := startTestCluster(b)
	done := []int{0}
	c.mustRun(b, 0, "install", appChart)
	c.fillReleases(b, 1000, 10)
	compare(b, "helm",
		func(int) cost { return c.measure(b, done, []string{pkg, "list", "--max", "0"}) },
		func(int) cost { return c.measure(b, done, []string{helm, "list", "--max", "0"}) })
}
