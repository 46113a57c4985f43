package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The daemon is killed at several moments: containers go on, the next start
// adopts them, and the command that was waiting survives it.
func TestDaemonKilled(t *testing.T) {
	m := newMachine(t)
	m.pkg("cluster", "start")
	t.Run("in a hook of an install", func(t *testing.T) {
		g := m.gated(t, "hooked", "ready-1")
		p := g.start(t, "pkg", g.args("install")...)
		p.says("pre-install hook")
		before := g.running("hooked-before")
		g.killDaemon()
		p.says("does not answer")
		g.restart("hooked-before")
		p.says("the cluster answers again")
		if diff := cmp.Diff(before, g.running("hooked-before")); diff != "" {
			t.Errorf("the hook's container (-before +after):\n%s", diff)
		}
		if r := g.try("pkg", "status", "hooked"); !strings.Contains(r.stderr, fmt.Sprintf("pid %d", p.cmd.Process.Pid)) || !strings.Contains(r.stderr, "is at work") {
			t.Errorf("status does not say who is at work:\n%s", r.stderr)
		}
		g.open("hook")
		if code := p.ends(); code != 0 {
			t.Errorf("the install ended with %d", code)
		}
		g.works(1, "1")
		g.pkg("uninstall", "hooked")
	})

	g := m.gated(t, "set", "hook")
	var first []string
	t.Run("while an install waits", func(t *testing.T) {
		g.t = t
		p := g.start(t, "pkg", g.args("install")...)
		p.says("waiting for StatefulSet")
		before := g.running(g.pods()...)
		first = g.first()
		g.killDaemon()
		p.says("does not answer")
		g.restart(g.pods()...)
		if diff := cmp.Diff(before, g.running(g.pods()...)); diff != "" {
			t.Errorf("containers (-before +after):\n%s", diff)
		}
		g.open("ready-1")
		if code := p.ends(); code != 0 {
			t.Errorf("the install ended with %d", code)
		}
		g.works(1, "1")
	})
	t.Run("in a rolling change", func(t *testing.T) {
		g.t = t
		p := g.start(t, "pkg", g.args("upgrade", "--set-string", "version=2")...)
		// The last pod is replaced first, and is not ready; the other waits.
		eventually(t, 30*time.Second, func() error {
			if v := g.kubectl("get", "pods", "-l", "app=set", "-o", "jsonpath={.items[*].spec.containers[0].env[0].value}"); v != "1 2" {
				return fmt.Errorf("versions %q", v)
			}
			return nil
		})
		p.says("waiting for StatefulSet")
		before := g.running(g.pods()...)
		g.killDaemon()
		p.says("does not answer")
		g.restart(g.pods()...)
		if diff := cmp.Diff(before, g.running(g.pods()...)); diff != "" {
			t.Errorf("containers (-before +after):\n%s", diff)
		}
		g.open("ready-2")
		if code := p.ends(); code != 0 {
			t.Errorf("the upgrade ended with %d", code)
		}
		g.works(2, "2")
	})
	t.Run("idle", func(t *testing.T) {
		g.t = t
		before := g.running(g.pods()...)
		g.killDaemon()
		g.restart(g.pods()...)
		if diff := cmp.Diff(before, g.running(g.pods()...)); diff != "" {
			t.Errorf("containers (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(first, g.first()); diff != "" {
			t.Errorf("data (-before +after):\n%s", diff)
		}
	})
}

// Killed before the install waits for anything, its command may fail; then it
// says what to do, and the next one goes on.
func TestDaemonKilledWhileApplying(t *testing.T) {
	m := newMachine(t)
	m.pkg("cluster", "start")
	for _, delay := range []time.Duration{30, 60, 90, 130, 200} {
		delay *= time.Millisecond
		t.Run(delay.String(), func(t *testing.T) {
			g := m.gated(t, fmt.Sprintf("r%d", delay.Milliseconds()), "hook", "ready-1")
			p := g.start(t, "pkg", g.args("install")...)
			<-time.After(delay)
			g.killDaemon()
			g.restart()
			code, said := p.ends(), p.out.String()
			t.Logf("exit code %d\n%s", code, said)
			if code != 0 && (code != 1 || !strings.Contains(said, "pkg cluster start")) {
				t.Errorf("exit code %d without a next step", code)
			}
			revision := 1
			if code != 0 {
				g.pkg(g.args("upgrade", "--install")...)
				revision = strings.Count(g.pkg("history", g.name), "\n") - 1
			}
			g.works(revision, "1")
			g.pkg("uninstall", g.name)
		})
	}
}
