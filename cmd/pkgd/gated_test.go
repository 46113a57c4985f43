package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// gated is a release of the chart testdata/gated, which goes on when the test
// opens its gates: "hook" for its hook, "ready-1" for the pods of version 1.
type gated struct {
	*machine
	name string
	dir  string
}

func (m *machine) gated(t *testing.T, name string, open ...string) *gated {
	t.Helper()
	m.t = t
	g := &gated{m, name, t.TempDir()}
	g.open(open...)
	return g
}

func (g *gated) open(gates ...string) {
	g.t.Helper()
	for _, x := range gates {
		if err := os.WriteFile(filepath.Join(g.dir, x), nil, 0o644); err != nil {
			g.t.Fatal(err)
		}
	}
}

func (g *gated) close(gate string) {
	g.t.Helper()
	if err := os.Remove(filepath.Join(g.dir, gate)); err != nil {
		g.t.Fatal(err)
	}
}

// args are the command line of an operation: "install", "upgrade".
func (g *gated) args(verb string, more ...string) []string {
	return append([]string{verb, g.name, filepath.Join("testdata", "gated"), "--set", "gate=" + g.dir}, more...)
}

// pods are the names of the pods of the set.
func (g *gated) pods() []string { return []string{g.name + "-0", g.name + "-1"} }

// running waits until containers of pods run and returns their ids.
func (m *machine) running(pods ...string) map[string]string {
	m.t.Helper()
	ids := map[string]string{}
	eventually(m.t, 30*time.Second, func() error {
		for _, pod := range pods {
			r := m.try("pkg", "kubectl", "get", "pod", pod, "-o",
				"jsonpath={.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].state}")
			if r.code != 0 || !strings.Contains(r.stdout, `"running"`) {
				return fmt.Errorf("pod %s: %s%s", pod, r.stdout, r.stderr)
			}
			id, rest, _ := strings.Cut(r.stdout, " ")
			restarts, _, _ := strings.Cut(rest, " ")
			ids[pod] = id + ", restarts " + restarts
		}
		return nil
	})
	return ids
}

// first is what the pods have written into their volumes when they first ran.
func (g *gated) first() (all []string) {
	g.t.Helper()
	for _, pod := range g.pods() {
		all = append(all, strings.TrimSpace(g.kubectl("exec", pod, "--", "cat", "/data/first")))
	}
	return all
}

// restart starts the cluster and waits until it has adopted pods: a command can
// be run in each.
func (m *machine) restart(pods ...string) {
	m.t.Helper()
	start := time.Now()
	m.pkg("cluster", "start")
	ready := time.Since(start)
	for _, pod := range pods {
		m.kubectl("exec", pod, "--", "true")
	}
	adopted := time.Since(start)
	m.t.Logf("ready after %s, commands in %d pods after %s", ready.Round(time.Millisecond), len(pods), adopted.Round(time.Millisecond))
	if adopted > 5*time.Second { // 2 s are promised; this machine may be busy
		m.t.Errorf("adopted after %s", adopted)
	}
}

// works checks that a release is deployed in a revision, with both pods ready.
func (g *gated) works(revision int, version string) {
	g.t.Helper()
	out := g.pkg("status", g.name)
	if !strings.Contains(out, "STATUS: deployed") || !strings.Contains(out, fmt.Sprintf("REVISION: %d\n", revision)) {
		g.t.Errorf("status:\n%s", out)
	}
	for _, pod := range g.pods() {
		got := g.kubectl("get", "pod", pod, "-o", `jsonpath={.spec.containers[0].env[0].value} {.status.conditions[?(@.type=="Ready")].status}`)
		if got != version+" True" {
			g.t.Errorf("pod %s: version and readiness are %q, want version %s", pod, got, version)
		}
	}
}
