package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKubectl types what users type, on one cluster: each part has a namespace
// of its own. What takes long by itself is begun first and looked at last.
func TestKubectl(t *testing.T) {
	m := newMachine(t)
	m.pkg("cluster", "start")
	m.loadStandIns()
	slow := m.space(t, "examples")
	slow.beginExamples()
	parts := []struct {
		name string
		run  func(s *space)
	}{
		{"deployments", deployments}, {"streams", streams}, {"editing", editing}, {"invalid", invalidObjects},
		{"definitions", definitions}, {"roles", roles}, {"deleting", deleting}, {"asking", asking},
		{"troubles", podTroubles}, {"lives", podLives}, {"contents", podContents},
		{"services", services}, {"names", dnsNames}, {"stateful", stateful}, {"limited", limited}, {"terminals", terminals}, {"reading", reading},
	}
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) { p.run(m.space(t, p.name)) })
	}
	t.Run("examples", func(t *testing.T) {
		slow.t = t
		slow.endExamples()
	})
	t.Run("nodes", func(t *testing.T) { nodes(m.space(t, "nodes")) })
}

// space is a machine's user in one namespace.
type space struct {
	machine
	ns string
}

// space makes a namespace for the test.
func (m *machine) space(t *testing.T, ns string) *space {
	t.Helper()
	s := &space{*m, ns}
	s.t = t
	s.kubectl("create", "namespace", ns)
	return s
}

// k runs kubectl in the namespace, which must succeed.
func (s *space) k(args ...string) string {
	s.t.Helper()
	return s.kubectl(append([]string{"-n", s.ns}, args...)...)
}

// tryK runs kubectl in the namespace.
func (s *space) tryK(args ...string) result {
	s.t.Helper()
	return s.try("pkg", append([]string{"kubectl", "-n", s.ns}, args...)...)
}

// apply applies a manifest in the namespace.
func (s *space) apply(manifest string) string {
	s.t.Helper()
	return s.k("apply", "-f", s.file(manifest))
}

// file keeps text for a program to read.
func (s *space) file(text string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// says checks that kubectl succeeds and says all of texts.
func (s *space) says(texts []string, args ...string) string {
	s.t.Helper()
	r := s.tryK(args...)
	if missing := lacks(r.stdout+r.stderr, texts); r.code != 0 || missing != "" {
		s.t.Errorf("kubectl %s: exit code %d, %q missing in\n%s%s", strings.Join(args, " "), r.code, missing, r.stdout, r.stderr)
	}
	return r.stdout
}

// refuses checks that kubectl fails and says all of texts.
func (s *space) refuses(texts []string, args ...string) {
	s.t.Helper()
	r := s.tryK(args...)
	if missing := lacks(r.stderr, texts); r.code == 0 || missing != "" {
		s.t.Errorf("kubectl %s: exit code %d, %q missing in\n%s%s", strings.Join(args, " "), r.code, missing, r.stdout, r.stderr)
	}
}

// comesToSay waits until kubectl says all of texts.
func (s *space) comesToSay(within time.Duration, texts []string, args ...string) {
	s.t.Helper()
	eventually(s.t, within, func() error {
		r := s.tryK(args...)
		if missing := lacks(r.stdout+r.stderr, texts); missing != "" {
			return fmt.Errorf("kubectl %s: %q missing in\n%s%s", strings.Join(args, " "), missing, r.stdout, r.stderr)
		}
		return nil
	})
}

// lacks returns the first of texts that is not in s; runs of spaces are one.
func lacks(s string, texts []string) string {
	s = strings.Join(strings.Fields(s), " ")
	for _, text := range texts {
		if !strings.Contains(s, text) {
			return text
		}
	}
	return ""
}

// fetch gets a URL from the host.
func (s *space) fetch(url string) (string, error) {
	c := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

// nodeAddress is the node's own.
func (s *space) nodeAddress() string {
	s.t.Helper()
	return s.k("get", "nodes", "-o", `jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}`)
}

func deployments(s *space) {
	s.says([]string{"deployment.apps/web created"}, "create", "deployment", "web", "--image=httpd", "--replicas=3")
	s.says([]string{"successfully rolled out"}, "rollout", "status", "deployment/web", "--timeout=60s")
	s.says([]string{"web 3/3 3 3", "httpd app=web"}, "get", "deployment", "-o", "wide")
	s.says([]string{"replicaset.apps/web-", "3 3 3"}, "get", "pod,deployment,replicaset,svc,endpoints")
	s.says([]string{"app=web,pod-template-hash="}, "get", "pods", "-l", "app=web", "--show-labels")
	s.says([]string{"StrategyType: RollingUpdate", "25% max unavailable, 25% max surge", "Available True MinimumReplicasAvailable",
		"Progressing True NewReplicaSetAvailable", "3 desired | 3 updated | 3 total | 3 available | 0 unavailable",
		"ScalingReplicaSet", "Scaled up replica set web-"}, "describe", "deployment", "web")
	s.says([]string{"Controlled By: Deployment/web", "3 Running / 0 Waiting / 0 Succeeded / 0 Failed", "SuccessfulCreate"}, "describe", "replicaset")

	s.says([]string{"service/web exposed"}, "expose", "deployment/web", "--type=NodePort", "--port=8080", "--target-port=80")
	port := s.k("get", "svc", "web", "-o", "jsonpath={.spec.ports[0].nodePort}")
	eventually(s.t, 5*time.Second, func() error {
		body, err := s.fetch("http://" + s.nodeAddress() + ":" + port)
		if err == nil && !strings.HasPrefix(body, "this is web-") {
			err = fmt.Errorf("the node port answers %q", body)
		}
		return err
	})
	s.says([]string{"Type: NodePort", "NodePort: <unset> " + port + "/TCP", "TargetPort: 80/TCP"}, "describe", "svc", "web")

	s.k("set", "image", "deployment/web", "httpd=nothing/such:1")
	s.comesToSay(20*time.Second, []string{"ImagePullBackOff"}, "get", "pods")
	s.refuses([]string{"timed out"}, "rollout", "status", "deployment/web", "--timeout=100ms")
	s.says([]string{"deployment.apps/web rolled back"}, "rollout", "undo", "deployment/web")
	s.k("rollout", "status", "deployment/web", "--timeout=30s")
	if got := strings.Fields(s.k("rollout", "history", "deployment/web")); strings.Join(got[3:], " ") != "2 <none> 3 <none>" {
		s.t.Errorf("history %q", got)
	}
	s.k("rollout", "pause", "deployment/web")
	s.refuses([]string{"can't restart paused deployment"}, "rollout", "restart", "deployment/web")
	s.k("rollout", "resume", "deployment/web")
	s.k("rollout", "restart", "deployment/web")
	s.k("scale", "deployment/web", "--replicas=5")
	s.k("rollout", "status", "deployment/web", "--timeout=60s")
	s.says([]string{"web 5/5 5 5"}, "get", "deployment", "web")
}

// streams are exec, attach, logs, cp, port-forward and debug.
func streams(s *space) {
	s.k("run", "box", "--image=standin:1", "--command", "--", "sh", "-c", "echo one; echo two; standin echo 7")
	s.k("wait", "--for=condition=Ready", "pod/box", "--timeout=30s")
	if r := s.tryK("exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 7"); r.code != 7 || r.stdout != "out\n" || !strings.HasPrefix(r.stderr, "err\n") {
		s.t.Errorf("exec: %+v", r)
	}
	s.says([]string{"two"}, "logs", "box", "--tail=1")
	if got := s.k("logs", "box", "--since=1h", "--timestamps"); len(strings.Fields(got)) != 4 {
		s.t.Errorf("logs with time stamps: %q", got)
	}
	s.refuses([]string{"container nope is not valid for pod box"}, "logs", "box", "-c", "nope")
	s.refuses([]string{`pods "nothere" not found`}, "exec", "nothere", "--", "ls")
	s.refuses([]string{"previous terminated container", "not found"}, "logs", "box", "--previous")

	from, back := s.file("copied\n"), filepath.Join(s.t.TempDir(), "back")
	s.k("cp", from, "box:/tmp/file")
	s.k("cp", "box:/tmp/file", back)
	if data, err := os.ReadFile(back); err != nil || string(data) != "copied\n" {
		s.t.Errorf("cp brought back %q, %v", data, err)
	}
	s.k("debug", "box", "--image=standin:2", "--target=box", "-c", "debugger", "--", "sh", "-c", "nc -w 2 localhost 7; sleep 100")
	s.comesToSay(10*time.Second, []string{"tcp box"}, "logs", "box", "-c", "debugger") // it is in the pod's network
	s.forward()
}

// forward reaches the pod's port 7 by port-forward.
func (s *space) forward() {
	s.t.Helper()
	r := s.asUser(nil, "/bin/sh", "-c", fmt.Sprintf(
		`%s kubectl -n %s port-forward pod/box 17007:7 >/dev/null & p=$!
for i in $(seq 100); do got=$(busybox nc 127.0.0.1 17007 </dev/null 2>/dev/null) && [ -n "$got" ] && break; sleep 0.05; done
kill $p; echo "$got"`, binary("pkg"), s.ns))
	if got := strings.TrimSpace(r.stdout); got != "tcp box" {
		s.t.Errorf("through port-forward: %q, want the pod's answer\n%s", got, r.stderr)
	}
}

// editing changes objects in all the ways that kubectl has.
func editing(s *space) {
	s.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: '1', b: '1'}}")
	changed := s.file("{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: '2'}}")
	if r := s.tryK("diff", "-f", changed); r.code != 1 || lacks(r.stdout, []string{`- a: "1"`, `+ a: "2"`}) != "" {
		s.t.Errorf("diff: %+v", r)
	}
	s.says([]string{"configmap/c configured (server dry run)"}, "apply", "--dry-run=server", "-f", changed)
	s.k("apply", "-f", changed)
	s.data("c", `{"a":"2"}`) // b was applied before, and is taken away
	s.says([]string{"unchanged"}, "apply", "-f", changed)
	s.env = append(s.env, "KUBE_EDITOR=sh "+s.file(`sed -i 's/a: "2"/a: "3"/' "$1"`))
	s.says([]string{"configmap/c edited"}, "edit", "configmap", "c")
	s.data("c", `{"a":"3"}`)
	s.k("patch", "configmap", "c", "-p", `{"data":{"b":"x"}}`)
	s.k("patch", "configmap", "c", "--type=merge", "-p", `{"data":{"a":null}}`)
	s.k("patch", "configmap", "c", "--type=json", "-p", `[{"op":"test","path":"/data/b","value":"x"},{"op":"add","path":"/data/c","value":"y"}]`)
	s.data("c", `{"b":"x","c":"y"}`)
	s.k("replace", "-f", changed)
	s.data("c", `{"a":"2"}`)
	s.refuses([]string{"already exists"}, "create", "-f", changed)

	s.k("apply", "--server-side", "--field-manager=one", "-f", s.file("{apiVersion: v1, kind: ConfigMap, metadata: {name: d}, data: {a: '1'}}"))
	two := s.file("{apiVersion: v1, kind: ConfigMap, metadata: {name: d}, data: {a: '2'}}")
	s.refuses([]string{`conflict with "one": .data.a`}, "apply", "--server-side", "--field-manager=two", "-f", two)
	s.k("apply", "--server-side", "--field-manager=two", "--force-conflicts", "-f", two)
	s.data("d", `{"a":"2"}`)
	s.k("label", "configmap", "d", "x=y")
	s.refuses([]string{"already has a value"}, "label", "configmap", "d", "x=z")
	s.says([]string{"configmap/d"}, "get", "configmap", "-l", "x=y", "-o", "name")
}

// data checks a config map.
func (s *space) data(name, want string) {
	s.t.Helper()
	if got := s.k("get", "configmap", name, "-o", "jsonpath={.data}"); got != want {
		s.t.Errorf("config map %s has %s, want %s", name, got, want)
	}
}

// deleting looks at grace, finalizers and propagation.
func deleting(s *space) {
	s.apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: held, finalizers: [example.com/hold]}}`)
	s.refuses([]string{"timed out"}, "delete", "configmap", "held", "--timeout=200ms")
	s.says([]string{"held"}, "get", "configmap", "held")
	s.k("patch", "configmap", "held", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	s.refuses([]string{"not found"}, "get", "configmap", "held")

	s.k("create", "deployment", "orphans", "--image=standin:1", "--", "sleep", "1000")
	s.k("rollout", "status", "deployment/orphans", "--timeout=30s")
	s.k("delete", "deployment", "orphans", "--cascade=orphan")
	s.says([]string{"orphans-"}, "get", "replicaset")
	s.k("delete", "replicaset", "-l", "app=orphans", "--cascade=foreground", "--timeout=40s")
	s.says([]string{"No resources found"}, "get", "replicaset")

	s.k("run", "slow", "--image=standin:1", "--command", "--", "standin", "trap", "100")
	s.k("wait", "--for=condition=Ready", "pod/slow", "--timeout=20s")
	s.k("delete", "pod", "slow", "--wait=false")
	s.comesToSay(5*time.Second, []string{"Terminating"}, "get", "pod", "slow")
	s.comesToSay(5*time.Second, []string{"told to end"}, "logs", "slow")
	s.k("delete", "pod", "slow", "--grace-period=1", "--timeout=10s")
}

// asking is what only reads.
func asking(s *space) {
	s.says([]string{"Kubernetes control plane is running at https://127.0.0.1:"}, "cluster-info")
	s.says([]string{"Client Version: v1.", "Server Version: v1."}, "version")
	s.says([]string{"scheduler Healthy ok", "controller-manager Healthy ok", "etcd-0 Healthy ok", "ComponentStatus is deprecated"}, "get", "cs")
	s.says([]string{"NAME", "NODE", "NOMINATED NODE", "kubernetes"}, "get", "pod,svc", "--all-namespaces", "-o", "wide")
	s.says([]string{"componentstatuses cs v1 false ComponentStatus", "deployments deploy apps/v1 true Deployment"}, "api-resources")
	s.says([]string{"FIELD: grpc <GRPCAction>", "port <integer> -required-"}, "explain", "pod.spec.containers.livenessProbe.grpc")
	s.says([]string{"yes"}, "auth", "can-i", "create", "pods")
	s.says([]string{"ok"}, "get", "--raw", "/readyz")
	s.refuses([]string{`the server doesn't have a resource type "nonsense"`}, "get", "nonsense")
	s.refuses([]string{`unknown flag: --replicas`}, "run", "x", "--image=httpd", "--replicas=2")
	s.refuses([]string{`field label not supported: spec.nothing`}, "get", "pods", "--field-selector=spec.nothing=1")
	s.watches()
}

// watches sees an object come, change and go.
func (s *space) watches() {
	s.t.Helper()
	c := exec.Command(binary("pkg"), "kubectl", "-n", s.ns, "get", "configmaps", "-l", "x", "-w", "--output-watch-events", "--no-headers")
	c.Env = s.env
	out, err := c.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: w, labels: {x: '1'}}}")
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	stop := time.AfterFunc(20*time.Second, func() { _ = c.Process.Kill() }) // then the next read ends
	defer stop.Stop()
	lines := bufio.NewScanner(out)
	for _, step := range []struct{ want, then string }{{"ADDED w 0", "label configmap w y=1"}, {"MODIFIED w 0", "delete configmap w"}, {"DELETED w 0", ""}} {
		lines.Scan()
		if lacks(lines.Text(), []string{step.want}) != "" {
			s.t.Errorf("the watch says %q, want %q", lines.Text(), step.want)
		}
		if step.then != "" {
			s.k(strings.Fields(step.then)...)
		}
	}
	_ = c.Process.Kill()
	_ = c.Wait() // killed
}

// nodes are labelled, tainted, cordoned and drained.
func nodes(s *space) {
	node := s.k("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
	s.k("label", "node", node, "disktype=ssd")
	s.says([]string{"disktype=ssd"}, "get", "node", "--show-labels")
	for _, taint := range []string{"node-role.kubernetes.io/master", "node-role.kubernetes.io/control-plane"} {
		s.refuses([]string{fmt.Sprintf("taint %q not found", taint)}, "taint", "nodes", "--all", taint+"-")
	}
	s.k("create", "deployment", "d", "--image=standin:1", "--", "standin", "stress")
	s.k("rollout", "status", "deployment/d", "--timeout=30s")
	s.k("taint", "node", node, "a=b:NoSchedule")
	s.k("scale", "deployment/d", "--replicas=2")
	s.comesToSay(10*time.Second, []string{"0/1 nodes are available: 1 node(s) had untolerated taint"}, "get", "events")
	s.k("taint", "node", node, "a-")
	s.k("rollout", "status", "deployment/d", "--timeout=30s")
	s.k("cordon", node)
	s.says([]string{"Ready,SchedulingDisabled"}, "get", "node", node)
	s.k("run", "bare", "--image=standin:1", "--command", "--", "standin", "stress")
	s.comesToSay(10*time.Second, []string{"0/1 nodes are available: 1 node(s) were unschedulable"}, "describe", "pod", "bare")
	s.apply(`
{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: d}, spec: {minAvailable: 2, selector: {matchLabels: {app: d}}}}
---
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: every}, spec: {selector: {matchLabels: {app: every}}, template: {metadata: {labels: {app: every}}, spec: {containers: [{name: c, image: "standin:1", command: [standin, stress]}]}}}}
`)
	s.k("rollout", "status", "daemonset/every", "--timeout=30s")
	s.refuses([]string{"cannot delete Pods that declare no controller", "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): nodes/every-"},
		"drain", node, "--delete-emptydir-data")
	s.refuses([]string{"Cannot evict pod as it would violate the pod's disruption budget.", "global timeout reached: 2s"},
		"drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=2s", "--pod-selector=app=d")
	s.says([]string{"Min available: 2", "Allowed disruptions: 0", "Current: 2", "Total: 2"}, "describe", "pdb", "d")
	s.k("delete", "pdb", "d")
	s.says([]string{"evicting pod nodes/d-", "node/" + node + " drained"}, "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=90s")
	s.k("uncordon", node)
	s.k("rollout", "status", "deployment/d", "--timeout=30s")
	s.says([]string{"Addresses:", "InternalIP:", "Allocatable:", "Ready True", "Non-terminated Pods:",
		"Starting kubelet.", "NodeReady", "NodeHasSufficientMemory", "Registered Node " + node + " in Controller"}, "describe", "node", node)
	s.comesToSay(15*time.Second, []string{"NodeNotSchedulable", "NodeSchedulable"}, "describe", "node", node)
}
