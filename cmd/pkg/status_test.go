package main

import (
	"strings"
	"testing"
)

// TestStatusTree names the innermost reason.
func TestStatusTree(t *testing.T) {
	c := startTestCluster(t)
	c.mustRun(t, 3, "install", "broken", appChart, "--set", "tag=crash", "--timeout", "900ms")
	out, _ := c.mustRun(t, 0, "status", "broken")
	wantIn(t, "status", out, "STATUS: deployed", "NOT READY: Deployment/broken: Pod/broken-", "container main: CrashLoopBackOff after 2 restarts: OOMKilled, limit 64Mi",
		"… Deployment/broken", "0 of 1 ready", "└ … ReplicaSet/broken-", "  └ … Pod/broken-", "    └ … container main", "memory limit 64Mi", "2 restarts")
	if json, _ := c.mustRun(t, 0, "status", "broken", "-o", "json"); strings.Contains(json, "ReplicaSet") {
		t.Errorf("helm's JSON has the tree:\n%s", json)
	}
	out, _ = c.mustRun(t, 0, "status", "broken", "--show-resources=false")
	if strings.Contains(out, "RESOURCES") || strings.Contains(out, "NOT READY") {
		t.Errorf("--show-resources=false:\n%s", out)
	}
}
