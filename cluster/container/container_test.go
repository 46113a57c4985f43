package container

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
