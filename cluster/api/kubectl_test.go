package api_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
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
