package api_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// kubectl runs the real kubectl against a cluster.
type kubectl struct {
	t      *testing.T
	config string
	home   string
}

func newKubectl(t *testing.T, c *cluster) *kubectl {
	t.Helper()
	if _, err := exec.LookPath("kubectl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no kubectl on this machine")
	}
	return &kubectl{t: t, config: c.kubeconfig(t), home: t.TempDir()}
}

// try runs it with stdin and returns all it prints.
func (k *kubectl) try(stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(k.t.Context(), "kubectl", args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+k.config, "HOME="+k.home)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (k *kubectl) run(stdin string, args ...string) string {
	k.t.Helper()
	out, err := k.try(stdin, args...)
	if err != nil {
		k.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// want runs it and checks that its output contains all of the texts.
func (k *kubectl) want(stdin string, args []string, texts ...string) {
	k.t.Helper()
	out := k.run(stdin, args...)
	for _, text := range texts {
		if !strings.Contains(out, text) {
			k.t.Errorf("kubectl %s: output lacks %q:\n%s", strings.Join(args, " "), text, out)
		}
	}
}

func words(s string) []string { return strings.Fields(s) }

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: nginx, ports: [{containerPort: 80}]}
`

func TestKubectl(t *testing.T) {
	t.Parallel()
	k := newKubectl(t, start(t, nil))
	k.want("", words("version"), "Server Version: v1.36")
	k.want("", words("get ns"), "kube-system", "Active")
	k.want("", words("api-resources"), "deploy", "configmaps", "apps/v1")
	k.want("", words("create configmap c --from-literal=a=1"), "configmap/c created")
	k.want("", words("get configmap c -o yaml"), `a: "1"`, "kind: ConfigMap", "uid:")
	k.want(deployment, words("apply -f -"), "deployment.apps/web created")
	k.want(deployment, words("apply -f -"), "deployment.apps/web unchanged")
	k.want(strings.Replace(deployment, "replicas: 2", "replicas: 3", 1), words("apply -f -"), "deployment.apps/web configured")
	k.want("", words("get deploy"), "web", "0/3")
	k.want("", words("scale deploy/web --replicas=5"), "scaled")
	k.want("", words("get deploy web -o jsonpath={.spec.replicas}/{.metadata.generation}"), "5/3")
	k.want("", words("label deploy web tier=front"), "labeled")
	k.want("", words("annotate deploy web note=x"), "annotated")
	k.want("", words("set image deploy/web web=nginx:2"), "image updated")
	k.want("", words("get deploy -l tier=front -o name"), "deployment.apps/web")
	k.want("", words("run p --image=busybox --restart=Never"), "pod/p created")
	k.want("", words("get pods -o wide"), "p ", "Pending", "NODE")
	k.want("", words("describe pod p"), "kube-api-access-", "BestEffort", "node.kubernetes.io/not-ready:NoExecute op=Exists for 300s")
	k.want("", words("create service clusterip s --tcp=80:8080"), "service/s created")
	k.want("", words("get svc s kubernetes"), "10.96.0.1 ", "80/TCP")
	k.want("", words("delete deploy web"), `deployment.apps "web" deleted`)
	k.want("", words("delete pod p"), `pod "p" deleted`)
	k.want("", words("create ns temp"), "namespace/temp created")
	k.want("", words("get all -A"), "service/kubernetes")
	k.want("", words("get --raw /readyz?verbose"), "readyz check passed")
}

func TestKubectlServerSide(t *testing.T) {
	t.Parallel()
	k := newKubectl(t, start(t, nil))
	k.want(deployment, words("apply --server-side -f -"), "serverside-applied")
	changed := strings.Replace(deployment, "replicas: 2", "replicas: 4", 1)
	if out, err := k.try(changed, words("apply --server-side --field-manager=other -f -")...); err == nil ||
		!strings.Contains(out, `Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas`) {
		t.Errorf("conflict: %s", out)
	}
	k.want(changed, words("apply --server-side --field-manager=other --force-conflicts -f -"), "serverside-applied")
	if out, err := k.try(deployment, words("diff -f -")...); err == nil || !strings.Contains(out, "-  replicas: 4\n+  replicas: 2") {
		t.Errorf("diff: %s", out)
	}
	k.want(deployment, words("apply -f - --dry-run=server"), "configured (server dry run)")
	k.want("", words("get deploy web -o jsonpath={.spec.replicas}"), "4")
	if out, err := k.try(strings.Replace(deployment, "spec:", "spec:\n  nonsense: 1", 1), words("create -f -")...); err == nil ||
		!strings.Contains(out, `strict decoding error: unknown field "spec.nonsense"`) {
		t.Errorf("strict: %s", out)
	}
}

// many has an object of most kinds that charts use.
const many = `
{apiVersion: batch/v1, kind: CronJob, metadata: {name: x}, spec: {schedule: "* * * * *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}}}
---
{apiVersion: batch/v1, kind: Job, metadata: {name: x}, spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: x}, spec: {defaultBackend: {service: {name: s, port: {number: 80}}}}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x}, spec: {podSelector: {}}}
---
{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: x}, spec: {minAvailable: 1, selector: {matchLabels: {a: b}}}}
---
{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: x}, spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: x}, rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: x}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: x}, subjects: [{kind: ServiceAccount, name: default, namespace: default}]}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: x}, spec: {serviceName: x, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}}
---
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: x}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}}
---
{apiVersion: v1, kind: ResourceQuota, metadata: {name: x}, spec: {hard: {pods: "10"}}}
---
{apiVersion: v1, kind: LimitRange, metadata: {name: x}, spec: {limits: [{type: Container, default: {cpu: 1}}]}}
---
{apiVersion: v1, kind: PersistentVolume, metadata: {name: x}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /tmp}}}
---
{apiVersion: v1, kind: Secret, metadata: {name: x}, stringData: {a: b}}
---
{apiVersion: v1, kind: Node, metadata: {name: x}}
---
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: x}, provisioner: pkg.internal/local}
---
{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: x}, spec: {holderIdentity: me}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: x}, addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}]}
`

func TestKubectlManyKinds(t *testing.T) {
	t.Parallel()
	k := newKubectl(t, start(t, nil))
	many := jsonStream(t, many)
	k.want(many, words("apply -f -"), "cronjob.batch/x created", "Warning: NetworkPolicy default/x is stored, but nothing in this cluster acts on it yet")
	versions := words("get -f - -o jsonpath={range.items[*]}{.kind}={.metadata.resourceVersion},{end}")
	before := k.run(many, versions...)
	k.run(many, words("apply -f -")...)
	if after := k.run(many, versions...); after != before || strings.Count(after, ",") != 18 {
		t.Errorf("applying again changed something:\n%s\n%s", before, after)
	}
	k.want(many, words("apply --server-side --force-conflicts -f -"), "serverside-applied")
	k.want(many, words("get -f - -o yaml"), "kind: HorizontalPodAutoscaler")
	k.want("", words("get hpa.v1.autoscaling,cronjob,job,ingress,netpol,pdb,sts,ds,quota,limits,pv,secret,node,sc,lease,endpointslice"), "x ")
	k.want("", words("label node x zone=a"), "labeled")
	k.want("", words("cordon x"), "node/x cordoned")
	k.want("", words("taint node x k=v:NoSchedule"), "tainted")
	k.want("", words("autoscale sts x --name=y --max=3"), "autoscaled")
	k.want("", words("wait --for=jsonpath={.spec.replicas}=1 sts/x --timeout=5s"), "condition met")
	k.want(many, words("delete -f -"), `secret "x" deleted`)
}

// jsonStream turns YAML documents into JSON ones: kubectl takes what begins
// with a brace for JSON.
func jsonStream(t *testing.T, docs string) string {
	t.Helper()
	var out strings.Builder
	for _, d := range strings.Split(docs, "---") {
		j, err := yaml.YAMLToJSON([]byte(d))
		if err != nil {
			t.Fatal(err)
		}
		out.Write(j)
		out.WriteByte('\n')
	}
	return out.String()
}
