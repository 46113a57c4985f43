package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: data}
}

func web(t *testing.T) *appsv1.Deployment {
	t.Helper()
	var d appsv1.Deployment
	if err := yaml.Unmarshal([]byte(deployment), &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

func TestCreateFillsMetadata(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	d, err := cs.AppsV1().Deployments("default").Create(t.Context(), web(t), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Generation != 1 || d.ResourceVersion == "" || d.CreationTimestamp.IsZero() {
		t.Errorf("metadata %+v", d.ObjectMeta)
	}
	if d.Spec.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType {
		t.Errorf("not defaulted: %+v", d.Spec.Strategy)
	}
	if len(d.ManagedFields) != 1 || d.ManagedFields[0].Manager != "tester" || d.ManagedFields[0].Operation != "Update" {
		t.Fatalf("managedFields %+v", d.ManagedFields)
	}
	for _, part := range []string{`"k:{\"name\":\"web\"}"`, `"f:replicas":{}`, `"f:labels":{".":{},"f:app":{}}`} {
		if got := d.ManagedFields[0].FieldsV1.String(); !strings.Contains(got, part) {
			t.Errorf("fields lack %s: %s", part, got)
		}
	}
	if strings.Contains(d.ManagedFields[0].FieldsV1.String(), "f:status") {
		t.Errorf("the creator owns status: %s", d.ManagedFields[0].FieldsV1)
	}

	_, err = cs.AppsV1().Deployments("default").Create(t.Context(), web(t), metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) || err.Error() != `deployments.apps "web" already exists` {
		t.Errorf("second create: %v", err)
	}
	_, err = cs.CoreV1().ConfigMaps("nowhere").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{})
	if !apierrors.IsNotFound(err) || err.Error() != `namespaces "nowhere" not found` {
		t.Errorf("create in no namespace: %v", err)
	}
	_, err = cs.CoreV1().ConfigMaps("default").Create(t.Context(), configMap("No_Good", nil), metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `ConfigMap "No_Good" is invalid: metadata.name: Invalid value: "No_Good": a lowercase RFC 1123 subdomain`) {
		t.Errorf("bad name: %v", err)
	}
}

func TestGenerateName(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "gen-"}}
	got, err := cs.CoreV1().ConfigMaps("default").Create(t.Context(), cm, metav1.CreateOptions{})
	if err != nil || !strings.HasPrefix(got.Name, "gen-") || len(got.Name) != 9 {
		t.Errorf("got %q, %v", got.Name, err)
	}
}

func TestUpdatePreconditions(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	cms := cs.CoreV1().ConfigMaps("default")
	first, err := cms.Create(t.Context(), configMap("c", map[string]string{"a": "1"}), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	change := first.DeepCopy()
	change.Data["a"] = "2"
	second, err := cms.Update(t.Context(), change, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	change.Data["a"] = "3"
	if _, err := cms.Update(t.Context(), change, metav1.UpdateOptions{}); !apierrors.IsConflict(err) ||
		!strings.Contains(err.Error(), `Operation cannot be fulfilled on configmaps "c": the object has been modified; please apply your changes to the latest version and try again`) {
		t.Errorf("stale update: %v", err)
	}
	again, err := cms.Update(t.Context(), second, metav1.UpdateOptions{})
	if err != nil || again.ResourceVersion != second.ResourceVersion {
		t.Errorf("an update without a change: revision %s, was %s, %v", again.ResourceVersion, second.ResourceVersion, err)
	}
	other := second.DeepCopy()
	other.UID = "another"
	if _, err := cms.Update(t.Context(), other, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("another uid: %v", err)
	}
	free := configMap("c", map[string]string{"a": "4"})
	if _, err := cms.Update(t.Context(), free, metav1.UpdateOptions{}); err != nil {
		t.Errorf("unconditional update: %v", err)
	}
	dry := configMap("c", map[string]string{"a": "5"})
	if got, err := cms.Update(t.Context(), dry, metav1.UpdateOptions{DryRun: []string{"All"}}); err != nil || got.Data["a"] != "5" {
		t.Errorf("dry run: %v, %v", got, err)
	}
	if got, _ := cms.Get(t.Context(), "c", metav1.GetOptions{}); got.Data["a"] != "4" {
		t.Errorf("a dry run was stored: %v", got.Data)
	}
}

func TestStatusAndSpecAreApart(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	ds := cs.AppsV1().Deployments("default")
	d, err := ds.Create(t.Context(), web(t), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	change := d.DeepCopy()
	change.Status.ReadyReplicas, *change.Spec.Replicas = 2, 9
	change.Status.Replicas, change.Status.AvailableReplicas = 2, 2
	if d, err = ds.UpdateStatus(t.Context(), change, metav1.UpdateOptions{FieldManager: "boss"}); err != nil {
		t.Fatal(err)
	}
	if d.Status.ReadyReplicas != 2 || *d.Spec.Replicas != 2 || d.Generation != 1 {
		t.Errorf("after a status update: ready %d, replicas %d, generation %d", d.Status.ReadyReplicas, *d.Spec.Replicas, d.Generation)
	}
	var boss metav1.ManagedFieldsEntry
	for _, m := range d.ManagedFields {
		if m.Manager == "boss" {
			boss = m
		}
	}
	if boss.Subresource != "status" || strings.Contains(fmt.Sprint(boss.FieldsV1), "f:spec") {
		t.Errorf("status manager: %+v", boss)
	}
	change = d.DeepCopy()
	change.Status.ReadyReplicas, *change.Spec.Replicas = 7, 4
	if d, err = ds.Update(t.Context(), change, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if d.Status.ReadyReplicas != 2 || *d.Spec.Replicas != 4 || d.Generation != 2 {
		t.Errorf("after an update: ready %d, replicas %d, generation %d", d.Status.ReadyReplicas, *d.Spec.Replicas, d.Generation)
	}
	scale, err := ds.GetScale(t.Context(), "web", metav1.GetOptions{})
	if err != nil || scale.Spec.Replicas != 4 || scale.Status.Selector != "app=web" {
		t.Fatalf("scale %+v, %v", scale, err)
	}
	scale.Spec.Replicas = 6
	if scale, err = ds.UpdateScale(t.Context(), "web", scale, metav1.UpdateOptions{}); err != nil || scale.Spec.Replicas != 6 {
		t.Errorf("update of the scale: %+v, %v", scale, err)
	}
	if _, err := ds.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"replicas":8}}`), metav1.PatchOptions{}, "scale"); err != nil {
		t.Error(err)
	}
	if d, _ = ds.Get(t.Context(), "web", metav1.GetOptions{}); *d.Spec.Replicas != 8 || d.Generation != 4 {
		t.Errorf("replicas %d, generation %d", *d.Spec.Replicas, d.Generation)
	}
}

func TestPatches(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	ds := cs.AppsV1().Deployments("default")
	if _, err := ds.Create(t.Context(), web(t), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kind  types.PatchType
		patch string
		check func(*appsv1.Deployment) bool
		err   string
	}{
		{types.JSONPatchType, `[{"op":"replace","path":"/spec/replicas","value":3}]`, func(d *appsv1.Deployment) bool { return *d.Spec.Replicas == 3 }, ""},
		{types.JSONPatchType, `[{"op":"test","path":"/spec/replicas","value":9}]`, nil, "testing value /spec/replicas failed"},
		{types.JSONPatchType, `{`, nil, "unexpected end"},
		{types.MergePatchType, `{"metadata":{"labels":{"app":null,"x":"y"}}}`, func(d *appsv1.Deployment) bool { return len(d.Labels) == 1 && d.Labels["x"] == "y" }, ""},
		{types.StrategicMergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"s"}]}}}}`,
			func(d *appsv1.Deployment) bool { return len(d.Spec.Template.Spec.Containers) == 2 }, ""},
		{types.StrategicMergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"side","$patch":"delete"}]}}}}`,
			func(d *appsv1.Deployment) bool { return len(d.Spec.Template.Spec.Containers) == 1 }, ""},
		{types.MergePatchType, `{"metadata":{"resourceVersion":"1"},"spec":{"replicas":1}}`, nil, "the object has been modified"},
		{types.MergePatchType, `{"spec":{"replicas":"many"}}`, nil, "cannot unmarshal"},
	} {
		d, err := ds.Patch(t.Context(), "web", c.kind, []byte(c.patch), metav1.PatchOptions{})
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s %s: error %v, want %q", c.kind, c.patch, err, c.err)
		case c.err == "" && err != nil:
			t.Errorf("%s %s: %v", c.kind, c.patch, err)
		case c.check != nil && err == nil && !c.check(d):
			t.Errorf("%s %s: got %+v", c.kind, c.patch, d)
		}
	}
	if _, err := ds.Patch(t.Context(), "none", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("patch of nothing: %v", err)
	}
}

// TestPatchesRace has many writers patch one object without a version: every
// one must get through.
func TestPatchesRace(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	cms := cs.CoreV1().ConfigMaps("default")
	if _, err := cms.Create(t.Context(), configMap("c", nil), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			p := fmt.Sprintf(`{"data":{"k%d":"v"}}`, i)
			if _, err := cms.Patch(t.Context(), "c", types.MergePatchType, []byte(p), metav1.PatchOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if c, _ := cms.Get(t.Context(), "c", metav1.GetOptions{}); len(c.Data) != 20 {
		t.Errorf("%d of 20 patches are there", len(c.Data))
	}
}

func TestServerSideApply(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	ds := cs.AppsV1().Deployments("default")
	conf := func(replicas int32) *appsapply.DeploymentApplyConfiguration {
		return appsapply.Deployment("web", "default").WithLabels(map[string]string{"app": "web"}).WithSpec(appsapply.DeploymentSpec().
			WithReplicas(replicas).
			WithSelector(metav1apply("app", "web")).
			WithTemplate(coreapply.PodTemplateSpec().WithLabels(map[string]string{"app": "web"}).
				WithSpec(coreapply.PodSpec().WithContainers(coreapply.Container().WithName("web").WithImage("nginx")))))
	}
	d, err := ds.Apply(t.Context(), conf(2), metav1.ApplyOptions{FieldManager: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Generation != 1 || len(d.ManagedFields) != 1 || d.ManagedFields[0].Operation != metav1.ManagedFieldsOperationApply {
		t.Errorf("created by apply: %+v", d.ObjectMeta)
	}
	if got := d.ManagedFields[0].FieldsV1.String(); strings.Contains(got, "strategy") {
		t.Errorf("alice owns a default: %s", got)
	}
	again, err := ds.Apply(t.Context(), conf(2), metav1.ApplyOptions{FieldManager: "alice"})
	if err != nil || again.ResourceVersion != d.ResourceVersion {
		t.Errorf("the same apply again: revision %s -> %s, %v", d.ResourceVersion, again.ResourceVersion, err)
	}
	_, err = ds.Apply(t.Context(), conf(5), metav1.ApplyOptions{FieldManager: "bob"})
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `conflict with "alice": .spec.replicas`) {
		t.Errorf("bob's apply: %v", err)
	}
	if d, err = ds.Apply(t.Context(), conf(5), metav1.ApplyOptions{FieldManager: "bob", Force: true}); err != nil || *d.Spec.Replicas != 5 {
		t.Errorf("bob's forced apply: %v", err)
	}
	without := conf(5)
	without.Spec.Replicas = nil
	if d, err = ds.Apply(t.Context(), without, metav1.ApplyOptions{FieldManager: "alice"}); err != nil || *d.Spec.Replicas != 5 {
		t.Errorf("alice gave up replicas, which bob keeps: %v", err)
	}
	without.Labels = nil
	if d, err = ds.Apply(t.Context(), without, metav1.ApplyOptions{FieldManager: "alice"}); err != nil || d.Labels["app"] != "web" {
		t.Errorf("bob owns the label, too: %v %v", d.Labels, err)
	}
	if _, err := ds.Apply(t.Context(), conf(1), metav1.ApplyOptions{}); err == nil || !strings.Contains(err.Error(), "fieldManager: Required value: is required for apply patch") {
		t.Errorf("apply without a manager: %v", err)
	}
	status := appsapply.Deployment("web", "default").WithStatus(appsapply.DeploymentStatus().WithObservedGeneration(7))
	if d, err = ds.ApplyStatus(t.Context(), status, metav1.ApplyOptions{FieldManager: "boss"}); err != nil || d.Status.ObservedGeneration != 7 {
		t.Errorf("apply of the status: %v", err)
	}
	bad := `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"nonsense":1}}`
	if _, err := ds.Patch(t.Context(), "web", types.ApplyPatchType, []byte(bad), metav1.PatchOptions{FieldManager: "x"}); !apierrors.IsBadRequest(err) ||
		!strings.Contains(err.Error(), ".spec.nonsense: field not declared in schema") {
		t.Errorf("apply of an unknown field: %v", err)
	}
}

func TestStrictDecoding(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	const body = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s","name":"%[1]s"},"data":{},"spec":{"x":1}}`
	post := func(name, validation string) (warnings []string, err error) {
		config := c.config()
		handler := &collect{}
		config.WarningHandler = handler
		config.GroupVersion, config.APIPath = &schema.GroupVersion{Version: "v1"}, "/api"
		config.NegotiatedSerializer = unstructuredSerializer()
		rc, cerr := rest.RESTClientFor(config)
		if cerr != nil {
			t.Fatal(cerr)
		}
		err = rc.Post().Namespace("default").Resource("configmaps").Param("fieldValidation", validation).
			SetHeader("Content-Type", "application/json").Body(fmt.Appendf(nil, body, name)).Do(t.Context()).Error()
		return handler.texts, err
	}
	if w, err := post("ignore", "Ignore"); err != nil || len(w) != 0 {
		t.Errorf("Ignore: %q, %v", w, err)
	}
	want := []string{`duplicate field "metadata.name"`, `unknown field "spec"`}
	if w, err := post("warn", "Warn"); err != nil || strings.Join(w, ";") != strings.Join(want, ";") {
		t.Errorf("Warn: %q, %v", w, err)
	}
	_, err := post("strict", "Strict")
	if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(),
		`ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: duplicate field "metadata.name", unknown field "spec"`) {
		t.Errorf("Strict: %v", err)
	}
}

func TestWarnsOfWhatNothingActsOn(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	config := c.config()
	handler := &collect{}
	config.WarningHandler = handler
	cs := clientFor(t, config)
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	if _, err := cs.NetworkingV1().NetworkPolicies("default").Create(t.Context(), np, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if len(handler.texts) != 1 || handler.texts[0] != "NetworkPolicy default/n is stored, but nothing in this cluster acts on it yet" {
		t.Errorf("warnings %q", handler.texts)
	}
}

func TestAliasesShareObjects(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	e := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: "default"}, EventTime: metav1.NowMicro(),
		Regarding: corev1.ObjectReference{Kind: "Pod", Name: "p", Namespace: "default"}, Reason: "Because", Note: "said so",
		Type: "Normal", Action: "Doing", ReportingController: "example.com/c", ReportingInstance: "c-1",
	}
	if _, err := cs.EventsV1().Events("default").Create(t.Context(), e, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	core, err := cs.CoreV1().Events("default").Get(t.Context(), "e", metav1.GetOptions{})
	if err != nil || core.Message != "said so" || core.InvolvedObject.Name != "p" {
		t.Fatalf("core event %+v, %v", core, err)
	}
	if _, err := cs.EventsV1().Events("default").Patch(t.Context(), "e", types.MergePatchType, []byte(`{"note":"again"}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	l, err := cs.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=p"})
	if err != nil || len(l.Items) != 1 || l.Items[0].Message != "again" {
		t.Errorf("list %+v, %v", l, err)
	}
}

func TestDynamicClient(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	dyn, err := dynamic.NewForConfig(c.config())
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := yaml.Unmarshal([]byte(deployment), &m); err != nil {
		t.Fatal(err)
	}
	ds := dyn.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).Namespace("default")
	o, err := ds.Apply(t.Context(), "web", &unstructured.Unstructured{Object: m}, metav1.ApplyOptions{FieldManager: "pkg"})
	if err != nil {
		t.Fatal(err)
	}
	if n, _, _ := unstructured.NestedInt64(o.Object, "spec", "progressDeadlineSeconds"); n != 600 {
		t.Errorf("progressDeadlineSeconds %d", n)
	}
	if err := ds.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

// TestVerbsInProcess writes like the cluster's own parts do.
func TestVerbsInProcess(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	w := object.WriteOptions{FieldManager: "part"}
	d, err := builtin.Deployments.Create(t.Context(), c, func() *appsv1.Deployment { d := web(t); d.Namespace = "default"; return d }(), w)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Patch(t.Context(), builtin.Deployments.Resource, object.KeyOf(d), types.MergePatchType, []byte(`{"spec":{"paused":true}}`), w)
	if err != nil || !p.(*appsv1.Deployment).Spec.Paused || d.Spec.Paused {
		t.Errorf("patched %v, %v", p, err)
	}
	if _, err := builtin.Deployments.Update(t.Context(), c, d.DeepCopy(), w); !apierrors.IsConflict(err) {
		t.Errorf("update of an old version: %v", err)
	}
	data, err := json.Marshal(p)
	if err != nil || !strings.Contains(string(data), `"kind":"Deployment"`) {
		t.Errorf("no TypeMeta: %s", data)
	}
}
