package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// appChart makes what tests ask it for; see its values.
const appChart = "testdata/app"

func wantIn(t testing.TB, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s lacks %q:\n%s", what, p, text)
		}
	}
}

// secretOf returns a Secret's data.
func (c *testCluster) secretOf(t *testing.T, name string) map[string][]byte {
	t.Helper()
	s, err := builtin.Secrets.Get(t.Context(), c.verbs, "default", name)
	if err != nil {
		t.Fatal(err)
	}
	return s.Data
}

// TestLife follows a release from its install to its end, as the demo does.
func TestLife(t *testing.T) {
	c := startTestCluster(t)
	out, talk := c.mustRun(t, 0, "install", "bundled/mysql")
	wantIn(t, "install", out, "NAME: mysql\n", "STATUS: deployed", "REVISION: 1", "NOTES:", "ADDRESSES:", "mysql.default.svc:3306", "pkg upgrade mysql")
	wantIn(t, "install's talk", talk, "cluster: context test of", "($KUBECONFIG)", "created StatefulSet/mysql")
	password := c.secretOf(t, "mysql")

	_, talk = c.mustRun(t, 1, "install", "bundled/mysql", "--set", "auth.database=a b")
	wantIn(t, "second install", talk, "pkg upgrade mysql bundled/mysql --set 'auth.database=a b'", "pkg install mysql-2 bundled/mysql")

	out, talk = c.mustRun(t, 0, "upgrade", "mysql", "--set", "primary.resources.limits.memory=768Mi")
	wantIn(t, "upgrade", out, "REVISION: 2", "STATUS: deployed")
	wantIn(t, "upgrade's talk", talk, "bundled/mysql", "updated StatefulSet/mysql")
	if strings.Contains(talk, "Service/mysql") {
		t.Errorf("the upgrade touched what had not changed:\n%s", talk)
	}
	pod, err := builtin.Pods.Get(t.Context(), c.verbs, "default", "mysql-0")
	if err != nil || pod.Spec.Containers[0].Resources.Limits.Memory().String() != "768Mi" {
		t.Errorf("the upgrade returned before the new pod was there: %v, %v", pod.Spec.Containers[0].Resources, err)
	}
	if now := c.secretOf(t, "mysql"); string(now["mysql-password"]) != string(password["mysql-password"]) {
		t.Error("the upgrade changed the password")
	}

	out, talk = c.mustRun(t, 0, "test", "mysql", "--logs")
	wantIn(t, "test", out, "Phase:          Succeeded", "log of mysql-test")
	wantIn(t, "test's talk", talk, "  mysql-test | log of mysql-test")
	out, _ = c.mustRun(t, 0, "rollback", "mysql", "1")
	wantIn(t, "rollback", out, "as revision 3")
	out, _ = c.mustRun(t, 0, "history", "mysql")
	wantIn(t, "history", out, "superseded", "Rollback to 1")
	out, _ = c.mustRun(t, 0, "status", "mysql")
	wantIn(t, "status", out, "✓ StatefulSet/mysql", "1 of 1 ready", "└ ✓ Pod/mysql-0", "PersistentVolumeClaim/data-mysql-0")
	out, _ = c.mustRun(t, 0, "uninstall", "mysql")
	wantIn(t, "uninstall", out, `release "mysql" uninstalled`)
	if _, err := builtin.Pods.Get(t.Context(), c.verbs, "default", "mysql-0"); !apierrors.IsNotFound(err) {
		t.Errorf("uninstall returned before the pod had ended: %v", err)
	}
	if _, err := builtin.PersistentVolumeClaims.Get(t.Context(), c.verbs, "default", "data-mysql-0"); err != nil {
		t.Errorf("the data is gone: %v", err)
	}
}

func TestWaitingTellsWhy(t *testing.T) {
	c := startTestCluster(t)
	for _, x := range []struct {
		tag  string
		want []string
	}{
		{"hold", []string{"Deployment/hold: 0 of 1 pods available: pod hold-", "Pending"}},
		{"missing", []string{"pod missing-", "container main: ImagePullBackOff: no such image"}},
		{"crash", []string{"container main: CrashLoopBackOff after 2 restarts: OOMKilled, limit 64Mi", "  | log of crash-"}},
	} {
		_, talk := c.mustRun(t, 3, "install", x.tag, appChart, "--set", "tag="+x.tag, "--timeout", "900ms")
		wantIn(t, x.tag, talk, append(x.want, "waiting for Deployment/"+x.tag, "Error: timed out after", "pkg status "+x.tag)...)
		out, _ := c.mustRun(t, 0, "status", x.tag)
		wantIn(t, "status of "+x.tag, out, "STATUS: deployed") // as with helm, which does not look
	}
	out, _ := c.mustRun(t, 0, "install", "quick", appChart, "--set", "tag=hold", "--no-wait")
	wantIn(t, "--no-wait", out, "STATUS: deployed")
}

// TestHelmsWait fails a revision that is not ready; the next install goes on.
func TestHelmsWait(t *testing.T) {
	c := startTestCluster(t)
	c.mustRun(t, 3, "install", appChart, "--set", "tag=missing", "--wait", "--timeout", "500ms")
	out, _ := c.mustRun(t, 0, "status", "app")
	wantIn(t, "status", out, "STATUS: failed", "ImagePullBackOff")
	out, talk := c.mustRun(t, 0, "install", appChart)
	wantIn(t, "second install", out, "REVISION: 2", "STATUS: deployed")
	wantIn(t, "second install", talk, "continuing the install of app, which failed")
	_, talk = c.mustRun(t, 1, "install", appChart)
	wantIn(t, "third install", talk, "pkg upgrade app "+appChart)
}

func TestGoBack(t *testing.T) {
	c := startTestCluster(t)
	_, talk := c.mustRun(t, 3, "install", appChart, "--set", "tag=missing", "--atomic", "--timeout", "2s")
	wantIn(t, "install", talk, "has been uninstalled", "ImagePullBackOff")
	c.mustRun(t, 1, "status", "app")
	c.mustRun(t, 0, "install", appChart)
	_, talk = c.mustRun(t, 3, "upgrade", "app", "--set", "tag=missing", "--rollback-on-failure", "--timeout", "2s")
	wantIn(t, "upgrade", talk, "has been rolled back", "rolled back to revision 1; the data on its volumes was not rolled back")
	out, _ := c.mustRun(t, 0, "status", "app")
	wantIn(t, "status", out, "STATUS: deployed", "REVISION: 3")
	d, err := builtin.Deployments.Get(t.Context(), c.verbs, "default", "app")
	if err != nil || d.Spec.Template.Spec.Containers[0].Image != "registry.test/app:ok" {
		t.Errorf("after the rollback the image is %q (%v)", d.Spec.Template.Spec.Containers[0].Image, err)
	}
}

func TestFailingHookAppliesNothing(t *testing.T) {
	c := startTestCluster(t)
	c.mustRun(t, 0, "install", appChart, "--set", "hook=ok")
	_, talk := c.mustRun(t, 1, "upgrade", "app", "--set", "hook=fail,tag=other")
	wantIn(t, "upgrade", talk, "pre-upgrade hooks failed", "Pod/app-before", "exit code 1", "  app-before | log of app-before")
	d, err := builtin.Deployments.Get(t.Context(), c.verbs, "default", "app")
	if err != nil || d.Spec.Template.Spec.Containers[0].Image != "registry.test/app:ok" {
		t.Errorf("the image is %q (%v)", d.Spec.Template.Spec.Containers[0].Image, err)
	}
	out, _ := c.mustRun(t, 0, "history", "app")
	wantIn(t, "history", out, "failed", "deployed")
	c.mustRun(t, 0, "upgrade", "app", "--set", "hook=fail,tag=other", "--no-hooks")
}

func TestOwnership(t *testing.T) {
	c := startTestCluster(t)
	foreign := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "app", Namespace: "default"}}
	if _, err := builtin.ConfigMaps.Create(t.Context(), c.verbs, foreign, object.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	_, talk := c.mustRun(t, 1, "install", appChart)
	wantIn(t, "install", talk, `ConfigMap "app" in namespace "default" exists and cannot be imported into the current release: invalid ownership metadata; label validation error: missing key "app.kubernetes.io/managed-by": must be set to "Helm"`, "--take-ownership")
	c.mustRun(t, 1, "status", "app")
	c.mustRun(t, 0, "install", appChart, "--take-ownership")
	c.mustRun(t, 0, "upgrade", "app", "--set", "config=false,keep=false")
	if _, err := builtin.ConfigMaps.Get(t.Context(), c.verbs, "default", "app"); !apierrors.IsNotFound(err) {
		t.Errorf("the ConfigMap should have gone: %v", err)
	}
	if _, err := builtin.ConfigMaps.Get(t.Context(), c.verbs, "default", "app-kept"); err != nil {
		t.Errorf("the ConfigMap to be kept: %v", err)
	}
}

func TestFieldsOfOthers(t *testing.T) {
	c := startTestCluster(t)
	c.mustRun(t, 0, "install", appChart)
	m, err := builtin.ConfigMaps.Get(t.Context(), c.verbs, "default", "app")
	if err != nil {
		t.Fatal(err)
	}
	m = m.DeepCopy()
	m.Data["revision"] = "mine"
	if _, err := builtin.ConfigMaps.Update(t.Context(), c.verbs, m, object.WriteOptions{FieldManager: "editor"}); err != nil {
		t.Fatal(err)
	}
	_, talk := c.mustRun(t, 1, "upgrade", "app")
	wantIn(t, "upgrade", talk, `.data.revision: conflict with "editor"`, "--force-conflicts", "app/templates/config.yaml")
	c.mustRun(t, 0, "upgrade", "app", "--force-conflicts")
}

func TestImmutableField(t *testing.T) {
	c := startTestCluster(t)
	c.mustRun(t, 0, "install", appChart)
	_, talk := c.mustRun(t, 1, "upgrade", "app", "--set", "label=new")
	wantIn(t, "upgrade", talk, "Deployment/app (app/templates/deployment.yaml)", "immutable", "--force")
	c.mustRun(t, 0, "upgrade", "app", "--set", "label=new", "--force")
	d, err := builtin.Deployments.Get(t.Context(), c.verbs, "default", "app")
	if err != nil || d.Spec.Selector.MatchLabels["part"] != "new" {
		t.Errorf("selector %v, %v", d.Spec.Selector, err)
	}
}

func TestStoredOnlyKinds(t *testing.T) {
	c := startTestCluster(t)
	_, talk := c.mustRun(t, 0, "install", appChart, "--set", "inert=true")
	if n := strings.Count(talk, "NetworkPolicy is stored, but nothing in this cluster acts on it yet"); n != 1 {
		t.Errorf("the warning stands there %d times:\n%s", n, talk)
	}
}

func TestDryRun(t *testing.T) {
	c := startTestCluster(t)
	out, talk := c.mustRun(t, 0, "install", "bundled/mysql", "--dry-run", "--hide-secret")
	wantIn(t, "install", out, "STATUS: pending-install", "# HIDDEN: The Secret output has been suppressed", "kind: StatefulSet")
	wantIn(t, "install's plan", talk, "plan: create StatefulSet/mysql")
	c.mustRun(t, 1, "status", "mysql")
	c.mustRun(t, 0, "install", "bundled/mysql")
	_, talk = c.mustRun(t, 0, "upgrade", "mysql", "--dry-run", "--set", "service.type=NodePort")
	wantIn(t, "upgrade's plan", talk, "plan: update Service/mysql", "plan: leave StatefulSet/mysql unchanged")
	_, talk = c.mustRun(t, 0, "uninstall", "mysql", "--dry-run")
	wantIn(t, "uninstall's plan", talk, "plan: delete StatefulSet/mysql")
	c.mustRun(t, 0, "status", "mysql")
}

func TestHistoryMax(t *testing.T) {
	c := startTestCluster(t)
	c.mustRun(t, 0, "install", appChart)
	for range 2 {
		c.mustRun(t, 1, "upgrade", "app", "--set", "hook=fail", "--history-max", "2")
	}
	out, _ := c.mustRun(t, 0, "history", "app", "-o", "json")
	wantIn(t, "history", out, `"revision":1,`, `"revision":3,`)
	if strings.Contains(out, `"revision":2,`) {
		t.Errorf("revision 2 was not pruned: %s", out)
	}
}

func TestNamespaces(t *testing.T) {
	c := startTestCluster(t)
	_, talk := c.mustRun(t, 1, "install", appChart, "-n", "shop")
	wantIn(t, "install", talk, `namespaces "shop" not found`, "--create-namespace")
	c.mustRun(t, 0, "install", appChart, "-n", "shop", "--create-namespace")
	out, _ := c.mustRun(t, 0, "list", "--kube-context", "shop", "-q")
	if out != "app\n" {
		t.Errorf("list in the context's namespace: %q", out)
	}
	if out, _ = c.mustRun(t, 0, "list", "-q"); out != "" {
		t.Errorf("list in default: %q", out)
	}
	out, _ = c.mustRun(t, 0, "list", "-A", "-q")
	if out != "app\n" {
		t.Errorf("list in all namespaces: %q", out)
	}
}

func TestUsage(t *testing.T) {
	c := startTestCluster(t)
	_, talk := c.mustRun(t, 2, "install", "--name", "db", "bundled/mysql")
	wantIn(t, "--name", talk, "pkg install db bundled/mysql")
	c.mustRun(t, 2, "upgrade")
	c.mustRun(t, 2, "install", appChart, "--wait", "--no-wait")
	_, talk = c.mustRun(t, 1, "install", appChart, "--labels", "status=mine")
	wantIn(t, "labels", talk, "system reserved label name")
	_, talk = c.mustRun(t, 1, "upgrade", "none", appChart)
	wantIn(t, "upgrade", talk, `"none" has no deployed releases`, "pkg install none "+appChart)
	_, talk = c.mustRun(t, 1, "rollback", "none")
	wantIn(t, "rollback", talk, "release: not found")
}

// pending returns once a release is pending, so that its operation can be met in
// the middle.
func (c *testCluster) pending(t *testing.T, name string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		all, err := builtin.Secrets.List(t.Context(), c.verbs, object.ListOptions{Namespace: "default"})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			if s.Labels["name"] == name && strings.HasPrefix(s.Labels["status"], "pending") {
				return
			}
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("%s is not pending", name)
}

// start runs pkg as a process of its own.
func (c *testCluster) start(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("pkg", args...)
	cmd.Env = append(cmd.Environ(), "KUBECONFIG="+c.kubeconfig, "PKG_CONFIG_HOME="+dir, "PKG_CACHE_HOME="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func TestOneOperationAtATime(t *testing.T) {
	c := startTestCluster(t)
	cmd := c.start(t, "install", "app", appChart, "--set", "tag=hold", "--wait")
	c.pending(t, "app")
	_, talk := c.mustRun(t, 4, "upgrade", "--install", "app", appChart)
	wantIn(t, "upgrade", talk, "another operation is running: pkg install, pid ", " on host ")

	// Killed: nobody tells the cluster, but the process is seen to be gone.
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	out, talk := c.mustRun(t, 0, "upgrade", "--install", "app", appChart, "--set", "tag=ok", "--timeout", "20s")
	wantIn(t, "upgrade after kill -9", talk, "taking over from pkg install, pid ", "which has ended", "revision 1 of app (pending-install) was interrupted")
	wantIn(t, "upgrade after kill -9", out, "REVISION: 2", "STATUS: deployed")
	out, _ = c.mustRun(t, 0, "history", "app")
	if !regexp.MustCompile(`1 .*failed .*interrupted while pending-install`).MatchString(out) {
		t.Errorf("history does not tell what happened:\n%s", out)
	}
	leases, err := builtin.Leases.List(t.Context(), c.verbs, object.ListOptions{Namespace: "default"})
	if err != nil || len(leases) != 0 {
		t.Errorf("leases left behind: %v, %v", leases, err)
	}
}

func TestInterrupted(t *testing.T) {
	c := startTestCluster(t)
	cmd := c.start(t, "install", "app", appChart, "--set", "tag=hold", "--wait")
	c.pending(t, "app")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the interrupted install ended well")
	}
	out, _ := c.mustRun(t, 0, "history", "app")
	wantIn(t, "history", out, "failed", "interrupted")
	c.mustRun(t, 0, "install", appChart)
}

// TestLeaseLostByServer: the server keeps Leases in memory only.
func TestLeaseLostByServer(t *testing.T) {
	c := startTestCluster(t)
	cmd := c.start(t, "install", "app", appChart, "--set", "tag=hold", "--wait")
	c.pending(t, "app")
	if err := builtin.Leases.Delete(t.Context(), c.verbs, "default", "pkg.internal.app", object.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	_, talk := c.mustRun(t, 4, "rollback", "app")
	wantIn(t, "rollback", talk, "another operation is running")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	c.mustRun(t, 0, "install", appChart)
}

// TestRollbackRestoresImages: a rollback runs the images that the revision ran, also
// where their names stand for others by now; where they do not, nothing is pinned.
func TestRollbackRestoresImages(t *testing.T) {
	c := startTestCluster(t)
	image := func() string {
		out, _ := c.mustRun(t, 0, "get", "manifest", "app")
		_, rest, _ := strings.Cut(out, "image: ")
		line, _, _ := strings.Cut(rest, "\n")
		return line
	}
	c.mustRun(t, 0, "install", "app", appChart)
	first := image()
	c.mustRun(t, 0, "upgrade", "app", "--set", "config=false")
	c.mustRun(t, 0, "rollback", "app", "1")
	if got := image(); got != first {
		t.Errorf("the same image is now named %s, not %s", got, first)
	}
	c.builds.Add(1)
	c.mustRun(t, 0, "upgrade", "app", "--set", "tag=new")
	c.mustRun(t, 0, "upgrade", "app", "--set", "tag=ok,config=false")
	_, talk := c.mustRun(t, 0, "rollback", "app", "1")
	want := first + strings.TrimPrefix(imageDigest(first, 0), "registry.test/app")
	wantIn(t, "rollback", talk, "image "+want+" as revision 1 ran it")
	if got := image(); got != want {
		t.Errorf("rolled back to %s, not %s", got, want)
	}
	revision, err := builtin.Secrets.Get(t.Context(), c.verbs, "default", "sh.helm.release.v1.app.v1")
	if err != nil {
		t.Fatal(err)
	}
	if kept := object.KeptImages(revision); len(kept) != 1 || kept[0] != imageDigest(first, 0) {
		t.Errorf("revision 1 keeps the images %q", kept)
	}
	pods, err := builtin.Pods.List(t.Context(), c.verbs, object.ListOptions{Namespace: "default"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods {
		if p.DeletionTimestamp == nil && p.Spec.Containers[0].Image != want {
			t.Errorf("pod %s runs %s", p.Name, p.Spec.Containers[0].Image)
		}
	}
	out, _ := c.mustRun(t, 0, "plan", "upgrade", "app", "--reuse-values")
	wantIn(t, "the next upgrade", out, want+`" -> "`+first)
}
