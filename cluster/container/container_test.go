package container

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/cri"
)

func TestRunToEnd(t *testing.T) {
	f := newFixture(t)
	got, out := f.run(f.shell("echo to stdout; echo to stderr >&2; hostname; exit 7"))
	if got.State != cri.Exited || got.ExitCode != 7 || got.Signal != 0 || got.OOMKilled {
		t.Errorf("container ended as %+v", got)
	}
	if got.FinishedAt.Before(got.StartedAt) || got.StartedAt.IsZero() {
		t.Errorf("started %v, finished %v", got.StartedAt, got.FinishedAt)
	}
	for _, want := range []string{"to stdout\n", "to stderr\n", "pod-0\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the log lacks %q: %q", want, out)
		}
	}
	event := <-f.Events()
	if diff := cmp.Diff(cri.Event{PodUID: got.PodUID, ContainerID: got.ID}, event); diff != "" {
		t.Error(diff)
	}
}

func TestExec(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	c := f.start(pod, f.shell("export IN_SHELL=1; sleep 100"))
	code, out := f.exec(pod, c.ID, "/bin/sh", "-c", "echo out; echo err >&2; exit 3")
	if code != 3 || out != "out\nerr\n" {
		t.Errorf("exit code %d, output %q", code, out)
	}
}

func TestStartFailure(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	c := f.shell("")
	c.Args = []string{"foo"}
	got, err := f.StartContainer(t.Context(), pod, c)
	const want = `exec: "foo": executable file not found in $PATH`
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
	if got.State != cri.Exited || got.ExitCode != 128 || got.Message != want {
		t.Errorf("container %+v", got)
	}
	again, err := f.StartContainer(t.Context(), pod, c)
	if err != nil || again.ID != got.ID {
		t.Errorf("the same attempt again: %v, %v", again.ID, err)
	}
	if err := f.RemoveContainer(t.Context(), pod, got.ID); err != nil {
		t.Error(err)
	}
	// Another attempt is not hindered by what the failed one left.
	c.Args, c.Attempt = []string{"true"}, 1
	if got := f.wait(pod, f.start(pod, c).ID); got.ExitCode != 0 {
		t.Errorf("second attempt ended with %d", got.ExitCode)
	}
}

func TestStopSignalsThenKills(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	polite := f.shell("trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
	stubborn := f.shell("echo ready; sleep 100")
	stubborn.Name = "stubborn"
	p, s := f.start(pod, polite), f.start(pod, stubborn)
	eventually(t, "both run", func() bool { return f.output(p) != "" && f.output(s) != "" })
	if err := f.StopContainer(t.Context(), pod, p.ID, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := f.StopContainer(t.Context(), pod, s.ID, 10*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if got := f.wait(pod, p.ID); got.ExitCode != 5 || got.Signal != 0 || f.output(got) != "ready\nbye\n" {
		t.Errorf("polite ended as %+v, output %q", got, f.output(got))
	}
	if got := f.wait(pod, s.ID); got.ExitCode != 137 || got.Signal != 9 || got.OOMKilled {
		t.Errorf("stubborn ended as %+v", got)
	}
	if err := f.StopContainer(t.Context(), pod, s.ID, time.Second); err != nil {
		t.Errorf("stop again: %v", err)
	}
}

func TestOOMKilled(t *testing.T) {
	f := newFixture(t)
	c := f.shell("head -c 100000000 /dev/zero | tail")
	c.Args = []string{"tail", "/dev/zero"} // keeps all of an endless line
	c.Resources.Memory = 16 << 20
	got, _ := f.run(c)
	if !got.OOMKilled || got.ExitCode != 137 || got.Signal != 9 {
		t.Errorf("container ended as %+v", got)
	}
}

func TestPodMemoryLimitKills(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(func(s *cri.SandboxConfig) { s.Resources.Memory = 24 << 20 })
	c := f.shell("")
	c.Args = []string{"tail", "/dev/zero"}
	if got := f.wait(pod, f.start(pod, c).ID); !got.OOMKilled {
		t.Errorf("container ended as %+v", got)
	}
}

func TestTwoContainersShareIPCAndHostname(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	first := f.start(pod, f.shell("echo shared > /dev/shm/file; readlink /proc/self/ns/ipc; readlink /proc/self/ns/uts; sleep 100"))
	eventually(t, "the first wrote", func() bool { return strings.Count(f.output(first), "\n") == 2 })
	c := f.shell("cat /dev/shm/file; readlink /proc/self/ns/ipc; readlink /proc/self/ns/uts; cat /etc/hostname")
	c.Name = "second"
	second := f.wait(pod, f.start(pod, c).ID)
	if got, want := f.output(second), "shared\n"+f.output(first)+"pod-0\n"; got != want {
		t.Errorf("second sees %q, want %q", got, want)
	}
}

func TestSharedPIDNamespace(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(func(s *cri.SandboxConfig) { s.SharePID = true })
	first := f.start(pod, f.shell("sleep 1234 & sleep 1235"))
	other := f.shell("sleep 100")
	other.Name = "second"
	second := f.start(pod, other)
	eventually(t, "the second sees the first's processes", func() bool {
		_, out := f.exec(pod, second.ID, "ps", "-o", "pid,args")
		return strings.Contains(out, "sleep 1234") && strings.Contains(out, "pause")
	})
	// The first's end takes its background processes along, and no others.
	if err := f.StopContainer(t.Context(), pod, first.ID, 0); err != nil {
		t.Fatal(err)
	}
	if _, out := f.exec(pod, second.ID, "ps", "-o", "args"); strings.Contains(out, "sleep 1234") || !strings.Contains(out, "sleep 100") {
		t.Errorf("processes after the first's end: %s", out)
	}
}

func TestPIDNamespaceOfAnother(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	first := f.start(pod, f.shell("sleep 1234; exit 0"))
	debugger := f.shell("ps -o args; kill 1; sleep 100")
	debugger.Name, debugger.PIDOf = "debugger", first.ID
	second := f.start(pod, debugger)
	eventually(t, "it sees the first's processes", func() bool {
		return strings.Contains(f.output(second), "sleep 1234")
	})
	if err := f.StopContainer(t.Context(), pod, first.ID, 0); err != nil {
		t.Fatal(err)
	}
	if c := f.wait(pod, second.ID); c.ExitCode != 137 {
		t.Errorf("it ended with %d; the namespace's end ends it with 137", c.ExitCode)
	}
	late := f.shell("true")
	late.Name, late.PIDOf = "late", first.ID
	if _, err := f.StartContainer(t.Context(), pod, late); err == nil || !strings.Contains(err.Error(), "does not run") {
		t.Errorf("beside a container that ended: %v", err)
	}
}

func TestHostNamespaces(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(func(s *cri.SandboxConfig) { s.HostPID, s.HostIPC, s.Hostname = true, true, "" })
	c := f.wait(pod, f.start(pod, f.shell("for n in pid ipc uts net; do readlink /proc/self/ns/$n; done; sleep 100 & exit 0")).ID)
	var want strings.Builder
	for _, n := range []string{"pid", "ipc", "uts", "net"} {
		link, err := os.Readlink("/proc/self/ns/" + n)
		if err != nil {
			t.Fatal(err)
		}
		want.WriteString(link + "\n")
	}
	if diff := cmp.Diff(want.String(), f.output(c)); diff != "" {
		t.Error(diff)
	}
}

func TestStats(t *testing.T) {
	f := newFixture(t)
	pod := f.pod(nil)
	c := f.start(pod, f.shell("x=$(head -c 4000000 /dev/zero | tr '\\0' a); i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo ready; sleep 100; true"))
	eventually(t, "it worked", func() bool { return f.output(c) != "" })
	s, err := f.Stats(t.Context(), pod, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	if s.CPUNanoseconds == 0 || s.MemoryRSS < 3<<20 || s.MemoryWorkingSet < s.MemoryRSS/2 || s.Pids == 0 {
		t.Errorf("stats %+v", s)
	}
	p, err := f.PodStats(t.Context(), pod)
	if err != nil {
		t.Fatal(err)
	}
	if p.CPUNanoseconds < s.CPUNanoseconds || p.Pids < s.Pids || p.MemoryRSS < s.MemoryRSS {
		t.Errorf("pod's stats %+v, container's %+v", p, s)
	}
}

func TestParseSignal(t *testing.T) {
	for name, want := range map[string]unix.Signal{"": 15, "SIGQUIT": 3, "quit": 3, "9": 9, "SIGRTMIN+3": 37, "RTMAX-1": 63, "SIGRTMIN": 34} {
		if got, err := parseSignal(name); err != nil || got != want {
			t.Errorf("%q is %d, %v, want %d", name, got, err, want)
		}
	}
	for _, name := range []string{"SIGFOO", "0", "65", "SIGRTMIN+99", "-1"} {
		if got, err := parseSignal(name); err == nil {
			t.Errorf("%q is %d, want an error", name, got)
		}
	}
}
