package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The load that the project promises figures for.
const (
	loadCharts   = 2000
	loadVersions = 10 // of each chart
	loadClients  = 64
	loadTime     = 3 * time.Second // of one measurement
	uploaders    = 32
	uploadTime   = 2 * time.Second
)

// packChart makes an archive as real ones are: Chart.yaml with all that people write
// into it, and a file of so many bytes.
func packChart(t testing.TB, name, version string, size int) []byte {
	t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "apiVersion: v2\nname: %s\nversion: %s\nappVersion: %[2]q\n", name, version)
	fmt.Fprintf(&text, "description: %s is a service that many people run, with a database and a cache beside it\n", name)
	fmt.Fprintf(&text, "home: https://example.org/%s\nicon: https://example.org/%[1]s.svg\nkubeVersion: '>=1.25.0-0'\n", name)
	fmt.Fprintf(&text, "sources:\n- https://example.org/git/%s\n- https://example.org/charts/%[1]s\n", name)
	fmt.Fprintf(&text, "keywords:\n- %s\n- database\n- cache\n- web\n- service\n", name)
	text.WriteString("maintainers:\n- name: Ann Example\n  email: ann@example.org\n- name: Bob Example\n  email: bob@example.org\n")
	text.WriteString("dependencies:\n- name: common\n  version: 2.x.x\n  repository: https://example.org/charts\n  tags:\n  - common\n")
	text.WriteString("annotations: {category: Infrastructure, license: Apache-2.0}\n")
	var out bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&out, gzip.NoCompression) // the quickest to make
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(zipped)
	add := func(file string, data []byte) {
		err := archive.WriteHeader(&tar.Header{Name: name + "/" + file, Mode: 0o644, Size: int64(len(data))})
		if _, werr := archive.Write(data); err != nil || werr != nil {
			t.Fatal(err, werr)
		}
	}
	add("Chart.yaml", []byte(text.String()))
	add("values.yaml", []byte("replicas: 1\n"))
	add("templates/some.yaml", []byte("kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n"))
	add("files/some", make([]byte, size))
	if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// fillFolder puts charts into a folder and returns the names of their files.
func fillFolder(t testing.TB, dir string, charts, versions int) []string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var files []string
	for c := range charts {
		for v := range versions {
			name, version := fmt.Sprintf("chart-%d", c), fmt.Sprintf("1.%d.0", v)
			file := name + "-" + version + ".tgz"
			if err := os.WriteFile(filepath.Join(dir, file), packChart(t, name, version, 6<<10), 0o644); err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
	}
	return files
}

// nginx serves a folder as static files until the test ends, as it does by default but
// for logs, and returns its URL and its process.
func nginx(b *testing.B, root string) (url string, pid int) {
	b.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // not in everybody's PATH
		if _, err := os.Stat(program); err != nil {
			b.Skip("no nginx: .ci/deps bench installs it")
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	config := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log stderr crit; worker_processes auto; user root;
events { worker_connections 1024; }
http {
	access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; types { }
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; scgi_temp_path %[1]s; uwsgi_temp_path %[1]s;
	server { listen %[2]s; root %[3]s; }
}`, dir, address, root)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(program, "-c", file)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // the master ends its workers
		_ = cmd.Wait()
	})
	waitAnswer(b, "http://"+address+"/")
	return "http://" + address, cmd.Process.Pid
}

func waitAnswer(t testing.TB, url string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		r, err := http.Get(url)
		if err == nil {
			_ = r.Body.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not answer: %v", url, err)
		}
	}
}

// rate is what was measured of requests. The server's CPU time for each depends less
// on what else the machine does than the others.
type rate struct {
	perSecond float64
	p99       time.Duration
	cpu       time.Duration
}

// cpuTime is what a process and its children have used.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	const tick = time.Second / 100 // USER_HZ
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	if err != nil {
		b.Fatal(err)
	}
	all := time.Duration(0)
	for _, one := range append(strings.Fields(string(children)), strconv.Itoa(pid)) {
		stat, err := os.ReadFile("/proc/" + one + "/stat")
		if err != nil {
			b.Fatal(err)
		}
		// The fields after the name, which is in parentheses: the first is number 3 of proc(5).
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, field := range fields[11:13] { // utime, stime
			n, err := strconv.Atoi(field)
			if err != nil {
				b.Fatal(err)
			}
			all += time.Duration(n) * tick
		}
	}
	return all
}

var (
	wrkRate = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	wrkP99  = regexp.MustCompile(`\n\s+99%\s+(\S+)`)
	wrkAll  = regexp.MustCompile(`\n\s+(\d+) requests in`)
)

// wrk reads paths below a URL with many clients for a while. A socket error or an
// answer that is not 2xx fails the test.
func wrk(b *testing.B, pid int, base string, paths []string, headers ...string) rate {
	b.Helper()
	program, err := exec.LookPath("wrk")
	if err != nil {
		b.Skip("no wrk: .ci/deps bench installs it")
	}
	script := filepath.Join(b.TempDir(), "paths.lua")
	text := "local paths = {'" + strings.Join(paths, "','") + "'}\n" +
		"request = function() return wrk.format('GET', paths[math.random(#paths)]) end\n"
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	args := []string{"-t", "2", "-c", strconv.Itoa(loadClients), "-d", fmt.Sprint(loadTime), "--latency", "--timeout", "20s", "-s", script}
	for _, h := range headers {
		args = append(args, "-H", h)
	}
	before := cpuTime(b, pid)
	out, err := exec.Command(program, append(args, base)...).CombinedOutput()
	used := cpuTime(b, pid) - before
	bad := bytes.Contains(out, []byte("Socket errors")) || bytes.Contains(out, []byte("Non-2xx"))
	speed, late, all := wrkRate.FindSubmatch(out), wrkP99.FindSubmatch(out), wrkAll.FindSubmatch(out)
	if err != nil || bad || speed == nil || late == nil || all == nil {
		b.Fatalf("wrk %s: %v\n%s", base, err, out)
	}
	var r rate
	if r.perSecond, err = strconv.ParseFloat(string(speed[1]), 64); err != nil {
		b.Fatal(err)
	}
	if r.p99, err = time.ParseDuration(string(late[1])); err != nil {
		b.Fatal(err)
	}
	n, err := strconv.Atoi(string(all[1]))
	if err != nil || n == 0 {
		b.Fatalf("%d requests: %v", n, err)
	}
	r.cpu = used / time.Duration(n)
	return r
}

// paced reads a path by as many clients, each four times a second, and returns the 99th
// of 100 in time: what people see of a server that is not at its limit.
func paced(b *testing.B, url string, headers ...string) time.Duration {
	b.Helper()
	const pause = time.Second / 4
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: loadClients, DisableCompression: true}}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	var took []time.Duration // guarded by mu
	var clients sync.WaitGroup
	begin := time.Now()
	for n := range loadClients {
		clients.Go(func() {
			for at := begin.Add(pause * time.Duration(n) / loadClients); time.Since(begin) < loadTime; at = at.Add(pause) {
				time.Sleep(time.Until(at))
				r, err := http.NewRequest(http.MethodGet, url, nil)
				if err != nil {
					b.Error(err)
					return
				}
				for i := 0; i+1 < len(headers); i += 2 {
					r.Header.Set(headers[i], headers[i+1])
				}
				start := time.Now()
				w, err := client.Do(r)
				if err != nil {
					b.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, w.Body)
				if err := errors.Join(err, w.Body.Close()); err != nil {
					b.Error(err)
				}
				mu.Lock()
				took = append(took, time.Since(start))
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	return percentile(b, took)
}

// percentile is the 99th of 100.
func percentile(b *testing.B, took []time.Duration) time.Duration {
	b.Helper()
	if len(took) == 0 {
		b.Fatal("nothing was measured")
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// turns measures two sides one after the other, twice, and takes the better of each: what
// else the machine does only costs.
func turns(ours, theirs func() rate) (us, them rate) {
	better := func(a, b rate) rate {
		if a.perSecond > b.perSecond {
			return a
		}
		return b
	}
	for range 2 {
		us, them = better(us, ours()), better(them, theirs())
	}
	return us, them
}

// upload pushes charts of new names by many clients for a while, and returns how many a
// second were acknowledged and the 99th of 100 in time. Each client looks now and then
// whether the index names what was acknowledged.
func upload(b *testing.B, p *process, prefix string) rate {
	b.Helper()
	base := p.base
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: uploaders}}
	defer client.CloseIdleConnections()
	const most = 4000
	archives := make([][]byte, most)
	for i := range archives {
		archives[i] = packChart(b, fmt.Sprintf("%s-%d", prefix, i%100), fmt.Sprintf("1.%d.0", i/100), 6<<10)
	}
	var next atomic.Int64
	var mu sync.Mutex
	var took []time.Duration // guarded by mu
	var clients sync.WaitGroup
	before, begin := cpuTime(b, p.cmd.Process.Pid), time.Now()
	for range uploaders {
		clients.Go(func() {
			for time.Since(begin) < uploadTime {
				i := next.Add(1) - 1
				if i >= most {
					return
				}
				start := time.Now()
				r, err := client.Post(base+"/api/charts", "", bytes.NewReader(archives[i]))
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				_ = r.Body.Close()
				if r.StatusCode != http.StatusCreated {
					b.Error(r.Status)
					return
				}
				mu.Lock()
				took = append(took, time.Since(start))
				mu.Unlock()
				if i%500 == 0 {
					sum := sha256.Sum256(archives[i])
					if !strings.Contains(get(b, base+"/index.yaml"), hex.EncodeToString(sum[:])) {
						b.Errorf("chart %d was acknowledged and is not in the index", i)
					}
				}
			}
		})
	}
	clients.Wait()
	all := time.Since(begin)
	used := cpuTime(b, p.cmd.Process.Pid) - before
	return rate{float64(len(took)) / all.Seconds(), percentile(b, took), used / time.Duration(len(took))}
}

func get(t testing.TB, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("%s: %s %v", url, r.Status, err)
	}
	return string(body)
}

// resident is the memory of a process in MB.
func resident(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb / 1024
}

// buildProgram builds pkg-repo as it is shipped.
func buildProgram(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "pkg-repo")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// BenchmarkLoad runs the program beside nginx with 2,000 charts of 10 versions, and prints a
// table of what both do.
func BenchmarkLoad(b *testing.B) {
	program := buildProgram(b)
	dir := b.TempDir()
	files := fillFolder(b, dir, loadCharts, loadVersions)
	var table strings.Builder
	row := func(what string, ours, theirs any, want string) {
		fmt.Fprintf(&table, "%-44s %10v %10v   %s\n", what, ours, theirs, want)
	}
	row("2,000 charts x 10 versions", "pkg-repo", "nginx", "wanted")

	// The first start reads all archives; the next ones know them.
	for _, what := range []string{"new folder", "known folder"} {
		start := time.Now()
		p := startProgram(b, program, "--data", dir, "--allow-anonymous-push", "--quiet")
		text := get(b, p.base+"/index.yaml")
		row("start to first index, "+what+", ms", time.Since(start).Milliseconds(), "", "1000")
		if n := strings.Count(text, `"digest"`); n != len(files) {
			b.Fatalf("the index has %d versions, not %d", n, len(files))
		}
		p.stop(b)
	}
	p := startProgram(b, program, "--data", dir, "--allow-anonymous-push", "--quiet")
	index := get(b, p.base+"/index.yaml")
	if err := os.WriteFile(filepath.Join(dir, "index.yaml"), []byte(index), 0o644); err != nil {
		b.Fatal(err)
	}
	pid := p.cmd.Process.Pid
	peer, peerPid := nginx(b, dir)
	us, them := turns(
		func() rate { return wrk(b, pid, p.base, []string{"/index.yaml"}, "Accept-Encoding: gzip") },
		func() rate { return wrk(b, peerPid, peer, []string{"/index.yaml"}) },
	)
	row(fmt.Sprintf("index of %d kB, reads/s, ours by gzip", len(index)/1000), int(us.perSecond), int(them.perSecond), "as nginx")
	row("  99 of 100 within, ms, at that rate", us.p99.Milliseconds(), them.p99.Milliseconds(), "")
	row("  99 of 100 within, ms, at 256 reads/s", paced(b, p.base+"/index.yaml", "Accept-Encoding", "gzip").Milliseconds(), "", "20")

	ours := make([]string, len(files))
	theirs := make([]string, len(files))
	for i, f := range files {
		ours[i], theirs[i] = "/charts/"+f, "/"+f
	}
	us, them = turns(func() rate { return wrk(b, pid, p.base, ours) }, func() rate { return wrk(b, peerPid, peer, theirs) })
	row("charts, reads/s", int(us.perSecond), int(them.perSecond), "half of nginx")
	row("  99 of 100 within, ms, at that rate", us.p99.Milliseconds(), them.p99.Milliseconds(), "20")
	row("  CPU time of one, us", us.cpu.Microseconds(), them.cpu.Microseconds(), "")
	row("resident memory after that, MB", int(resident(b, p.cmd.Process.Pid)), "", "120")

	p.stop(b)
	p = startProgram(b, program, "--data", dir, "--allow-anonymous-push", "--quiet")
	get(b, p.base+"/index.yaml")
	row("  and after a start and an index, MB", int(resident(b, p.cmd.Process.Pid)), "", "120")

	full := upload(b, p, "full")
	p.stop(b)
	uploads := func(stored int, r rate) {
		row(fmt.Sprintf("uploads/s by 32 clients, %d stored", stored), int(r.perSecond), "", "300")
		row("  99 of 100 within, ms", r.p99.Milliseconds(), "", "")
		row("  CPU time of one, us", r.cpu.Microseconds(), "", "not growing")
	}
	for _, stored := range []int{100, 2000} {
		small := b.TempDir()
		fillFolder(b, small, stored/loadVersions, loadVersions)
		q := startProgram(b, program, "--data", small, "--allow-anonymous-push", "--quiet")
		r := upload(b, q, "some")
		uploads(stored, r)
		q.stop(b)
	}
	uploads(loadCharts*loadVersions, full)
	b.ReportMetric(0, "ns/op")
	fmt.Print("\n" + table.String()) // Log would cut it
}
