package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/release"
)

func TestLiveTable(t *testing.T) {
	var out strings.Builder
	now := time.Unix(0, 0)
	width, height := 40, 24
	l := &liveTable{out: &out, size: func() (int, int) { return width, height }, now: func() time.Time { return now }}
	expect := func(want string) {
		t.Helper()
		if d := cmp.Diff(want, out.String()); d != "" {
			t.Error(d)
		}
		out.Reset()
	}
	web, db := release.Ref{Kind: "Deployment", Name: "web"}, release.Ref{Kind: "StatefulSet", Name: "db"}
	states := []release.State{{Object: web, Phase: release.Ready}, {Object: db, Message: "0 of 1 pods ready: a long reason"}}
	l.update(states)
	expect("  StatefulSet/db     0s  0 of 1 pods re\n  Deployment/web     0s  ready\n")
	now = now.Add(65 * time.Second)
	l.above(func() { fmt.Fprintln(&out, "created Pod/x") })
	expect("\x1b[2A\x1b[Jcreated Pod/x\n  StatefulSet/db   1m5s  0 of 1 pods re\n  Deployment/web     0s  ready\n")
	height = 3
	l.update(states)
	expect("\x1b[2A\x1b[J  StatefulSet/db   1m5s  0 of 1 pods re\n  and 1 more\n")
	width, height = 90, 24
	l.update([]release.State{{Object: db, Message: "0 of 1 pods ready", Event: "Started: Started container db"}})
	expect("\x1b[2A\x1b[J  StatefulSet/db   1m5s  0 of 1 pods ready | Started: Started container db\n")
	l.update([]release.State{{Object: db, Message: "0 of 1 pods ready: pulling x", Event: "Pulling: pulling x"}})
	expect("\x1b[1A\x1b[J  StatefulSet/db   1m5s  0 of 1 pods ready: pulling x\n")
	l.update(nil)
	expect("\x1b[1A\x1b[J")
	l.above(func() { fmt.Fprintln(&out, "done") })
	expect("done\n")
}
