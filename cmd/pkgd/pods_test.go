package main

import (
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// example is the path of one of our users' manifests.
func example(name string) string { return filepath.Join("testdata", "examples", name+".yaml") }

// busyDeployment takes as much processor time as it is given: twice its request.
const busyDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: busy}
spec:
  selector: {matchLabels: {app: busy}}
  template:
    metadata: {labels: {app: busy}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: "standin:1", command: [sh, -c, "while true; do :; done"], resources: {requests: {cpu: 50m}, limits: {cpu: 100m}}}]
`

// beginExamples applies the manifests that take their time.
func (s *space) beginExamples() {
	s.t.Helper()
	s.kubectl("create", "namespace", "mem2")
	s.kubectl("apply", "-f", example("memorydemo2"))
	for _, name := range []string{"exec-liveness", "http-liveness", "tcp-liveness-readiness", "myapp-pod", "my-nginx"} {
		s.k("apply", "-f", example(name))
	}
	s.apply(busyDeployment)
	s.k("autoscale", "deployment/busy", "--min=1", "--max=3", "--cpu=50%")
}

// endExamples looks at what became of them.
func (s *space) endExamples() {
	s.comesToSay(20*time.Second, []string{"memorydemo2 2/2 Running"}, "get", "pod", "-n", "mem2", "-o", "wide")
	s.comesToSay(20*time.Second, []string{"myapp-pod 0/1 Init:0/2 0"}, "get", "pod", "myapp-pod")
	s.comesToSay(10*time.Second, []string{"waiting for myservice"}, "logs", "myapp-pod", "-c", "init-myservice", "--tail=20")
	s.k("create", "-f", example("services"))
	s.says([]string{"Endpoints: <none>"}, "describe", "services", "mydb")
	s.comesToSay(20*time.Second, []string{"6/6 6 6"}, "get", "deployment", "my-nginx")
	if ips := strings.Count(s.k("get", "pods", "-l", "run=my-nginx", "-o", "yaml"), "podIP: "); ips != 6 {
		s.t.Errorf("%d pod addresses, want 6", ips)
	}
	port := s.k("get", "svc", "my-nginx", "-o", "jsonpath={.spec.ports[0].nodePort}")
	eventually(s.t, 5*time.Second, func() error {
		body, err := s.fetch("http://" + s.nodeAddress() + ":" + port)
		return errors.Join(err, expect(body, "this is my-nginx-"))
	})
	s.comesToSay(20*time.Second, []string{"goproxy 1/1 Running 0"}, "get", "pod", "goproxy")
	ip := s.k("get", "pod", "goproxy", "-o", "jsonpath={.status.podIP}")
	if got, err := ask1("tcp", net.JoinHostPort(ip, "8080")); got != "tcp goproxy\n" {
		s.t.Errorf("goproxy at %s: %q, %v", ip, got, err)
	}
	s.comesToSay(60*time.Second, []string{"busy Deployment/busy cpu: ", "%/50% 1 3 3"}, "get", "hpa", "busy")
	s.says([]string{"SuccessfulRescale", "New size: 3; reason: cpu resource utilization (percentage of request) above target",
		"ScalingActive True ValidMetricFound the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)"}, "describe", "hpa", "busy")
	s.says([]string{"busy 3/3"}, "get", "deployment", "busy")
	s.k("delete", "hpa,deployment", "busy")
	s.comesToSay(20*time.Second, []string{"myapp-pod 1/1 Running 0"}, "get", "pod", "myapp-pod")
	s.comesToSay(40*time.Second, []string{"Liveness probe failed: HTTP probe failed with statuscode: 500",
		"Container liveness failed liveness probe, will be restarted"}, "describe", "pod", "liveness-http")
	s.comesToSay(60*time.Second, []string{"Scheduled", "Pulled", "Created", "Started",
		"Liveness probe failed: cat: can't open '/tmp/healthy': No such file or directory",
		"Killing", "Container liveness failed liveness probe, will be restarted"}, "describe", "pod", "liveness-exec")
	// Three failures: of one Event, unless the probe of a busy machine took too long.
	unhealthy := 0
	for _, count := range strings.Fields(s.k("get", "events", "--field-selector=involvedObject.name=liveness-exec,reason=Unhealthy", "-o", "jsonpath={.items[*].count}")) {
		n, err := strconv.Atoi(count)
		if err != nil {
			s.t.Fatal(err)
		}
		unhealthy += n
	}
	if unhealthy < 3 {
		s.t.Errorf("killed after %d failures of the probe, want 3", unhealthy)
	}
	s.comesToSay(60*time.Second, []string{"liveness-exec 1/1 Running ", " ago)"}, "get", "pod", "liveness-exec")
}

// podTroubles are pods that do not run, and say why.
func podTroubles(s *space) {
	s.apply(`
apiVersion: v1
kind: Pod
metadata: {name: oom}
spec:
  containers:
  - {name: eater, image: "standin:1", command: [standin, stress, --vm-bytes, 200M], resources: {limits: {memory: 50Mi}}}
  - {name: calm, image: "standin:1", command: [standin, stress], resources: {requests: {memory: 10Mi}, limits: {memory: 50Mi}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: big}, spec: {containers: [{name: c, image: "standin:1", resources: {requests: {cpu: 1000, memory: 1000Ti}}}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: noimage}, spec: {containers: [{name: c, image: "nothing/such:1"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: badname}, spec: {containers: [{name: c, image: "Not:a:name"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: never}, spec: {containers: [{name: c, image: "nothing/such:1", imagePullPolicy: Never}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: noconfig}, spec: {containers: [{name: c, image: "standin:1", command: [standin, stress], envFrom: [{configMapRef: {name: late}}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: nomount}, spec: {volumes: [{name: v, secret: {secretName: late}}], containers: [{name: c, image: "standin:1", command: [standin, stress], volumeMounts: [{name: v, mountPath: /v}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: nocommand}, spec: {containers: [{name: c, image: "standin:1", command: [/no/such]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: crash}, spec: {containers: [{name: c, image: "standin:1", command: [sh, -c, "echo last words; exit 3"], terminationMessagePolicy: FallbackToLogsOnError}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: badinit}, spec: {restartPolicy: Never, initContainers: [{name: i, image: "standin:1", command: [sh, -c, exit 2]}], containers: [{name: c, image: "standin:1"}]}}
`)
	s.comesToSay(30*time.Second, []string{"oom 1/2 CrashLoopBackOff", "big 0/1 Pending 0", "noimage 0/1 ImagePullBackOff 0", "badname 0/1 InvalidImageName 0",
		"never 0/1 ErrImageNeverPull 0", "noconfig 0/1 CreateContainerConfigError 0", "nomount 0/1 ContainerCreating 0", "crash 0/1 CrashLoopBackOff", "badinit 0/1 Init:Error 0"}, "get", "pods")
	s.says([]string{"Reason: OOMKilled", "Exit Code: 137"}, "describe", "pod", "oom")
	s.says([]string{"FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory."}, "describe", "pod", "big")
	s.says([]string{`Pulling image "nothing/such:1"`, `Failed to pull image "nothing/such:1"`, "Error: ErrImagePull", `Back-off pulling image "nothing/such:1"`, "Error: ImagePullBackOff"}, "describe", "pod", "noimage")
	s.says([]string{`Error: configmap "late" not found`}, "describe", "pod", "noconfig")
	s.says([]string{"FailedMount", `MountVolume.SetUp failed for volume "v" : secret "late" not found`}, "describe", "pod", "nomount")
	s.says([]string{"Reason: StartError", "Exit Code: 128", "Started: Thu, 01 Jan 1970", "no such file or directory"}, "describe", "pod", "nocommand")
	s.says([]string{"Reason: Error", "Message: last words", "Exit Code: 3", "Back-off restarting failed container c in pod crash_troubles"}, "describe", "pod", "crash")
	s.comesToSay(15*time.Second, []string{"last words"}, "logs", "crash", "--previous")
	s.comesToSay(20*time.Second, []string{"back-off 20s restarting failed container=c"}, "get", "pod", "crash", "-o", "jsonpath={.status.containerStatuses[0].state.waiting.message}")

	// What was missing comes.
	s.k("create", "configmap", "late", "--from-literal=a=b")
	s.k("create", "secret", "generic", "late", "--from-literal=a=b")
	s.k("wait", "--for=condition=Ready", "pod/noconfig", "pod/nomount", "--timeout=60s")
	s.refuses([]string{"timed out waiting for the condition on pods/big"}, "wait", "--for=condition=Ready", "pod/big", "--timeout=100ms")
}

// podLives are the ways from start to end.
func podLives(s *space) {
	s.apply(`
apiVersion: v1
kind: Pod
metadata: {name: sidecar}
spec:
  restartPolicy: Never
  initContainers:
  - {name: side, image: "standin:1", command: [standin, serve, "80"], restartPolicy: Always, startupProbe: {httpGet: {port: 80}, periodSeconds: 1}}
  - {name: first, image: "standin:1", command: [wget, -qO-, "http://localhost/"]}
  containers:
  - {name: main, image: "standin:1", command: [sh, -c, "wget -qO- http://localhost/; printf done > /dev/termination-log"]}
---
apiVersion: v1
kind: Pod
metadata: {name: probed}
spec:
  containers:
  - {name: c, image: "standin:1", command: [standin, health, "9000"], livenessProbe: {grpc: {port: 9000}, periodSeconds: 1}, readinessProbe: {exec: {command: [test, -e, /tmp/ready]}, periodSeconds: 1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: onfailure}, spec: {restartPolicy: OnFailure, volumes: [{name: v, emptyDir: {}}], containers: [{name: c, image: "standin:1", command: [sh, -c, "echo >> /v/n; test $(wc -l < /v/n) = 2"], volumeMounts: [{name: v, mountPath: /v}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: never}, spec: {restartPolicy: Never, containers: [{name: c, image: "standin:1", command: [sh, -c, exit 5]}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: graceful}
spec:
  volumes: [{name: v, hostPath: {path: ` + s.dir() + `}}]
  containers:
  - name: c
    image: "standin:1"
    command: [standin, trap, "0"]
    volumeMounts: [{name: v, mountPath: /v}]
    lifecycle: {postStart: {exec: {command: [sh, -c, "echo start >> /v/log"]}}, preStop: {exec: {command: [sh, -c, "echo stop >> /v/log"]}}}
---
{apiVersion: batch/v1, kind: Job, metadata: {name: sum}, spec: {completions: 2, parallelism: 2, template: {spec: {restartPolicy: Never, containers: [{name: c, image: "standin:1", command: [sh, -c, "echo $((6*7))"]}]}}}}
`)
	s.comesToSay(30*time.Second, []string{"sidecar 0/2 Completed 0", "onfailure 0/1 Completed 1 (", "never 0/1 Error 0", "graceful 1/1 Running 0"}, "get", "pods")
	s.says([]string{"this is sidecar"}, "logs", "sidecar", "-c", "first")
	s.says([]string{"done"}, "get", "pod", "sidecar", "-o", "jsonpath={.status.containerStatuses[0].state.terminated.message}")
	s.says([]string{"Succeeded"}, "get", "pod", "sidecar", "-o", "jsonpath={.status.phase}")
	s.comesToSay(10*time.Second, []string{"probed 0/1 Running 0"}, "get", "pod", "probed")
	s.says([]string{"Readiness probe failed"}, "describe", "pod", "probed")
	s.k("exec", "probed", "--", "touch", "/tmp/ready")
	s.k("wait", "--for=condition=Ready", "pod/probed", "--timeout=10s")
	s.k("delete", "pod", "graceful", "--timeout=20s")
	if r := s.asUser(nil, "/bin/cat", filepath.Join(s.dir(), "log")); r.stdout != "start\nstop\n" {
		s.t.Errorf("the hooks wrote %q", r.stdout)
	}
	s.k("wait", "--for=condition=complete", "job/sum", "--timeout=30s")
	s.says([]string{"sum Complete 2/2"}, "get", "job")
	s.says([]string{"42"}, "logs", "job/sum")
}

// dir is a folder of the host for the namespace's pods.
func (s *space) dir() string { return filepath.Join(s.home, "..", "host-"+s.ns) }

// podContents is what containers find inside: environment, files, rights.
func podContents(s *space) {
	s.k("create", "configmap", "conf", "--from-literal=key=value", "--from-literal=other=thing")
	s.k("create", "secret", "generic", "sec", "--from-literal=password=hidden")
	s.apply(`
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {a: b}}
spec:
  securityContext: {runAsUser: 1000, runAsGroup: 2000, fsGroup: 3000}
  volumes:
  - {name: conf, configMap: {name: conf}}
  - {name: sec, secret: {secretName: sec, defaultMode: 0400}}
  - {name: memory, emptyDir: {medium: Memory}}
  - {name: info, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}, {path: cpu, resourceFieldRef: {containerName: c, resource: limits.cpu}}]}}
  - {name: token, projected: {sources: [{serviceAccountToken: {path: token, audience: other}}]}}
  containers:
  - name: c
    image: "standin:1"
    command: [standin, stress]
    args: [--name, $(PLAIN)-$(NODE)]
    resources: {requests: {cpu: 10m}, limits: {cpu: 2, memory: 64Mi}}
    env:
    - {name: PLAIN, value: text}
    - {name: TWICE, value: $(PLAIN)-$(PLAIN)}
    - {name: KEY, valueFrom: {configMapKeyRef: {name: conf, key: key}}}
    - {name: PASSWORD, valueFrom: {secretKeyRef: {name: sec, key: password}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: LIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
    - {name: GONE, valueFrom: {configMapKeyRef: {name: absent, key: key, optional: true}}}
    envFrom: [{configMapRef: {name: conf}, prefix: C_}]
    securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    volumeMounts:
    - {name: conf, mountPath: /conf}
    - {name: conf, mountPath: /etc/one, subPath: key}
    - {name: sec, mountPath: /sec}
    - {name: memory, mountPath: /memory}
    - {name: info, mountPath: /info}
    - {name: token, mountPath: /token}
  - {name: second, image: "standin:1", command: [standin, serve, "8080"], workingDir: /tmp}
---
{apiVersion: v1, kind: Pod, metadata: {name: host}, spec: {hostNetwork: true, containers: [{name: c, image: "standin:1", command: [standin, stress]}]}}
`)
	s.k("wait", "--for=condition=Ready", "pod/p", "pod/host", "--timeout=40s")
	for command, want := range map[string]string{
		"echo $PLAIN $TWICE $KEY $PASSWORD $LIMIT $C_key $C_other.$GONE": "text text-text value hidden 64 value thing.",
		"id":                                     "uid=1000 gid=2000 groups=2000,3000",
		"cat /conf/key /etc/one":                 "valuevalue",
		"cat /sec/password":                      "hidden",
		"stat -Lc %a.%g /sec/password":           "440.3000", // the group may read too, as fsGroup has it
		"cat /info/labels /info/cpu":             `a="b"2`,
		"grep -c ' /memory tmpfs ' /proc/mounts": "1",
		"touch /memory/x && echo yes":            "yes",
		"touch /x 2>&1":                          "touch: /x: Read-only file system",
		"grep CapEff /proc/self/status":          "CapEff:\t0000000000000000",
		"grep NoNewPrivs /proc/self/status":      "NoNewPrivs:\t1",
		"cut -d. -f2 /token/token | tr _- /+ | base64 -d 2>/dev/null | grep -o '\"aud\":\\[[^]]*]'": `"aud":["other"]`,
		"wget -qO- http://localhost:8080":          "this is p",
		"tr '\\0' ' ' < /proc/1/cmdline; hostname": "",
	} {
		r := s.tryK("exec", "p", "-c", "c", "--", "sh", "-c", command)
		if got := strings.TrimSpace(r.stdout); want != "" && got != want {
			s.t.Errorf("%s: got %q, want %q\n%s", command, got, want, r.stderr)
		}
	}
	if got := strings.TrimSpace(s.k("exec", "p", "-c", "second", "--", "pwd")); got != "/tmp" {
		s.t.Errorf("working directory %q", got)
	}
	s.says([]string{s.nodeAddress()}, "get", "pod", "host", "-o", "jsonpath={.status.podIP}")
	s.says([]string{"Burstable"}, "get", "pod", "p", "-o", "jsonpath={.status.qosClass}")
}
