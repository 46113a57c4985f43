package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nextSays runs pkg, which must succeed soon, and say all of the texts.
func (g *gated) nextSays(texts []string, args ...string) {
	g.t.Helper()
	r := g.try("pkg", args...)
	if r.code != 0 {
		g.t.Fatalf("pkg %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	if r.took > 15*time.Second { // a Lease's life is 15 s: it was not waited for
		g.t.Errorf("pkg %s took %s", strings.Join(args, " "), r.took)
	}
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			g.t.Errorf("pkg %s does not say %q:\n%s%s", strings.Join(args, " "), text, r.stdout, r.stderr)
		}
	}
}

// A pkg command that dies leaves nothing stuck: the next one says what happened
// and goes on at once.
func TestCommandKilled(t *testing.T) {
	m := newMachine(t)
	m.pkg("cluster", "start")
	g := m.gated(t, "r", "ready-1")
	t.Run("in a hook of an install", func(t *testing.T) {
		g.t = t
		p := g.start(t, "pkg", g.args("install")...)
		p.says("pre-install hook")
		p.signal(syscall.SIGKILL)
		who := fmt.Sprintf("pid %d", p.cmd.Process.Pid)
		g.nextSays([]string{"pending-install", "interrupted", who}, "status", "r")
		g.nextSays([]string{"pending-install", "interrupted", who}, "list")
		g.open("hook")
		g.nextSays([]string{"taking over", "was interrupted", who, "continuing the install"}, g.args("install")...)
		g.works(2, "1")
	})
	t.Run("in a hook of an upgrade", func(t *testing.T) {
		g.t = t
		g.close("hook")
		g.open("ready-2")
		p := g.start(t, "pkg", g.args("upgrade", "--set-string", "version=2")...)
		p.says("pre-upgrade hook")
		p.signal(syscall.SIGKILL)
		g.nextSays([]string{"pending-upgrade", "interrupted"}, "status", "r")
		g.open("hook")
		g.nextSays([]string{"was interrupted"}, g.args("upgrade", "--set-string", "version=2")...)
		g.works(4, "2")
	})
	t.Run("while an upgrade waits", func(t *testing.T) {
		g.t = t
		p := g.start(t, "pkg", g.args("upgrade", "--set-string", "version=3")...)
		p.says("waiting for StatefulSet")
		p.signal(syscall.SIGKILL)
		g.nextSays([]string{"STATUS: deployed", "StatefulSet/r"}, "status", "r")
		g.open("ready-3")
		g.nextSays([]string{"taking over"}, g.args("upgrade", "--set-string", "version=3")...)
		g.works(6, "3")
	})
	t.Run("in a rollback", func(t *testing.T) {
		g.t = t
		p := g.start(t, "pkg", "rollback", "r", "2")
		p.says("waiting for StatefulSet")
		p.signal(syscall.SIGKILL)
		g.nextSays([]string{"taking over"}, "rollback", "r", "4")
		g.works(8, "2")
	})
	t.Run("in an uninstall", func(t *testing.T) {
		g.t = t
		p := g.start(t, "pkg", "uninstall", "r")
		p.says("deleted")
		p.signal(syscall.SIGKILL)
		r := g.try("pkg", "uninstall", "r")
		if r.code != 0 && !strings.Contains(r.stderr, "not found") {
			t.Errorf("uninstall: exit code %d\n%s", r.code, r.stderr)
		}
		g.fails(1, []string{"not found"}, "status", "r")
	})
}

// Killed at any moment, an install can be done again at once.
func TestCommandKilledAtMoments(t *testing.T) {
	m := newMachine(t)
	m.pkg("cluster", "start")
	for _, delay := range []time.Duration{20, 40, 70, 110, 400} {
		delay *= time.Millisecond
		t.Run(delay.String(), func(t *testing.T) {
			g := m.gated(t, fmt.Sprintf("r%d", delay.Milliseconds()), "hook", "ready-1")
			p := g.start(t, "pkg", g.args("install")...)
			<-time.After(delay)
			p.signal(syscall.SIGKILL)
			g.nextSays(nil, g.args("upgrade", "--install")...)
			g.works(strings.Count(g.pkg("history", g.name), "\n")-1, "1")
			g.pkg("uninstall", g.name)
		})
	}
}

// What is at work is left alone, and named.
func TestCommandBusy(t *testing.T) {
	m := newMachine(t)
	m.pkg("cluster", "start")
	g := m.gated(t, "r", "ready-1")
	p := g.start(t, "pkg", g.args("install")...)
	p.says("pre-install hook")
	who := fmt.Sprintf("pkg install, pid %d", p.cmd.Process.Pid)
	for _, args := range [][]string{g.args("install"), g.args("upgrade", "--install"), {"rollback", "r"}, {"uninstall", "r"}} {
		if r := g.fails(4, []string{"another operation is running", who}, args...); r.took > 5*time.Second {
			t.Errorf("pkg %s took %s", args[0], r.took)
		}
	}
	g.open("hook")
	if code := p.ends(); code != 0 {
		t.Errorf("the install ended with %d", code)
	}
	g.works(1, "1")
}

// Ctrl-C and SIGTERM end a command at once, with a clear state.
func TestCommandInterrupted(t *testing.T) {
	m := newMachine(t)
	m.pkg("cluster", "start")
	g := m.gated(t, "r")
	t.Run("in a hook", func(t *testing.T) {
		g.t = t
		p := g.start(t, "pkg", g.args("install")...)
		p.says("pre-install hook")
		p.signal(syscall.SIGINT)
		if code := p.ends(); code != 1 {
			t.Errorf("exit code %d", code)
		}
		p.says("interrupted")
		g.nextSays([]string{"STATUS: failed", "interrupted"}, "status", "r", "--show-desc")
		g.open("hook")
	})
	t.Run("while waiting", func(t *testing.T) {
		g.t = t
		p := g.start(t, "pkg", g.args("install")...)
		p.says("continuing the install")
		p.says("waiting for StatefulSet")
		p.signal(syscall.SIGTERM)
		if code := p.ends(); code != 1 {
			t.Errorf("exit code %d", code)
		}
		p.says("interrupted")
		p.says("pkg status r")
		g.nextSays([]string{"STATUS: deployed", "StatefulSet/r"}, "status", "r")
		g.open("ready-1")
		g.nextSays(nil, g.args("upgrade")...)
		g.works(3, "1")
	})
}

// What is not ready in time is named, with the reason.
func TestCommandTimeout(t *testing.T) {
	m := newMachine(t)
	m.pkg("cluster", "start")
	g := m.gated(t, "r", "hook")
	g.fails(3, []string{"timed out after 6s", "StatefulSet/r: 0 of 2 pods ready", "Readiness probe failed", "pkg status r"},
		g.args("install", "--no-hooks", "--timeout", "6s")...)
	g.close("hook")
	g.fails(3, []string{"timed out after 1s", "Pod/r-before"}, g.args("upgrade", "--timeout", "1s")...)
	g.nextSays([]string{"STATUS: failed"}, "status", "r")
	g.open("hook", "ready-1")
	g.nextSays(nil, g.args("upgrade")...)
	g.works(3, "1")
}
