package container

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/container/wire"
	"github.com/seed38700745/pkg/cluster/cri"
)

// reopen replaces the runtime, as a restart of the agent does.
func (f *fixture) reopen(between func()) {
	f.t.Helper()
	if err := f.Close(); err != nil {
		f.t.Fatal(err)
	}
	if between != nil {
		between()
	}
	f.open()
}

func TestAdoption(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	running := f.shell("while :; do sleep 0.05; done")
	running.Labels = map[string]string{"a": "b"}
	ending := f.shell("until [ -e /dev/shm/go ]; do sleep 0.02; done; exit 4")
	ending.Name = "ending"
	failed := f.shell("")
	failed.Name, failed.Args = "failed", []string{"foo"}
	r, e := f.start(pod, running), f.start(pod, ending)
	if _, err := f.StartContainer(t.Context(), pod, failed); err == nil {
		t.Fatal("foo was started")
	}
	before, _, err := f.Sandbox(t.Context(), pod)
	if err != nil {
		t.Fatal(err)
	}
	shm := f.find(pod).shm()
	f.reopen(func() {
		if err := os.WriteFile(filepath.Join(shm, "go"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the exit is recorded", func() bool {
			_, err := os.Stat(filepath.Join(f.config.Root, pod, containersDir, e.ID, wire.ExitFile))
			return err == nil
		})
	})
	after, ok, err := f.Sandbox(t.Context(), pod)
	if err != nil || !ok || !after.Ready {
		t.Fatalf("after: %+v, %v", after, err)
	}
	if got := after.Containers[1]; got.State != cri.Exited || got.ExitCode != 4 {
		t.Errorf("the container that ended meanwhile is %+v", got)
	}
	before.Containers[1] = after.Containers[1]
	// The agent's own time of start may differ by the answer's way.
	if d := before.Containers[0].StartedAt.Sub(after.Containers[0].StartedAt).Abs(); d > time.Second {
		t.Errorf("the start moved by %v", d)
	}
	before.Containers[0].StartedAt = after.Containers[0].StartedAt
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
	// It can be entered, watched and stopped as before.
	if code, _ := f.exec(pod, r.ID, "true"); code != 0 {
		t.Errorf("exec after adoption: %d", code)
	}
	if err := f.StopContainer(t.Context(), pod, r.ID, 10*time.Millisecond); err != nil {
		t.Error(err)
	}
	if event := <-f.Events(); event.ContainerID != r.ID {
		t.Errorf("event %+v", event)
	}
}

func TestShimKilled(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	c := f.start(pod, f.shell("sleep 100"))
	shim, err := os.ReadFile(filepath.Join(f.config.Run, pod, wire.Lock))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(shim)))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if event := <-f.Events(); event.PodUID != pod {
		t.Errorf("event %+v", event)
	}
	s, _, err := f.Sandbox(t.Context(), pod)
	if err != nil || s.Ready || s.Containers[0].State != cri.Unknown {
		t.Fatalf("sandbox %+v, %v", s, err)
	}
	if _, err := f.StartContainer(t.Context(), pod, f.again("sleep 100", 1)); err == nil {
		t.Error("a container was started without a shim")
	}
	f.reopen(nil) // an agent that comes later sees the same
	if s, _, _ = f.Sandbox(t.Context(), pod); s.Ready || s.Containers[0].State != cri.Unknown {
		t.Fatalf("after reopening: %+v", s)
	}
	// A new shim, and nothing of the old container.
	f.pods--
	f.pod(nil)
	eventually(t, "the old container's process is gone", func() bool { return !runs(c.PID) })
	got := f.wait(pod, f.start(pod, f.again("exit 3", 1)).ID)
	if got.ExitCode != 3 {
		t.Errorf("the next attempt ended as %+v", got)
	}
}

// runs tells whether a process is there, and not only waits to be reaped by the
// machine's first process.
func runs(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

// again is another attempt of the container that shell makes.
func (f *fixture) again(script string, attempt int) cri.ContainerConfig {
	c := f.shell(script)
	c.Attempt = attempt
	return c
}

func TestReboot(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	f.start(pod, f.shell("sleep 100"))
	s := f.find(pod)
	f.reopen(func() { // nothing runs, nothing is mounted, /run is empty
		if err := killShim(s.run); err != nil {
			t.Fatal(err)
		}
		if err := killCgroup(t.Context(), s.cgroup()); err != nil {
			t.Fatal(err)
		}
		if err := removeCgroup(s.cgroup()); err != nil {
			t.Fatal(err)
		}
		for _, rec := range s.containers {
			if err := unmount(filepath.Join(rec.dir, rootfsDir)); err != nil {
				t.Fatal(err)
			}
		}
		if err := unmount(s.shm()); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(f.config.Run); err != nil {
			t.Fatal(err)
		}
	})
	got, ok, err := f.Sandbox(t.Context(), pod)
	if err != nil || !ok || got.Ready || got.Containers[0].State != cri.Unknown {
		t.Fatalf("after the reboot: %+v, %v", got, err)
	}
	f.pods--
	f.pod(nil)
	if got := f.wait(pod, f.start(pod, f.again("exit 6", 1)).ID); got.ExitCode != 6 {
		t.Errorf("ended as %+v", got)
	}
}

func TestUnreadableRecordsAreRemoved(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	c := f.wait(pod, f.start(pod, f.shell("true")).ID)
	broken := f.pod(nil)
	f.reopen(func() {
		for _, path := range []string{filepath.Join(pod, containersDir, c.ID, recordFile), filepath.Join(broken, sandboxFile)} {
			if err := os.WriteFile(filepath.Join(f.config.Root, path), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	all, err := f.Sandboxes(context.Background())
	if err != nil || len(all) != 1 || all[0].PodUID != pod || len(all[0].Containers) != 0 {
		t.Errorf("sandboxes %+v, %v", all, err)
	}
}

// A shim must not hold what the agent got from whoever started it: a shell that
// waits for the end of a pipe would wait for the pod's end.
func TestShimHoldsNoInheritedPipe(t *testing.T) {
	f := newFixture(t)
	var ends [2]int
	if err := unix.Pipe(ends[:]); err != nil { // without close-on-exec
		t.Fatal(err)
	}
	pod := f.pod(nil)
	f.start(pod, f.shell("sleep 100"))
	if err := unix.Close(ends[1]); err != nil {
		t.Fatal(err)
	}
	r := os.NewFile(uintptr(ends[0]), "pipe")
	defer r.Close()
	done := make(chan error, 1)
	go func() {
		_, err := r.Read(make([]byte, 1))
		done <- err
	}()
	select {
	case err := <-done:
		if err != io.EOF {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the pod holds the pipe")
	}
}

// The shim's size is one of the figures that the product promises: at most 4 MiB
// resident and 1 MiB of its own; a burst of output may cost little more.
func TestShimIsSmall(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	c := f.start(pod, f.shell("echo hello; until [ -e /dev/shm/go ]; do sleep 0.05; done; head -c 1000000 /dev/zero | tr '\\0' '\\n'; echo done; sleep 100"))
	check := func(residentKiB, ownKiB int) {
		t.Helper()
		status, err := os.ReadFile("/proc/" + strconv.Itoa(f.find(pod).live().shimPID) + "/status")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(status)) {
			name, value, _ := strings.Cut(line, ":")
			limit, ok := map[string]int{"VmRSS": residentKiB, "RssAnon": ownKiB}[name]
			if !ok {
				continue
			}
			kib, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil || kib > limit {
				t.Errorf("%s is %d KiB, more than %d; %v", name, kib, limit, err)
			}
			t.Logf("%s: %d KiB", name, kib)
		}
	}
	eventually(t, "it runs", func() bool { return f.output(c) == "hello\n" })
	check(4<<10, 1<<10)
	if err := os.WriteFile(filepath.Join(f.find(pod).shm(), "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all output is logged", func() bool { return strings.HasSuffix(f.output(c), "done\n") })
	check(4<<10, 1280)
}

func TestManyLayers(t *testing.T) {
	f := newFixture(t)
	layers := f.image.Layers
	for i := range 100 {
		dir := filepath.Join(t.TempDir(), strings.Repeat("long", 20), strconv.Itoa(i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "top"), []byte(strconv.Itoa(i)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		layers = append(layers, dir)
	}
	c := f.shell("cat /top")
	c.Image.Layers = layers
	if got, out := f.run(c); got.ExitCode != 0 || out != "99\n" {
		t.Errorf("ended as %+v, output %q", got, out)
	}
}

func TestCheckNamesAllThatIsMissing(t *testing.T) {
	require(t)
	own, err := readLimits()
	if err != nil {
		t.Fatal(err)
	}
	if err := check(own); err != nil {
		t.Error(err)
	}
	err = check(limits{capabilities: []string{"CAP_CHOWN"}})
	if err == nil || !strings.Contains(err.Error(), "CAP_SYS_ADMIN") || !strings.Contains(err.Error(), "CAP_SETUID") || strings.Contains(err.Error(), "CAP_CHOWN") {
		t.Errorf("error %v", err)
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.ShimPath += ".missing" },
		func(c *Config) { c.Root = "relative" },
		func(c *Config) { c.CgroupParent = "/" },
	} {
		c := Config{Root: t.TempDir(), Run: t.TempDir(), ShimPath: programs.shim, HelperPath: programs.helper, CgroupParent: "pkg-test/none"}
		change(&c)
		if r, err := New(c); err == nil {
			t.Errorf("%+v was accepted", c)
			_ = r.Close()
		}
	}
}

// Somebody removed the data folder of a running cluster: what runs goes too.
func TestSandboxWithoutFolderIsRemoved(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	c := f.start(pod, f.shell("sleep 100"))
	other := f.pod(nil)
	f.reopen(func() {
		_ = os.RemoveAll(filepath.Join(f.config.Root, pod)) // its mount stays
		if err := os.RemoveAll(filepath.Join(f.config.Root, other)); err != nil {
			t.Fatal(err)
		}
	})
	all, err := f.Sandboxes(t.Context())
	if err != nil || len(all) != 0 {
		t.Errorf("sandboxes %+v, %v", all, err)
	}
	eventually(t, "the container's process is gone", func() bool { return !runs(c.PID) })
	f.assertClean(filepath.Dir(f.config.Root)) // and no shim, mount or folder
}

func TestAdoptionOfManyIsFast(t *testing.T) {
	f := newFixture(t)
	const pods = 20
	for range pods {
		f.start(f.pod(nil), f.shell("sleep 100"))
	}
	var begin time.Time
	f.reopen(func() { begin = time.Now() })
	took := time.Since(begin)
	all, err := f.Sandboxes(context.Background())
	if err != nil || len(all) != pods {
		t.Fatalf("%d sandboxes, %v", len(all), err)
	}
	for _, s := range all {
		if !s.Ready || s.Containers[0].State != cri.Running {
			t.Errorf("sandbox %+v", s)
		}
	}
	if took > 2*time.Second {
		t.Errorf("adoption took %v", took)
	}
	t.Logf("%d pods adopted in %v", pods, took)
}
