package release

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func sample(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestAssess(t *testing.T) {
	for _, x := range []struct {
		name, object string
		goal         goal
		want         Phase
		message      string
	}{
		{"deployment unseen", `{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 2}, status: {observedGeneration: 1, replicas: 1, updatedReplicas: 1, availableReplicas: 1}}`, goalReady, Waiting, "its controller has not seen it yet"},
		{"deployment rolling", `{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 3}, status: {replicas: 4, updatedReplicas: 2, availableReplicas: 3}}`, goalReady, Waiting, "2 of 3 pods updated"},
		{"deployment old pods", `{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 3}, status: {replicas: 4, updatedReplicas: 3, availableReplicas: 3}}`, goalReady, Waiting, "1 old pod still there"},
		{"deployment stuck", `{apiVersion: apps/v1, kind: Deployment, status: {conditions: [{type: Progressing, status: "False", reason: ProgressDeadlineExceeded, message: too long}]}}`, goalReady, Failed, "too long"},
		{"deployment paused", `{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 2}, spec: {paused: true}}`, goalReady, Ready, ""},
		{"deployment of none", `{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 0}}`, goalReady, Ready, ""},
		{"statefulset", `{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 2}, status: {readyReplicas: 1}}`, goalReady, Waiting, "1 of 2 pods ready"},
		{"statefulset updating", `{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 2}, status: {readyReplicas: 2, updatedReplicas: 1, currentRevision: a, updateRevision: b}}`, goalReady, Waiting, "1 of 2 pods updated"},
		{"statefulset partition", `{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 2, updateStrategy: {rollingUpdate: {partition: 1}}}, status: {readyReplicas: 2, updatedReplicas: 1, currentRevision: a, updateRevision: b}}`, goalReady, Ready, ""},
		{"daemonset", `{apiVersion: apps/v1, kind: DaemonSet, status: {desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 1}}`, goalReady, Waiting, "1 of 2 pods available"},
		{"job running", `{apiVersion: batch/v1, kind: Job, status: {active: 1}}`, goalReady, Ready, ""},
		{"job waited for", `{apiVersion: batch/v1, kind: Job, status: {active: 1}}`, goalJobs, Waiting, "0 of 1 completed"},
		{"job failed", `{apiVersion: batch/v1, kind: Job, status: {conditions: [{type: Failed, status: "True", reason: BackoffLimitExceeded, message: often}]}}`, goalReady, Failed, "failed: BackoffLimitExceeded: often"},
		{"pod ready", `{apiVersion: v1, kind: Pod, status: {phase: Running, conditions: [{type: Ready, status: "True"}]}}`, goalReady, Ready, ""},
		{"pod as hook", `{apiVersion: v1, kind: Pod, status: {phase: Running, conditions: [{type: Ready, status: "True"}]}}`, goalComplete, Waiting, "running"},
		{"pod failed", `{apiVersion: v1, kind: Pod, status: {phase: Failed}}`, goalComplete, Failed, "failed"},
		{"claim", `{apiVersion: v1, kind: PersistentVolumeClaim, status: {phase: Pending}}`, goalReady, Waiting, "not bound to a volume yet"},
		{"load balancer", `{apiVersion: v1, kind: Service, spec: {type: LoadBalancer, clusterIP: 10.0.0.1}}`, goalReady, Waiting, "no load balancer has given it an address"},
		{"headless", `{apiVersion: v1, kind: Service, spec: {clusterIP: None}}`, goalReady, Ready, ""},
		{"crd", `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, status: {conditions: [{type: Established, status: "True"}]}}`, goalReady, Ready, ""},
		{"being deleted", `{apiVersion: v1, kind: ConfigMap, metadata: {deletionTimestamp: "2026-01-01T00:00:00Z"}}`, goalReady, Waiting, "is being deleted"},
		{"custom without status", `{apiVersion: example.com/v1, kind: Thing}`, goalReady, Ready, ""},
		{"custom not ready", `{apiVersion: example.com/v1, kind: Thing, status: {conditions: [{type: Ready, status: "False", reason: Slow, message: soon}]}}`, goalReady, Waiting, "Slow: soon"},
		{"custom stalled", `{apiVersion: example.com/v1, kind: Thing, status: {conditions: [{type: Stalled, status: "True", reason: Stuck}]}}`, goalReady, Failed, "Stuck"},
	} {
		if phase, message := assess(sample(t, x.object), x.goal); phase != x.want || message != x.message {
			t.Errorf("%s: %d %q, want %d %q", x.name, phase, message, x.want, x.message)
		}
	}
}

func TestExplainPod(t *testing.T) {
	for _, x := range []struct{ name, status, warning, want string }{
		{"no room", `{phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: "0/1 nodes are available: 1 Insufficient memory."}]}`, "", "pod p: Unschedulable: 0/1 nodes are available: 1 Insufficient memory."},
		{"pulling", `{phase: Pending, containerStatuses: [{name: c, state: {waiting: {reason: ContainerCreating, message: 'pulling image "x": 1.0 of 4.0 MB (25 %)'}}}]}`, "",
			`pod p: container c: ContainerCreating: pulling image "x": 1.0 of 4.0 MB (25 %)`},
		{"starting", `{phase: Pending, containerStatuses: [{name: c, state: {waiting: {reason: ContainerCreating}}}]}`, "", "pod p: container c: ContainerCreating"},
		{"no image", `{phase: Pending, containerStatuses: [{name: c, state: {waiting: {reason: ErrImagePull, message: no such host}}}]}`, "", "pod p: container c: ErrImagePull: no such host"},
		{"init fails", `{phase: Pending, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 3, reason: Error}}}], containerStatuses: [{name: c, state: {waiting: {reason: PodInitializing}}}]}`, "", "pod p: container i: exit code 3"},
		{"crashing", `{phase: Running, containerStatuses: [{name: c, restartCount: 4, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 137, reason: OOMKilled}}}]}`, "", "pod p: container c: CrashLoopBackOff after 4 restarts: OOMKilled, limit 64Mi"},
		{"probe fails", `{phase: Running, containerStatuses: [{name: c, ready: false, state: {running: {}}}]}`, "Unhealthy: connection refused", "pod p: container c: running, not ready yet: Unhealthy: connection refused"},
		{"no volume", `{phase: Pending}`, "FailedMount: no such claim", "pod p: FailedMount: no such claim"},
		{"ready", `{phase: Running, conditions: [{type: Ready, status: "True"}]}`, "old", ""},
	} {
		pod := sample(t, `{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, resources: {limits: {memory: 64Mi}}}]}, status: `+x.status+`}`)
		if got := explainPod(pod, x.warning); got != x.want {
			t.Errorf("%s: %q, want %q", x.name, got, x.want)
		}
	}
}

func TestSameProgress(t *testing.T) {
	const pull = `Deployment/web: 0 of 2 pods ready: pod web-1: container c: ContainerCreating: pulling image "x": 1.0 of 4.0 MB (25 %)`
	for text, want := range map[string]bool{
		strings.Replace(pull, "1.0 of 4.0 MB (25 %)", "3.5 of 4.0 MB (87 %)", 1): true,
		strings.Replace(pull, `image "x"`, `image "y"`, 1):                       false,
		"Deployment/web: 1 of 2 pods ready":                                      false,
	} {
		if got := sameProgress(pull, text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
