package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// reading is what users look at while pods live: logs, metrics, events, and
// what has ended.
func reading(s *space) {
	s.apply(`
apiVersion: v1
kind: Pod
metadata: {name: two, labels: {app: two}}
spec:
  initContainers: [{name: init, image: "standin:1", command: [echo, prepared]}]
  containers:
  - {name: quick, image: "standin:1", command: [sh, -c, "for i in 1 2 3; do echo quick $i; done; exec standin stress --vm-bytes 32M"]}
  - {name: slow, image: "standin:1", command: [sh, -c, "while true; do echo slow; sleep 0.2; done"]}
---
{apiVersion: v1, kind: Pod, metadata: {name: much}, spec: {restartPolicy: Never, containers: [{name: c, image: "standin:1", command: [sh, -c, "until test -e /go; do sleep 0.05; done; seq 1 1500000"]}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: stubborn}
spec:
  terminationGracePeriodSeconds: 2
  containers: [{name: c, image: "standin:1", command: [standin, trap, "100"], lifecycle: {preStop: {exec: {command: [sleep, "1000"]}}}}]
`)
	s.k("wait", "--for=condition=Ready", "pod/two", "pod/much", "pod/stubborn", "--timeout=40s")
	s.says([]string{"prepared", "quick 1 quick 2 quick 3", "slow"}, "logs", "two", "--all-containers")
	s.says([]string{"[pod/two/quick] took 32 MB", "[pod/two/slow] slow"}, "logs", "-l", "app=two", "--all-containers", "--prefix", "--tail=1")
	s.says([]string{`Defaulted container "quick" out of: quick, slow, init (init)`, "quick 3 took 32 MB"}, "logs", "two")
	eventually(s.t, 10*time.Second, func() error { // the quick one wrote longer ago than that
		return expect(s.k("logs", "two", "--all-containers", "--since=1s"), "slow\n")
	})
	followed(s)

	// The grace of 2 s includes the hook, and the signal that it ignores.
	start := time.Now()
	s.k("delete", "pod", "stubborn", "--timeout=30s")
	if took := time.Since(start); took < 2*time.Second || took > 15*time.Second {
		s.t.Errorf("the pod ended after %s, want its grace of 2 s and a little more", took)
	}
	s.says([]string{"Killing", "Stopping container c"}, "events", "--for", "pod/stubborn")
	s.says([]string{"Scheduled", "Container created", "Container started"}, "get", "events", "--field-selector=involvedObject.name=two", "--sort-by=.lastTimestamp")

	s.comesToSay(20*time.Second, []string{"NAME CPU(cores) MEMORY(bytes)", "two "}, "top", "pod")
	s.says([]string{"POD NAME CPU(cores) MEMORY(bytes)", "two quick", "two slow"}, "top", "pod", "two", "--containers")
	s.says([]string{"NAME CPU(cores) CPU(%) MEMORY(bytes) MEMORY(%)"}, "top", "node")
	fields := strings.Fields(s.k("top", "pod", "two", "--no-headers"))
	if mi, err := strconv.Atoi(strings.TrimSuffix(fields[2], "Mi")); err != nil || mi < 32 || mi > 64 {
		s.t.Errorf("top says %v for a pod that took 32 MB", fields)
	}
	s.says([]string{"two init"}, "get", "pods", "--field-selector=metadata.name=two", "--no-headers", "-o",
		"custom-columns=NAME:.metadata.name,INIT:.spec.initContainers[0].name")
	s.says([]string{"two:quick,slow,"}, "get", "pod", "two", "-o", `go-template={{.metadata.name}}:{{range .spec.containers}}{{.name}},{{end}}`)
	s.says([]string{s.ns + " two 2/2 Running"}, "get", "pods", "-A", "-l", "app=two")
	dump := filepath.Join(s.t.TempDir(), "dump")
	s.k("cluster-info", "dump", "--namespaces="+s.ns, "--output-directory="+dump)
	if r := s.asUser(nil, "/bin/grep", "-c", "quick 3", filepath.Join(dump, s.ns, "two", "logs.txt")); strings.TrimSpace(r.stdout) != "1" {
		s.t.Errorf("cluster-info dump has no logs: %+v", r)
	}
	s.says([]string{"*.* [] [] [*]"}, "auth", "can-i", "--list")
	s.says([]string{"Username pkg-admin"}, "auth", "whoami")
}

// followed reads a log of 10 MB while it is written and rotated: nothing is
// missing, nothing comes twice.
func followed(s *space) {
	s.t.Helper()
	c := exec.Command("/bin/sh", "-c", fmt.Sprintf("%s kubectl -n %s logs -f much | md5sum", binary("pkg"), s.ns))
	c.Env = s.env
	var out strings.Builder
	c.Stdout = &out
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.k("exec", "much", "--", "touch", "/go")
	stop := time.AfterFunc(commandTimeout, func() { _ = c.Process.Kill() })
	defer stop.Stop()
	if err := c.Wait(); err != nil {
		s.t.Errorf("logs -f: %v", err)
	}
	want, err := exec.Command("/bin/sh", "-c", "seq 1 1500000 | md5sum").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	if out.String() != string(want) {
		s.t.Errorf("the log that was followed has the sum %s, want %s", out.String(), want)
	}
}
